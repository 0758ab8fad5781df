"""Layouts of stages by annealing with restarts, as the fluid model rates them.

Memory, speed and links decide together there: how many servers share a span, where a request
changes region, how long spans are for the cache that is left beside them. docs/model.md 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from ..chains.compose import client_shares
from ..core.content import IntArray
from ..core.plan import Placement
from ..perfmodel.fluid import FIGURES, beyond, stages_of
from ..solve.deadline import Deadline
from .task import Task

if TYPE_CHECKING:
    from ..perfmodel.stages import Stages

#: Steps of a restart, and restarts at most.
STEPS, RESTARTS = 40_000, 400
#: Steps between two looks at the clock, and seconds that so many take at most, about.
STRETCH, STRETCH_S = 10_000, 0.25
#: A step takes so many seconds for each pair of servers, about; on swarms so large that fewer runs
#: than these would cool down within the limit, they have fewer steps.
STEP_S, COOLED = 1e-8, 8
#: Temperatures, as shares of the best rate that a restart begins with. Which one a swarm likes to
#: begin with differs tenfold, so restarts take turns at so many between the two.
HOT, MILD, COLD = 0.03, 0.002, 0.0003
TURNS = 5
#: The best layouts are annealed again in so many times the steps, so many times each at most.
LONGER, TIMES = 5, 4
#: Shares of the time until which layouts are drawn, restarts run; the rest is for the best again.
DRAWN_SHARE, FIRST_SHARE = 0.1, 0.5
#: Share of their limits at which servers are filled to begin with.
FILLED = 0.75
#: Share of the restarts that begin with branches.
BRANCHED = 0.5
#: Layouts that are kept.
KEPT = 8
#: Threads that anneal: the compiled part lets others run.
THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A placement and the rate that the fluid model gives it, requests per second."""

    placement: Placement
    rate_per_s: float


def annealed(
    task: Task,
    *,
    rated: bool = False,
    restarts: int = RESTARTS,
    steps: int = STEPS,
    kept: int = KEPT,
) -> tuple[Layout, ...]:
    """The best layouts found until the task's deadline, the best first; empty when none is found.

    Restarts begin from stages in a random order of regions; then the best layouts are annealed
    again, longer. Servers that no request passes stay idle.

    Parameters
    ----------
    rated : whether requests will be dealt by a largest flow of ratings.
    restarts, steps : at most, fewer for small problems; where the deadline does not come first the
        result can be repeated.
    """
    if beyond(task.cost):
        return ()
    g = stages_of(task.cost, client_shares(task.problem))
    size = task.problem.num_servers * task.cost.num_blocks
    restarts = min(restarts, 4 + 8 * task.problem.num_servers)
    steps = min(steps, 30 * size, affordable(task))
    seeds = np.random.SeedSequence(task.seed).spawn(2)
    starts = _drawn(g, rated, _generators(seeds[0], restarts), task.deadline.share(DRAWN_SHARE))
    scale = max((run.rate_per_s for run in starts), default=0.0)
    first = task.deadline.share(FIRST_SHARE)
    runs = _annealed(g, rated, starts, steps, scale, seeds[0], first)
    again = [run for _ in range(TIMES) for run in _distinct(runs)[:kept]]
    runs += _annealed(g, rated, again, LONGER * steps, scale, seeds[1], task.deadline)
    used = _distinct([_used(g, rated, run) for run in _distinct(runs)[:kept]])
    return tuple(
        Layout(
            placement=task.cost.placed(
                list(zip(run.start.tolist(), run.end.tolist(), strict=True))
            ),
            rate_per_s=run.rate_per_s,
        )
        for run in used
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """Spans of all servers, and the rate that the fluid model gives them."""

    start: IntArray
    end: IntArray
    rate_per_s: float

    @classmethod
    def of(cls, g: Stages, rated: bool, spans: tuple[IntArray, IntArray]) -> _Run:
        """The rate of some spans."""
        from ..perfmodel.steady import sustains

        rate = float(sustains(g, *spans, rated, np.zeros(FIGURES), 0.0))
        return cls(start=spans[0], end=spans[1], rate_per_s=rate)


def affordable(task: Task) -> int:
    """Steps of a run of which several fit into the limit, whatever the clock says."""
    limit_s = task.deadline.limit_s
    if math.isinf(limit_s):
        return STEPS
    steps = FIRST_SHARE * limit_s * THREADS / (COOLED * STEP_S * task.problem.num_servers**2)
    return max(1, int(min(steps, STEPS)))


def _drawn(
    g: Stages, rated: bool, generators: Iterable[np.random.Generator], deadline: Deadline
) -> list[_Run]:
    """Layouts to begin with until the deadline, one whatever the time."""
    found: list[_Run] = []
    for rng in generators:
        if found and deadline.passed:
            break
        spans = first_layout(g, rng)
        if spans is not None:
            found.append(_Run.of(g, rated, spans))
    return found


def _annealed(
    g: Stages,
    rated: bool,
    begun: Sequence[_Run],
    steps: int,
    scale: float,
    seed: np.random.SeedSequence,
    deadline: Deadline,
) -> list[_Run]:
    """The best that comes of each run until the deadline, in their order.

    The first one is annealed for a stretch whatever the time.

    Parameters
    ----------
    scale : the rate that temperatures are shares of, requests per second.
    """
    if not begun or not scale > 0.0:
        return list(begun)
    stopped, hot = Event(), np.geomspace(HOT, MILD, TURNS).tolist()

    def over() -> bool:
        return stopped.is_set() or deadline.passed

    def run(number: int, rng: np.random.Generator) -> _Run | None:
        if number and over():
            return None
        heat = scale * hot[number % TURNS], scale * COLD
        return _cooled(g, rated, begun[number], steps, heat, rng, over)

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        try:
            generators = _generators(seed.spawn(1)[0], len(begun))
            found = list(pool.map(run, range(len(begun)), generators))
        except BaseException:
            stopped.set()
            raise
    return [run for run in found if run is not None]


def _cooled(
    g: Stages,
    rated: bool,
    begun: _Run,
    steps: int,
    heat: tuple[float, float],
    rng: np.random.Generator,
    over: Callable[[], bool],
) -> _Run:
    """One run of annealing: the best layout met.

    Parameters
    ----------
    heat : temperatures at the beginning and the end, requests per second.
    """
    from .annealed import DRAWS, anneal

    start, end = begun.start.copy(), begun.end.copy()
    best, rates = np.array([start, end]), np.full(2, begun.rate_per_s)
    stretch = min(STRETCH, 1 + int(STRETCH_S / (STEP_S * len(start) ** 2)))
    heats = np.geomspace(*heat, -(-steps // stretch) + 1)
    for number, (high, low) in enumerate(pairwise(heats.tolist())):
        if number and over():
            break
        count = min(stretch, steps - number * stretch)
        anneal(g, start, end, best, rates, rng.random((count, DRAWS)), high, low, rated)
    return _Run(start=best[0], end=best[1], rate_per_s=float(rates[1]))


def _distinct(runs: Sequence[_Run]) -> list[_Run]:
    """Those that serve, each layout once, the best first."""
    found = {run.start.tobytes() + run.end.tobytes(): run for run in runs if run.rate_per_s > 0.0}
    return sorted(found.values(), key=lambda run: -run.rate_per_s)


def _generators(seed: np.random.SeedSequence, count: int) -> Iterator[np.random.Generator]:
    for child in seed.spawn(count):
        yield np.random.default_rng(child)


def first_layout(g: Stages, rng: np.random.Generator) -> tuple[IntArray, IntArray] | None:
    """A layout to begin with; None where all servers together cannot hold the model.

    Stages one after the other, region by region in any order; or the first regions together hold
    the head of the model, and each of the others all the rest by itself. Servers are filled to
    ``FILLED`` of their limits where that is enough, and who is left over copies a span.
    """
    n, length = len(g.place), int(g.length[0])
    most = (np.arange(length + 1) * (g.slots >= 1.0)).max(axis=1)
    places = rng.permutation(int(g.place.max()) + 1).tolist()
    regions = [rng.permutation(np.flatnonzero(g.place == p)).tolist() for p in places]
    start, end = np.zeros((2, n), np.int64)
    heads = int(rng.integers(len(regions))) if rng.random() < BRANCHED else len(regions)
    tails = regions[heads:]
    cut = length
    if tails:
        holds = min(int(most[tail].sum()) for tail in tails)
        cut = max(0, length - int(holds * rng.uniform(FILLED, 1.0)))
    head = [i for region in regions[:heads] for i in region]
    parts = [(head, 0, cut), *((tail, cut, length) for tail in tails)]
    if not all(_tile(most, start, end, *part) for part in parts if part[2] > part[1]):
        start[:] = end[:] = 0
        if not _tile(most, start, end, [i for region in regions for i in region], 0, length):
            return None
    held = np.flatnonzero(end > start)
    for i in np.flatnonzero(end == start).tolist():
        near = held[g.place[held] == g.place[i]]
        near = near if len(near) else held
        fits = near[(end - start)[near] <= most[i]]
        if len(fits):
            j = fits[int(rng.integers(len(fits)))]
            start[i], end[i] = start[j], end[j]
    return start, end


def _tile(
    most: IntArray, start: IntArray, end: IntArray, servers: list[int], first: int, last: int
) -> bool:
    """Lay blocks [first, last) over servers in order, in proportion to what they hold; whether
    they hold them. Where fewer of them are enough the last ones stay idle.
    """
    blocks, total = last - first, int(most[servers].sum())
    if total < blocks:
        return False
    filled = np.cumsum(most[servers]) * FILLED
    count = min(len(servers), int(np.searchsorted(filled, blocks)) + 1)
    used = servers[:count]
    at, left = first, int(most[used].sum())
    for i in used:
        size = -(-(last - at) * int(most[i]) // left) if left else 0
        size = min(size, int(most[i]), last - at)
        start[i], end[i] = (at, at + size) if size else (0, 0)
        at, left = at + size, left - int(most[i])
    return at == last


def _used(g: Stages, rated: bool, run: _Run) -> _Run:
    """A layout without what no request passes, and what it does then: flows may be others."""
    from ..perfmodel.dealing import dealt_by_ratings, dealt_by_speed

    while True:
        share = (dealt_by_ratings if rated else dealt_by_speed)(g, run.start, run.end).share
        idle = (share <= 0.0) & (run.end > run.start)
        if not idle.any():
            return run
        run = _Run.of(g, rated, (np.where(idle, 0, run.start), np.where(idle, 0, run.end)))
