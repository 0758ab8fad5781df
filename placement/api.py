"""The interfaces of placers and of solvers, which route and prove as well."""

from __future__ import annotations

from typing import Protocol

from ..core.plan import Certificate, Placement, PlannedRoute
from ..core.problem import Problem
from ..solve.progress import OnProgress

#: What a solver returns: who hosts what, the chains of all planned sessions, what is proven.
Solution = tuple[Placement, tuple[PlannedRoute, ...], Certificate]


class Placer(Protocol):
    """Decides which server hosts which blocks."""

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        """A placement that fits every server's memory and covers every block.

        Raises
        ------
        InfeasibleError
            With the reason, when it is proven that no placement exists.
        HeuristicFailedError
            When this method finds none.
        """
        ...


class Solver(Protocol):
    """Finds placement and routes of R concurrent sessions together, at least total step time."""

    def __call__(
        self,
        problem: Problem,
        *,
        time_limit_s: float | None = None,
        gap: float = 1e-4,
        seed: int = 0,
        warm_start: Placement | None = None,
        on_progress: OnProgress | None = None,
    ) -> Solution:
        """The best plan within the limit. After Ctrl-C the best so far, and the certificate's
        method says "interrupted".

        Raises
        ------
        InfeasibleError
            When it is proven that no plan exists.
        NoSolutionInTimeError
            When the limit passes without any plan.
        """
        ...
