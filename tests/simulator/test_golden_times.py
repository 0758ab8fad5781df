"""The reference's online cases: given its placements and routes, every instant is reproduced."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import Decision, SwarmView
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT.parent / "shared" / "data" / "golden" / "bprr"
CASES = sorted(GOLDEN.glob("*.json"))
METHODS = ("proposed", "petals", "petals_opt_order", "petals_opt_rr", "petals_opt_num")


class Script:
    """A router that repeats given chains."""

    def __init__(self, placement: Placement, routes: list[list[int]]) -> None:
        self._placement = placement
        self._routes = [[j - 1 for j in route] for route in routes]

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        hops, at = [], start_block
        for j in self._routes[request.id]:
            end = int(self._placement.end[j])
            hops.append(Hop(server=j, start=at, end=end))
            at = end
        return Decision(route=Route(hops=tuple(hops)), cost_s=0.0)


def runs() -> Iterator[tuple[str, str]]:
    for path in CASES:
        expected = json.loads(path.read_text())["expected"]
        for method in METHODS:
            if "requests" in expected.get(method, {}):
                yield path.stem, method


RUNS = list(runs())
#: Where a method takes its placement from, when not from its own entry.
SHAPES = {"proposed": "cg_bp", "petals_opt_rr": "petals"}


def case(name: str) -> tuple[dict[str, Any], Problem, tuple[Request, ...]]:
    reader = runpy.run_path(str(ROOT / "benchmarks" / "golden.py"))
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    problem = reader["online_problem"](found)
    return found, problem, reader["online_requests"](found, problem)


def placement_of(found: dict[str, Any], problem: Problem, method: str) -> Placement:
    """The placement of the case with the reference's pools, as a whole number of slots."""
    given, expected = found["inputs"], found["expected"]
    shape = expected[SHAPES.get(method, method)]
    cost = CostModel.of(problem)
    block_session_bytes = int(cost.session_bytes(0, 1))
    spans, pools = [], []
    for j, (a, m) in enumerate(zip(shape["a"], shape["m"], strict=True)):
        spans.append((a - 1, a - 1 + m))
        if method in ("proposed", "petals_opt_num"):
            slots = (given["M"][j] - given["sm"] * m) / given["sc"]
        else:
            slots = m * given["cache_bytes_per_block"] / given["sc"]
        pools.append(max(0, math.floor(slots + 1e-9)) * block_session_bytes)
    return cost.placed(spans, cache_bytes=pools)


@pytest.mark.skipif(not CASES, reason=f"golden cases not found at {GOLDEN}")
def test_golden_cases_are_there() -> None:
    assert len(RUNS) > 50


@pytest.mark.parametrize(("name", "method"), RUNS)
def test_waiting_and_times_are_those_of_the_reference(name: str, method: str) -> None:
    found, problem, requests = case(name)
    constant = "allocation_delay_prop" if method == "proposed" else "allocation_delay_petals"
    problem = replace(problem, alloc_delay_s=found["inputs"][constant] / 1e3)
    placement = placement_of(found, problem, method)
    expected = found["expected"][method]["requests"]
    script = Script(placement, expected["route_1based"])
    result = simulate(problem, placement, script, requests, admission="reserve")
    for column, key in (
        (result.finish_s, "finish_ms"),
        (result.response_s, "completion_time_ms"),
        (result.wait_s, "wait_ms"),
        (result.ttft_s, "ttft_ms"),
        (result.raw_wait_s, "raw_wait_ms"),
    ):
        assert column == pytest.approx([v / 1e3 for v in expected[key]], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", [name for name, method in RUNS if method == "proposed"])
def test_ws_rr_finds_the_routes_of_the_reference(name: str) -> None:
    found, problem, requests = case(name)
    problem = replace(problem, alloc_delay_s=found["inputs"]["allocation_delay_prop"] / 1e3)
    if found["flags"]["non_unique_routes"]["proposed"]:
        pytest.skip("several routes are equally good: later requests depend on the choice")
    placement = placement_of(found, problem, "proposed")
    expected = found["expected"]["proposed"]["requests"]
    router = WsRr(CostModel.of(problem), placement)
    result = simulate(problem, placement, router, requests, admission="reserve")
    chains = [[j + 1 for j in r.servers] for r in result.routes if r]
    assert chains == expected["route_1based"]
    completion = [v / 1e3 for v in expected["completion_time_ms"]]
    assert result.response_s == pytest.approx(completion, rel=1e-9)
