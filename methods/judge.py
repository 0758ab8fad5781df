"""How well placements and routers do on the same requests: what ``auto`` compares them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..chains.capacity import most_planned_per_s
from ..core.content import FloatArray, frozen_array
from ..core.names import Admission
from ..core.objective import P95_RESPONSE, Goal
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..placement.task import Task
from ..simulator.engine import simulate
from ..simulator.metrics import WARM_UP
from ..simulator.result import SimulationResult
from ..workload.draw import draw_requests
from .draft import Settings
from .hurried import Patience
from .routers import router_named

if TYPE_CHECKING:
    from ..simulator.rehearsal import Rehearsal

#: The router and the waiting rule that are compiled into one whole run.
REHEARSED: tuple[str, Admission] = ("overlap", "retry")
#: From this share of what is sustained at all on requests have to be more by such a factor: an
#: empty swarm hides for long that they pile up.
BUSY, MORE = 0.85, 4


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
        admission: Admission,
        goal: Goal,
    ) -> None:
        self._cost, self._requests = cost, requests
        self._admission, self._goal = admission, goal
        self._rehearsal: Rehearsal | None = None

    def __call__(self, placement: Placement, router: str) -> Judged:
        """How a placement does with the router of a name."""
        return judged(self.response_s(placement, router), self._goal)

    def response_s(
        self, placement: Placement, router: str, patience: Patience | None = None
    ) -> FloatArray:
        """(R,) responses in order of arrival, nan where a request was not served.

        Parameters
        ----------
        patience : when a run that is not compiled is given up.

        Raises
        ------
        GivenUpError
            If it was.
        """
        if (router, self._admission) == REHEARSED and self.rehearsal is not None:
            return self.rehearsal(placement).response_s
        found = self._simulated(placement, router, patience)
        ordered: FloatArray = found.response_s[np.argsort(found.arrival_s, kind="stable")]
        return ordered

    def share(self, placement: Placement, router: str) -> FloatArray:
        """(n,) share of the served requests whose chain passes each server."""
        if (router, self._admission) == REHEARSED and self.rehearsal is not None:
            return self.rehearsal.share(placement)
        passed = np.zeros(self._cost.problem.num_servers)
        routes = [r for r in self._simulated(placement, router).routes if r is not None]
        for route in routes:
            passed[list(route.servers)] += 1
        return frozen_array(passed / max(1, len(routes)), np.float64)

    def _simulated(
        self, placement: Placement, router: str, patience: Patience | None = None
    ) -> SimulationResult:
        make = router_named(router)
        made = (patience.with_router(make) if patience else make)(self._cost, placement)
        return simulate(
            self._cost.problem, placement, made, self._requests, admission=self._admission
        )

    @property
    def rehearsal(self) -> Rehearsal | None:
        """The compiled run of these requests; None where there is none."""
        from ..simulator.rehearsal import Rehearsal, can_rehearse  # numba takes a while to load

        if self._rehearsal is None and can_rehearse(self._cost, self._requests):
            self._rehearsal = Rehearsal(self._cost, self._requests)
        return self._rehearsal


def judge_for(task: Task, settings: Settings, first_seed: int, number: int, count: int) -> Judge:
    """A judge by so many requests that no other part of a search meets, nor a comparison.

    Parameters
    ----------
    first_seed, number : of the part, and of the run in it.
    """
    seed = first_seed + number + task.seed
    requests = draw_requests(task.problem, seed, num_requests=count)
    return Judge(task.cost, requests, admission=settings.admission, goal=task.goal)


def judged(response_s: FloatArray, goal: Goal) -> Judged:
    """The figure of (R,) responses in order of arrival, nan where a request was not served."""
    counted = response_s[int(len(response_s) * WARM_UP) :]
    return Judged(figure_s=figure_of(counted, goal), unserved=int(np.isnan(counted).sum()))


def figure_of(response_s: FloatArray, goal: Goal) -> float:
    """What the goal looks at of responses, nan where a request was not served; nan without any."""
    served = response_s[~np.isnan(response_s)]
    if not len(served):
        return float("nan")
    return float(np.quantile(served, 0.95) if goal == P95_RESPONSE else served.mean())


def requests_needed(cost: CostModel) -> int:
    """How many times as many requests it takes to tell plans apart at the problem's load.

    Where more comes than is sustained at all they pile up in any plan: then it takes no more.
    """
    share = cost.problem.workload.rate_per_s / most_planned_per_s(cost)
    return MORE if BUSY <= share <= 1.0 else 1
