"""The highest rate that a swarm sustains: what no plan exceeds, and the best plan found for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..chains.capacity import most_per_s
from ..chains.sustain import Sustained, sustained
from ..core.names import Admission
from ..core.plan import Placement
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..placement.task import Task
from ..simulator.engine import simulate
from ..solve.deadline import Deadline
from ..workload.draw import draw_requests
from ..workload.load import at_load
from ..workload.mix import mix_of
from .candidates import entries
from .routers import router_named

#: Placements that are simulated, those whose chains carry most.
SIMULATED = 3
#: Requests of a run; it holds a rate when less than this share of them piles up after a third.
REQUESTS, PILED = 4_000, 0.015
#: Rates are sought from this share of what the chains carry on, to that share of it.
LEAST, FINENESS = 0.6, 0.03
#: Offset of the seeds of these requests from those of reports.
SEED_OFFSET = 8_765_432
#: Of the time limit: after this share no placement is made, after that no flow computed.
PLACEMENTS_SHARE, FLOWS_SHARE = 0.3, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A placement and what it carries.

    Attributes
    ----------
    carried : the most that its chains carry in a steady flow.
    held_per_s : the highest rate tried at which nothing piled up in simulation; 0 = none that is
        above those of placements before it; None = not simulated.
    """

    name: str
    placement: Placement
    router: str
    carried: Sustained
    held_per_s: float | None = None

    @property
    def found_per_s(self) -> float:
        """What is known to be sustained."""
        return self.held_per_s or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much a swarm sustains.

    Attributes
    ----------
    load_per_s : what the scenario asks for.
    most_per_s : what no plan and no router exceeds.
    carriers : placements tried, the best first.
    requests : of every simulated run.
    """

    load_per_s: float
    most_per_s: float
    carriers: tuple[Carrier, ...]
    requests: int = REQUESTS

    @property
    def best(self) -> Carrier:
        """The placement that sustains most."""
        return self.carriers[0]


def capacity(task: Task, *, admission: Admission = "retry") -> Capacity:
    """The bound, and the placements of ``auto``'s portfolio by what they sustain.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no placement can be made.
    """
    cost, problem = task.cost, task.problem
    mix = mix_of(problem)
    found = entries(replace(task, deadline=task.deadline.share(PLACEMENTS_SHARE)))
    serial = bool(cost.serial.any())
    flows = task.deadline.share(FLOWS_SHARE)
    carriers = [
        Carrier(
            name=e.plan.name,
            placement=e.plan.placement,
            router="overlap" if serial else e.routers[0],
            carried=sustained(cost, e.plan.placement, mix),
        )
        for i, e in enumerate(found)
        if not i or not flows.passed
    ]
    carriers.sort(key=lambda c: -c.carried.rate_per_s)
    best = 0.0
    for i, carrier in enumerate(carriers[:SIMULATED]):
        if (i and task.deadline.passed) or not problem.workload.rate_per_s:
            break
        holds = _holding(problem, carrier, admission, task.seed)
        held = _highest(carrier.carried.rate_per_s, best, holds, task.deadline)
        carriers[i] = replace(carrier, held_per_s=held)
        best = max(best, held)
    return Capacity(
        load_per_s=problem.workload.rate_per_s,
        most_per_s=most_per_s(cost, mix),
        carriers=tuple(sorted(carriers, key=lambda c: -c.found_per_s)),
    )


def _highest(
    carried_per_s: float, beaten_per_s: float, holds: Callable[[float], bool], deadline: Deadline
) -> float:
    """The highest rate that holds, by bisection below what is carried; 0 if none beats others."""
    low, high = max(LEAST * carried_per_s, beaten_per_s), carried_per_s
    if beaten_per_s and (low >= high or not holds(low)):
        return 0.0
    known = beaten_per_s
    while high - low > FINENESS * carried_per_s and not deadline.passed:
        middle = 0.5 * (low + high)
        if holds(middle):
            low = known = middle
        else:
            high = middle
    if not known and holds(low):
        known = low
    return known


def _holding(
    problem: Problem, carrier: Carrier, admission: Admission, seed: int
) -> Callable[[float], bool]:
    """Whether a rate can be sustained: in a long run no requests pile up.

    They come at even distances: what is sustained in the long run is the same for every process of
    arrivals, and what a short run piles up by chance is least for this one.
    """
    drawn = draw_requests(problem, SEED_OFFSET + seed, num_requests=REQUESTS)

    def holds(rate_per_s: float) -> bool:
        asked = at_load(problem, rate_per_s / problem.workload.rate_per_s)
        cost = CostModel.of(asked)
        requests = [replace(r, arrival_s=i / rate_per_s) for i, r in enumerate(drawn)]
        result = simulate(
            asked,
            carrier.placement,
            router_named(carrier.router)(cost, carrier.placement),
            requests,
            admission=admission,
            horizon_s=requests[-1].arrival_s,
        )
        return piled(result.arrival_s, result.finish_s) <= PILED

    return holds


def piled(arrival_s: Sequence[float] | np.ndarray, finish_s: Sequence[float] | np.ndarray) -> float:
    """Requests that stay, for each that arrives: slope of those in the swarm after a third."""
    arrival, finish = np.sort(arrival_s), np.sort(finish_s)  # who has not finished comes last
    present = np.arange(len(arrival)) - np.searchsorted(finish, arrival)
    third = len(arrival) // 3
    after = np.arange(third, len(arrival))
    return float(np.polyfit(after, present[third:], 1)[0]) if len(after) > 1 else 0.0
