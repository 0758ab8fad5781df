"""The interfaces of placement rules and of solvers, which route and prove as well."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ..core.plan import Certificate, Placement, PlannedRoute
from .task import Task


class Rule(Protocol):
    """Decides which server hosts which blocks."""

    def __call__(self, task: Task) -> Placement:
        """A placement that fits every server's memory and covers every block.

        Raises
        ------
        InfeasibleError
            With the reason, when it is proven that no placement exists.
        HeuristicFailedError
            When this rule finds none.
        """
        ...


class Solution(NamedTuple):
    """Who hosts what, the chains of all planned sessions, what is proven."""

    placement: Placement
    routes: tuple[PlannedRoute, ...]
    certificate: Certificate


class Solver(Protocol):
    """Finds placement and routes of R concurrent sessions together, at least total step time."""

    def __call__(self, task: Task, *, warm_start: Placement | None = None) -> Solution:
        """The best plan until the deadline; after Ctrl-C the best so far, marked as interrupted.

        Raises
        ------
        InfeasibleError
            When it is proven that no plan exists.
        NoSolutionInTimeError
            When the limit passes without any plan.
        """
        ...
