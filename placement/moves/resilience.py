"""Placements that meet an operator's constraints: copies, regions, losses, pins, bans.

Any placement is repaired with few moves: as long as blocks lack hosts, the one server whose best
new span helps most is moved. What that cannot solve goes to an exact covering programme, which
finds a placement or proves that none exists; the reasons are then thinned out to a smallest set.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...chains.soundness import misplaced, unmet
from ...core.constraints import Constraints
from ...core.content import IntArray
from ...core.errors import HeuristicFailedError, InfeasibleError
from ...core.names import blocks
from ...core.needs import needs
from ...core.plan import Placement
from ...core.problem import Problem
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import furthest_ends
from ..allowed import pins_of
from ..task import Task
from .cover import cover
from .repair import repaired, spans_of

#: Largest exact programme, servers times blocks; beyond, a failed repair proves nothing.
EXACT_SIZE = 20_000
EXACT_S = 20.0


def honoured(task: Task, placement: Placement) -> Placement:
    """The placement itself if it meets all constraints, else one near it that does.

    Room for the planned sessions is given up only as far as it must be: the sessions for which
    the moved servers leave memory are halved until a repair succeeds.

    Raises
    ------
    InfeasibleError
        If no placement meets the constraints, naming a smallest set of reasons.
    HeuristicFailedError
        If none was found on a swarm that is too large for the exact programme.
    """
    cost, sessions = task.cost, task.sessions
    if not any(unmet(cost, placement)):
        return placement
    require_pins(cost)
    while True:
        start, end = repaired(cost, placement, sessions, seed=task.seed)
        made = _placement(cost, placement, start, end)
        if not any(unmet(cost, made)):
            return made
        if sessions == 1:
            break
        sessions = max(1, sessions // 2)
    found = _exact(cost)
    if found is None:
        raise InfeasibleError(explain(cost))
    return _placement(cost, placement, *found)


def refuse_impossible_pins(cost: CostModel) -> None:
    """Raise ``InfeasibleError`` for pins that servers cannot host even without a session."""
    asked = cost.problem.planning.constraints
    pins = pins_of(asked)
    alone = cost.placed([pins.get(j, (0, 0)) for j in range(cost.problem.num_servers)])
    banned = any(
        max(start, ban.start) < min(end, ban.end)
        for ban in asked.forbidden
        for start, end in (pins.get(ban.server, (0, 0)),)
    )
    if banned or any(misplaced(cost, alone)):
        require_pins(cost)


def require_pins(cost: CostModel) -> None:
    """Raise ``InfeasibleError`` for pins that no memory or ban allows."""
    problem = cost.problem
    ends, spans = furthest_ends(cost, 1), spans_of(cost)
    for pin in problem.planning.constraints.pinned:
        name = problem.servers[pin.server].id
        if pin.end > pin.start and pin.end > ends[pin.server, pin.start]:
            raise InfeasibleError(
                f"server {name} is pinned to {pin.end - pin.start} blocks, its memory holds "
                f"{int(ends[pin.server, pin.start]) - pin.start} with one session"
            )
        if not spans.allowed[pin.server, pin.start : pin.end].all():
            raise InfeasibleError(f"server {name} is pinned to blocks that it must not host")


def _placement(cost: CostModel, old: Placement, start: IntArray, end: IntArray) -> Placement:
    """New spans; servers that stay keep the pool they offered, unless it holds no session."""
    made = cost.placed(list(zip(start.tolist(), end.tolist(), strict=True)))
    enough = old.cache_bytes >= cost.session_bytes(start, end)
    same = (old.start == start) & (old.end == end) & enough
    return replace(made, cache_bytes=np.where(same, old.cache_bytes, made.cache_bytes))


def require_met(cost: CostModel, *, limit_s: float) -> None:
    """Raise ``InfeasibleError`` with the reasons if no placement meets all demands; where that is
    not settled in time nothing is said."""
    if not cost.problem.planning.constraints.shapes_placement:
        return
    refuse_impossible_pins(cost)
    try:
        found = _exact(cost, limit_s=limit_s)
    except HeuristicFailedError:
        return
    if found is None:
        raise InfeasibleError(explain(cost))


def _exact(cost: CostModel, *, limit_s: float = EXACT_S) -> tuple[IntArray, IntArray] | None:
    """Spans that meet the constraints, None when it is proven that there are none."""
    if _shortage(cost):
        return None
    problem = cost.problem
    size = problem.num_servers * cost.num_blocks
    if size > EXACT_SIZE:
        raise HeuristicFailedError(
            f"no placement of {problem.num_servers} servers that meets the constraints was found; "
            "no proof that none exists: loosen them, or add memory"
        )
    spans = spans_of(cost)
    windows = [spans.windows(j) for j in range(problem.num_servers)]
    return cover(windows, needs(problem), cost.num_blocks, time_limit_s=limit_s)


def _shortage(cost: CostModel) -> str:
    """A demand that fails by counting alone, in words; "" when counting shows none."""
    spans = spans_of(cost)
    length, most = cost.num_blocks, spans.longest
    first = np.arange(length)
    can = np.where(
        spans.pinned[:, None],
        (spans.start[:, None] <= first) & (first < spans.end[:, None]),
        spans.hostable,
    )
    for need in needs(cost.problem):
        groups = [g for g in np.unique(need.group) if g >= 0]
        held = sum(min(length, int(most[need.group == g].sum())) for g in groups)
        if held < need.count * length:
            times = "" if need.count == 1 else f" {need.count} times over"
            return (
                f"{need.what}: the servers that count hold at most {held} blocks with one session "
                f"each, {need.count * length} are needed ({length} blocks{times})"
            )
        hosts = sum(
            (can[need.group == g].any(axis=0).astype(int) for g in groups), np.zeros(length)
        )
        if (hosts < need.count).any():
            block = int(np.argmax(hosts < need.count))
            return f"{need.what}: only {int(hosts[block])} can host block {block}"
    return ""


def demands_in_words(problem: Problem) -> tuple[str, ...]:
    """Every demand on the placement, () when there is none."""
    return tuple(_parts(problem))


def explain(cost: CostModel) -> str:
    """Why no placement meets the constraints: a set of them of which none can be left out."""
    problem = cost.problem
    asked = problem.planning.constraints
    parts = _parts(problem)
    dropped: set[str] = set()
    for name in parts:
        trial = dropped | {name}
        if _infeasible(_with(problem, _without(asked, parts, trial))):
            dropped = trial
    left = _with(problem, _without(asked, parts, dropped))
    reasons = [name for name in parts if name not in dropped] or ["the model needs every block"]
    fact = _shortage(left)
    tail = f"; {fact}" if fact else "; each alone or fewer of them could be met"
    return f"no placement meets: {' and '.join(reasons)}{tail}"


def _parts(problem: Problem) -> dict[str, Constraints]:
    """Every single demand in words, with what stays of it alone."""
    asked = problem.planning.constraints
    names = [s.id for s in problem.servers]
    found: dict[str, Constraints] = {}
    for pin in asked.pinned:
        what = f"{names[pin.server]} pinned to blocks {blocks(pin.start, pin.end)}"
        found[what] = Constraints(pinned=(pin,))
    for ban in asked.forbidden:
        what = f"blocks {blocks(ban.start, ban.end)} forbidden on {names[ban.server]}"
        found[what] = Constraints(forbidden=(ban,))
    if asked.headroom_frac:
        what = f"{asked.headroom_frac * 100:g} % of the memory kept free"
        found[what] = Constraints(headroom_frac=asked.headroom_frac)
    for loss in asked.survive:
        found[f"all blocks hosted without {loss.name}"] = Constraints(survive=(loss,))
    if asked.regions > 1:
        found[f"every block in {asked.regions} regions"] = Constraints(regions=asked.regions)
    if asked.copies > 1:
        found[f"every block on {asked.copies} servers"] = Constraints(copies=asked.copies)
    return found


def _without(asked: Constraints, parts: dict[str, Constraints], dropped: set[str]) -> Constraints:
    """The constraints that are left when some parts are dropped."""
    kept = [part for name, part in parts.items() if name not in dropped]
    return Constraints(
        copies=max((p.copies for p in kept), default=1),
        regions=max((p.regions for p in kept), default=1),
        headroom_frac=max((p.headroom_frac for p in kept), default=0.0),
        survive=tuple(loss for p in kept for loss in p.survive),
        pinned=tuple(pin for p in kept for pin in p.pinned),
        forbidden=tuple(ban for p in kept for ban in p.forbidden),
    )


def _with(problem: Problem, constraints: Constraints) -> CostModel:
    planning = replace(problem.planning, constraints=constraints)
    return CostModel(replace(problem, planning=planning))


def _infeasible(cost: CostModel) -> bool:
    """Whether it is proven that nothing meets the constraints."""
    try:
        return _exact(cost) is None
    except HeuristicFailedError:
        return False
