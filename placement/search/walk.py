"""The search itself: walks of destroy and repair, from the best plan and from fresh ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...chains.floor import summed_s
from ...core.objective import Objective
from ...core.plan import Placement, PlannedRoute
from ...perfmodel.predict import step_goal
from ...solve.progress import Progress
from ..task import Task
from .moves import DESTROY, Manner, reorder, repair
from .passed import NEAR, Passed
from .starts import starts
from .state import Instance, State

#: Accepted loss against the walk's best plan, in turn; relative.
THRESHOLDS = (1e-2, 3e-3, 3e-4)
#: Steps without a better plan before the next threshold.
PATIENCE = 400
#: Share of servers shortened at random in an insertion; one is drawn for each step.
CUT = (0.0, 0.0, 0.1, 0.5)
#: Most batches taken out at once, about.
MOST = 12
#: Sums in another order differ by this much, relative: a plan this near to the bound meets it.
SAME = 1e-9
REPORT_EVERY_S = 1.0


@dataclass(slots=True, kw_only=True)
class Run:
    """One search: limits, the best plan, and when it last told about it; ``bound`` is LB0, and
    ``passed`` others near the best."""

    task: Task
    instance: Instance
    rng: np.random.Generator
    max_steps: int | None
    began: float = field(default_factory=time.monotonic)
    steps: int = 0
    best: State | None = None
    best_s: float = np.inf
    told_s: float = field(default=-np.inf)
    passed: Passed = field(default_factory=Passed)
    bound: float = field(init=False)

    def __post_init__(self) -> None:
        self.bound = summed_s(self.instance.demand, self.instance.alone_s)

    def proven(self, reached: float) -> bool:
        """Whether an objective is within the gap of the bound."""
        return reached - self.bound <= (self.task.gap + SAME) * reached

    def search(self, warm_start: Placement | None, routes: Sequence[PlannedRoute]) -> None:
        """First plans; walks from the best one while that helps, then from fresh ones in turn."""
        for state in starts(self.instance, warm_start, routes, self.rng):
            self._keep(state)
            if self._over():
                return
        assert self.best is not None
        start, fresh = self.best, False
        while True:
            before = start.cost_s
            for threshold in THRESHOLDS:
                start = self._walk(start, threshold)
                if self._over() or self.steps == self.max_steps:
                    return
            if start.cost_s >= before * (1.0 - SAME):
                fresh = not fresh
                start = self._repaired(State(self.instance)) if fresh else self.best
                self._keep(start)

    def _over(self) -> bool:
        """Whether the time is up or the best plan meets the bound."""
        if self.best is not None and not self.best.pending and self.proven(self.best_s):
            return True
        return self.task.deadline.passed

    def _keep(self, state: State) -> None:
        """Remember a state if it is the best so far, and tell about it.

        One in which every session has a chain is better than any in which some have none.
        """
        reached = state.cost_s
        better = reached < self.best_s * (1.0 - 1e-12)
        if self.best is not None and bool(self.best.pending) != bool(state.pending):
            better = not state.pending
        if better or self.best is None:
            self.best, self.best_s = state.copy(), reached
        if not state.pending and reached <= (1.0 + NEAR) * self.best_s:
            self.passed.offer(state)
        if self.task.on_progress is None:
            return
        now = time.monotonic() - self.began
        if better or now - self.told_s >= REPORT_EVERY_S:
            self.told_s = now
            known = None if self.best.pending else self.best_s
            objective = Objective(goal=step_goal(self.task.demand), value=known, bound=self.bound)
            self.task.on_progress(Progress(elapsed_s=now, objective=objective))

    def _walk(self, start: State, threshold: float) -> State:
        """Best plan of a walk that accepts what is within the threshold of its own best plan."""
        current = best = start
        best_s, idle = start.cost_s, 0
        while idle < PATIENCE and not self._over() and self.steps != self.max_steps:
            trial = self._step(current)
            self.steps += 1
            idle += 1
            reached = trial.cost_s
            if reached <= best_s * (1.0 + threshold):
                current = trial
            if reached < best_s * (1.0 - 1e-12):
                best, best_s, idle = trial, reached, 0
            self._keep(trial)
        return best

    def _step(self, current: State) -> State:
        """One neighbour."""
        trial = current.copy()
        if trial.batches:
            most = max(2, min(MOST, len(trial.batches) // 2 + 1))
            destroy = DESTROY[int(self.rng.integers(len(DESTROY)))]
            trial.take_out(destroy(trial, int(self.rng.integers(1, most + 1)), self.rng))
        return self._repaired(trial)

    def _repaired(self, state: State) -> State:
        """The state with its pending sessions put on chains, in a manner drawn at random."""
        rng = self.rng
        reorder(state, rng)
        total = sum(d.sessions for d in self.instance.demand)
        # Room for more sessions than one batch keeps spans short enough to be shared.
        head = 1 if rng.random() < 0.4 else int(np.exp(rng.uniform(0.0, np.log(total))))
        manner = Manner(
            whole=bool(rng.random() < 0.6),
            head=head,
            width=int(rng.integers(2, 7)),
            cut=CUT[int(rng.integers(len(CUT)))],
        )
        repair(state, manner, rng)
        return state
