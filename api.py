"""The library functions behind the command line: plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .core.errors import ScenarioError, SwarmplanError
from .core.plan import Certificate, Placement, Plan, PlannedRoute, Route
from .core.problem import Problem
from .methods.draft import Draft, Settings
from .methods.table import DEFAULT_COMPARISON, Method, method_named, require_router
from .perfmodel.latency import HopCost, hop_cost, route_time
from .perfmodel.predict import STEP_OBJECTIVE, predict, shape, step_objective_s
from .placement.demand import Demand, demand_of
from .placement.resilience import demands_in_words
from .placement.search.bounds import lower_bound_s
from .placement.sessions import target_sessions
from .routing.alternatives import Alternative, cheapest_chains_through
from .routing.api import RouterFactory
from .routing.offline import best_routes
from .scenarios.load import Scenario
from .scenarios.planfile import read_plan
from .scenarios.workload import draw_requests
from .simulator.compare import Comparison, Contestant, OnResult
from .simulator.compare import compare as compare_methods
from .simulator.engine import Admission
from .simulator.engine import simulate as run
from .simulator.events import ServerEvent
from .simulator.result import SimulationResult

#: Objective and bound this near, relative, are equal but for rounding.
EQUAL = 1e-9

__all__ = [
    "Explanation",
    "HopShare",
    "compare",
    "explain",
    "explain_clients",
    "plan",
    "plan_or_read",
    "simulate",
    "with_sessions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HopShare:
    """What one hop adds to a decode step and to the prompt, in seconds."""

    server: int
    start: int
    end: int
    rtt_s: float
    overhead_s: float
    compute_s: float
    prefill_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the time of one client's planned route goes, and what the alternatives cost."""

    client: int
    route: Route
    hops: tuple[HopShare, ...]
    ttft_s: float
    tpot_s: float
    alternatives: tuple[Alternative, ...]


def with_sessions(problem: Problem, sessions: int | None) -> Problem:
    """The problem planned for a given number of concurrent sessions R."""
    if sessions is None:
        return problem
    return replace(problem, planning=replace(problem.planning, sessions=sessions))


def plan(
    problem: Problem,
    method: Method | str = "auto",
    *,
    seed: int = 0,
    settings: Settings | None = None,
) -> Plan:
    """Place the blocks and choose routes for R concurrent sessions.

    Parameters
    ----------
    settings : limits and objective of the search; ``seed`` is taken from here when given.

    Raises
    ------
    InfeasibleError, HeuristicFailedError, NoSolutionInTimeError, NoRouteError,
    RequestTooLargeError
        From the method, each with its reason.
    """
    chosen = method_named(method) if isinstance(method, str) else method
    settings = settings or Settings(seed=seed)
    draft = chosen(problem, settings)
    sessions = target_sessions(problem)
    demand = demand_of(problem, sessions)
    routes, notes = draft.routes, draft.notes
    if routes is None:
        routes, more = best_routes(problem, draft.placement, demand)
        notes = (*notes, *more)
    return Plan(
        method=chosen.name,
        placement=draft.placement,
        routes=routes,
        predicted=predict(problem, routes),
        certificate=_certificate(problem, routes, demand, draft, chosen.name),
        sessions=sessions,
        seed=settings.seed,
        notes=(*notes, *_demands(problem)),
        router=draft.router,
        candidates=draft.candidates,
    )


def _certificate(
    problem: Problem,
    routes: Sequence[PlannedRoute],
    demand: Sequence[Demand],
    draft: Draft,
    method: str,
) -> Certificate:
    """What the method proved, or what the order-free bound says of any plan.

    The bound is for all sessions together, so it says nothing when some found no room.
    """
    objective = step_objective_s(problem, routes)
    proof = draft.certificate or Certificate(
        status="feasible",
        method=f"{method} (interrupted)" if draft.interrupted else method,
        meaning=STEP_OBJECTIVE,
    )
    proof = replace(proof, objective=objective, meaning=STEP_OBJECTIVE)
    if sum(r.sessions for r in routes) < sum(d.sessions for d in demand):
        return replace(proof, bound=None, status="feasible")
    known = min(lower_bound_s(problem, demand), objective)
    if proof.bound is not None and proof.bound >= known:
        return proof
    proven = objective - known <= EQUAL * objective
    return replace(
        proof,
        status="optimal" if proven else proof.status,
        bound=known,
        method=f"{proof.method}; bound: knapsack over servers",
    )


def _demands(problem: Problem) -> tuple[str, ...]:
    """What the placement was asked to meet, for the plan's notes."""
    asked = demands_in_words(problem)
    return (f"meets: {', '.join(asked)}",) if asked else ()


def plan_or_read(scenario: Scenario, path: Path | None, method: str, *, seed: int = 0) -> Plan:
    """The plan of a file, or a new one by a method."""
    if path is not None:
        return read_plan(path, scenario)
    return plan(scenario.problem, method, seed=seed)


def simulate(
    scenario: Scenario,
    *,
    method: str = "auto",
    router: str | None = None,
    plan_path: Path | None = None,
    num_requests: int | None = None,
    load_factor: float = 1.0,
    admission: Admission = "retry",
    seed: int = 0,
) -> SimulationResult:
    """Simulate the scenario's requests, with its failures and joins, through one placement.

    The router is the one named, else the one that the plan or the method brings with it.
    """
    problem = scenario.problem
    decision: Plan | Draft
    if plan_path is not None:
        decision = read_plan(plan_path, scenario)
    else:
        decision = method_named(method)(problem, Settings(seed=seed, admission=admission))
    chosen = require_router(router or decision.router)
    requests = draw_requests(problem, seed, num_requests=num_requests, load_factor=load_factor)
    return run(
        problem,
        decision.placement,
        chosen(problem, decision.placement),
        requests,
        admission=admission,
        events=_events(scenario),
    )


def compare(
    scenario: Scenario,
    *,
    methods: Sequence[str] = (),
    plans: Sequence[Path] = (),
    seeds: Iterable[int] = range(5),
    join_orders: int = 3,
    num_requests: int | None = None,
    load_factor: float = 1.0,
    admission: Admission = "retry",
    on_progress: Callable[[int, int, str], None] | None = None,
    on_result: OnResult | None = None,
) -> Comparison:
    """Methods and plan files side by side on the same requests; the first is the baseline."""
    loaded = _at_load(scenario.problem, load_factor)
    return compare_methods(
        loaded,
        [
            *(
                _contestant(loaded, method_named(m), admission)
                for m in methods or DEFAULT_COMPARISON
            ),
            *(_planned(scenario, path) for path in plans),
        ],
        lambda seed: draw_requests(loaded, seed, num_requests=num_requests),
        seeds=seeds,
        join_orders=join_orders,
        admission=admission,
        events=_events(scenario),
        on_progress=on_progress,
        on_result=on_result,
    )


def _planned(scenario: Scenario, path: Path) -> Contestant:
    """A plan file, with the router that it brings."""
    made = read_plan(path, scenario)
    decision = made.placement, require_router(made.router)
    return Contestant(name=path.name, note=f"by {made.method}", decide=lambda _: decision)


def _contestant(problem: Problem, method: Method, admission: Admission) -> Contestant:
    def decide(seed: int) -> tuple[Placement, RouterFactory]:
        draft = method(problem, Settings(seed=seed, admission=admission))
        return draft.placement, require_router(draft.router)

    return Contestant(
        name=method.name, note=method.note, decide=decide, random_order=method.random_order
    )


def _at_load(problem: Problem, factor: float) -> Problem:
    """The problem at another load, so that planners expect the load they will get."""
    load = problem.workload
    classes = tuple(replace(c, rate_per_s=c.rate_per_s * factor) for c in load.classes)
    trace = tuple(replace(r, arrival_s=r.arrival_s / factor) for r in load.trace)
    return replace(problem, workload=replace(load, classes=classes, trace=trace))


def _events(scenario: Scenario) -> tuple[ServerEvent, ...]:
    return tuple(ServerEvent(time_s=at, server=j, up=up) for at, j, up in scenario.events)


def explain_clients(problem: Problem, chosen: Plan, client: str | None) -> tuple[Explanation, ...]:
    """Explanations of one client by id, or of every client that has a route."""
    if client is None:
        return tuple(explain(problem, chosen, c) for c in sorted({r.client for r in chosen.routes}))
    for row, known in enumerate(problem.clients):
        if known.id == client:
            return (explain(problem, chosen, row),)
    names = ", ".join(c.id for c in problem.clients[:20])
    raise ScenarioError.single("--client", f"no client {client!r}; there are {names}")


def explain(problem: Problem, chosen: Plan, client: int) -> Explanation:
    """Per-hop breakdown of a client's first planned route and the cheapest alternatives."""
    mine = [r for r in chosen.routes if r.client == client]
    if not mine:
        raise SwarmplanError(
            f"the plan has no route for client {problem.clients[client].id!r}: it plans "
            f"{chosen.sessions} sessions and this client's share of the load rounds to none"
        )
    route = mine[0].route
    cost = hop_cost(problem, client, *shape(problem))
    time = route_time(problem, client, route, *shape(problem), cost=cost)
    return Explanation(
        client=client,
        route=route,
        hops=tuple(_share(problem, client, route, i, cost) for i in range(len(route.hops))),
        ttft_s=time.ttft_s,
        tpot_s=time.tpot_s,
        alternatives=cheapest_chains_through(problem, chosen.placement, client, cost),
    )


def _share(problem: Problem, client: int, route: Route, i: int, cost: HopCost) -> HopShare:
    """One hop: the network leg that the relay mode really uses, overhead, compute."""
    hop = route.hops[i]
    j = hop.server
    client_rtt = float(problem.network.client_rtt_s[client, j])
    leg = client_rtt
    if problem.network.relay == "server":
        before = route.hops[i - 1].server
        reach = client_rtt if i == 0 else float(problem.network.server_rtt_s[before, j])
        leg = reach / 2 + (client_rtt / 2 if i == len(route.hops) - 1 else 0.0)
    return HopShare(
        server=j,
        start=hop.start,
        end=hop.end,
        rtt_s=leg,
        overhead_s=float(cost.step_hop_s[j]) - client_rtt,
        compute_s=float(cost.step_block_s[j]) * len(hop),
        prefill_s=float(cost.prefill_hop_s[j] + cost.prefill_block_s[j] * len(hop)),
    )
