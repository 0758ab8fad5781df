"""The state of a swarm on one screen, out of one look at it. Plain Python, no hivemind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.errors import SwarmplanError
from ..core.plan import Placement, Route
from ..core.problem import Problem
from ..core.workload import Request
from ..methods.routers import router_named
from ..perfmodel.announced import announced_cache_bytes
from ..perfmodel.cost import CostModel
from ..routing.state import SwarmState
from .announce import Announcement
from .planseen import PlanSeen
from .steps import HopNow, Step, Steps
from .turn import Turn
from .verdict import Action

#: Routes a request where no plan says which router does.
ROUTER = "ws-rr"
#: Of a name on a screen.
LONGEST_NAME = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerNow:
    """One server.

    Attributes
    ----------
    name : short, and no two alike.
    planned : its blocks by the operator's plan in force; None = it is none of the plan's servers.
    otherwise : whether it hosts them at another precision or with other adapters than planned.
    signed : whether what is known of it is its own signed word.
    follows : the version of the plan that it says it follows; 0 = none, None = it says nothing.
    cache_free, busy : shares, as it says; None = it does not.
    step : over its whole span; None where it is not online.
    """

    peer: str
    name: str
    state: str
    start: int
    end: int
    planned: tuple[int, int] | None = None
    otherwise: bool = False
    signed: bool = False
    follows: int | None = None
    version: str = ""
    cache_tokens_left: int | None = None
    cache_free: float | None = None
    busy: float | None = None
    rtt_s: float | None = None
    step: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of a swarm now.

    Attributes
    ----------
    problem : as it was read, its servers by their short names.
    placement : what is served now, with the cache that is left.
    route : of a request that comes now; None = there is none, ``no_route`` says why.
    context_tokens : tokens in the cache at the steps that are told of.
    dark, weak : blocks that nobody serves, and that one server alone does.
    in_place : of the plan's servers, those at their planned blocks, hosted as planned.
    action, reason : what a watcher would do and why; ``seen`` reads in a row of ``confirm`` found
        the plan that it waits to confirm.
    """

    at_s: float
    problem: Problem
    placement: Placement
    servers: tuple[ServerNow, ...]
    hops: tuple[HopNow, ...]
    route: Route | None
    no_route: str
    context_tokens: float
    dark: tuple[int, ...]
    weak: int
    plan: PlanSeen
    in_place: int
    action: Action
    reason: str
    moves: int
    seen: int
    confirm: int
    warnings: tuple[str, ...]
    estimated: tuple[str, ...]

    @property
    def slowest(self) -> HopNow | None:
        """The hop that takes most of a step of the chain."""
        return max(self.hops, key=lambda h: h.step.measured_s or h.step.predicted_s, default=None)


def status_of(turn: Turn, confirm: int) -> Status:
    """The status of a turn in which the swarm could be read.

    Parameters
    ----------
    confirm : reads in a row that must find a plan worth it.
    """
    assert turn.problem is not None
    problem, notes = turn.problem, turn.notes
    cost = CostModel.of(problem)
    placement = _placement(cost, notes.servers)
    steps = Steps(cost, notes.servers, notes.probed_s)
    names = short_names(notes.servers)
    plan = notes.plan
    servers = tuple(_server(e, names[e.peer], plan, steps) for e in notes.servers)
    router = plan.router if plan.standing == "in force" else ROUTER
    route, no_route = _route(cost, placement, router)
    holders = placement.coverage(problem.model.num_blocks)
    facts = {} if turn.judged is None else turn.judged.facts
    return Status(
        at_s=turn.at_s,
        problem=_named(problem, names),
        placement=placement,
        servers=servers,
        hops=() if route is None else steps.hops(route, names),
        route=route,
        no_route=no_route,
        context_tokens=steps.context_tokens,
        dark=tuple(b for b, count in enumerate(holders.tolist()) if count == 0),
        weak=int((holders == 1).sum()),
        plan=plan,
        in_place=sum(
            s.planned == (s.start, s.end) and s.state == "online" and not s.otherwise
            for s in servers
        ),
        action=turn.action,
        reason=turn.reason,
        moves=int(facts.get("moves", 0)),
        seen=int(facts.get("seen", 0)),
        confirm=confirm,
        warnings=tuple(notes.warnings),
        estimated=tuple(notes.estimated),
    )


def short_names(servers: Sequence[Announcement]) -> dict[str, str]:
    """Peer -> a name for a screen: its public name, told apart by the end of its id."""
    count = Counter(s.public_name for s in servers)
    names = {}
    for server in servers:
        name, end = server.public_name, server.peer[-6:]
        if name and count[name] == 1 and len(name) <= LONGEST_NAME:
            names[server.peer] = name
        else:
            kept = name[: LONGEST_NAME - len(end) - 1]
            names[server.peer] = f"{kept}~{end}" if kept else f"~{server.peer[-12:]}"
    return names


def _named(problem: Problem, names: Mapping[str, str]) -> Problem:
    servers = tuple(replace(s, id=names[s.id]) for s in problem.servers)
    return replace(problem, servers=servers)


def _server(entry: Announcement, name: str, plan: PlanSeen, steps: Steps) -> ServerNow:
    stated = entry.stated
    whole = None if stated is None else stated.cache_tokens
    left = entry.cache_tokens_left
    return ServerNow(
        peer=entry.peer,
        name=name,
        state=entry.state,
        start=entry.start,
        end=entry.end,
        planned=plan.spans.get(entry.peer),
        otherwise=entry.peer in plan.spans
        and not plan.hosting.is_so(entry.peer, entry.quant_type, entry.adapters),
        signed=stated is not None,
        follows=None if stated is None else stated.plan_version,
        version=entry.version,
        cache_tokens_left=left,
        cache_free=None if left is None or not whole else min(1.0, left / whole),
        busy=None if stated is None else stated.busy,
        rtt_s=steps.rtt_s(entry.peer),
        step=steps.over_span(entry) if entry.state == "online" else None,
    )


def _placement(cost: CostModel, servers: Sequence[Announcement]) -> Placement:
    """What is served now: a server's pool is what it says is left, else what its memory allows."""
    known = {e.peer: e for e in servers}
    problem = cost.problem
    spans = [(s.pinned.start, s.pinned.end) if s.pinned else (0, 0) for s in problem.servers]
    pools = cost.placed(spans).cache_bytes.tolist()
    for j, server in enumerate(problem.servers):
        left = known[server.id].cache_tokens_left
        if left is not None:
            pools[j] = min(pools[j], announced_cache_bytes(cost, left))
    return cost.placed(spans, cache_bytes=pools)


def _route(cost: CostModel, placement: Placement, router: str) -> tuple[Route | None, str]:
    """The chain of a request as it is planned for, or why there is none."""
    problem: Problem = cost.problem
    planning = problem.planning
    request = Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=planning.prompt_tokens,
        output_tokens=planning.output_tokens,
        reserved_tokens=planning.session_tokens,
    )
    try:
        if not placement.coverage(problem.model.num_blocks).all():
            return None, "not all blocks are served"
        choose = router_named(router)(cost, placement)
        return choose(request, SwarmState(cost, placement), 0.0).route, ""
    except SwarmplanError as error:
        return None, str(error)
