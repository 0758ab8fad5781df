"""Candidates raced through the simulator: few requests for all, more for those that lead.

Every round gives all runners the very same requests (common random numbers), so that most of the
noise cancels when they are compared; the worse ones drop out, the rest run longer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..core.objective import MEAN_RESPONSE, P95_RESPONSE, Goal, Objective
from ..core.plan import Candidate, Placement
from ..solve.deadline import NEVER, Deadline
from ..solve.progress import OnProgress, Progress
from .judge import Judge

#: Of the time that is left, how much each round may take; the last one all of it.
ROUND_SHARES = (0.5, 0.6, 1.0)
INTERRUPTED = "interrupted"
#: A candidate is not simulated when even alone its requests take this much longer than the best.
HOPELESS = 1.1


@dataclass(slots=True)
class Runner:
    """One placement with one router, and how it has done so far (mutable: the race's record).

    Attributes
    ----------
    bound_s : closed-form lower bound by which it was ranked; infinite = saturated.
    alone_s : the least time of a request when nothing else runs.
    given : whether others made the plan: it runs beside the rest, neither taking the place of
        another one nor setting it a standard.
    """

    name: str
    placement: Placement
    router: str
    bound_s: float
    alone_s: float
    given: bool = False
    figure_s: float = math.inf
    unserved: int = 0
    requests: int = 0
    verdict: str = ""

    @property
    def served(self) -> bool:
        """Whether it was simulated and served anything."""
        return math.isfinite(self.figure_s)

    @property
    def pair(self) -> tuple[Placement, str]:
        """The placement with its router."""
        return self.placement, self.router

    def order(self) -> tuple[int, float]:
        """Sort key: requests that got no service first, then the figure."""
        return (self.unserved, self.figure_s)

    def candidate(self) -> Candidate:
        """The row of the plan's table."""
        return Candidate(
            placement=self.name,
            router=self.router,
            bound=self.bound_s if math.isfinite(self.bound_s) else None,
            figure=self.figure_s if math.isfinite(self.figure_s) else None,
            requests=self.requests,
            verdict=self.verdict,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """How runners are compared.

    Attributes
    ----------
    rounds : (requests, runners that stay) of each round.
    judge_of : judges by so many requests.
    more : what joins the race after its first round, given those that stay.
    goal : the mean of the response, or its 95th percentile.
    deadline : when the race is called.
    """

    rounds: Sequence[tuple[int, int]]
    judge_of: Callable[[int], Judge]
    more: Callable[[Sequence[Runner]], Sequence[Runner]] = lambda leaders: ()
    goal: Goal = MEAN_RESPONSE
    deadline: Deadline = NEVER
    on_progress: OnProgress | None = None
    began_s: float = field(default_factory=time.monotonic)

    def run(self, runners: Sequence[Runner]) -> tuple[list[Runner], str]:
        """The runners, best first, and what cut the race short ("" = nothing did).

        Those that ran in a later round come before those that dropped out earlier.
        """
        racing = list(runners)
        out: list[Runner] = []
        cut = ""
        for number, (count, stay) in enumerate(self.rounds):
            found, stopped = self._round(racing, count, share=ROUND_SHARES[min(number, 2)])
            cut = cut or stopped
            if number and len(found) < 2:  # one alone has nobody to be compared with
                break
            for runner, (figure, unserved) in zip(racing, found, strict=False):
                runner.figure_s, runner.unserved = figure, unserved
                runner.requests = 0 if runner.verdict else count
            for runner in racing[len(found) :]:
                runner.verdict = f"dropped: {stopped}"
            ran = sorted((r for r in racing if not r.verdict), key=Runner.order)
            own = [r for r in ran if not r.given][:stay]
            first = {id(r) for r in (*own, *(r for r in ran[:stay] if r.given))}
            late = [r for r in ran if id(r) not in first]
            out = late + [r for r in racing if r.verdict] + out
            for runner in late:
                runner.verdict = behind(runner, ran[0])
            racing = [r for r in ran if id(r) in first]
            if stopped == INTERRUPTED or not racing:
                break
            racing += self.more(racing) if not number else ()
            if len(racing) == 1:
                break
        unseen = [r for r in racing if not r.served]
        ran = [r for r in racing if r.served]
        for runner in ran[1:]:
            runner.verdict = behind(runner, ran[0])
        for runner in unseen:
            runner.verdict = f"not simulated: {cut}"
        return ran + unseen + out, cut

    def _round(
        self, runners: Sequence[Runner], count: int, *, share: float
    ) -> tuple[list[tuple[float, int]], str]:
        """(figure, requests not served) of the first runners, and why not of all of them.

        The round may take a ``share`` of the time that is left; the very first runner always runs.
        """
        best, pace_s = math.inf, 0.0
        found: list[tuple[float, int]] = []
        end = self.deadline.share(share)
        try:
            judge = self.judge_of(count)
            if not any(r.served for r in runners):  # code that is loaded then is no run's pace
                self._measure(runners[0], self.judge_of(1))
                end = self.deadline.share(share)
            for runner in runners:
                if (runner.served or found) and end.left_s() < pace_s:
                    return found, "time limit"
                if self.goal != P95_RESPONSE and runner.alone_s > HOPELESS * best:
                    runner.verdict = f"not simulated: {runner.alone_s:.4g} s even without any load"
                    found.append((math.inf, 0))
                    continue
                begun = time.monotonic()
                found.append(self._measure(runner, judge))
                pace_s = max(pace_s, time.monotonic() - begun)
                if not (found[-1][1] or runner.given):
                    best = min(best, found[-1][0])
                self._tell(best)
        except KeyboardInterrupt:
            return found, INTERRUPTED
        return found, ""

    def _tell(self, best: float) -> None:
        if self.on_progress is not None:
            elapsed = time.monotonic() - self.began_s
            objective = Objective(goal=self.goal, value=best)
            self.on_progress(Progress(elapsed_s=elapsed, objective=objective))

    def _measure(self, runner: Runner, judge: Judge) -> tuple[float, int]:
        """Mean or tail of the response, infinite when nothing was served; requests not served."""
        found = judge(runner.placement, runner.router)
        return math.inf if math.isnan(found.figure_s) else found.figure_s, found.unserved


def behind(runner: Runner, best: Runner) -> str:
    """Why a runner lost."""
    if runner.unserved > best.unserved:
        return f"left {runner.unserved} requests of {runner.requests} unserved"
    more = runner.figure_s / best.figure_s - 1.0 if best.figure_s else 0.0
    if more < 0.0:
        return "not faster over fresh requests"
    return f"{more * 100:.1f} % slower over {runner.requests} requests"
