"""Comparisons: the same requests for all, paired gains, honest failures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import RouterFactory
from swarmplan.routing.offline import Shortest
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.compare import Contestant, Decided, compare
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import WARM_UP, Summary, summarise
from swarmplan.simulator.service import Yardstick
from swarmplan.workload.draw import draw_requests

SPANS = [(0, 4), (3, 6), (0, 3), (4, 6)]


def mean_response(summary: Summary) -> float:
    return summary.response_s.mean


def fixed(problem: Problem, router: RouterFactory, name: str = "fixed") -> Contestant:
    placement = CostModel.of(problem).placed(SPANS)
    return Contestant(name=name, note="", decide=lambda seed: (placement, router, ()))


def shuffled(problem: Problem, seen: list[int]) -> Contestant:
    def decide(seed: int) -> Decided:
        seen.append(seed)
        return CostModel.of(problem).placed(SPANS), WsRr, ()

    return Contestant(name="shuffled", note="", decide=decide, random_order=True)


def test_every_method_gets_the_very_same_requests(tiny: Problem) -> None:
    drawn: list[int] = []

    def requests_of(seed: int) -> Sequence[Request]:
        drawn.append(seed)
        return draw_requests(tiny, seed)

    found = compare(
        tiny, [fixed(tiny, WsRr), fixed(tiny, WsRr), fixed(tiny, Shortest)], requests_of,
        seeds=(3, 4),
    )  # fmt: skip
    assert drawn == [3, 4]
    first, second, third = found.rows
    assert first.runs == second.runs
    gain = found.gain(second, mean_response)
    assert (gain.mean, gain.half_width) == (0.0, 0.0)
    assert len(third.runs) == 2


def test_a_run_is_what_the_simulator_alone_gives(tiny: Problem) -> None:
    requests = draw_requests(tiny, 7)
    found = compare(tiny, [fixed(tiny, WsRr)], lambda seed: requests, seeds=(7,))
    cost = CostModel.of(tiny)
    placement = cost.placed(SPANS)
    alone = simulate(tiny, placement, WsRr(cost, placement), requests)
    by = Yardstick.of(cost, requests)
    assert found.rows[0].runs == (summarise(alone, warm_up=WARM_UP, by=by),)


def test_join_orders_of_a_seed_are_averaged_before_the_spread(tiny: Problem) -> None:
    seen: list[int] = []
    found = compare(
        tiny,
        [fixed(tiny, Shortest), shuffled(tiny, seen)],
        lambda seed: draw_requests(tiny, seed),
        seeds=(1, 2),
        join_orders=3,
    )
    base, mixed = found.rows
    assert seen == [1000, 1001, 1002, 2000, 2001, 2002]
    assert (len(base.runs), len(mixed.runs)) == (2, 6)
    assert (found.per_seed(base), found.per_seed(mixed)) == (1, 3)
    by_seed = [sum(mean_response(r) for r in mixed.runs[i : i + 3]) / 3 for i in (0, 3)]
    gains = [1 - m / mean_response(b) for m, b in zip(by_seed, base.runs, strict=True)]
    assert found.gain(mixed, mean_response).mean == pytest.approx(sum(gains) / 2)
    assert mixed.interval(mean_response, per_seed=3).mean == pytest.approx(sum(by_seed) / 2)


def test_a_method_that_fails_keeps_its_reason_and_no_figures(tiny: Problem) -> None:
    def decide(seed: int) -> Decided:
        raise HeuristicFailedError("no luck")

    steps: list[tuple[int, int, str]] = []
    found = compare(
        tiny,
        [fixed(tiny, WsRr), Contestant(name="bad", note="", decide=decide)],
        lambda seed: draw_requests(tiny, seed),
        seeds=range(3),
        on_progress=lambda done, total, name: steps.append((done, total, name)),
    )
    bad = found.rows[1]
    assert (bad.runs, bad.error) == ((), "no luck")
    assert found.gain(bad, mean_response).mean != found.gain(bad, mean_response).mean  # nan
    assert [done for done, _, _ in steps] == list(range(6))
    assert {total for _, total, _ in steps} == {6}
