"""The library functions behind the command line: plain data in, plain data out.

``plan``, ``simulate_plan``, ``explain`` and ``verify`` mirror the commands of the same names;
``compare`` lives in ``swarmplan.simulator.compare``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .core.errors import SwarmplanError
from .core.plan import Certificate, Plan, PlannedRoute, Predicted, Route
from .core.problem import Problem
from .core.verify import Violation, check_plan
from .perfmodel.latency import HopCost, hop_cost, route_time
from .perfmodel.verify import check_predictions
from .placement.demand import demand_of
from .placement.sessions import target_sessions
from .routing.alternatives import Alternative, cheapest_chains_through
from .routing.offline import best_routes
from .simulator.methods import Method, method_named


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


def plan(problem: Problem, method: Method | str = "cg-bp", *, seed: int = 0) -> Plan:
    """Place the blocks and choose routes for R concurrent sessions.

    Raises
    ------
    InfeasibleError, HeuristicFailedError, NoRouteError, RequestTooLargeError
        From the method, each with its reason.
    """
    chosen = method_named(method) if isinstance(method, str) else method
    placement = chosen.placer(problem, seed=seed)
    sessions = target_sessions(problem)
    routes, notes = best_routes(problem, placement, demand_of(problem, sessions))
    return Plan(
        method=chosen.name,
        placement=placement,
        routes=routes,
        predicted=predict(problem, routes),
        certificate=Certificate(
            status="feasible",
            objective=step_objective_s(problem, routes),
            method=chosen.name,
            meaning=STEP_OBJECTIVE,
        ),
        sessions=sessions,
        seed=seed,
        notes=notes,
    )


STEP_OBJECTIVE = "seconds per output token, summed over the planned sessions"


def step_objective_s(problem: Problem, routes: Sequence[PlannedRoute]) -> float:
    """Seconds per output token summed over the planned sessions (docs/model.md, objective)."""
    return sum(
        r.sessions * route_time(problem, r.client, r.route, *_shape(problem)).tpot_s for r in routes
    )


def predict(problem: Problem, routes: Sequence[PlannedRoute]) -> tuple[Predicted, ...]:
    """Unloaded figures of every client, averaged over its planned sessions."""
    found = []
    for client in sorted({r.client for r in routes}):
        mine = [r for r in routes if r.client == client]
        total = sum(r.sessions for r in mine)
        times = [route_time(problem, client, r.route, *_shape(problem)) for r in mine]
        setup = problem.session_setup_s + problem.alloc_delay_s

        def mean(values: list[float], mine: list[PlannedRoute] = mine, total: int = total) -> float:
            return sum(v * r.sessions for v, r in zip(values, mine, strict=True)) / total

        found.append(
            Predicted(
                client=client,
                ttft_s=mean([t.ttft_s + setup for t in times]),
                tpot_s=mean([t.tpot_s for t in times]),
                response_s=mean([t.total_s + setup for t in times]),
            )
        )
    return tuple(found)


def _shape(problem: Problem) -> tuple[int, int]:
    """Prompt and output tokens of the representative request."""
    return problem.planning.prompt_tokens, problem.planning.output_tokens


def verify(problem: Problem, checked: Plan) -> tuple[Violation, ...]:
    """Every violation of a plan, without a solver."""
    return (*check_plan(checked, problem), *check_predictions(checked, problem))


def explain(problem: Problem, chosen: Plan, client: int) -> Explanation:
    """Per-hop breakdown of a client's first planned route and the cheapest alternatives."""
    mine = [r for r in chosen.routes if r.client == client]
    if not mine:
        raise SwarmplanError(
            f"the plan has no route for client {problem.clients[client].id!r}: it plans "
            f"{chosen.sessions} sessions and this client's share of the load rounds to none"
        )
    route = mine[0].route
    cost = hop_cost(problem, client, *_shape(problem))
    time = route_time(problem, client, route, *_shape(problem), cost=cost)
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
        back = client_rtt / 2 if i == len(route.hops) - 1 else 0.0
        reach = (
            client_rtt
            if i == 0
            else float(problem.network.server_rtt_s[route.hops[i - 1].server, j])
        )
        leg = reach / 2 + back
    return HopShare(
        server=j,
        start=hop.start,
        end=hop.end,
        rtt_s=leg,
        overhead_s=float(cost.step_hop_s[j]) - client_rtt,
        compute_s=float(cost.step_block_s[j]) * len(hop),
        prefill_s=float(cost.prefill_hop_s[j] + cost.prefill_block_s[j] * len(hop)),
    )
