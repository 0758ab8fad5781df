"""Placements that ``auto`` considers, with what closed forms say of them before any simulation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from ..chains.bounds import response_bounds
from ..chains.compose import client_shares
from ..chains.soundness import misplaced
from ..core.errors import HeuristicFailedError, SwarmplanWarning
from ..core.plan import Placement
from ..perfmodel.announced import announced_throughput, blocks_by_rule
from ..perfmodel.cost import CostModel
from ..placement.api import Rule
from ..placement.moves.resilience import honoured
from ..placement.rules.cg_bp import cg_bp
from ..placement.rules.composed import ChainPlan, chain_plan, chain_plans
from ..placement.rules.petals import PetalsTuned
from ..placement.rules.tiers import SURGES
from ..placement.sessions import for_sessions, unloaded_responses_s
from ..placement.task import Task
from .draft import Known
from .routers import is_fitting, router_names
from .searched import MOST_SERVERS_TO_SEARCH, short_searches, thorough_plans

#: Plans of chain composition that are simulated, by the bound on the response.
BEST_CHAIN_PLANS = 6
#: Of the best plans for each burst.
BEST_IN_SURGES = 2
#: R that CG-BP and PETALS' rule are tried for where servers work on one task at a time: how many
#: sessions had better share the memory then depends on what they compute, which R does not know.
SWEPT_SESSIONS = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64)

#: The router that spreads what comes over all chains, as the plans of ``search`` and ``exact`` do:
#: near what they sustain it makes more of them than one that takes what is fastest by now.
FLOWING = "max-flow"

#: Who is simulated first, where there is time for few: plans that are there already, then the
#: published methods' own choices; last what others lead to.
GIVEN, RIVAL, OTHER, LATE = 0, 1, 2, 3
Found = TypeVar("Found")
#: A plan, its routers and its rank of these.
Suited = tuple[ChainPlan, tuple[str, ...], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A placement in the running.

    Attributes
    ----------
    plan : the placement, its composed chains and their bounds at the workload's rate.
    routers : names of the routers to try first.
    alone_s : time of the representative request when nothing else runs, each client on its own
        fastest chain, averaged over the clients. No router is faster.
    rank : GIVEN, RIVAL, OTHER or LATE.
    """

    plan: ChainPlan
    routers: tuple[str, ...]
    alone_s: float
    rank: int = OTHER


def entries(
    task: Task, known: Sequence[Known] = (), *, thorough: bool = False
) -> tuple[Entry, ...]:
    """Every placement worth simulating, most promising first.

    The best plans of chain composition by the lower bound on the mean response at the load
    and, for bursts, at multiples of it, the one that sustains most load and the one with the
    least upper bound; CG-BP as published; short searches for R and more concurrent sessions, which
    serve every client by itself; PETALS' rule tuned, for servers that join at random,
    by memory and by speed. After the task's deadline only the most promising are made.

    Parameters
    ----------
    known : placements that are there already; those that cannot be here are left out.
    thorough : whether the methods ``search`` and ``exact`` are asked too, which takes a while.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no placement can be made.
    """
    cost, problem = task.cost, task.problem
    plans = chain_plans(task)
    chosen = [*plans[:BEST_CHAIN_PLANS]]
    for surge in SURGES:
        chosen += sorted(plans, key=partial(_lower_s, cost, surge))[:BEST_IN_SURGES]
    chosen.append(max(plans, key=lambda p: p.rate_per_s))
    chosen.append(min(plans, key=lambda p: p.upper_s))
    one_client = int((client_shares(problem) > 0).sum()) == 1
    free = ("jffc",) if one_client else ("fastest-free",)
    # Where servers work on one task at a time, who is there already decides.
    serial = bool(cost.serial.any())
    suited = ("overlap",) if serial else free
    found: list[Suited] = [(p, suited, OTHER) for p in chosen]
    found += [(p, (*suited, *free), RIVAL) for p in plans if is_published(p)][:1]
    made: list[tuple[str, Callable[[], Placement], tuple[str, ...], int]] = [
        ("cg-bp", lambda: cg_bp(task), (*suited, *free, "ws-rr"), RIVAL)
    ]
    made += [(f"petals-tuned, {how}", rule, suited, OTHER) for how, rule in _petals(task)]
    if serial:
        made += [
            (f"cg-bp R={r}", partial(_for, cg_bp, task, r), suited, OTHER) for r in SWEPT_SESSIONS
        ]
    if serial and problem.num_servers <= MOST_SERVERS_TO_SEARCH:
        rule = PetalsTuned()
        made += [
            (f"petals-tuned R={r}", partial(_for, rule, task, r), suited, OTHER)
            for r in SWEPT_SESSIONS
        ]
    made += [(name, make, suited, OTHER) for name, make in short_searches(task)]
    for name, make, routers, rank in made:
        if rank == OTHER and task.deadline.passed:
            break
        placement = _quietly(make)
        if placement is not None:
            found.append((chain_plan(cost, placement, name), routers, rank))
    if thorough:
        found += _thorough(task, suited)
    found = [*(f for f in found if f[0].chains), *_given(cost, known, suited)]
    if problem.planning.constraints.shapes_placement:
        found = [(_moved(task, p), routers, rank) for p, routers, rank in found]
    return tuple(
        Entry(plan=p, routers=routers, alone_s=_alone_s(cost, p.placement), rank=rank)
        for p, routers, rank in _distinct(found)
        if p.chains
    )


def _thorough(task: Task, suited: tuple[str, ...]) -> list[Suited]:
    """What the methods ``search`` and ``exact`` find, and then what these lead to."""
    flowing = (FLOWING,) if task.cost.serial.any() and is_fitting(FLOWING, task.problem) else ()
    found, late = list[Suited](), list[Suited]()
    for make in thorough_plans(task):  # none on large swarms, which it would not fit
        if task.deadline.passed:
            break
        for i, (name, placement) in enumerate(_quietly(make) or ()):
            plan = chain_plan(task.cost, placement, name)
            if i:
                late.append((plan, suited, LATE))
            else:
                found.append((plan, (*suited, *flowing), OTHER))
    return [*found, *late]


def _given(cost: CostModel, known: Sequence[Known], suited: tuple[str, ...]) -> list[Suited]:
    """Placements that are there already, with their routers; never dropped for want of time."""
    problem = cost.problem
    sound = [
        (placement, router)
        for placement, router in known
        if len(placement.start) == problem.num_servers and not any(misplaced(cost, placement))
    ]
    plans = [(chain_plan(cost, placement, "given"), router) for placement, router in sound]
    return [
        (plan, tuple(dict.fromkeys((*({router} & set(router_names())), *suited))), GIVEN)
        for plan, router in plans
        if plan.chains
    ]


def is_published(plan: ChainPlan) -> bool:
    """Whether a plan of ``chain_plans`` is GBP-CR as published, spare servers idle."""
    return plan.name.startswith("gbp-cr") and "no spares" not in plan.name


def _lower_s(cost: CostModel, surge: float, plan: ChainPlan) -> float:
    """The lower bound on the mean response at a multiple of the load, seconds."""
    return response_bounds(
        [1.0 / c.service_time_s for c in plan.chains],
        [c.capacity for c in plan.chains],
        surge * cost.problem.workload.rate_per_s,
    )[0]


def _moved(task: Task, plan: ChainPlan) -> ChainPlan:
    """The plan after the moves that the constraints ask for."""
    placement = honoured(task, plan.placement)
    return plan if placement is plan.placement else chain_plan(task.cost, placement, plan.name)


def _for(rule: Rule, task: Task, sessions: int) -> Placement:
    """What a rule places for this many sessions."""
    return rule(for_sessions(task, sessions))


def _alone_s(cost: CostModel, placement: Placement) -> float:
    """Unloaded response of the mean request, seconds."""
    shares = client_shares(cost.problem)
    asked = np.flatnonzero(shares > 0).tolist()
    alone_s = unloaded_responses_s(cost, placement, asked)
    return float(sum(s * t for s, t in zip(shares[asked].tolist(), alone_s, strict=True)))


def _petals(task: Task) -> list[tuple[str, Callable[[], Placement]]]:
    """PETALS' rule for three orders of joining."""
    by_memory = np.argsort(-task.problem.memory_bytes, kind="stable").tolist()
    rates = announced_throughput(task.cost, np.maximum(blocks_by_rule(task.cost, 1), 1))
    by_speed = np.argsort(-rates, kind="stable").tolist()
    return [
        ("random order", lambda: PetalsTuned()(task)),
        ("by memory", lambda: PetalsTuned(join_order=by_memory, rebalance=False)(task)),
        ("by speed", lambda: PetalsTuned(join_order=by_speed, rebalance=False)(task)),
    ]


def _quietly(make: Callable[[], Found]) -> Found | None:
    """What is made, None when this way finds nothing; warnings about it are no news yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SwarmplanWarning)
            return make()
    except HeuristicFailedError:
        return None


def _distinct(found: Sequence[Suited]) -> list[Suited]:
    """Each placement once, with all its names and routers, by the lower bound.

    A plan that is there already stays apart: what else is in the running does not depend on it.
    """
    kept: dict[tuple[bool, bytes], Suited] = {}
    for plan, routers, rank in found:
        spans = plan.placement
        content = b"".join(a.tobytes() for a in (spans.start, spans.end, spans.cache_bytes))
        key = rank == GIVEN, content
        if key in kept and rank == LATE:
            continue
        if key in kept:
            first, others, known = kept[key]
            routers = tuple(dict.fromkeys((*others, *routers)))
            if plan.name not in first.name:
                first = replace(first, name=f"{first.name} = {plan.name}")
            plan, rank = first, min(rank, known)
        kept[key] = plan, routers, rank
    return sorted(kept.values(), key=lambda k: (k[0].lower_s, -k[0].rate_per_s))
