"""The highest rate that a swarm sustains: what no plan exceeds, and the best plan found for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..chains.capacity import most_per_s
from ..chains.sustain import Sustained, sustained
from ..core.errors import HeuristicFailedError
from ..core.names import Admission
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.workload import Mix
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
#: Rates are sought from this share of what the chains carry on, to that share of it; where bursts
#: pile up even so, down to the last one.
LEAST, FINENESS, LOWEST = 0.6, 0.03, 0.01
#: Offset of the seeds of these requests from those of reports.
SEED_OFFSET = 8_765_432
#: Flows are computed for this share of the time limit, and placements made for that share of it.
PLACEMENTS_SHARE, FLOWS_SHARE = 0.6, 0.5


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

    Where servers may choose their precision the portfolio is made at the choices of which CG-BP's
    placement carries most.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no placement can be made.
    """
    cost, problem = task.cost, task.problem
    mix = mix_of(problem)
    carriers: list[Carrier] = []
    choices = _choices(task, mix)
    for i, settled in enumerate(choices):
        share = 1.0 / (len(choices) - i)
        carriers += _carriers(replace(settled, deadline=task.deadline.share(FLOWS_SHARE * share)),
                              mix)  # fmt: skip
    carriers.sort(key=lambda c: -c.carried.rate_per_s)
    if problem.chooses_adapters:
        carriers = _adapted(task, carriers, mix)
    best = 0.0
    for i, carrier in enumerate(carriers[:SIMULATED]):
        if (i and task.deadline.passed) or not problem.workload.rate_per_s:
            break
        holds = _holding(problem, carrier, admission, task.seed)
        held = highest(carrier.carried.rate_per_s, best, holds, task.deadline)
        carriers[i] = replace(carrier, held_per_s=held)
        best = max(best, held)
    return Capacity(
        load_per_s=problem.workload.rate_per_s,
        most_per_s=most_per_s(cost, mix),
        carriers=tuple(sorted(carriers, key=lambda c: -c.found_per_s)),
    )


def _choices(task: Task, mix: Mix) -> list[Task]:
    """The task in the ways to host that promise most; as it is where there is no choice."""
    if not task.problem.chooses_hosting:
        return [task]
    from .precision import promising  # HiGHS is slow to load

    return promising(task, lambda t, d: sustained(t.cost, d.placement, mix).rate_per_s)


def _carriers(task: Task, mix: Mix) -> list[Carrier]:
    """The portfolio at fixed precisions, and what its placements carry."""
    made = entries(replace(task, deadline=task.deadline.share(PLACEMENTS_SHARE)))
    serial = bool(task.cost.serial.any())
    return [
        Carrier(
            name=e.plan.name,
            placement=e.plan.placement,
            router="overlap" if serial else e.routers[0],
            carried=sustained(task.cost, e.plan.placement, mix),
        )
        for i, e in enumerate(made)
        if not i or not task.deadline.passed
    ]


def _adapted(task: Task, carriers: Sequence[Carrier], mix: Mix) -> list[Carrier]:
    """The first carriers with adapters on their servers, by what they carry then.

    Raises
    ------
    HeuristicFailedError
        If no placement leaves memory for them.
    """
    from .adapters import with_loads  # HiGHS is slow to load

    found: list[Carrier] = []
    for carrier in carriers:
        settled = replace(task, cost=CostModel.of(carrier.placement.settled(task.problem)))
        placement = with_loads(settled, carrier.placement)
        if placement is not None:
            cost = CostModel.of(placement.settled(task.problem))
            carried = sustained(cost, placement, mix)
            found.append(replace(carrier, placement=placement, carried=carried))
        if len(found) == SIMULATED or (found and task.deadline.passed):
            break
    if not found:
        raise HeuristicFailedError(
            "no placement leaves memory for the adapters, which proves nothing: plan for fewer or "
            "shorter sessions, or add servers"
        )
    return sorted(found, key=lambda c: -c.carried.rate_per_s)


def highest(
    carried_per_s: float, beaten_per_s: float, holds: Callable[[float], bool], deadline: Deadline
) -> float:
    """The highest rate that holds, by bisection below what is carried; 0 if none beats others.

    Parameters
    ----------
    beaten_per_s : what another placement holds; from there on down nothing is tried.
    """
    low, high = max(LEAST * carried_per_s, beaten_per_s), carried_per_s
    while low >= high or not holds(low):
        if beaten_per_s or low < LOWEST * carried_per_s or deadline.passed:
            return 0.0
        low, high = 0.5 * low, low
    while high - low > FINENESS * carried_per_s and not deadline.passed:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _holding(
    problem: Problem, carrier: Carrier, admission: Admission, seed: int
) -> Callable[[float], bool]:
    """Whether a rate can be sustained: in a long run no requests pile up.

    They come at even distances: what is sustained in the long run is the same for every process of
    arrivals, and what a short run piles up by chance is least for this one.
    """
    drawn = draw_requests(problem, SEED_OFFSET + seed, num_requests=REQUESTS)

    def holds(rate_per_s: float) -> bool:
        hosted = carrier.placement.settled(problem)
        asked = at_load(hosted, rate_per_s / problem.workload.rate_per_s)
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
