"""Plans improved by moves, each judged as a plan will be: by the simulator, with its router.

Simulated annealing over spans from several plans, of which the worse half is given up again and
again (docs/auto.md). All moves meet the same requests, at the load that is expected and 15 % beside
it; a move is broken off as soon as requests pile up. What comes out may suit those requests only,
so it is handed out only where fresh ones agree (``guard.holds``).

Plans that others made are improved beside, by a search of their own: what comes of the other
beginnings is the same whether or not there are such plans.
"""

from __future__ import annotations

import itertools
import math
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
from .effort import Meter, Stretch
from .judge import judged

#: Loads that a plan is made for, in multiples of the expected one, and requests of each: the
#: highest says most, and a long run whether requests pile up, which an empty swarm hides.
LOADS = ((1.15, 400), (0.85, 400), (1.0, 1_200))
#: Plans that are improved at first. Each round gives all of them together so many moves, on small
#: swarms so many for each server; the better half goes on. The last one goes on while a round gains
#: so much.
STARTS, ROUND_MOVES, SERVER_MOVES, WORTH_A_ROUND = 8, 1_200, 100, 0.005
#: With less work than so many moves of each ask for, fewer plans are begun with; most moves are
#: broken off, and take about this share of a whole run.
LEAST_MOVES, BROKEN_OFF = 60, 0.3
#: Work on plans that others made, as a share of that on the rest.
KNOWN_SHARE = 0.2
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
    """What came out: placements that are better than the first one, best first, and how many others
    were judged."""

    placements: tuple[Placement, ...]
    judged: int


class Improver:
    """The search from several placements.

    Parameters
    ----------
    sets : the requests of each load.
    work_s : how much is done, in seconds of a quiet machine.
    deadline : when the search ends on a machine that is slower.
    """

    def __init__(
        self,
        cost: CostModel,
        sets: Sequence[Rehearsal],
        *,
        goal: Goal,
        work_s: float = math.inf,
        deadline: Deadline,
        seed: int,
    ) -> None:
        self._cost, self._sets, self._goal, self._deadline = cost, sets, goal, deadline
        self._seed, self._work_s = seed, work_s
        self._meter, self._judged = Meter(), 0
        self._base_s: tuple[float, ...] = ()

    def __call__(self, starts: Sequence[Placement], known: Sequence[Placement] = ()) -> Improvement:
        """What is found from some placements; the first one is what others are measured by.

        Parameters
        ----------
        known : plans that others made.
        """
        first = self._first(starts[0])
        if first is None:
            return Improvement(placements=(), judged=0)
        self._base_s = first.figures_s
        own = begun_with(self._work_s, self._meter.spent_s)
        old = self._stand(known)
        share = 1.0 / (1.0 + KNOWN_SHARE) if old else 1.0
        best = self._search([first, *self._stand(starts[1:own])], 1.0, self._deadline.share(share))
        found = [] if best is first else [best]
        if old:
            best = self._search(old, KNOWN_SHARE, self._deadline)
            found += [best] if best.score < first.score else []
        return Improvement(
            placements=tuple(
                self._placed(s.spans) for s in sorted(found, key=lambda standing: standing.score)
            ),
            judged=self._judged,
        )

    def _stand(self, starts: Sequence[Placement]) -> list[Standing]:
        """How some placements do; those that do not serve everybody are left out."""
        return [s for s in map(self._first, starts) if s is not None]

    def _search(self, begun: Sequence[Standing], share: float, deadline: Deadline) -> Standing:
        """The best plan found from some, of which the worse half is given up again and again."""
        whole = Stretch.of(self._meter, share * self._work_s, deadline)
        best, standing = min(begun, key=lambda s: s.score), list(begun)
        for rounds in itertools.count((len(begun) - 1).bit_length() + 1, -1):
            standing = self._round(standing, whole.share(1.0 / max(rounds, 1)))
            standing.sort(key=lambda s: s.score)
            worth = standing[0].score < best.score * (1.0 - WORTH_A_ROUND)
            best = min(best, standing[0], key=lambda s: s.score)
            if whole.passed or (rounds <= 1 and not worth):
                break
            standing = standing[: (len(standing) + 1) // 2]
        return best

    def _round(self, standing: Sequence[Standing], end: Stretch) -> list[Standing]:
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
        runs = [self._run(rehearsal, start) for rehearsal in self._sets]
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

    def _run(
        self, rehearsal: Rehearsal, placement: Placement, most_s: FloatArray | None = None
    ) -> Rehearsed:
        """What happens to the requests of a set, and the work of it."""
        run = rehearsal(placement, most_s)
        self._meter.spent_s += run.effort_s
        return run

    def _walk(self, start: Standing, moves: int, end: Stretch) -> Standing:
        """The best placement of a walk that accepts less and less loss."""
        best = now = start
        rng = start.trail.rng
        for move in range(moves):
            gone = end.gone
            if gone >= 1.0:
                break
            warmth = WARMTH * (1.0 - max(move / moves, gone))
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
            run = self._run(rehearsal, placement, now.ages_s[i] * slack)
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


def begun_with(work_s: float, run_s: float) -> int:
    """How many plans to begin with, by how much work there may be and is for judging one."""
    least_s = LEAST_MOVES * BROKEN_OFF * max(run_s, 1e-9)
    return int(min(max(work_s / STARTS.bit_length() / least_s, 1), STARTS))


def _with_busy(spans: Spans, run: Rehearsed) -> Spans:
    """The spans, with how busy the servers were in a run."""
    return spans._replace(busy=run.busy_s / max(float(run.busy_s.max()), 1e-9))
