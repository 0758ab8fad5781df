"""Layouts of stages by annealing with restarts, as the fluid model rates them.

Memory, speed and links decide together there: how many servers share a span, where a request
changes region, how long spans are for the cache that is left beside them. docs/model.md 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..chains.compose import client_shares
from ..core.content import IntArray
from ..core.plan import Placement
from ..perfmodel.fluid import stages_of
from .task import Task

if TYPE_CHECKING:
    from ..perfmodel.stages import Stages

#: Steps of a restart; longer runs find no more than further ones. Restarts at most.
STEPS, RESTARTS = 30_000, 64
#: Temperatures, as shares of the rate that a restart begins from or the best is known to reach.
HOT, COLD = 0.032, 0.0006
#: Share of their limits at which servers are filled to begin with.
FILLED = 0.75
#: Share of the restarts that begin with branches.
BRANCHED = 0.5
#: Layouts that are kept.
KEPT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A placement and the rate that the fluid model gives it, requests per second."""

    placement: Placement
    rate_per_s: float


def annealed(
    task: Task, *, restarts: int = RESTARTS, steps: int = STEPS, kept: int = KEPT
) -> tuple[Layout, ...]:
    """The best layouts found until the task's deadline, the best first; empty when none is found.

    Restarts begin from stages in a random order of regions; the better half of the time is as good
    spent on them as on longer runs. Servers that no request passes stay idle.

    Parameters
    ----------
    restarts, steps : at most, fewer for small problems; where the deadline does not come first the
        result can be repeated.
    """
    from .annealed import DRAWS, anneal

    if not task.cost.alike:
        return ()
    g = stages_of(task.cost, client_shares(task.problem))
    size = task.problem.num_servers * task.cost.num_blocks
    restarts = min(restarts, 4 + 2 * task.problem.num_servers)
    steps = min(steps, 30 * size)
    found: dict[bytes, Layout] = {}
    best = 0.0
    for number, rng in enumerate(_generators(task.seed, restarts)):
        if number and task.deadline.passed:
            break
        begun = first_layout(g, rng)
        if begun is None:
            continue
        start, end = begun
        scale = max(best, _rate(g, start, end), 1e-9)
        rate = float(anneal(g, start, end, rng.random((steps, DRAWS)), HOT * scale, COLD * scale))
        if rate > 0.0:
            placement = _used(task, g, start, end)
            found[placement.start.tobytes() + placement.end.tobytes()] = Layout(
                placement=placement, rate_per_s=rate
            )
            best = max(best, rate)
    ranked = sorted(found.values(), key=lambda layout: -layout.rate_per_s)
    return tuple(ranked[:kept])


def _generators(seed: int, count: int) -> Iterator[np.random.Generator]:
    for child in np.random.SeedSequence(seed).spawn(count):
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
        near = [j for j in held if g.place[j] == g.place[i]] or held.tolist()
        fits = [j for j in near if end[j] - start[j] <= most[i]]
        if fits:
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


def _rate(g: Stages, start: IntArray, end: IntArray) -> float:
    from ..perfmodel.stages import sustains

    return float(sustains(g, start, end, np.zeros(5)))


def _used(task: Task, g: Stages, start: IntArray, end: IntArray) -> Placement:
    """The placement of a layout; what no request passes is not hosted."""
    from ..perfmodel.stages import dealt_by_speed

    share = dealt_by_speed(g, start, end).share
    spans = [
        (int(s), int(e)) if part > 0.0 else (0, 0)
        for s, e, part in zip(start, end, share, strict=True)
    ]
    return task.cost.placed(spans)
