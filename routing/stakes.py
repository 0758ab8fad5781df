"""What a second counts of a request: the goals that the rule ``overlap`` can be asked for.

A goal is told by how much a second of the request counts before its first token and after it, and
by what a second of it will count to those who come later (``Stake``). docs/model.md 7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..core.errors import ScenarioError
from ..core.objective import FAIR, LATE, SLOW_DOWN, Goal
from ..core.problem import Deadlines
from ..core.workload import Request
from ..perfmodel.stake import LITTLE, Stake
from .api import SwarmView


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """What a second counts of a request that is being routed.

    Attributes
    ----------
    first, later : before its first token, and after it.
    stake : to those who are routed while it runs.
    """

    first: float = 1.0
    later: float = 1.0
    stake: Stake = field(default_factory=Stake)


#: Of a request, the swarm, and its time on the chain that is fastest alone: in which ways to look
#: for a chain. Where there are several, ``late_s`` decides among the chains found.
Caring = Callable[[Request, SwarmView, float], Sequence[Care]]

_ALIKE = (Care(),)
#: Weights are taken to this power: what a chain does to others is an estimate, and with the whole
#: weights a swarm of little load sends long requests out of the way of nobody.
DAMPED = 0.5


def every_second(request: Request, view: SwarmView, alone_s: float) -> Sequence[Care]:
    """Mean response: every second of everybody counts."""
    return _ALIKE


def slow_down(request: Request, view: SwarmView, alone_s: float) -> Sequence[Care]:
    """Mean slow-down: a second of a short request counts more."""
    weight = max(alone_s, 1e-9) ** -DAMPED
    return (Care(first=weight, later=weight, stake=Stake(weight=weight)),)


def fair(request: Request, view: SwarmView, alone_s: float) -> Sequence[Care]:
    """Every client's mean response as much as any other's: a client's sessions share one vote.

    The sum over clients of the logarithm of their mean response falls with a second less by
    1 / (rate * mean) of its client, and rate * mean is how many sessions it has (Little's law).
    """
    weight = (1.0 + view.count_of(request.client)) ** -DAMPED
    return (Care(first=weight, later=weight, stake=Stake(weight=weight)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeDeadlines:
    """Mean time beyond the deadlines; a second that breaks none counts little."""

    deadlines: Deadlines

    def __call__(self, request: Request, view: SwarmView, alone_s: float) -> Sequence[Care]:
        """Chains for whom it is late in everything, in one of the two, or in nothing."""
        stake = Stake(limit_s=self.deadlines.token_s)
        return [
            Care(first=first, later=later, stake=stake)
            for first, later in ((1.0, 1.0), (1.0, LITTLE), (LITTLE, 1.0), (LITTLE, LITTLE))
        ]

    def late_s(self, first_s: float, token_s: float, steps: int) -> float:
        """Time beyond the deadlines of a request that answers so, and a little of all of it."""
        whole_s = first_s + steps * token_s
        late_s = float(self.deadlines.late_s(first_s, token_s, steps))
        return LITTLE * whole_s + (1.0 - LITTLE) * late_s


def caring_of(goal: Goal, deadlines: Deadlines | None) -> Caring:
    """What seconds count for a goal.

    Raises
    ------
    ScenarioError
        Where deadlines are to be met and there are none.
    """
    if goal == SLOW_DOWN:
        return slow_down
    if goal == FAIR:
        return fair
    if goal != LATE:
        return every_second
    if deadlines is None:
        text = "there are none to be late by: give first_token_s, per_token_ms, or both"
        raise ScenarioError.single("planning.deadlines", text)
    return BeforeDeadlines(deadlines=deadlines)
