"""What a planner is asked to do: R sessions of a problem, a goal, a limit. R is settled once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.objective import STEP, Goal
from ..core.problem import Problem
from ..core.workload import Demand
from ..perfmodel.cost import CostModel
from ..solve.deadline import NEVER, Deadline
from ..solve.progress import OnProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One job for a placement rule, a solver or a whole method.

    Attributes
    ----------
    cost : what everything costs.
    sessions : concurrent sessions R to leave memory for.
    demand : those sessions, client by client.
    goal : what is asked for; rules that know one goal only ignore it.
    deadline : when to come to an end.
    gap : relative gap at which a proof is good enough.
    seed : of everything random.
    on_progress : called now and then.
    """

    cost: CostModel
    sessions: int
    demand: tuple[Demand, ...]
    goal: Goal = STEP
    deadline: Deadline = NEVER
    gap: float = 1e-4
    seed: int = 0
    on_progress: OnProgress | None = None

    @property
    def is_open(self) -> bool:
        """Whether precisions or wires are to be chosen, or budgets of accuracy to be kept."""
        return self.problem.chooses_hosting or self.cost.budgeted

    @property
    def problem(self) -> Problem:
        """The problem that the costs belong to."""
        return self.cost.problem

    def on(self, problem: Problem) -> Task:
        """The same for another problem, where sessions last as long as here."""
        return replace(self, cost=CostModel.of(problem).lasting(self.cost.lasting_s))
