"""The best plan for every number of moves from the plan in force.

Exhaustive where that is possible, else a beam search over moves of single servers, with the
moves towards other plans among them, and re-optimisation of the servers that moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from ...core.plan import Placement
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import blocks_that_fit
from ...solve.deadline import NEVER, Deadline
from .migration import order_moves
from .repair import Spans, spans_of

#: Up to so many plans within the budget all of them are tried.
EXHAUSTIVE_PLANS = 4_000
#: Plans of each number of moves from which the next number is reached.
BEAM = 3
#: Above this many spans in all, servers are tried at edges of present and wanted spans only.
MANY_SPANS = 1_200
#: On the way to a target so many plans are tried in migration order, where there are no evaluations
#: left for the best next move at every step.
STOPS = 24
#: Levels of the search (1 move, 2 moves ...) that share the evaluations equally; the rest is for
#: plans on the way to targets.
LEVELS = 8
#: Plans of more moves are not polished: whether each is reached safely takes too long to tell.
MOST_POLISHED = 24

#: Dead ends after which a plan counts as one that no safe order reaches.
DEAD_ENDS = 500

#: What is wrong with a plan first, then its price; smaller is better.
Key = tuple[int, int, float]
#: Blocks [start, end) that a server might host; (0, 0) = none.
Window = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """``best[k]`` = the best plan found with at most k moves.

    Attributes
    ----------
    proven : none is better.
    cut : the time limit ended the search.
    """

    best: tuple[Placement, ...]
    proven: bool
    cut: bool = False


@dataclass(slots=True)
class Search:
    """One search: what is tried and remembered (mutable: counts its evaluations).

    Attributes
    ----------
    left : evaluations that are left.
    deadline : when it ends.
    """

    cost: CostModel
    current: Placement
    key: Callable[[Placement], Key]
    left: int
    safe: bool
    deadline: Deadline = NEVER
    spans: Spans = field(init=False)
    movable: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.spans = spans_of(self.cost)
        can = (self.spans.longest > 0) | self.spans.pinned
        self.movable = np.flatnonzero(can).tolist()

    @property
    def late(self) -> bool:
        """Whether the time limit has come."""
        return self.deadline.passed

    def ended(self, reserve: int = 0) -> bool:
        """Whether all but ``reserve`` evaluations are spent, or all of the time."""
        return self.left <= reserve or self.late

    def score(self, placement: Placement) -> Key:
        """The key of a plan, counted."""
        self.left -= 1
        return self.key(placement)

    def moved(self, placement: Placement) -> list[int]:
        """Servers whose span is not the present one."""
        old = self.current
        return np.flatnonzero((placement.start != old.start) | (placement.end != old.end)).tolist()

    def put(self, placement: Placement, server: int, span: Window) -> Placement:
        """The placement with one span changed; its pool is the memory that is left."""
        start, end = placement.start.copy(), placement.end.copy()
        cache = placement.cache_bytes.copy()
        start[server], end[server] = span if span[1] > span[0] else (0, 0)
        blocks = int(end[server] - start[server])
        if (start[server], end[server]) == (
            self.current.start[server],
            self.current.end[server],
        ):
            cache[server] = self.current.cache_bytes[server]
        else:
            weights = int(self.cost.weights_bytes(server, int(start[server]), int(end[server])))
            spare = int(self.cost.problem.memory_bytes[server]) - weights
            cache[server] = max(0, spare) if blocks else 0
        return Placement(start=start, end=end, cache_bytes=cache)

    def may_leave(self, placement: Placement, server: int) -> bool:
        """Whether a server can be missed: none of its blocks is hosted by it alone."""
        if not self.safe:
            return True
        counts = placement.coverage(self.cost.num_blocks)
        return bool((counts[placement.start[server] : placement.end[server]] > 1).all())

    def reachable(self, placement: Placement) -> bool:
        """Whether some order of single moves leaves no further block in the dark."""
        if not self.safe:
            return True
        spans = {j: (int(placement.start[j]), int(placement.end[j])) for j in self.moved(placement)}
        dead: set[frozenset[int]] = set()

        def from_here(here: Placement, left: frozenset[int]) -> bool:
            if not left:
                return True
            if left in dead or len(dead) > DEAD_ENDS:
                return False
            for j in sorted(left):
                if self.may_leave(here, j) and from_here(self.put(here, j, spans[j]), left - {j}):
                    return True
            dead.add(left)
            return False

        return from_here(self.current, frozenset(spans))

    def all_spans(self, server: int) -> list[Window]:
        """Every other span that a server could host, none included."""
        length = self.cost.num_blocks
        every = [(s, e) for s in range(length) for e in range(s + 1, length + 1)]
        now = (int(self.current.start[server]), int(self.current.end[server]))
        return [s for s in [(0, 0), *every] if s != now and self.spans.holds(server, *s)]


def frontier(
    cost: CostModel,
    current: Placement,
    key: Callable[[Placement], Key],
    *,
    targets: Sequence[Placement] = (),
    budget: int,
    sessions: int = 1,
    evaluations: int = 3_000,
    safe: bool = False,
    seed: int = 0,
    deadline: Deadline = NEVER,
) -> Frontier:
    """The best plans with 0, 1 ... ``budget`` moves.

    Parameters
    ----------
    key : what a plan is judged by.
    targets : plans to approach; one within the budget is tried as a whole.
    sessions : concurrent sessions for which spans of the search leave memory.
    evaluations : most plans to evaluate where not all are tried.
    safe : only plans that single moves reach without a block going dark on the way.
    seed : of the choice among single moves where not all can be tried.
    deadline : when the search ends with what it has.
    """
    search = Search(cost, current, key, evaluations, safe, deadline)
    budget = min(budget, len(search.movable))
    everything = _all_plans(search, budget)
    if everything is not None:
        return _exhaustive(search, everything, budget)
    windows = _windows(search, targets, sessions)
    rng = np.random.default_rng(seed)
    best = [(key(current), current)]
    prefixes = [_prefixes(search, t, budget, evaluations // (2 * len(targets))) for t in targets]
    share = max(search.left, 0) // min(max(budget, 1), LEVELS)
    beam = [best[0]]
    for moves in range(1, budget + 1):
        stop = search.left - share
        grown = {
            p.start.tobytes() + p.end.tobytes(): (k, p)
            for k, p in _grown(search, beam, windows, (share + 1) // 2, rng)
        }
        for prefix in prefixes:
            if moves in prefix:
                found = prefix[moves]
                grown[found[1].start.tobytes() + found[1].end.tobytes()] = found
        if not grown and not any(m > moves for prefix in prefixes for m in prefix):
            best += [best[-1]] * (budget + 1 - len(best))
            break
        beam = sorted(grown.values(), key=lambda f: f[0])[:BEAM]
        if beam and moves <= MOST_POLISHED:
            beam[0] = _polished(search, beam[0], windows, max(stop, 0))
        best.append(min([best[-1], *beam], key=lambda f: f[0]))
    return Frontier(best=tuple(p for _, p in best), proven=False, cut=search.late)


def _all_plans(search: Search, budget: int) -> dict[int, list[Window]] | None:
    """Every span of every server, None when they make too many plans."""
    length = search.cost.num_blocks
    if len(search.movable) * length * (length + 1) // 2 > EXHAUSTIVE_PLANS:
        return None
    spans = {j: search.all_spans(j) for j in search.movable}
    counts = [1] + [0] * budget
    for options in spans.values():
        for k in range(budget, 0, -1):
            counts[k] += counts[k - 1] * len(options)
    return spans if sum(counts) <= EXHAUSTIVE_PLANS else None


def _exhaustive(search: Search, spans: dict[int, list[Window]], budget: int) -> Frontier:
    best = [(search.score(search.current), search.current)]
    for moves in range(1, budget + 1):
        found = [best[-1]]
        for servers in combinations(spans, moves):
            for chosen in product(*(spans[j] for j in servers)):
                placement = search.current
                for j, span in zip(servers, chosen, strict=True):
                    placement = search.put(placement, j, span)
                if search.reachable(placement):
                    found.append((search.score(placement), placement))
        best.append(min(found, key=lambda f: f[0]))
    return Frontier(best=tuple(p for _, p in best), proven=True)


def _windows(
    search: Search, targets: Sequence[Placement], sessions: int
) -> dict[int, list[Window]]:
    """Spans worth trying for each server: useful sizes, everywhere or at the edges of spans."""
    length, current = search.cost.num_blocks, search.current
    fit = blocks_that_fit(search.cost, sessions)
    plans = (current, *targets)
    many = len(search.movable) * length > MANY_SPANS
    edges = {0, length, *(int(v) for p in plans for a in (p.start, p.end) for v in np.unique(a))}
    found = {}
    for j in search.movable:
        sizes = {int(fit[j]), *(int(p.num_blocks[j]) for p in plans)} - {0}
        begins = {e - m for e in edges for m in (0, *sizes)} if many else set(range(length))
        spans = {(s, s + m) for s in begins for m in sizes if s >= 0 and s + m <= length}
        spans |= {(0, 0), *((int(p.start[j]), int(p.end[j])) for p in targets)}
        now = (int(current.start[j]), int(current.end[j]))
        found[j] = [s for s in sorted(spans) if s != now and search.spans.holds(j, *s)]
    return found


def _grown(
    search: Search,
    beam: Sequence[tuple[Key, Placement]],
    windows: dict[int, list[Window]],
    most: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Key, Placement]]:
    """Plans of one move more: all of them, or ``most`` drawn at random."""
    free: list[tuple[Placement, int]] = []
    for _, placement in beam if not search.ended() else ():
        done = set(search.moved(placement))
        free += [(placement, j) for j in windows if j not in done]
    ends = np.cumsum([len(windows[j]) for _, j in free])
    total = int(ends[-1]) if free else 0
    drawn = range(total) if total <= most else rng.choice(total, most, replace=False).tolist()
    for number in drawn:
        if search.ended():
            return
        row = int(np.searchsorted(ends, number, side="right"))
        placement, j = free[row]
        if search.may_leave(placement, j):
            tried = search.put(placement, j, windows[j][number - int(ends[row])])
            yield search.score(tried), tried


def _prefixes(
    search: Search, target: Placement, budget: int, most: int
) -> dict[int, tuple[Key, Placement]]:
    """Plans on the way to a target by their number of moves, after ``most`` evaluations at most."""
    rows = [j for j in search.moved(target) if j in search.movable]
    spans = {j: (int(target.start[j]), int(target.end[j])) for j in rows}
    steps = min(len(rows), budget)
    greedy = sum(len(rows) - k for k in range(steps)) <= most
    way = _best_next(search, spans, steps) if greedy else _in_order(search, target, spans, steps)
    return dict(way)


def _best_next(
    search: Search, spans: dict[int, Window], steps: int
) -> Iterator[tuple[int, tuple[Key, Placement]]]:
    """(moves, plan) by the best next move at every step."""
    placement, left = search.current, list(spans)
    for count in range(1, steps + 1):
        free = [j for j in left if search.may_leave(placement, j)]
        if not free or search.late:
            return
        plans = [search.put(placement, j, spans[j]) for j in free]
        tried = [(search.score(p), j, p) for j, p in zip(free, plans, strict=True)]
        key, chosen, placement = min(tried, key=lambda t: (t[0], t[1]))
        left.remove(chosen)
        yield count, (key, placement)


def _in_order(
    search: Search, target: Placement, spans: dict[int, Window], steps: int
) -> Iterator[tuple[int, tuple[Key, Placement]]]:
    """(moves, plan) in an order in which nothing goes dark, at some stops and at the last step."""
    placement, count = search.current, search.cost.problem.num_servers
    order = order_moves(search.cost.problem, placement, target, np.ones(count))
    wanted = {round(m) for m in np.geomspace(1, max(steps, 1), STOPS)}
    moving = (m.server for m in order.moves if m.server in spans)
    for done, j in zip(range(1, steps + 1), moving, strict=False):
        if not search.may_leave(placement, j) or search.late:
            return
        placement = search.put(placement, j, spans[j])
        if done in wanted:
            yield done, (search.score(placement), placement)


def _polished(
    search: Search,
    start: tuple[Key, Placement],
    windows: dict[int, list[Window]],
    reserve: int,
) -> tuple[Key, Placement]:
    """Move the servers that move anyway to better spans, until none is or evaluations end."""
    best = start
    improved = True
    while improved and not search.ended(reserve):
        improved = False
        for j in search.moved(best[1]):
            for span in windows.get(j, ()):
                if search.ended(reserve):
                    break
                tried = search.put(best[1], j, span)
                found = (search.score(tried), tried)
                better = found[0] < best[0] and math.isfinite(found[0][2])
                if better and search.reachable(tried):
                    best, improved = found, True
    return best
