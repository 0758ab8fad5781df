"""Plans improved by moves, each judged as a plan will be: by the simulator, with its router.

Simulated annealing over spans from several plans, of which the worse half is given up again and
again (docs/auto.md). All moves meet the same requests, at the load that is expected and 15 % beside
it; a move is broken off as soon as requests pile up. What comes out may suit those requests only,
so it is handed out only where fresh ones agree (``guard.holds``).
"""

from __future__ import annotations

import itertools
import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..chains.soundness import unmet
from ..core.content import FloatArray
from ..core.objective import Goal
from ..core.plan import Placement
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import blocks_that_fit
from ..placement.search.neighbours import Spans, neighbour
from ..simulator.rehearsal import Rehearsal, Rehearsed
from ..solve.deadline import Deadline
from .judge import judged

#: Loads that a plan is made for, in multiples of the expected one, and requests of each: the
#: highest says most, and a long run whether requests pile up, which an empty swarm hides.
LOADS = ((1.15, 400), (0.85, 400), (1.0, 1_200))
#: Plans that are improved at first. Each round gives all of them together so many moves, on small
#: swarms so many for each server; the better half goes on. The last one goes on while a round gains
#: so much.
STARTS, ROUND_MOVES, SERVER_MOVES, WORTH_A_ROUND = 8, 1_200, 100, 0.005
#: With less time than for so many moves of each, fewer plans are begun with; most moves are broken
#: off, and take about this share of a whole run.
LEAST_MOVES, BROKEN_OFF = 60, 0.3
#: Loss that a walk accepts at its beginning, about; at its end none.
WARMTH = 0.015
#: A run is broken off once its requests have spent this much more time in the swarm than the
#: present plan's, times the root of R / i after i of R.
SLACK = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """Where walks from one beginning have been, and their draws: what other plans there are to
    begin with changes neither (mutable: the search's record)."""

    rng: np.random.Generator
    seen: set[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A placement and how it did on each set of requests.

    Attributes
    ----------
    trail : of the walks that led here.
    score : its figures over those of the first plan, averaged.
    """

    trail: Trail
    spans: Spans
    figures_s: tuple[float, ...]
    ages_s: tuple[FloatArray, ...]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """What came out: the placement, and how many others were judged."""

    placement: Placement
    judged: int


class Improver:
    """The search from several placements.

    Parameters
    ----------
    sets : the requests of each load.
    """

    def __init__(
        self,
        cost: CostModel,
        sets: Sequence[Rehearsal],
        *,
        goal: Goal,
        deadline: Deadline,
        seed: int,
    ) -> None:
        self._cost, self._sets, self._goal, self._deadline = cost, sets, goal, deadline
        self._seed = seed
        self._judged = 0
        self._base_s: tuple[float, ...] = ()

    def __call__(self, starts: Sequence[Placement], known: Sequence[Placement] = ()) -> Improvement:
        """The best placement found from some; the first one is what the others are measured by.

        Parameters
        ----------
        known : of these, plans that others made: they are ahead of plans that nobody improved yet,
            so they are gone on with beside the rest, whose places they do not take.
        """
        begun_s = time.process_time()  # a busy machine does not change what is begun with
        first = self._first(starts[0])
        if first is None:
            return Improvement(placement=starts[0], judged=0)
        self._base_s = first.figures_s
        count = begun_with(self._deadline.left_s(), time.process_time() - begun_s)
        ours = [start for start in starts if start not in known][:count]
        old = [start for start in starts if start in known]
        begun = {id(s): first if s is starts[0] else self._first(s) for s in (*ours, *old)}
        fresh = [s for s in (begun[id(start)] for start in ours) if s is not None]
        kept = [s for s in (begun[id(start)] for start in old) if s is not None]
        best = first
        for rounds in itertools.count(max(len(fresh) - 1, 0).bit_length() + 1, -1):
            end = self._deadline.share(1.0 / max(rounds, 1))
            found = self._round([*fresh, *kept], end)
            leader = min(found, key=lambda s: s.score)
            worth = leader.score < best.score * (1.0 - WORTH_A_ROUND)
            best = min(best, leader, key=lambda s: s.score)
            if self._deadline.passed or (rounds <= 1 and not worth):
                break
            fresh = sorted(found[: len(fresh)], key=lambda s: s.score)[: (len(fresh) + 1) // 2]
            kept = found[len(found) - len(kept) :]
        return Improvement(
            placement=starts[0] if best is first else self._placed(best.spans), judged=self._judged
        )

    def _round(self, standing: Sequence[Standing], end: Deadline) -> list[Standing]:
        """The same plans after a walk from each."""
        left = range(len(standing), 0, -1)
        servers = len(standing[0].spans.span)
        moves = min(ROUND_MOVES, SERVER_MOVES * servers) // len(standing)
        return [
            self._walk(s, moves, end.share(1.0 / more))
            for s, more in zip(standing, left, strict=True)
        ]

    def _first(self, start: Placement) -> Standing | None:
        """How a placement does that was made elsewhere; None where it does not serve everybody."""
        spans = Spans(
            span=np.stack([start.start, start.end], axis=1),
            most=blocks_that_fit(self._cost, 1),
            busy=np.zeros(len(start.start)),
            length=self._cost.num_blocks,
        )
        runs = [rehearsal(start) for rehearsal in self._sets]
        found = [judged(r.response_s, self._goal) for r in runs]
        if any(f.unserved for f in found):
            return None
        figures = tuple(f.figure_s for f in found)
        rng = np.random.default_rng([self._seed, zlib.crc32(spans.span.tobytes())])
        return Standing(
            trail=Trail(rng, {spans.span.tobytes()}),
            spans=_with_busy(spans, runs[0]),
            figures_s=figures,
            ages_s=tuple(r.ages_s for r in runs),
            score=self._score(figures) if self._base_s else 1.0,
        )

    def _walk(self, start: Standing, moves: int, end: Deadline) -> Standing:
        """The best placement of a walk that accepts less and less loss."""
        best = now = start
        rng = start.trail.rng
        whole_s = end.left_s()
        for move in range(moves):
            if end.passed:
                break
            passed = 0.0 if math.isinf(whole_s) else 1.0 - end.left_s() / whole_s
            warmth = WARMTH * (1.0 - max(move / moves, passed))
            most = now.score - warmth * np.log(1.0 - rng.random())
            found = self._judge(neighbour(now.spans, rng), now, float(most))
            if found is not None:
                now = found
                best = now if now.score < best.score else best
        return best

    def _judge(self, spans: Spans, now: Standing, most: float) -> Standing | None:
        """How a neighbour does; None where it was seen, cannot be, or scores more than ``most``."""
        key = spans.span.tobytes()
        if key in now.trail.seen or not spans.covers:
            return None
        now.trail.seen.add(key)
        placement = self._placed(spans)
        if any(unmet(self._cost, placement)):
            return None
        self._judged += 1
        figures, runs = list(now.figures_s), []
        for i, rehearsal in enumerate(self._sets):
            arrivals = np.arange(1, rehearsal.count + 1)
            slack = most / now.score + SLACK * np.sqrt(rehearsal.count / arrivals)
            run = rehearsal(placement, now.ages_s[i] * slack)
            found = judged(run.response_s, self._goal)
            if not run.whole or found.unserved:
                return None
            figures[i] = found.figure_s
            runs.append(run)
            if self._score(figures) > most:  # the loads to come taken as they are
                return None
        return Standing(
            trail=now.trail,
            spans=_with_busy(spans, runs[0]),
            figures_s=tuple(figures),
            ages_s=tuple(r.ages_s for r in runs),
            score=self._score(figures),
        )

    def _score(self, figures_s: Sequence[float]) -> float:
        return float(np.mean([f / b for f, b in zip(figures_s, self._base_s, strict=True)]))

    def _placed(self, spans: Spans) -> Placement:
        rows = [(int(start), int(end)) for start, end in spans.span]
        return self._cost.placed(rows)


def begun_with(left_s: float, run_s: float) -> int:
    """How many plans there is time to begin with, by how long it takes to judge one."""
    least_s = LEAST_MOVES * BROKEN_OFF * max(run_s, 1e-9)
    return int(min(max(left_s / STARTS.bit_length() / least_s, 1), STARTS))


def _with_busy(spans: Spans, run: Rehearsed) -> Spans:
    """The spans, with how busy the servers were in a run."""
    return spans._replace(busy=run.busy_s / max(float(run.busy_s.max()), 1e-9))
