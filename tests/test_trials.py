"""Trials of the seams: what a user adds takes a few lines of public code and no change of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import swarmplan
from swarmplan.chains.graph import build_graph
from swarmplan.chains.shortest import shortest
from swarmplan.core.errors import HeuristicFailedError, NoRouteError
from swarmplan.core.plan import Placement
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.task import Task
from swarmplan.routing.api import Decision, SwarmView

DEMO = Path(__file__).resolve().parents[1] / "scenarios" / "demo.toml"


class LeastBusy:
    """A router: the chain with the fewest sessions on its servers."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._placement = cost, placement

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        graph = build_graph(self._cost, self._placement, start_block, pairs=False)
        busy = np.array([1.0 + view.count_at(j) for j in graph.server.tolist()])
        closed = view.closed(exclude)
        if closed is not None:
            busy[closed[graph.server]] = np.inf
        links, sessions = shortest(graph, busy)
        if not links:
            raise NoRouteError(f"request {request.id} finds no chain from block {start_block}")
        return Decision(route=graph.route(links), cost_s=sessions)


def test_a_router_of_ones_own_is_simulated_and_compared() -> None:
    found = swarmplan.compare(DEMO, ["cg-bp", ("cg-bp", LeastBusy)], seeds=[0], requests=60)
    assert [row.method for row in found.rows] == ["cg-bp", "cg-bp + LeastBusy"]
    assert all(run.completed == run.requests for row in found.rows for run in row.runs)


def round_robin(task: Task) -> Placement:
    """A placement rule: servers in turn take as many blocks as fit beside R sessions."""
    cost = task.cost
    need = cost.weights_and_cache([(task.sessions, task.problem.planning.session_tokens)])
    spans, start = [], 0
    for j, memory in enumerate(task.problem.memory_bytes.tolist()):
        end = start
        while end < cost.num_blocks and need(j, start, end + 1) <= memory:
            end += 1
        spans.append((start, end))
        start = end % cost.num_blocks
    placement = cost.placed(spans)
    if not placement.coverage(cost.num_blocks).all():
        raise HeuristicFailedError("round robin does not cover the model")
    return placement


def test_a_placement_rule_of_ones_own_is_planned_and_sound() -> None:
    plan = swarmplan.plan(DEMO, round_robin, sessions=4)
    assert plan.method == "round_robin"
    assert not [f for f in swarmplan.verify(DEMO, plan) if f.grave]
    assert swarmplan.simulate(DEMO, plan, requests=20).status == ("completed",) * 20


@pytest.mark.parametrize("method", ["cg-bp", "chains", "search", "auto"])
def test_a_server_whose_blocks_differ_is_planned_verified_and_simulated(method: str) -> None:
    problem = swarmplan.load(DEMO).problem
    given = problem.servers[0]
    assert isinstance(given.block_bytes, int)
    heavy = [2 if b % 7 == 0 else 1 for b in range(problem.model.num_blocks)]
    odd = replace(given, block_bytes=tuple(w * given.block_bytes for w in heavy))
    mixed = replace(problem, servers=(odd, *problem.servers[1:]))
    limit = swarmplan.Settings(time_limit_s=5)
    plan = swarmplan.plan(mixed, method, sessions=6, settings=limit)
    assert not [f for f in swarmplan.verify(mixed, plan) if f.grave]
    start, end = int(plan.placement.start[0]), int(plan.placement.end[0])
    weights = given.block_bytes * sum(heavy[start:end])
    assert weights + plan.placement.cache_bytes[0] <= given.memory_bytes
    assert swarmplan.simulate(mixed, plan, requests=20).status == ("completed",) * 20


class Batch:
    """A router for all requests of a slot of 2 s: the shortest prompt goes first."""

    tick_s = 2.0

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._single = LeastBusy(cost, placement)

    def assign(
        self, requests: Sequence[Request], view: SwarmView, now_s: float
    ) -> list[Decision | None]:
        order = sorted(range(len(requests)), key=lambda i: requests[i].prompt_tokens)
        chosen: list[Decision | None] = [None] * len(requests)
        for i in order[:3]:
            chosen[i] = self._single(requests[i], view, now_s)
        return chosen

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        return self._single(request, view, now_s, start_block=start_block, exclude=exclude)


def test_a_router_that_decides_for_all_requests_of_a_slot_is_simulated() -> None:
    run = swarmplan.simulate(DEMO, method="cg-bp", router=Batch, requests=40)
    assert run.status == ("completed",) * 40
    begun = (run.arrival_s + run.wait_s) / Batch.tick_s
    np.testing.assert_allclose(begun, begun.round(), atol=1e-6)
