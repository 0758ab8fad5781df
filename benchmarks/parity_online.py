"""Online cases of the published reference: one request after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from golden import Case, online_problem, online_requests, petals_cache_tokens
from parity_figures import (
    TOLERANCE,
    exactly,
    failed,
    lists,
    nearly,
    order_agrees,
    spans_agree,
)

from swarmplan.core.errors import SwarmplanError
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import max_sessions
from swarmplan.placement.rules.cg_bp import place_blocks, step_bound
from swarmplan.placement.rules.petals import CachePool, PetalsRule
from swarmplan.placement.sessions import target_sessions, unloaded_response_s
from swarmplan.placement.task import Task
from swarmplan.routing.api import Decision, Router, RouterFactory, SwarmView
from swarmplan.routing.petals import CachePenalty, PetalsRouting
from swarmplan.routing.threshold import LeastResponse
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult


def check_sessions(case: Case, cost: CostModel) -> str:
    """R, its limit, the time of one request and the placement it comes from."""
    expected = case["expected"]["R"]
    if failed(expected):
        return f"R = {target_sessions(cost)}"
    alone = place_blocks(cost, 1, capped=False)
    if case["inputs"]["R_override"] is None:
        exactly("R", target_sessions(cost), int(expected["R"]))
    spans_agree(alone, expected)
    exactly("R_max", max_sessions(cost), int(expected["R_max"]))
    worst = nearly("T1", unloaded_response_s(cost, alone, 0) * 1e3, expected["time_per_request"])
    return f"R = {expected['R']}, worst error {worst:.1e}"


def check_cg_bp(case: Case, cost: CostModel) -> str:
    """Placement, order, bound of Theorem 2."""
    expected = case["expected"]["cg_bp"]
    sessions = target_sessions(cost)
    placement = place_blocks(cost, sessions)
    if failed(expected):
        return f"{len(placement.order)} spans for R = {sessions}"
    spans_agree(placement, expected)
    order_agrees(placement, expected)
    bound = step_bound(cost, placement, sessions)
    worst = nearly("bound", bound.seconds * 1e3, expected["theorem_bound_soln_val"])
    exactly("K", bound.count, int(expected["K"]))
    return f"{cost.problem.num_servers} spans, worst error {worst:.1e}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """How one of the reference's online methods is put together.

    Attributes
    ----------
    sink_ms : the reference's constant on the last link, part of its path cost.
    """

    place: Callable[[Case, CostModel], Placement]
    router: RouterFactory
    delay: str
    sink_ms: float


def _cg_bp(case: Case, cost: CostModel) -> Placement:
    return place_blocks(cost, target_sessions(cost))


def _petals(case: Case, cost: CostModel) -> Placement:
    return petals_joining(case, cost, [j - 1 for j in case["inputs"]["join_order_1based"]])


def petals_joining(
    case: Case, cost: CostModel, order: list[int], *, cache: CachePool = "petals"
) -> Placement:
    """PETALS servers that join in a given order and stay where they are."""
    tokens = petals_cache_tokens(case, cost.problem)
    rule = PetalsRule(join_order=order, rebalance=False, attn_cache_tokens=tokens, cache=cache)
    return rule(Task(cost=cost, sessions=1, demand=()))


def _opt_order(case: Case, cost: CostModel) -> Placement:
    return petals_joining(case, cost, [*_cg_bp(case, cost).order])


def _opt_num(case: Case, cost: CostModel) -> Placement:
    order = [j - 1 for j in case["inputs"]["join_order_1based"]]
    blocks = _cg_bp(case, cost).num_blocks.tolist()
    rule = PetalsRule(join_order=order, rebalance=False, blocks=blocks, cache="left_over")
    return rule(Task(cost=cost, sessions=1, demand=()))


def petals_routing(penalty: CachePenalty) -> RouterFactory:
    """PETALS' route choice as the reference counts it: free sessions, true times."""
    return PetalsRouting(
        cache_penalty=penalty, announced_compute=False, zero_cost_links=False, refresh_s=0.0
    )


ONLINE: dict[str, Online] = {
    "proposed": Online(place=_cg_bp, router=WsRr, delay="prop", sink_ms=1.0),
    "petals": Online(place=_petals, router=petals_routing("zero"), delay="petals", sink_ms=0.0),
    "petals_fixpen": Online(
        place=_petals, router=petals_routing("nonpositive"), delay="petals", sink_ms=0.0
    ),
    "petals_opt_order": Online(
        place=_opt_order, router=petals_routing("zero"), delay="petals", sink_ms=0.0
    ),
    "petals_opt_num": Online(
        place=_opt_num, router=petals_routing("zero"), delay="petals", sink_ms=0.0
    ),
    "petals_opt_rr": Online(place=_petals, router=LeastResponse, delay="petals", sink_ms=1.0),
    "petals_opt_rr_milp": Online(place=_petals, router=LeastResponse, delay="petals", sink_ms=1.0),
}


@dataclass(frozen=True, slots=True)
class Follow:
    """Router that settles ties as the reference did.

    Where a case has several best routes, any of them is right, but what follows depends on which
    is taken. The reference's route is taken when its cost is our optimum, and only then.
    """

    router: Router
    placement: Placement
    given: Case
    sink_ms: float

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        best = self.router(request, view, now_s, start_block=start_block, exclude=exclude)
        theirs_ms = self.given["path_cost_ms"][request.id]
        if abs(best.cost_s * 1e3 + self.sink_ms - theirs_ms) > TOLERANCE * theirs_ms:
            return best
        hops, block = [], 0
        for j in lists(self.given["route_1based"])[request.id]:
            end = int(self.placement.end[j - 1])
            hops.append(Hop(server=j - 1, start=block, end=end))
            block = end
        return Decision(route=Route(hops=tuple(hops)), cost_s=best.cost_s)


def run_online(case: Case, problem: Problem, name: str) -> tuple[Placement, SimulationResult]:
    """One method over the case's requests with the reference's waiting rule and delays."""
    method = ONLINE[name]
    delay_s = case["inputs"][f"allocation_delay_{method.delay}"] / 1e3
    timed = CostModel.of(replace(problem, alloc_delay_s=delay_s))
    placement = method.place(case, timed)
    router = method.router(timed, placement)
    if case["flags"].get("non_unique_routes", {}).get(name, 0):
        router = Follow(router, placement, case["expected"][name]["requests"], method.sink_ms)
    return placement, simulate(
        timed.problem, placement, router, online_requests(case, problem), admission="reserve"
    )


def check_online(case: Case, problem: Problem, name: str) -> str:
    """Placement, and route, waiting and times of every request."""
    method, expected = ONLINE[name], case["expected"][name]
    placement, result = run_online(case, problem, name)
    if any(s != "completed" for s in result.status):
        raise SwarmplanError(f"requests {sorted(set(result.status))}: {result.refusal}")
    if failed(expected):
        return f"all {len(result.status)} requests complete"
    if "a" in expected:
        spans_agree(placement, expected)
    if "order" in expected:
        order_agrees(placement, expected)
    given = expected["requests"]
    ours = [[h.server + 1 for h in r.hops] for r in result.routes if r is not None]
    ambiguous = case["flags"].get("non_unique_routes", {}).get(name, 0)
    if not ambiguous:
        exactly("routes", ours, lists(given["route_1based"]))
    worst = 0.0
    columns = {
        "arrival_ms": result.arrival_s * 1e3,
        "path_cost_ms": result.cost_s * 1e3 + method.sink_ms,
        "raw_wait_ms": result.raw_wait_s * 1e3,
        "wait_ms": result.wait_s * 1e3,
        "completion_time_ms": result.response_s * 1e3,
        "ttft_ms": result.ttft_s * 1e3,
        "finish_ms": result.finish_s * 1e3,
    }
    for column, values in columns.items():
        if column in given:
            worst = max(worst, nearly(column, values, given[column]))
    tokens = len(ours) * int(case["inputs"]["lc"])
    totals = {
        "total_completion_time_ms": result.response_s.sum() * 1e3,
        "per_token_ms": result.response_s.sum() * 1e3 / tokens,
        "mean_ttft_ms": result.ttft_s.mean() * 1e3,
        "mean_wait_ms": result.wait_s.mean() * 1e3,
    }
    for total, value in totals.items():
        worst = max(worst, nearly(total, value, expected[total]))
    routes = "path costs" if ambiguous else "routes"
    return f"{len(ours)} requests, {routes} equal, worst error {worst:.1e}"


def online_checks(case: Case) -> Iterator[tuple[str, Case, Callable[[], str]]]:
    """(method, expected block, check) of an online case."""
    problem = online_problem(case)
    cost = CostModel.of(problem)
    expected = case["expected"]
    yield "R", expected["R"], partial(check_sessions, case, cost)
    yield "cg_bp", expected["cg_bp"], partial(check_cg_bp, case, cost)
    for name in ONLINE:
        if name in expected:
            yield name, expected[name], partial(check_online, case, problem, name)
