"""What policies know of output lengths, and what becomes of reservations that are too small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.events import ServerEvent
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Lengths, LengthUse, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.routing.api import Decision, SwarmView
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.admission import Gate, Retry
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.session import Session
from swarmplan.simulator.swarm import Swarm
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.lengths import crossed, known_of, predicted_by_class, provided
from swarmplan.workload.load import at_load

MODES = ("oracle", "predictor", "model-constant", "maximum")


def known(problem: Problem, **use: object) -> Problem:
    """The problem with lengths that a classifier predicts, under one mode."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 400)
    tokens = np.exp(3.0 + label + 0.4 * rng.normal(size=400)).astype(np.int64) + 1
    values = Lengths(
        values=tuple(tokens.tolist()), predicted=predicted_by_class(tokens, [*map(str, label)])
    )
    load = problem.workload
    classes = tuple(replace(c, output_tokens=values) for c in load.classes)
    lengths = LengthUse(**use)  # type: ignore[arg-type]
    return replace(problem, workload=replace(load, classes=classes, lengths=lengths))


def test_the_mode_changes_what_is_known_and_nothing_else(tiny: Problem) -> None:
    drawn = {m: draw_requests(known(tiny, mode=m), 3, num_requests=200) for m in MODES}
    for mode in MODES:
        for one, other in zip(drawn[mode], drawn["oracle"], strict=True):
            for field in ("id", "client", "arrival_s", "prompt_tokens", "output_tokens"):
                assert getattr(one, field) == getattr(other, field)
    longest = max(known(tiny).workload.classes[0].output_tokens.values)
    assert {r.reserved_tokens - r.prompt_tokens for r in drawn["maximum"]} == {longest}
    assert len({r.reserved_tokens - r.prompt_tokens for r in drawn["model-constant"]}) == 1
    mean = {m: np.mean([r.reserved_tokens for r in drawn[m]]) for m in MODES}
    assert mean["oracle"] < mean["predictor"] < mean["model-constant"] < mean["maximum"]
    for mode in ("predictor", "model-constant"):
        over = np.mean([r.output_tokens > r.reserved_tokens - r.prompt_tokens for r in drawn[mode]])
        assert over < 0.1
        for r in drawn[mode]:
            assert r.planned_tokens <= r.reserved_tokens - r.prompt_tokens
            steps = [r.reserved_tokens, *r.ladder_tokens]
            assert steps == sorted(set(steps))
            assert steps[-1] == r.prompt_tokens + longest


def test_a_row_is_predicted_by_the_other_half_only() -> None:
    seen: list[set[int]] = []

    def predict(fit: np.ndarray, use: np.ndarray) -> np.ndarray:
        assert not set(fit.tolist()) & set(use.tolist())
        seen.append(set(use.tolist()))
        return np.zeros((len(use), 8))

    crossed(11, predict)
    assert seen[0] | seen[1] == set(range(11))


def test_a_limit_cuts_answers_and_bounds_every_reservation(tiny: Problem) -> None:
    for mode in MODES:
        drawn = draw_requests(known(tiny, mode=mode, limit_tokens=60), 1, num_requests=100)
        for r in drawn:
            assert r.output_tokens <= 60
            assert max([r.reserved_tokens, *r.ladder_tokens]) <= r.prompt_tokens + 60


def test_the_predictor_mode_needs_predictions() -> None:
    request = Request(
        id=0, client=0, arrival_s=0.0, prompt_tokens=5, output_tokens=9, reserved_tokens=14
    )
    knowledge = known_of(Lengths(values=(9, 12)), np.array([0]))
    with pytest.raises(ScenarioError, match="predicted_class"):
        provided([request], LengthUse(mode="predictor"), knowledge)


@pytest.mark.parametrize("mode", MODES)
def test_every_request_ends_and_overflows_are_counted(tiny: Problem, mode: str) -> None:
    problem = known(tiny, mode=mode, quantile=0.5, limit_tokens=40)
    requests = draw_requests(at_load(problem, 3.0), 0, num_requests=150)
    cost = CostModel.of(problem)
    placement = place_blocks(cost, 4)
    result = simulate(problem, placement, WsRr(cost, placement), requests)
    assert set(result.status) == {"completed"}
    short = sum(r.output_tokens > r.reserved_tokens - r.prompt_tokens for r in requests)
    assert (int((result.overflows > 0).sum()) > 0) == (short > 0)
    assert int((result.overflows > 0).sum()) <= short
    if mode in ("oracle", "maximum"):
        assert not result.overflows.any()


def test_an_overflow_grows_by_the_ladder_not_by_the_truth(tiny: Problem) -> None:
    request = Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=4,
        output_tokens=30,
        reserved_tokens=14,
        expected_tokens=8,
        ladder_tokens=(20, 28, 44),
    )
    cost = CostModel.of(tiny)
    placement = place_blocks(cost, 1)
    result = simulate(tiny, placement, WsRr(cost, placement), [request])
    plain = replace(request, ladder_tokens=(), reserved_tokens=34, expected_tokens=None)
    whole = simulate(tiny, placement, WsRr(cost, placement), [plain])
    assert result.overflows.tolist() == [3]
    assert result.finish_s == pytest.approx(whole.finish_s)
    route = result.routes[0]
    assert route is not None
    held = [int(cost.cache_bytes(44, h.start, h.end)) for h in route.hops]
    assert result.peak_cache_bytes.max() == max(held)


class Looking:
    """``retry``, with a look at when the first server's pool is believed to be free."""

    def __init__(self) -> None:
        self.believed_s: list[float] = []

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        Retry().arrive(gate, session, again=again)

    def freed(self, gate: Gate) -> None:
        assert isinstance(gate, Swarm)
        pool = int(gate.state.pool_bytes[0])
        if gate.state.count_at(0):
            self.believed_s.append(gate.state.ready_s(0, pool, 0.0))


def test_a_session_that_outlasts_its_expected_end_is_expected_to_use_half_of_its_room(
    tiny: Problem,
) -> None:
    asked = Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=4,
        output_tokens=32,
        reserved_tokens=36,
        expected_tokens=2,
    )
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (4, 6), (0, 0), (0, 0)])
    # A server without blocks comes up again and again, so that there is an occasion to look.
    looks = [ServerEvent(time_s=0.01 * i, server=3, up=True) for i in range(300)]
    rule = Looking()
    result = simulate(tiny, placement, WsRr(cost, placement), [asked], admission=rule, events=looks)
    step_s = float(result.tpot_s[0])
    told = sorted(set(rule.believed_s))
    tokens = [1 + (at - float(result.first_token_s[0])) / step_s for at in told]
    # Of 30 left half, of 15 half, of 8 half; with less than 8 left, all of it.
    assert tokens == pytest.approx([2, 2 + 15, 17 + 7, 24 + 4, 32])


def test_a_session_that_outlasts_its_expected_end_does_not_look_free(tiny: Problem) -> None:
    first = Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=4,
        output_tokens=34,
        reserved_tokens=30,
        expected_tokens=2,
        ladder_tokens=(44,),
    )
    cost = CostModel.of(tiny)
    placement = place_blocks(cost, 1)
    router = WsRr(cost, placement)
    end_s = float(simulate(tiny, placement, router, [first]).finish_s[0])
    waits: list[float] = []

    def watching(request: Request, view: SwarmView, now_s: float, **more: Any) -> Decision:
        if request.id:
            waits.extend(
                view.ready_s(j, int(view.pool_bytes[j]), now_s) - now_s
                for j in range(tiny.num_servers)
                if view.count_at(j)
            )
        return router(request, view, now_s)

    late = [replace(first, id=i, arrival_s=end_s * i / 20) for i in range(1, 19)]
    small = [replace(r, output_tokens=1, reserved_tokens=5, ladder_tokens=()) for r in late]
    simulate(tiny, placement, watching, [first, *small])
    assert len(waits) >= 18
    assert min(waits) > 0.0
