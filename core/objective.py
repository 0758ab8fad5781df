"""What a plan is judged by: a goal, how well it is met, and what is proven about that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .names import Aim, Metric, Quality

GoalId = Literal["mean-response", "p95-response", "step", "weighted-step", "throughput"]
#: Of routers and comparisons, not of plans.
ServiceId = Literal["slow-down", "late", "fair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is minimised or maximised.

    Attributes
    ----------
    words : the figure in a few words.
    """

    id: GoalId | ServiceId
    unit: str
    direction: Literal["min", "max"]
    words: str


MEAN_RESPONSE = Goal(id="mean-response", unit="s", direction="min", words="mean simulated response")
P95_RESPONSE = Goal(
    id="p95-response", unit="s", direction="min", words="95th percentile of the simulated response"
)
STEP = Goal(
    id="step",
    unit="s/token",
    direction="min",
    words="time per output token, summed over the planned sessions",
)
WEIGHTED_STEP = Goal(
    id="weighted-step",
    unit="s",
    direction="min",
    words="step time weighted by tokens, summed over the planned sessions",
)
THROUGHPUT = Goal(
    id="throughput",
    unit="requests/s",
    direction="max",
    words="requests served in simulation while everything is full",
)
SLOW_DOWN = Goal(
    id="slow-down",
    unit="",
    direction="min",
    words="mean slow-down: the response over the least that any plan could give",
)
LATE = Goal(id="late", unit="s", direction="min", words="mean time beyond the deadlines")
FAIR = Goal(
    id="fair",
    unit="s",
    direction="min",
    words="geometric mean over clients of their mean response",
)
#: What plans are made for.
GOALS: dict[str, Goal] = {
    g.id: g for g in (MEAN_RESPONSE, P95_RESPONSE, STEP, WEIGHTED_STEP, THROUGHPUT)
}


#: What service is judged by.
SERVICE: dict[Quality, Goal] = {
    "mean": MEAN_RESPONSE,
    "p95": P95_RESPONSE,
    "slow-down": SLOW_DOWN,
    "late": LATE,
    "fair": FAIR,
}


def goal_of(aim: Aim, metric: Metric) -> Goal:
    """The goal that a user asks for."""
    if aim == "response":
        return P95_RESPONSE if metric == "p95" else MEAN_RESPONSE
    return STEP if aim == "latency" else THROUGHPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A goal with the value reached and what no plan can beat, in its unit; None = not known."""

    goal: Goal
    value: float | None = None
    bound: float | None = None

    @property
    def gap(self) -> float | None:
        """Distance of value and bound relative to the value, at least 0; None when not known.

        A value of 0 that is not the best has no gap either.
        """
        if self.value is None or self.bound is None:
            return None
        ahead = self.value - self.bound if self.goal.direction == "min" else self.bound - self.value
        if self.value == 0:
            return 0.0 if ahead <= 0 else None
        return max(0.0, ahead / self.value)
