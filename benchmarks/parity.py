"""Reproduce the published reference, case by case: ``python benchmarks/parity.py DIR``.

Every case of the golden schema in DIR runs through swarmplan's own code, with the reference's
constants (allocation delays, its count of free sessions, its missing zero-cost links) switched on
by name. One row per case and method; the last line is ``N passed, M failed``. Where the
reference itself crashes or loops, the row says what swarmplan answers instead.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from golden import (
    Case,
    is_online,
    offline_problem,
    online_problem,
    online_requests,
    petals_cache_tokens,
)

from swarmplan.core.errors import SwarmplanError, SwarmplanWarning
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.latency import route_time
from swarmplan.perfmodel.memory import blocks_that_fit, max_sessions, sessions_that_fit
from swarmplan.perfmodel.predict import step_objective_s
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.rules.cg_bp import place_blocks, step_bound
from swarmplan.placement.rules.petals import PetalsRule
from swarmplan.placement.sessions import target_sessions, unloaded_response_s
from swarmplan.routing.api import Decision, Router, RouterFactory
from swarmplan.routing.offline import best_routes
from swarmplan.routing.petals import CachePenalty, PetalsRouting
from swarmplan.routing.state import SwarmState
from swarmplan.routing.threshold import LeastResponse
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult

TOLERANCE = 1e-9
#: Errors that mean "an earlier step failed" or "not run": they say nothing about this method.
NOT_RUN = ("no R", "no CG_BP", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Outcome of one method on one case."""

    case: str
    method: str
    ok: bool
    text: str


class Mismatch(Exception):
    """A figure that differs from the reference's."""


def exactly(name: str, ours: Any, theirs: Any) -> None:
    """Integers and lists of integers must be equal."""
    if ours != theirs:
        raise Mismatch(f"{name}: {ours} instead of {theirs}")


def nearly(name: str, ours: Any, theirs: Any) -> float:
    """Reals must agree to a relative 1e-9; returns the worst relative error."""
    a, b = np.atleast_1d(np.asarray(ours, float)), np.atleast_1d(np.asarray(theirs, float))
    if a.shape != b.shape:
        raise Mismatch(f"{name}: {a.shape} values instead of {b.shape}")
    # Differences below a picosecond are rounding of values near zero.
    error = np.abs(a - b) / np.maximum(np.abs(b), 1e-3)
    worst = float(error.max(initial=0.0))
    if not worst <= TOLERANCE:
        i = int(np.argmax(error))
        raise Mismatch(f"{name}: {a[i]!r} instead of {b[i]!r}")
    return worst


def spans_agree(placement: Placement, expected: Case) -> None:
    """Starts and counts of all servers that host something."""
    theirs = [
        (a, m) if m > 0 else (0, 0) for a, m in zip(expected["a"], expected["m"], strict=True)
    ]
    counts = placement.num_blocks.tolist()
    ours = [
        (s + 1, m) if m else (0, 0) for s, m in zip(placement.start.tolist(), counts, strict=True)
    ]
    exactly("spans", ours, theirs)


def order_agrees(placement: Placement, expected: Case) -> None:
    """The order of placement; the reference also lists servers that can host nothing."""
    usable = set(np.flatnonzero(placement.num_blocks).tolist())
    theirs = [j for j in expected["order"] if j - 1 in usable]
    exactly("order", [j + 1 for j in placement.order], theirs)


def lists(routes: list[Any]) -> list[list[int]]:
    """Routes as lists, also those of one server."""
    return [r if isinstance(r, list) else [r] for r in routes]


# Online cases ------------------------------------------------------------------------------------


def check_sessions(case: Case, problem: Problem) -> str:
    """R, its limit, the time of one request and the placement it comes from."""
    expected = case["expected"]["R"]
    if expected.get("error"):
        return f"R = {target_sessions(CostModel.of(problem))}"
    alone = place_blocks(CostModel.of(problem), 1, capped=False)
    if case["inputs"]["R_override"] is None:
        exactly("R", target_sessions(CostModel.of(problem)), int(expected["R"]))
    spans_agree(alone, expected)
    exactly("R_max", max_sessions(CostModel.of(problem)), int(expected["R_max"]))
    worst = nearly(
        "T1",
        unloaded_response_s(CostModel.of(problem), alone, 0) * 1e3,
        expected["time_per_request"],
    )
    return f"R = {expected['R']}, worst error {worst:.1e}"


def check_cg_bp(case: Case, problem: Problem) -> str:
    """Placement, order, bound of Theorem 2."""
    expected = case["expected"]["cg_bp"]
    sessions = target_sessions(CostModel.of(problem))
    placement = place_blocks(CostModel.of(problem), sessions)
    spans_agree(placement, expected)
    order_agrees(placement, expected)
    bound = step_bound(CostModel.of(problem), placement, sessions)
    worst = nearly("bound", bound.seconds * 1e3, expected["theorem_bound_soln_val"])
    exactly("K", bound.count, int(expected["K"]))
    return f"{problem.num_servers} spans, worst error {worst:.1e}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """How one of the reference's online methods is put together.

    Attributes
    ----------
    sink_ms : the reference's constant on the last link, part of its path cost.
    """

    place: Callable[[Case, Problem], Placement]
    router: RouterFactory
    delay: str
    sink_ms: float


def _cg_bp(case: Case, problem: Problem) -> Placement:
    return place_blocks(CostModel.of(problem), target_sessions(CostModel.of(problem)))


def _petals(case: Case, problem: Problem) -> Placement:
    return _joining(case, problem, [j - 1 for j in case["inputs"]["join_order_1based"]])


def _joining(case: Case, problem: Problem, order: list[int]) -> Placement:
    tokens = petals_cache_tokens(case, problem)
    return PetalsRule(join_order=order, rebalance=False, attn_cache_tokens=tokens)(problem)


def _opt_order(case: Case, problem: Problem) -> Placement:
    return _joining(case, problem, [*_cg_bp(case, problem).order])


def _opt_num(case: Case, problem: Problem) -> Placement:
    order = [j - 1 for j in case["inputs"]["join_order_1based"]]
    blocks = _cg_bp(case, problem).num_blocks.tolist()
    rule = PetalsRule(join_order=order, rebalance=False, blocks=blocks, cache="left_over")
    return rule(problem)


def _petals_routing(penalty: CachePenalty) -> RouterFactory:
    return PetalsRouting(
        cache_penalty=penalty, announced_compute=False, zero_cost_links=False, refresh_s=0.0
    )


#: The reference's route choice on a swarm without sessions.
NO_COUNT = _petals_routing("zero")

ONLINE: dict[str, Online] = {
    "proposed": Online(place=_cg_bp, router=WsRr, delay="prop", sink_ms=1.0),
    "petals": Online(place=_petals, router=_petals_routing("zero"), delay="petals", sink_ms=0.0),
    "petals_fixpen": Online(
        place=_petals, router=_petals_routing("nonpositive"), delay="petals", sink_ms=0.0
    ),
    "petals_opt_order": Online(
        place=_opt_order, router=_petals_routing("zero"), delay="petals", sink_ms=0.0
    ),
    "petals_opt_num": Online(
        place=_opt_num, router=_petals_routing("zero"), delay="petals", sink_ms=0.0
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
        state: SwarmState,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        best = self.router(request, state, now_s, start_block=start_block, exclude=exclude)
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
    timed = replace(problem, alloc_delay_s=delay_s)
    placement = method.place(case, timed)
    router = method.router(timed, placement)
    if case["flags"].get("non_unique_routes", {}).get(name, 0):
        router = Follow(router, placement, case["expected"][name]["requests"], method.sink_ms)
    return placement, simulate(
        timed, placement, router, online_requests(case, problem), admission="reserve"
    )


def check_online(case: Case, problem: Problem, name: str) -> str:
    """Placement, and route, waiting and times of every request."""
    method, expected = ONLINE[name], case["expected"][name]
    placement, result = run_online(case, problem, name)
    if any(s != "completed" for s in result.status):
        raise SwarmplanError(f"requests {sorted(set(result.status))}: {result.refusal}")
    if expected.get("error"):
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
    expected = case["expected"]
    yield "R", expected["R"], partial(check_sessions, case, problem)
    yield "cg_bp", expected["cg_bp"], partial(check_cg_bp, case, problem)
    for name in ONLINE:
        if name in expected:
            yield name, expected[name], partial(check_online, case, problem, name)


# Offline cases -----------------------------------------------------------------------------------


def check_feasibility(case: Case, problem: Problem, demand: tuple[Demand, ...]) -> str:
    """Blocks and sessions that fit, and whether they cover the model."""
    expected = case["expected"]["feasibility_check"]
    sessions = int(case["inputs"]["R"])
    blocks = blocks_that_fit(CostModel.of(problem), sessions)
    exactly("m", blocks.tolist(), expected["m"])
    fits = [
        int(f) if m else "Inf"
        for f, m in zip(sessions_that_fit(problem, blocks), blocks, strict=True)
    ]
    exactly("sessions", fits, expected["sessions"])
    exactly("feasible", int(blocks.sum() >= problem.model.num_blocks), expected["feasible"])
    return "blocks and sessions equal"


def check_heuristic(case: Case, problem: Problem, demand: tuple[Demand, ...]) -> str:
    """CG-BP and shortest routes for all requests."""
    expected = case["expected"]["heuristic"]
    placement = place_blocks(CostModel.of(problem), int(case["inputs"]["R"]), capped=False)
    spans_agree(placement, expected)
    order_agrees(placement, expected)
    worst = nearly("total", total_ms(case, problem, placement, demand), expected["total_ms"])
    return f"total {expected['total_ms']:.6g} ms, worst error {worst:.1e}"


def total_ms(
    case: Case, problem: Problem, placement: Placement, demand: tuple[Demand, ...]
) -> float:
    """Every token at decode cost, as the reference's offline objective."""
    routes, notes = best_routes(CostModel.of(problem), placement, demand)
    if notes:
        raise Mismatch(notes[0])
    return step_objective_s(CostModel.of(problem), routes) * 1e3 * float(case["inputs"]["lc"])


def check_bound(case: Case, problem: Problem, demand: tuple[Demand, ...]) -> str:
    """Theorem 2 without a cap on blocks."""
    expected = case["expected"]["cg_bp_no_mig_cap"]
    sessions = int(case["inputs"]["R"])
    placement = place_blocks(CostModel.of(problem), sessions, capped=False)
    spans_agree(placement, expected)
    bound = step_bound(CostModel.of(problem), placement, sessions)
    worst = nearly("bound", bound.seconds * 1e3, expected["theorem_bound_soln_val"])
    exactly("K", bound.count, int(expected["K"]))
    return f"K = {bound.count}, worst error {worst:.1e}"


def check_petals_offline(case: Case, problem: Problem, expected: Case) -> str:
    """PETALS joining in a given order; its route on the empty swarm for every request.

    The reference's offline programme starts all requests at once without counting sessions.
    """
    order = [j - 1 for j in expected["order"]]
    placement = _joining(case, problem, order)
    if "a" in expected:
        spans_agree(placement, expected)
    router = NO_COUNT(problem, placement)
    empty = SwarmState(CostModel.of(problem), placement)
    tokens = int(case["inputs"]["lc"])
    ours, times_ms = [], []
    for request in offline_requests(case, problem):
        route = router(request, empty, 0.0).route
        step_s = route_time(problem, request.client, route, 1, tokens).tpot_s
        ours.append([h.server + 1 for h in route.hops])
        times_ms.append(tokens * step_s * 1e3)
    exactly("routes", ours, lists(expected["routes_1based"]))
    nearly("ends", times_ms, expected["end_ms"])
    worst = nearly("total", sum(times_ms), expected["total_ms"])
    return f"total {expected['total_ms']:.6g} ms, worst error {worst:.1e}"


def offline_requests(case: Case, problem: Problem) -> Iterator[Request]:
    """All requests at instant 0, client by client."""
    each = int(case["inputs"]["n_request_client"])
    for i in range(each * len(problem.clients)):
        yield Request(
            id=i,
            client=i // each,
            arrival_s=0.0,
            prompt_tokens=1,
            output_tokens=int(case["inputs"]["lc"]),
            reserved_tokens=problem.planning.session_tokens,
        )


def check_milp(case: Case, problem: Problem, demand: tuple[Demand, ...]) -> str:
    """The paper's programme, with its rule that every server hosts a block."""
    expected = case["expected"]["milp"]
    if expected["objective_ms"] is None:
        try:
            solve_milp(problem, demand=demand, min_blocks=1, gap=0.0)
        except SwarmplanError as error:
            return f"infeasible, as the reference says: {type(error).__name__}"
        raise Mismatch("a plan was found where the reference proves there is none")
    _, _, proof = solve_milp(problem, demand=demand, min_blocks=1, gap=0.0)
    assert proof.objective is not None
    exactly("status", proof.status, "optimal")
    # Solvers stop at their own tolerances: their optimum is compared to 1e-6, ours is recomputed.
    wanted = expected.get("brute_force_ms") or expected["objective_ms"]
    off = abs(proof.objective * 1e3 / wanted - 1.0)
    if off > 1e-6:
        raise Mismatch(f"objective {proof.objective * 1e3} instead of {wanted}")
    return f"optimum {wanted:.6g} ms, error {off:.1e}"


def offline_checks(case: Case) -> Iterator[tuple[str, Case, Callable[[], str]]]:
    """(method, expected block, check) of an offline case."""
    problem, demand = offline_problem(case)
    expected = case["expected"]
    simple = {
        "feasibility_check": check_feasibility,
        "heuristic": check_heuristic,
        "cg_bp_no_mig_cap": check_bound,
        "milp": check_milp,
    }
    for name, check in simple.items():
        if name in expected:
            yield name, expected[name], partial(check, case, problem, demand)
    for i, block in enumerate(expected.get("petals", [])):
        yield f"petals[{i}]", block, partial(check_petals_offline, case, problem, block)


# Driver ------------------------------------------------------------------------------------------


def rows_of(case: Case) -> Iterator[Row]:
    """One row per method of a case."""
    checks = online_checks(case) if is_online(case) else offline_checks(case)
    for method, expected, check in checks:
        yield _row(str(case["name"]), method, str(expected.get("error") or ""), check)


def _row(name: str, method: str, error: str, check: Callable[[], str]) -> Row:
    """Where the reference fails, any typed answer or a sound run is right, and is told."""
    if error in NOT_RUN:
        return Row(case=name, method=method, ok=True, text=f"not run by the reference ({error})")
    try:
        text = check()
    except SwarmplanError as answer:
        kind = type(answer).__name__
        if error:
            said = str(answer).splitlines()[0][:90]
            return Row(case=name, method=method, ok=True, text=f"reference fails; {kind}: {said}")
        return Row(case=name, method=method, ok=False, text=f"{kind}: {answer}")
    except Mismatch as difference:
        return Row(case=name, method=method, ok=False, text=str(difference))
    if error:
        text = f"reference fails; swarmplan: {text}"
    return Row(case=name, method=method, ok=True, text=text)


def main(folder: Path) -> int:
    """Print the table; 0 only when every row agrees and there is at least one."""
    warnings.simplefilter("ignore", SwarmplanWarning)
    passed = failed = 0
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        for row in rows_of(case):
            passed, failed = passed + row.ok, failed + (not row.ok)
            print(f"{'ok  ' if row.ok else 'FAIL'} {row.case:24} {row.method:20} {row.text}")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/parity.py DIR")
    sys.exit(main(Path(sys.argv[1])))
