"""Chain composition: the best plan by a closed-form bound on the mean response.

GBP-CR over its capacity c, CG-BP and whole-model hosting, each with the chains that GCA finds on
it, compared by the bounds of ``chains.bounds``; docs/model.md 10.6. The published method
chooses among GBP-CR's c only; putting the other placements beside it is swarmplan's own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...chains.bounds import response_bounds
from ...chains.compose import Chain, bearable_per_s, gca
from ...core.errors import HeuristicFailedError, SwarmplanWarning
from ...core.plan import Placement
from ...perfmodel.cost import CostModel
from ...solve.deadline import Deadline
from ..task import Task
from .cg_bp import place_blocks, require_memory
from .gbp_cr import gbp_cr, max_capacity
from .tiers import best_tiers
from .whole_model import whole_model

#: A name, and how to place for a number of sessions.
Way = tuple[str, Callable[[CostModel, int], Placement]]
#: Above this many servers the search over capacities is thinned out.
MANY_SERVERS = 300
#: So many of the best capacities are tried in tiers too, beside a grid.
ALSO_IN_TIERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPlan:
    """A placement with its chains and what the theory says of them.

    Attributes
    ----------
    name : how the placement was made.
    rate_per_s : highest load the chains sustain, in caches and in compute.
    lower_s, upper_s : bounds on the mean response of JFFC at the workload's rate; infinite when
        the chains do not sustain it.
    """

    name: str
    placement: Placement
    chains: tuple[Chain, ...]
    rate_per_s: float
    lower_s: float
    upper_s: float


def chain_plan(cost: CostModel, placement: Placement, name: str) -> ChainPlan:
    """GCA on a placement, with the bounds at the workload's rate."""
    chains = gca(cost, placement)
    lower, upper = response_bounds(
        [1.0 / c.service_time_s for c in chains],
        [c.capacity for c in chains],
        cost.problem.workload.rate_per_s,
    )
    return ChainPlan(
        name=name,
        placement=placement,
        chains=chains,
        rate_per_s=bearable_per_s(cost, chains),
        lower_s=lower,
        upper_s=upper,
    )


def chain_plans(task: Task) -> tuple[ChainPlan, ...]:
    """Plans of GBP-CR over c, CG-BP over R and whole-model hosting, each with GCA, best first.

    Ordered by the lower bound on the mean response, then by the load sustained. GBP-CR is taken
    twice, as published (spare servers idle) and with all servers placed. All values of c are
    tried on small swarms, a geometric grid and the neighbourhood of its best on large ones. After
    the task's deadline the plans found so far must do.

    Raises
    ------
    InfeasibleError
        If all memory together cannot hold the model with one session.
    HeuristicFailedError
        If no placement tried has a chain.
    """
    cost, count = task.cost, task.problem.num_servers
    require_memory(cost)
    search = _Search(cost, task.deadline)
    search.evaluate("whole-model", lambda: whole_model(task))
    most = max_capacity(cost)
    steps = min(most, 48, max(12, 9600 // count))
    if most == steps:
        for c in range(1, most + 1):
            search.badness(c, search.ways)
    else:
        grid = sorted({round(c) for c in np.geomspace(1, most, steps)})
        # Large swarms take long: one way tells which capacities are worth trying in all.
        ways = search.ways if count <= MANY_SERVERS else search.ways[1:2]
        # Every other value first, so that a search cut short has still seen the whole range.
        seen = {c: search.badness(c, ways) for c in (*grid[1::2], *grid[::2])}
        best = grid.index(min(grid, key=seen.__getitem__))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        near = 8 if count <= MANY_SERVERS else 5
        for c in np.unique(np.linspace(low, high, near).round().astype(int)).tolist():
            search.badness(c, search.ways)
    for tiers in best_tiers(cost, also=search.best_capacities(), deadline=task.deadline):
        search.evaluate(tiers.name, partial(tiers.placement, cost))
    if not search.plans:
        raise HeuristicFailedError(
            "no placement tried (GBP-CR, CG-BP, whole-model) has a chain with room for a session; "
            "no proof that no plan exists: try the exact method"
        )
    return tuple(sorted(search.plans.values(), key=_badness))


def _badness(plan: ChainPlan) -> tuple[float, float]:
    return (plan.lower_s, -plan.rate_per_s)


class _Search:
    """The plans evaluated so far, by spans: many values of c give the same placement."""

    def __init__(self, cost: CostModel, deadline: Deadline) -> None:
        self._cost = cost
        self._deadline = deadline
        self.plans: dict[bytes, ChainPlan] = {}
        self._seen: dict[int, tuple[float, float]] = {}

    def evaluate(self, name: str, make: Callable[[], Placement]) -> ChainPlan | None:
        """The plan of one placement; None when it cannot be made or has no chain."""
        try:
            with warnings.catch_warnings():
                # Servers too small for this candidate are no news about the plan that wins.
                warnings.simplefilter("ignore", SwarmplanWarning)
                placement = make()
        except HeuristicFailedError:
            return None
        key = placement.start.tobytes() + placement.end.tobytes()
        if key not in self.plans:
            plan = chain_plan(self._cost, placement, name)
            if not plan.chains:
                return None
            self.plans[key] = plan
        return self.plans[key]

    def badness(self, sessions: int, ways: Sequence[Way]) -> tuple[float, float]:
        """Of the best plan that these ways find for this many sessions; infinite when late."""
        if self.plans and self._deadline.passed:
            return (np.inf, 0.0)
        made = (
            self.evaluate(name.format(sessions), partial(place, self._cost, sessions))
            for name, place in ways
        )
        least = min((_badness(plan) for plan in made if plan is not None), default=(np.inf, 0.0))
        self._seen[sessions] = least
        return least

    def best_capacities(self) -> list[int]:
        """The numbers of sessions that gave the best plans so far, best first."""
        return sorted(self._seen, key=self._seen.__getitem__)[:ALSO_IN_TIERS]

    ways: tuple[Way, ...] = (
        ("gbp-cr c={}", gbp_cr),
        ("gbp-cr c={}, no spares", partial(gbp_cr, load=None)),
        ("cg-bp R={}", place_blocks),
    )


def composed(task: Task) -> Placement:
    """Placement of the plan with the least lower bound; errors as ``chain_plans``.

    Meant for the JFFC router and the queue admission.
    """
    return chain_plans(task)[0].placement
