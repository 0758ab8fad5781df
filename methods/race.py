"""Candidates raced through the simulator: few requests for all, more for those that lead.

Every round gives all runners the very same requests (common random numbers), so that most of the
noise cancels when they are compared; the worse ones drop out, the rest run longer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..core.plan import Candidate, Placement
from ..core.problem import Problem
from ..core.workload import Request
from ..placement.milp.outcome import OnProgress, Progress
from ..routing.api import RouterFactory
from ..simulator.admission import Admission
from ..simulator.engine import simulate
from ..simulator.metrics import summarise

#: Share of the first arrivals that is not counted.
WARM_UP = 0.1
#: A candidate is not simulated when even alone its requests take this much longer than the best.
HOPELESS = 1.1


@dataclass(slots=True)
class Runner:
    """One placement with one router, and how it has done so far (mutable: the race's record).

    Attributes
    ----------
    bound_s : closed-form lower bound by which it was ranked; infinite = saturated.
    alone_s : the least time of a request when nothing else runs.
    """

    name: str
    placement: Placement
    router: str
    bound_s: float
    alone_s: float
    figure_s: float = math.inf
    unserved: int = 0
    requests: int = 0
    verdict: str = ""

    @property
    def served(self) -> bool:
        """Whether it was simulated and served anything."""
        return math.isfinite(self.figure_s)

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
    requests_of : the requests of a round.
    tail : compare the 95th percentile instead of the mean.
    deadline_s : instant of ``time.monotonic`` at which the race is called; None = never.
    """

    problem: Problem
    routers: dict[str, RouterFactory]
    rounds: Sequence[tuple[int, int]]
    requests_of: Callable[[int], Sequence[Request]]
    admission: Admission
    tail: bool = False
    deadline_s: float | None = None
    on_progress: OnProgress | None = None
    began_s: float = field(default_factory=time.monotonic)

    def run(self, runners: Sequence[Runner]) -> tuple[list[Runner], str]:
        """The runners, best first, and why the race ended early ("" = it did not).

        Those that ran in a later round come before those that dropped out earlier.
        """
        racing = list(runners)
        out: list[Runner] = []
        stopped = ""
        for number, (count, stay) in enumerate(self.rounds):
            stopped = self._round(racing, count, first=not number)
            racing.sort(key=Runner.order)
            if stopped:
                break
            lost = [r for i, r in enumerate(racing) if i >= stay or not r.served]
            racing = [r for r in racing[:stay] if r.served]
            for runner in lost:
                runner.verdict = runner.verdict or _behind(runner, (racing or lost)[0])
            out = lost + out
            if len(racing) <= 1:
                break
        for runner in racing[1:]:
            runner.verdict = runner.verdict or _behind(runner, racing[0])
        return racing + out, stopped

    def _round(self, runners: list[Runner], count: int, *, first: bool) -> str:
        """Simulate all runners on the same requests; why it stopped early, or "".

        A later round counts as a whole or not at all; of the first, what was reached counts.
        """
        best, pace_s = math.inf, 0.0
        found: list[tuple[float, int]] = []
        stopped = ""
        try:
            requests = self.requests_of(count)
            for runner in runners:
                if self._late(pace_s * count) and (found or not first):
                    stopped = "time limit"
                    break
                if not self.tail and runner.alone_s > HOPELESS * best:
                    runner.verdict = f"not simulated: {runner.alone_s:.4g} s even without any load"
                    found.append((math.inf, 0))
                    continue
                begun = time.monotonic()
                found.append(self._measure(runner, requests))
                pace_s = max(pace_s, (time.monotonic() - begun) / count)
                if not found[-1][1]:
                    best = min(best, found[-1][0])
                self._tell(best)
        except KeyboardInterrupt:
            stopped = "interrupted"
        if stopped and not first:
            return stopped
        for runner, (figure, unserved) in zip(runners, found, strict=False):
            runner.figure_s, runner.unserved = figure, unserved
            runner.requests = 0 if runner.verdict else count
        for runner in runners[len(found) :]:
            runner.verdict = f"not simulated: {stopped}"
        return stopped

    def _late(self, expected_s: float) -> bool:
        """Whether work that takes this long would end after the deadline."""
        return self.deadline_s is not None and time.monotonic() + expected_s > self.deadline_s

    def _tell(self, best: float) -> None:
        if self.on_progress is not None:
            elapsed = time.monotonic() - self.began_s
            self.on_progress(Progress(elapsed_s=elapsed, objective=best, bound=None))

    def _measure(self, runner: Runner, requests: Sequence[Request]) -> tuple[float, int]:
        """Mean or tail of the response, infinite when nothing was served; requests not served."""
        router = self.routers[runner.router](self.problem, runner.placement)
        result = simulate(
            self.problem, runner.placement, router, requests, admission=self.admission
        )
        found = summarise(result, warm_up=WARM_UP)
        figure = found.response_s.p95 if self.tail else found.response_s.mean
        return math.inf if math.isnan(figure) else figure, found.requests - found.completed


def _behind(runner: Runner, best: Runner) -> str:
    """Why a runner lost."""
    if runner.unserved > best.unserved:
        return f"left {runner.unserved} requests of {runner.requests} unserved"
    more = runner.figure_s / best.figure_s - 1.0 if best.figure_s else 0.0
    return f"{more * 100:.1f} % slower over {runner.requests} requests"
