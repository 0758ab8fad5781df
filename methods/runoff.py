"""Rounds in which placements with their routers run on ever more of the same requests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from ..core.content import FloatArray
from ..placement.task import Task
from ..solve.deadline import Deadline
from .hurried import GivenUpError, Patience
from .judge import Judge, judged, requests_needed
from .pairs import Pair, gain, surely, verdict

#: Requests of the first round, in which all run, and of the last one at most; of multiples of these
#: those of the others. Both are unlike those of the race.
FIRST, MOST, STEP = 200, 5_000, 50
#: Pairs that run in a later round: so many of the best for which there is work for ``FAIR`` times
#: the requests of the round before, ``FAR`` times at most; one alone has ``NEAR`` times at least.
PAIRS, NEAR, FAIR, FAR = (4, 3, 2, 1), 1.5, 3.0, 6.0
#: Of the time that is left after the first round of the best placement, what other placements may
#: have for theirs.
OTHERS = 0.5
#: A pair goes on only as long as it may gain so much; no interval of the first round is held to be
#: narrower to either side than ``ROUGH``, and with so many requests less as narrows an interval.
WORTH, ROUGH = 0.005, 0.03
#: Half-widths of the 95 % interval that a gain has to be where only the first round tells, and
#: later; one that is so many needs no further round.
SURE_AT_FIRST, SURE, SETTLED = 1.0, 0.5, 1.5
#: Work for it, in seconds of a quiet machine: a share of the time limit, or without one so much.
WORK_SHARE, UNLIMITED_S = 0.28, 8.0
#: Of the time that is left so much is planned for: requests take longer once others have piled up,
#: and a round that the clock ends is lost.
PLANNED = 0.8
#: A run of the first round is given up that takes so much of the time that is left, and any one
#: in which so many decisions are asked for, of each request on average: then they pile up.
PART, MOST_DECISIONS = 0.25, 20


class Runoff:
    """Rounds of ever more requests, as many whole ones as work and clock allow.

    Attributes
    ----------
    first, most : requests of the first round and of the last one at most.
    """

    def __init__(self, task: Task, end: Deadline, raced: Callable[[int], Judge]) -> None:
        self._goal, self._end, self._raced = task.goal, end, raced
        limit_s = task.deadline.limit_s
        self._work_s = UNLIMITED_S if math.isinf(limit_s) else WORK_SHARE * limit_s
        self._slower = 1.0
        self._cut = False
        trace, more = len(task.problem.workload.trace), requests_needed(task.cost)
        self.first, self._step = (FIRST, STEP) if trace else (more * FIRST, more * STEP)
        self.most = min(trace, MOST) if trace else more * MOST

    def run(self, pairs: Sequence[Pair]) -> tuple[Pair, list[str]]:
        """The winner of the race as it did in the last whole round, and what cut rounds short.

        All others have run as long as they led; other placements only with routers that may win
        on the first, or did well on them in the race.
        """
        known, begun = pairs[0], self.first
        own = [p for p in pairs[1:] if p.runner.placement is known.runner.placement]
        standing = self._next(known, own, begun)
        hopeful = {p.runner.router for p in standing}
        others = [p for p in pairs[1:] if p not in own and (p.raced or p.runner.router in hopeful)]
        standing += self._next(known, others, begun, share=OTHERS if standing else 1.0)
        while standing and not self._settled(known, standing):
            standing, count = self._further(known, standing)
            standing = self._next(known, standing, count, whole=True)
        cut = ["auto: time limit: not every router had its full run"] if self._cut else []
        return known, cut

    def sure(self, pair: Pair, known: Pair) -> bool:
        """Whether a pair did better in the last round, by more than is likely to be chance."""
        at_first = known.runner.requests == self.first
        return surely(pair, known, self._goal, SURE_AT_FIRST if at_first else SURE)

    def _settled(self, known: Pair, standing: Sequence[Pair]) -> bool:
        """Whether one alone is left, and better without doubt; a first round tells too little."""
        alone = len(standing) == 1 and known.runner.requests > self.first
        return alone and surely(standing[0], known, self._goal, SETTLED)

    def _further(self, known: Pair, standing: Sequence[Pair]) -> tuple[list[Pair], int]:
        """Who runs in the next round, and on how many requests; nobody where there is no work for
        it."""
        best = sorted(standing, key=lambda p: (p.runner.unserved, -self._hope(p, known)))
        first = min(standing, key=lambda p: p.runner.order())
        before, left_s = known.runner.requests, self._left_s()
        most = self.most // self._step * self._step
        for stay in PAIRS if before < most else ():
            chosen = best[:stay] if stay > 1 else [first]  # one alone: what does best by now
            request_s = known.request_s + sum(p.request_s for p in chosen)
            count = int(min(left_s / request_s, FAR * before)) // self._step * self._step
            least = (NEAR if len(chosen) == 1 else FAIR) * before
            if count >= min(least, most):
                return chosen, min(count, most)
        self._cut = self._cut or before < most
        return [], before

    def _left_s(self) -> float:
        """Seconds of a quiet machine for which there is work and time."""
        return min(self._work_s, PLANNED * max(self._end.left_s(), 0.0) / self._slower)

    def _next(
        self,
        known: Pair,
        standing: Sequence[Pair],
        count: int,
        *,
        whole: bool = False,
        share: float = 1.0,
    ) -> list[Pair]:
        """Those that go on after a round, of those for which a share of the time that is left is
        enough; none where a whole round is the last one there is time for."""
        if not whole:
            standing = self._affordable(known, standing, count, share)
        ran = self._ran([known, *standing], count, whole=whole) if standing else []
        self._cut = self._cut or len(ran) <= len(standing) > 0
        for pair in ran[1:]:
            pair.runner.verdict = verdict(pair.runner, known.runner)
        return [p for p in _unlike(ran) if self.may_win(p, known)]

    def may_win(self, pair: Pair, known: Pair) -> bool:
        """Whether more requests could show that a pair is better by as much as is worth while."""
        if pair.runner.unserved != known.runner.unserved:
            return pair.runner.unserved < known.runner.unserved
        return self._hope(pair, known) > WORTH

    def _hope(self, pair: Pair, known: Pair) -> float:
        """What a pair gains at best, as far as its last round tells: few requests say little of
        one that differs much, nor of what comes when others have piled up, and it may come first.
        """
        found = gain(pair, known, self._goal)
        rough = ROUGH * math.sqrt(self.first / known.runner.requests)
        return found.mean + max(found.half_width, rough)

    def _affordable(
        self, known: Pair, standing: Sequence[Pair], count: int, share: float
    ) -> list[Pair]:
        """Those for whose first round there is time."""
        left_s = share * self._left_s() - known.request_s * count
        kept: list[Pair] = []
        for pair in standing:
            need_s = pair.request_s * count
            if need_s <= left_s:
                kept.append(pair)
                left_s -= need_s
        return kept

    def _ran(self, pairs: Sequence[Pair], count: int, *, whole: bool) -> Sequence[Pair]:
        """Those for whose run there was time; of a ``whole`` round all or none."""
        judge, found = self._raced(count), list[FloatArray]()
        begun = time.monotonic()
        for pair in pairs:  # the first one has been raced: it is what others are measured by
            most = MOST_DECISIONS * count if found else math.inf
            until = self._end if whole else self._end.share(PART)
            patience = Patience(most, until)
            try:
                if self._end.passed:
                    break
                found.append(judge.response_s(*pair.runner.pair, patience))
            except GivenUpError:
                if self._end.passed:
                    break
                found.append(np.full(count, np.nan))
        ran = () if whole and len(found) < len(pairs) else pairs[: len(found)]
        work_s = sum(p.request_s for p in ran) * count
        self._work_s -= work_s
        self._slower = max(1.0, (time.monotonic() - begun) / max(work_s, 1e-9))
        for pair, response_s in zip(ran, found, strict=False):
            figure = judged(response_s, self._goal)
            nothing = math.isnan(figure.figure_s)
            pair.response_s, pair.runner.requests = response_s, count
            pair.runner.figure_s = math.inf if nothing else figure.figure_s
            pair.runner.unserved = figure.unserved
        return ran


def _unlike(pairs: Sequence[Pair]) -> list[Pair]:
    """All but the first whose requests fared otherwise than those of any before: routers that
    decide alike where little makes a difference need not run on together."""
    found = list(pairs[:1])
    for pair in pairs[1:]:
        if not any(_alike(pair, other) for other in found):
            found.append(pair)
    return found[1:]


def _alike(one: Pair, other: Pair) -> bool:
    return np.array_equal(one.response_s, other.response_s, equal_nan=True)
