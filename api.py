"""The library: plain functions over scenarios, each takes names or objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .core.drafting import Use
from .core.errors import ScenarioError, SwarmplanError
from .core.events import ServerEvent
from .core.findings import Finding
from .core.names import Admission, Quality, Semantics, Speculating
from .core.objective import SERVICE
from .core.plan import Plan, Route
from .core.problem import Problem
from .core.workload import Request
from .methods import capacity as capacities
from .methods.draft import Settings
from .methods.draftrace import with_uses
from .methods.planning import planned
from .methods.replanning import kept
from .methods.routers import AnyRouter, fits, router_for, router_name, router_named, router_of
from .methods.table import DEFAULT_COMPARISON, AnyMethod, method_of
from .methods.verify import verify as verify_plan
from .perfmodel.cost import CostModel
from .perfmodel.hops import HopCost
from .perfmodel.passcurve import PassCurves
from .routing.alternatives import Alternative, cheapest_chains_through
from .routing.stakes import caring_of
from .scenarios.planfile import read_plan
from .scenarios.scenario import Scenario, load_scenario
from .simulator.admission import Rule as WaitingRule
from .simulator.compare import Comparison, Contestant, Decided, OnResult
from .simulator.compare import compare as compare_methods
from .simulator.engine import simulate as run
from .simulator.result import SimulationResult
from .workload.draw import draw_requests
from .workload.load import at_load

#: A scenario, the path of its file, or a problem made by hand.
Given = Scenario | Problem | Path | str
#: A plan, or the path of its file.
AnyPlan = Plan | Path | str
#: Who takes part in a comparison; with a router, in place of the method's own.
Entry = AnyMethod | Plan | Path | tuple[AnyMethod, AnyRouter]


#: Drafts of a pass in PETALS' own class, and what a pass may keep.
PETALS_DRAFTS = 10
SEMANTICS: tuple[Semantics, ...] = ("standard", "petals")


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
class DraftShare:
    """What a client's drafts make of its route.

    Attributes
    ----------
    drafts, model : of a pass, and by which of its models.
    tokens : expected of a pass.
    pass_s, draft_s : of a whole pass, and of that the client's own part.
    gain, gain_over_ten, gain_over_petals : how many times as long a token takes without drafts,
        with ten a pass, and with ten as PETALS' own class uses them.
    """

    drafts: int
    model: str
    tokens: float
    pass_s: float
    draft_s: float
    gain: float
    gain_over_ten: float
    gain_over_petals: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the time of one client's planned route goes, and what the alternatives cost.

    Attributes
    ----------
    precisions, wires : of each hop; ``harm`` of the route (``core.accuracy``), None where nobody
        asks.
    """

    client: int
    route: Route
    hops: tuple[HopShare, ...]
    ttft_s: float
    tpot_s: float
    alternatives: tuple[Alternative, ...]
    drafts: DraftShare | None = None
    precisions: tuple[str, ...] = ()
    wires: tuple[str, ...] = ()
    harm: float | None = None


def load(path: Path | str) -> Scenario:
    """Read, validate and build a scenario file (TOML, or JSON by suffix).

    Raises
    ------
    ScenarioError
        Listing every defect with the path of its field.
    """
    return load_scenario(Path(path))


def plan(
    given: Given,
    method: AnyMethod = "auto",
    *,
    sessions: int | None = None,
    router: str | None = None,
    seed: int | None = None,
    settings: Settings | None = None,
) -> Plan:
    """Place the blocks and choose routes for R concurrent sessions.

    Parameters
    ----------
    sessions : R; the scenario's, else derived from the load.
    router : the router to plan for, in place of the method's own.
    seed : of everything random; overrides the settings' seed.
    settings : limits and goal of the search.

    Raises
    ------
    InfeasibleError, HeuristicFailedError, NoSolutionInTimeError, NoRouteError,
    RequestTooLargeError
        From the method, each with its reason.
    ScenarioError
        For a router that does not exist, or for which the scenario lacks something.
    """
    asked = settings or Settings()
    if seed is not None:
        asked = replace(asked, seed=seed)
    chosen, problem = method_of(method), problem_of(given)
    if router is not None:
        fits(router, problem)
        chosen = replace(chosen, router=router)
    return planned(problem, chosen, asked, sessions=sessions)


def simulate(
    given: Given,
    plan: AnyPlan | None = None,
    *,
    method: AnyMethod = "auto",
    router: AnyRouter | None = None,
    requests: int | Sequence[Request] | None = None,
    load: float = 1.0,
    admission: Admission | WaitingRule = "retry",
    seed: int = 0,
    settings: Settings | None = None,
) -> SimulationResult:
    """Simulate requests, with the scenario's failures and joins, through one placement.

    Parameters
    ----------
    plan : what to simulate; ``method`` makes one where it is left out.
    router : the one that the plan or the method brings with it when left out.
    requests : how many, or the requests themselves; the scenario's own number when left out.
    load : multiplies the arrival rate; a method that plans here expects that load too.
    seed : of the requests, and of the method where the settings give none.
    """
    problem = at_load(problem_of(given), load)
    asked = settings or Settings(seed=seed)
    if plan is None:
        if isinstance(admission, str):
            asked = replace(asked, admission=admission)
        draft = method_of(method)(problem, asked)
        draft = with_uses(draft, problem)
        placement, own, uses = draft.placement, draft.router, draft.drafts
    else:
        made = _plan(given, plan)
        placement, own, uses = made.placement, made.router, made.drafts
    problem = placement.settled(problem).with_drafts(uses)
    if requests is None or isinstance(requests, int):
        requests = draw_requests(problem, seed, num_requests=requests)
    return run(
        problem,
        placement,
        router_of(router or own)(CostModel.of(problem), placement),
        requests,
        admission=admission,
        events=_events(given),
    )


def compare(
    given: Given,
    methods: Sequence[Entry] = (),
    *,
    seeds: Iterable[int] = range(5),
    join_orders: int = 3,
    requests: int | None = None,
    load: float = 1.0,
    admission: Admission = "retry",
    quality: Quality = "mean",
    settings: Settings | None = None,
    speculation: Sequence[Speculating] = (),
    on_progress: Callable[[int, int, str], None] | None = None,
    on_result: OnResult | None = None,
) -> Comparison:
    """Methods and plans side by side on the same requests; the first is the baseline.

    Parameters
    ----------
    methods : names, methods, placement rules, plans, paths of plan files, and pairs of a method
        and a router; four methods that show the field when left out.
    load : multiplies the arrival rate, for those who plan and for those who are measured.
    quality : what service is judged by; methods route for it where their router can.
    speculation : every method once for each of these: clients draft nothing, ten tokens as PETALS'
        own class does, or what the planner chooses; empty = as the scenario says.

    Raises
    ------
    ScenarioError
        If lateness is to be judged and the scenario has no deadlines, or if clients are to draft
        and it tells of no draft model.
    """
    problem = at_load(problem_of(given), load)
    caring_of(SERVICE[quality], problem.planning.deadlines)
    asked = replace(settings or Settings(), admission=admission)
    return compare_methods(
        problem,
        [
            _contestant(given, p, m, asked, quality, way)
            for m in methods or DEFAULT_COMPARISON
            for way, p in _speculating(problem, speculation)
        ],
        lambda seed: draw_requests(problem, seed, num_requests=requests),
        seeds=seeds,
        join_orders=join_orders,
        admission=admission,
        events=_events(given),
        quality=quality,
        on_progress=on_progress,
        on_result=on_result,
    )


def capacity(given: Given, *, settings: Settings | None = None) -> capacities.Capacity:
    """The highest rate that the swarm sustains: proven bound, best placements, what binds.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no placement can be made.
    """
    asked = settings or Settings()
    task = asked.task(problem_of(given).at_lightest(), "response")
    return capacities.capacity(task, admission=asked.admission)


def plan_for(given: Given, found: capacities.Capacity, *, settings: Settings | None = None) -> Plan:
    """The whole plan of the placement that sustains most."""
    best = found.best
    return planned(
        problem_of(given),
        kept(best.placement, best.router, name="capacity"),
        settings or Settings(),
    )


def read(given: Given, plan: Path | str) -> Plan:
    """A plan file for a scenario; whether it is sound is for ``verify`` to judge."""
    return _plan(given, plan if isinstance(plan, Path) else Path(plan))


def verify(given: Given, plan: AnyPlan) -> tuple[Finding, ...]:
    """All findings about a plan; it is sound when none of them is grave."""
    checked = _plan(given, plan)
    remarks = (Finding(where="plan file", message=r, grave=False) for r in checked.remarks)
    return (*verify_plan(problem_of(given), checked), *remarks)


def explain(given: Given, plan: AnyPlan, client: str | None = None) -> tuple[Explanation, ...]:
    """Per-hop breakdown of planned routes and the cheapest alternatives, client by client.

    Parameters
    ----------
    client : the id of one client; every client that has a route when left out.

    Raises
    ------
    ScenarioError
        If there is no client of that id.
    SwarmplanError
        If the plan has no route for it.
    """
    problem, chosen = problem_of(given), _plan(given, plan)
    if client is None:
        return tuple(
            _explain(problem, chosen, c) for c in sorted({r.client for r in chosen.routes})
        )
    for row, known in enumerate(problem.clients):
        if known.id == client:
            return (_explain(problem, chosen, row),)
    names = ", ".join(c.id for c in problem.clients[:20])
    raise ScenarioError.single("--client", f"no client {client!r}; there are {names}")


def _explain(problem: Problem, chosen: Plan, client: int) -> Explanation:
    """A client's first planned route."""
    mine = [r for r in chosen.routes if r.client == client]
    if not mine:
        raise SwarmplanError(
            f"the plan has no route for client {problem.clients[client].id!r}: it plans "
            f"{chosen.sessions} sessions and this client's share of the load rounds to none"
        )
    drafted = chosen.settled(problem)
    cost = CostModel.of(drafted)
    route = mine[0].route
    shape = cost.planned(client, route)
    time = cost.route_time(route, shape)
    return Explanation(
        client=client,
        route=route,
        hops=_shares(cost, route, shape),
        ttft_s=time.ttft_s,
        tpot_s=time.tpot_s,
        precisions=tuple(cost.problem.servers[h.server].precision for h in route.hops),
        wires=tuple(cost.problem.servers[h.server].wire for h in route.hops),
        harm=None if cost.problem.accuracy is None else cost.route_harm(route),
        alternatives=cheapest_chains_through(cost, chosen.placement, shape),
        drafts=_drafts(drafted, client, route),
    )


def _drafts(problem: Problem, client: int, route: Route) -> DraftShare | None:
    """What drafts make of a route where nobody waits; None where the client cannot draft."""
    own = problem.drafting[client] if problem.drafting else None
    if own is None or not own.models:
        return None
    curves, k = PassCurves(problem), problem.drafts_on(client, route.servers)
    alone = np.ones(len(route.hops)), np.zeros(len(route.hops))
    standard, petals = (curves.curve(client, route, own.model, each) for each in SEMANTICS)
    curve = curves.curve(client, route, own.model, own.semantics, ahead=own.ahead)
    token_s = curve.token_s(*alone)
    now_s = float(token_s[k])
    return DraftShare(
        drafts=k,
        model=own.model.name,
        tokens=CostModel.of(problem).passes_on(client, route).tokens,
        pass_s=now_s * float(curve.tokens[k]),
        draft_s=k * own.model.draft_s,
        gain=float(token_s[0]) / now_s,
        gain_over_ten=float(standard.token_s(*alone)[PETALS_DRAFTS]) / now_s,
        gain_over_petals=float(petals.token_s(*alone)[PETALS_DRAFTS]) / now_s,
    )


def _shares(cost: CostModel, route: Route, shape: HopCost) -> tuple[HopShare, ...]:
    """Per hop: the network leg that the relay mode really uses, overhead, compute."""
    legs = cost.relaying.legs_s(shape.client, route.servers)
    found = []
    for hop, leg_s in zip(route.hops, legs, strict=True):
        one = Route(hops=(hop,))
        _, overhead_s, compute_s = cost.step_parts_s(one, shape)
        found.append(
            HopShare(
                server=hop.server,
                start=hop.start,
                end=hop.end,
                rtt_s=leg_s,
                overhead_s=overhead_s,
                compute_s=compute_s,
                prefill_s=cost.route_time(one, shape).ttft_s,
            )
        )
    return tuple(found)


def problem_of(given: Given) -> Problem:
    """What planners know of a scenario."""
    if isinstance(given, Problem):
        return given
    return (given if isinstance(given, Scenario) else load(given)).problem


def _plan(given: Given, plan: AnyPlan) -> Plan:
    """A plan, read for its scenario where it is a file."""
    if isinstance(plan, Plan):
        return plan
    if isinstance(given, Problem):
        raise SwarmplanError("a plan file belongs to a scenario: give the scenario or its path")
    return read_plan(Path(plan), given if isinstance(given, Scenario) else load(given))


def _events(given: Given) -> tuple[ServerEvent, ...]:
    """Failures and joins of a scenario; a problem alone has none."""
    if isinstance(given, Problem):
        return ()
    return (given if isinstance(given, Scenario) else load(given)).events


def _speculating(
    problem: Problem, ways: Sequence[Speculating]
) -> list[tuple[Speculating | None, Problem]]:
    """The problem as it is, or once for each way in which clients draft."""
    if ways and not any(own.models for own in problem.drafting):
        message = "the scenario tells of no draft model: give [speculation] acceptance and draft_ms"
        raise ScenarioError.single("speculation", message)
    found: list[tuple[Speculating | None, Problem]] = []
    for way in ways:
        semantics: Semantics = "petals" if way == "petals" else "standard"
        drafts = PETALS_DRAFTS if way == "petals" else 0
        drafting = tuple(
            replace(
                own,
                use=Use(drafts),
                free=way == "auto",
                semantics=semantics,
                ahead=own.ahead and semantics == "standard",
            )
            if own.models
            else own
            for own in problem.drafting
        )
        found.append((way, replace(problem, drafting=drafting)))
    return found or [(None, problem)]


def _contestant(
    given: Given,
    problem: Problem,
    entry: Entry,
    asked: Settings,
    quality: Quality,
    way: Speculating | None = None,
) -> Contestant:
    made = _any_contestant(given, problem, entry, asked, quality)
    if way is None:
        return made
    return replace(made, name=f"{made.name}, drafts {way}", problem=problem)


def _any_contestant(
    given: Given, problem: Problem, entry: Entry, asked: Settings, quality: Quality
) -> Contestant:
    if isinstance(entry, Plan | Path):
        made = _plan(given, entry)
        name = entry.name if isinstance(entry, Path) else f"plan by {made.method}"
        decision = made.placement, router_named(made.router), made.drafts
        return Contestant(name=name, note=f"by {made.method}", decide=lambda _: decision)
    chosen, router = entry if isinstance(entry, tuple) else (entry, None)
    method = method_of(chosen)
    own = None if router is None else router_of(router)

    def decide(seed: int) -> Decided:
        draft = with_uses(method(problem, replace(asked, seed=seed)), problem)
        free = draft.router if method.router else router_for(draft.router, quality)
        return draft.placement, own or router_named(free), draft.drafts

    return Contestant(
        name=method.name if router is None else f"{method.name} + {router_name(router)}",
        note=method.note,
        decide=decide,
        random_order=method.random_order,
    )
