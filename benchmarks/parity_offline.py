"""Offline cases of the published reference: all requests at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from golden import Case, offline_problem
from parity_figures import Mismatch, exactly, failed, lists, nearly, order_agrees, spans_agree
from parity_online import petals_joining, petals_routing
from timetable import Timetable

from swarmplan.core.errors import SwarmplanError
from swarmplan.core.plan import Placement
from swarmplan.core.workload import Demand, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import blocks_that_fit, sessions_that_fit
from swarmplan.perfmodel.predict import step_objective_s
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.rules.cg_bp import place_blocks, step_bound
from swarmplan.placement.task import Task
from swarmplan.routing.offline import best_routes
from swarmplan.routing.state import SwarmState

Demands = tuple[Demand, ...]


def check_feasibility(case: Case, cost: CostModel, demand: Demands, expected: Case) -> str:
    """Blocks and sessions that fit, and whether they cover the model."""
    blocks = blocks_that_fit(cost, int(case["inputs"]["R"]))
    if failed(expected):
        return f"{blocks.sum()} blocks fit"
    exactly("m", blocks.tolist(), expected["m"])
    hosted = cost.placed([(0, int(m)) for m in blocks])
    fits = [
        int(f) if m else "Inf" for f, m in zip(sessions_that_fit(cost, hosted), blocks, strict=True)
    ]
    exactly("sessions", fits, expected["sessions"])
    exactly("feasible", int(blocks.sum() >= cost.num_blocks), expected["feasible"])
    return "blocks and sessions equal"


def check_heuristic(case: Case, cost: CostModel, demand: Demands, expected: Case) -> str:
    """CG-BP and shortest routes for all requests."""
    placement = place_blocks(cost, int(case["inputs"]["R"]), capped=False)
    ours_ms = total_ms(case, cost, placement, demand)
    if failed(expected):
        return f"total {ours_ms:.6g} ms"
    spans_agree(placement, expected)
    order_agrees(placement, expected)
    worst = nearly("total", ours_ms, expected["total_ms"])
    return f"total {expected['total_ms']:.6g} ms, worst error {worst:.1e}"


def total_ms(case: Case, cost: CostModel, placement: Placement, demand: Demands) -> float:
    """Every token at decode cost, as the reference's offline objective."""
    routes, notes = best_routes(cost, placement, demand)
    if notes:
        raise SwarmplanError(notes[0])
    return step_objective_s(cost, routes) * 1e3 * float(case["inputs"]["lc"])


def check_bound(case: Case, cost: CostModel, demand: Demands, expected: Case) -> str:
    """Theorem 2 without a cap on blocks."""
    sessions = int(case["inputs"]["R"])
    placement = place_blocks(cost, sessions, capped=False)
    bound = step_bound(cost, placement, sessions)
    if failed(expected):
        return f"K = {bound.count}, bound {bound.seconds * 1e3:.6g} ms"
    spans_agree(placement, expected)
    worst = nearly("bound", bound.seconds * 1e3, expected["theorem_bound_soln_val"])
    exactly("K", bound.count, int(expected["K"]))
    return f"K = {bound.count}, worst error {worst:.1e}"


def check_petals(case: Case, cost: CostModel, demand: Demands, expected: Case) -> str:
    """PETALS joining in a given order, its route for every request, when each can start.

    The reference lets sessions use all memory that the weights leave. Routes are chosen one after
    another, each with one session less at the servers of those before; then each session, in the
    same order, starts as soon as its chain has room until it ends.
    """
    placement = petals_joining(case, cost, [j - 1 for j in expected["order"]], cache="left_over")
    router, state = petals_routing("zero")(cost, placement), SwarmState(cost, placement)
    timetable = Timetable(placement)
    ours, starts_ms, ends_ms = [], [], []
    for request in offline_requests(case, cost):
        route, tokens = router(request, state, 0.0).route, request.output_tokens
        duration_s = tokens * cost.route_time(route, cost.shape(request.client, 1, tokens)).tpot_s
        state.reserve(request.id, route, request.reserved_tokens, duration_s)
        needs_bytes = {
            h.server: int(cost.cache_bytes(request.reserved_tokens, h.start, h.end))
            for h in route.hops
        }
        start_s = timetable.book(needs_bytes, duration_s)
        ours.append([h.server + 1 for h in route.hops])
        starts_ms.append(start_s * 1e3)
        ends_ms.append((start_s + duration_s) * 1e3)
    if failed(expected):
        return f"total {sum(ends_ms):.6g} ms"
    spans_agree(placement, expected)
    exactly("routes", ours, lists(expected["routes_1based"]))
    nearly("starts", starts_ms, expected["start_ms"])
    nearly("ends", ends_ms, expected["end_ms"])
    worst = nearly("total", sum(ends_ms), expected["total_ms"])
    if expected.get("rr_ilp_total_ms"):
        best_ms = total_ms(case, cost, placement, demand)
        worst = max(worst, nearly("best routes", best_ms, expected["rr_ilp_total_ms"]))
    late = sum(at > 0 for at in starts_ms)
    return f"total {expected['total_ms']:.6g} ms, {late} wait, worst error {worst:.1e}"


def offline_requests(case: Case, cost: CostModel) -> Iterator[Request]:
    """All requests at instant 0, client by client."""
    each = int(case["inputs"]["n_request_client"])
    for i in range(each * len(cost.problem.clients)):
        yield Request(
            id=i,
            client=i // each,
            arrival_s=0.0,
            prompt_tokens=1,
            output_tokens=int(case["inputs"]["lc"]),
            reserved_tokens=cost.problem.planning.session_tokens,
        )


def check_milp(case: Case, cost: CostModel, demand: Demands, expected: Case) -> str:
    """The paper's programme, with its rule that every server hosts a block."""
    sessions = sum(d.sessions for d in demand)
    task = Task(cost=cost, sessions=sessions, demand=demand, gap=0.0)
    if expected.get("objective_ms") is None and not failed(expected):
        try:
            solve_milp(task, min_blocks=1)
        except SwarmplanError as error:
            return f"infeasible, as the reference says: {type(error).__name__}"
        raise Mismatch("a plan was found where the reference proves there is none")
    certificate = solve_milp(task, min_blocks=1).certificate
    assert certificate.objective.value is not None
    reached_ms = certificate.objective.value * 1e3
    if failed(expected):
        return f"{certificate.status}, {reached_ms:.6g} ms"
    exactly("status", certificate.status, "optimal")
    # Solvers stop at their own tolerances: their optimum is compared to 1e-6, ours is recomputed.
    wanted = expected.get("brute_force_ms") or expected["objective_ms"]
    off = abs(reached_ms / wanted - 1.0)
    if off > 1e-6:
        raise Mismatch(f"objective {reached_ms} instead of {wanted}")
    return f"optimum {wanted:.6g} ms, error {off:.1e}"


CHECKS: dict[str, Callable[[Case, CostModel, Demands, Case], str]] = {
    "feasibility_check": check_feasibility,
    "heuristic": check_heuristic,
    "cg_bp_no_mig_cap": check_bound,
    "milp": check_milp,
}


def offline_checks(case: Case) -> Iterator[tuple[str, Case, Callable[[], str]]]:
    """(method, expected block, check) of an offline case."""
    problem, demand = offline_problem(case)
    cost = CostModel.of(problem)
    expected = case["expected"]
    for name, check in CHECKS.items():
        if name in expected:
            yield name, expected[name], partial(check, case, cost, demand, expected[name])
    for i, block in enumerate(expected.get("petals", [])):
        yield f"petals[{i}]", block, partial(check_petals, case, cost, demand, block)
