"""The one interface of every placer."""

from __future__ import annotations

from typing import Protocol

from ..core.plan import Placement
from ..core.problem import Problem


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
