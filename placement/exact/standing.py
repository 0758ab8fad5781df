"""How far a run of the exact method is: the best plan, the best bound and its source, the time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from ...core.errors import InfeasibleError, NoSolutionInTimeError
from ...core.objective import Objective
from ...core.plan import Certificate
from ...perfmodel.predict import step_goal
from ...solve.deadline import Deadline
from ...solve.progress import Progress
from ..api import Solution
from ..task import Task
from .incumbent import Incumbent

#: What is assumed under server relay, where order is not looked at.
CHEAPEST_LEGS = " on the cheapest legs"
#: Sums in another order differ by this much, relative.
SAME = 1e-9
#: Shares of no limit are shares of this.
FOREVER_S = 1e6


@dataclass(slots=True, kw_only=True)
class Standing:
    """The best plan, the best bound and where it came from (mutable: the record of a run).

    Attributes
    ----------
    source : what gave the bound, with what it ``assumed``.
    floor_s : the first bound, that of all servers alone.
    """

    task: Task
    began: float = field(default_factory=time.monotonic)
    bound_s: float = 0.0
    floor_s: float = 0.0
    source: str = ""
    assumed: str = ""
    interrupted: bool = False
    incumbent: Incumbent = field(init=False)
    limit_s: float = field(init=False)

    def __post_init__(self) -> None:
        if self.task.cost.relaying.pairs:
            self.assumed = CHEAPEST_LEGS
        self.incumbent = Incumbent(self.task)
        self.limit_s = self.task.deadline.left_s()

    def left_s(self, share: float = 1.0) -> float:
        """Seconds until the limit, or a share of the whole limit if that is less."""
        return min(share * min(self.limit_s, FOREVER_S), self.task.deadline.left_s())

    def part(self, share: float) -> Deadline:
        """A deadline after this share of the whole limit, or at the limit if that is earlier."""
        return Deadline.after(self.left_s(share))

    def raise_bound(self, bound_s: float, source: str) -> None:
        """Take a better bound."""
        if bound_s > self.bound_s * (1.0 + 1e-12):
            self.bound_s, self.source = bound_s, source + self.assumed
            self.floor_s = self.floor_s or bound_s
        self.tell()

    def tell(self) -> None:
        """Report where plan and bound stand."""
        if self.task.on_progress is not None:
            elapsed_s = time.monotonic() - self.began
            self.task.on_progress(Progress(elapsed_s=elapsed_s, objective=self.objective()))

    def objective(self) -> Objective:
        """Value and bound as they stand."""
        reached = self.incumbent.objective_s
        return Objective(
            goal=step_goal(self.task.demand),
            value=reached if np.isfinite(reached) else None,
            bound=min(self.bound_s, reached),
        )

    def done(self) -> bool:
        """Whether plan and bound meet, or the time is over."""
        return self.met() or self.left_s() <= 0

    def met(self) -> bool:
        """Whether plan and bound meet within the gap."""
        reached = self.incumbent.objective_s
        return self.incumbent.plan is not None and (
            reached - self.bound_s <= (self.task.gap + SAME) * reached
        )

    @property
    def target_s(self) -> float:
        """A plan this good meets the bound."""
        return self.bound_s * (1.0 + self.task.gap)

    def went_on(self, interrupted: bool) -> None:
        """Tell how far it is; Ctrl-C in a part, which kept what it had, ends the whole."""
        self.tell()
        if interrupted:
            raise KeyboardInterrupt

    def refuse(self, source: str) -> NoReturn:
        """Say that no plan exists, and what proved it."""
        raise InfeasibleError(
            f"exact: proven infeasible ({source}): no placement serves all "
            f"{sum(d.sessions for d in self.task.demand)} sessions within the servers' memory"
            f"{self._demands()}; plan for fewer or shorter sessions, or add servers"
        )

    def _demands(self) -> str:
        asked = self.task.problem.planning.constraints
        return " and what is asked of who hosts what" if asked.shapes_placement else ""

    def solution(self) -> Solution:
        """The best plan and what is proven about it."""
        if self.incumbent.plan is None:
            if self.interrupted:
                raise KeyboardInterrupt
            raise NoSolutionInTimeError(
                f"exact: no plan within {self.task.deadline.limit_s:g} s; no plan is better than "
                f"{self.bound_s:.6g} s ({self.source}); give more time or plan for fewer sessions",
                bound=self.bound_s,
            )
        placement, routes = self.incumbent.plan
        certificate = Certificate(
            objective=self.objective(),
            proof=self.source,
            interrupted=self.interrupted,
        )
        return Solution(placement, routes, certificate)
