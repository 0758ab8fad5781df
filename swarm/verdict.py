"""What a watcher does with a reading of the swarm, and why: decided here, done by ``watch``.

Three things keep servers from chasing each other: a move must repay its cost within the horizon
(``replan``), by a margin, and the same plan must come out of several reads in a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..core.plan import Placement
from ..core.problem import Problem
from ..methods.draft import Settings
from ..methods.replanning import replanned
from ..perfmodel.cost import CostModel
from ..placement.moves.replan import Replan, Terms

Action = Literal["unreachable", "stay", "confirm", "propose", "publish", "renew", "failed"]
Spans = dict[str, list[int]]
#: For the search of a better plan, seconds.
LIMIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """How to decide.

    Attributes
    ----------
    confirm : reads in a row that must find the same plan worth it.
    method : what plans are aimed at.
    publishes : whether the plan is published that is worth moving to; else it is proposed.
    """

    confirm: int = 3
    method: str = "cg-bp"
    terms: Terms = field(default_factory=lambda: Terms(margin=0.2, replay="prefill"))
    publishes: bool = False


@dataclass(kw_only=True)
class State:
    """What survives a restart."""

    version: int = 0
    expires_s: float = 0.0
    issued_s: float = 0.0
    target: Spans = field(default_factory=dict)
    candidate: Spans = field(default_factory=dict)
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be done.

    Attributes
    ----------
    state : with what this reading adds to it.
    placement : to publish or to propose; None where there is nothing to do.
    facts : for the journal; gain and cost in request-seconds until the horizon.
    gain_ratio : request-seconds that the best plan saves, as a share of staying.
    """

    action: Action
    state: State
    placement: Placement | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    gain_ratio: float = 0.0

    @property
    def reason(self) -> str:
        """In words."""
        return "; ".join(self.facts.get("reasons", ()))


def verdict(problem: Problem, state: State, weighing: Weighing, now_s: float) -> Verdict:
    """What a watcher with this state makes of a reading.

    Raises
    ------
    SwarmplanError
        If no plan can be made of it.
    """
    decision = replanned(
        problem,
        live_placement(problem),
        weighing.method,
        settings=Settings(time_limit_s=LIMIT_S),
        terms=weighing.terms,
    )
    best = decision.best
    ratio = best.gain / best.stay if 0 < best.stay < math.inf else 0.0
    return replace(_decided(problem, state, weighing, now_s, decision), gain_ratio=ratio)


def _decided(
    problem: Problem, state: State, weighing: Weighing, now_s: float, decision: Replan
) -> Verdict:
    chosen = decision.chosen
    wanted = spans_of(problem, chosen.placement)
    facts: dict[str, Any] = {
        "moves": chosen.moves,
        "gain": chosen.gain,
        "cost": chosen.cost,
        "reasons": list(decision.reasons),
    }
    if not decision.worth:
        calm = replace(state, candidate={}, seen=0)
        # Half of its time is over, and it is still what is wanted.
        if state.target and now_s > (state.issued_s + state.expires_s) / 2:
            return _acting("renew", calm, chosen.placement, facts, wanted, weighing)
        return Verdict(action="stay", state=calm, facts=facts)
    if wanted == state.target and state.expires_s > now_s:
        moving = {**facts, "reasons": ["servers are still moving"]}
        return Verdict(action="stay", state=state, facts=moving)
    seen = state.seen + 1 if wanted == state.candidate else 1
    state = replace(state, candidate=wanted, seen=seen)
    # What cannot stay is not made to wait.
    if seen < weighing.confirm and not decision.forced:
        return Verdict(
            action="confirm", state=state, facts={"seen": seen, "spans": wanted, **facts}
        )
    return _acting("publish", state, chosen.placement, facts, wanted, weighing)


def _acting(
    action: Action,
    state: State,
    placement: Placement,
    facts: Mapping[str, Any],
    wanted: Spans,
    weighing: Weighing,
) -> Verdict:
    return Verdict(
        action=action if weighing.publishes else "propose",
        state=state,
        placement=placement,
        facts={"spans": wanted, **facts},
    )


def live_placement(problem: Problem) -> Placement:
    """The spans that were read."""
    spans = [(s.pinned.start, s.pinned.end) if s.pinned else (0, 0) for s in problem.servers]
    return CostModel.of(problem).placed(spans)


def spans_of(problem: Problem, placement: Placement) -> Spans:
    """Id -> blocks ``[start, end)`` of every server that has some."""
    return {
        s.id: [int(placement.start[j]), int(placement.end[j])]
        for j, s in enumerate(problem.servers)
        if placement.num_blocks[j]
    }
