"""How well placements and routers do on the same requests: what ``auto`` compares them by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.content import FloatArray
from ..core.names import Admission
from ..core.objective import P95_RESPONSE, Goal
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..routing.api import Router
from ..simulator.engine import simulate
from ..simulator.metrics import WARM_UP

if TYPE_CHECKING:
    from ..simulator.rehearsal import Rehearsal

#: The router and the waiting rule that are compiled into one whole run.
REHEARSED: tuple[str, Admission] = ("overlap", "retry")
#: Makes the router of a name for a placement.
MakeRouter = Callable[[str, Placement], Router]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of the requests that count: the first ones find an empty swarm.

    Attributes
    ----------
    figure_s : what the goal looks at, of those that were served; nan where none was.
    unserved : how many were not.
    """

    figure_s: float
    unserved: int


class Judge:
    """Runs of the same requests; the common pair of router and waiting rule is rehearsed."""

    def __init__(
        self,
        cost: CostModel,
        requests: Sequence[Request],
        *,
        router: MakeRouter,
        admission: Admission,
        goal: Goal,
    ) -> None:
        self._cost, self._requests, self._router = cost, requests, router
        self._admission, self._goal = admission, goal
        self._rehearsal: Rehearsal | None = None

    def __call__(self, placement: Placement, router: str) -> Judged:
        """How a placement does with the router of a name."""
        return judged(self.response_s(placement, router), self._goal)

    def response_s(self, placement: Placement, router: str) -> FloatArray:
        """(R,) responses in order of arrival, nan where a request was not served."""
        if (router, self._admission) == REHEARSED and self.rehearsal is not None:
            return self.rehearsal(placement).response_s
        made = self._router(router, placement)
        found = simulate(
            self._cost.problem, placement, made, self._requests, admission=self._admission
        )
        ordered: FloatArray = found.response_s[np.argsort(found.arrival_s, kind="stable")]
        return ordered

    @property
    def rehearsal(self) -> Rehearsal | None:
        """The compiled run of these requests; None where there is none."""
        from ..simulator.rehearsal import Rehearsal, can_rehearse  # numba takes a while to load

        if self._rehearsal is None and can_rehearse(self._cost, self._requests):
            self._rehearsal = Rehearsal(self._cost, self._requests)
        return self._rehearsal


def judged(response_s: FloatArray, goal: Goal) -> Judged:
    """The figure of (R,) responses in order of arrival, nan where a request was not served."""
    counted = response_s[int(len(response_s) * WARM_UP) :]
    served = counted[~np.isnan(counted)]
    if not len(served):
        return Judged(figure_s=float("nan"), unserved=len(counted))
    figure = np.quantile(served, 0.95) if goal == P95_RESPONSE else served.mean()
    return Judged(figure_s=float(figure), unserved=len(counted) - len(served))
