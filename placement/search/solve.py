"""Large-neighbourhood search: a good plan at any size, with a bound beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.errors import HeuristicFailedError, InfeasibleError
from ...core.plan import Certificate, Placement
from ...core.problem import Problem
from ...perfmodel.predict import STEP_OBJECTIVE
from ..api import Solution
from ..demand import Demand, demand_of
from ..milp.outcome import OnProgress, Progress
from ..sessions import target_sessions
from .bounds import cheapest_chains_s
from .moves import DESTROY, Manner, reorder, repair
from .starts import starts
from .state import Instance, State

__all__ = ["Search", "solve_search"]

#: Accepted loss against the current plan, in turn; relative.
THRESHOLDS = (1e-2, 3e-3, 3e-4)
#: Steps without a better plan before the next threshold.
PATIENCE = 150
#: Sums in another order differ by this much, relative: a plan this near to the bound meets it.
SAME = 1e-9
REPORT_EVERY_S = 1.0


def solve_search(
    problem: Problem,
    *,
    demand: Sequence[Demand] | None = None,
    sessions: int | None = None,
    time_limit_s: float | None = 10.0,
    max_steps: int | None = None,
    gap: float = 1e-6,
    seed: int = 0,
    warm_start: Placement | None = None,
    on_progress: OnProgress | None = None,
) -> Solution:
    """Place blocks and route a set of concurrent sessions at small total step time.

    Batches of sessions are taken out and put back by exact insertion, from several first plans
    (docs/exact.md). Stops when the plan meets the order-free bound within ``gap``, or at a limit.

    Parameters
    ----------
    problem : the problem.
    demand : the sessions, client by client; split from ``sessions`` when left out.
    sessions : R; ``target_sessions(problem)`` when left out.
    time_limit_s : wall-clock limit, None = none. Where it ends the search depends on the machine;
        only a run that ends by ``max_steps`` or by its gap can be repeated exactly.
    max_steps : limit of destroy-and-repair steps; None = none.
    gap : stop when plan and bound are this near, relative.
    seed : of all random choices.
    warm_start : a placement to begin with, beside those that the search makes itself.
    on_progress : called with objective and bound, at least about once a second.

    Returns
    -------
    (placement, routes, certificate). The status is ``optimal`` only where the bound proves it.
    After Ctrl-C the best plan so far comes back, with "interrupted" in the certificate's method.

    Raises
    ------
    InfeasibleError
        If no chain of servers can hold even one session of some client.
    HeuristicFailedError
        If no plan for all sessions was found: this proves nothing.
    ValueError
        If neither limit is given.
    """
    if time_limit_s is None and max_steps is None:
        raise ValueError("the search needs time_limit_s or max_steps")
    if demand is None:
        demand = demand_of(problem, target_sessions(problem) if sessions is None else sessions)
    alone = cheapest_chains_s(problem, demand)
    _require_chains(problem, demand, alone)
    run = _Run(
        instance=Instance.of(problem, demand, alone),
        rng=np.random.default_rng(seed),
        began=time.monotonic(),
        time_limit_s=float("inf") if time_limit_s is None else time_limit_s,
        max_steps=max_steps,
        gap=gap,
        on_progress=on_progress,
    )
    interrupted = False
    try:
        run.search(warm_start)
    except KeyboardInterrupt:
        interrupted = True
    return _solution(run, interrupted)


def _require_chains(problem: Problem, demand: Sequence[Demand], alone: np.ndarray) -> None:
    for d, bound in zip(demand, alone, strict=True):
        if not np.isfinite(bound):
            raise InfeasibleError(
                f"not one session of client {problem.clients[d.client].id!r} fits: all servers "
                f"together can run fewer than the {problem.model.num_blocks} blocks of "
                f"{problem.model.name} beside its cache; add servers, use a smaller quantisation "
                "or shorter sessions"
            )


@dataclass(slots=True, kw_only=True)
class _Run:
    """One search: limits, the best plan, and when it last told about it."""

    instance: Instance
    rng: np.random.Generator
    began: float
    time_limit_s: float
    max_steps: int | None
    gap: float
    on_progress: OnProgress | None
    steps: int = 0
    best: State | None = None
    told_s: float = field(default=-np.inf)

    @property
    def bound(self) -> float:
        """LB0."""
        inst = self.instance
        each = zip(inst.demand, inst.alone_s, strict=True)
        return float(sum(d.sessions * d.weight_tokens * t for d, t in each))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the call."""
        return time.monotonic() - self.began

    def done(self) -> bool:
        """Whether a limit or the gap is reached."""
        if self.best is not None and not self.best.pending:
            reached = self.best.cost_s
            if reached - self.bound <= (self.gap + SAME) * reached:
                return True
        if self.max_steps is not None and self.steps >= self.max_steps:
            return True
        return self.elapsed_s >= self.time_limit_s

    def keep(self, state: State) -> bool:
        """Remember a state if it is the best so far, and tell about it."""
        better = self.best is None or state.cost_s < self.best.cost_s * (1.0 - 1e-12)
        if better:
            self.best = state.copy()
        now = self.elapsed_s
        if self.on_progress is not None and (better or now - self.told_s >= REPORT_EVERY_S):
            assert self.best is not None
            self.told_s = now
            reached = None if self.best.pending else self.best.cost_s
            self.on_progress(Progress(elapsed_s=now, objective=reached, bound=self.bound))
        return better

    def search(self, warm_start: Placement | None) -> None:
        """First plans, then rounds of falling thresholds from the best plan."""
        for state in starts(self.instance, warm_start, self.rng):
            self.keep(state)
            if self.done():
                return
        while True:
            for threshold in THRESHOLDS:
                for _ in self._walk(threshold):
                    if self.done():
                        return

    def _walk(self, threshold: float) -> Iterator[None]:
        """Destroy and repair from the best plan until nothing better comes for a while."""
        assert self.best is not None
        current, idle = self.best.copy(), 0
        cost = current.cost_s
        while idle < PATIENCE:
            trial = self._step(current)
            self.steps += 1
            reached = trial.cost_s
            if reached <= cost * (1.0 + threshold) or reached <= self.best.cost_s:
                current, cost = trial, reached
            idle = 0 if self.keep(trial) else idle + 1
            yield

    def _step(self, current: State) -> State:
        """One neighbour."""
        rng = self.rng
        trial = current.copy()
        if trial.batches:
            most = max(2, min(12, len(trial.batches) // 2 + 1))
            destroy = DESTROY[int(rng.integers(len(DESTROY)))]
            trial.take_out(destroy(trial, int(rng.integers(1, most + 1)), rng))
        reorder(trial, rng)
        total = sum(d.sessions for d in self.instance.demand)
        head = (1, 1, max(c for _, c in trial.pending), total)[int(rng.integers(4))]
        manner = Manner(whole=bool(rng.random() < 0.6), head=head, width=int(rng.integers(2, 7)))
        repair(trial, manner, rng)
        return trial


def _solution(run: _Run, interrupted: bool) -> Solution:
    """The best state as plan and certificate."""
    best = run.best
    if best is None or best.pending:
        if interrupted:
            raise KeyboardInterrupt
        lost = sum(count for _, count in best.pending) if best else 0
        total = sum(d.sessions for d in run.instance.demand)
        raise HeuristicFailedError(
            f"search: {lost} of {total} sessions found no chain beside the others in "
            f"{run.steps} steps; no proof that no plan exists: give more time, plan for fewer or "
            "shorter sessions, or try --method exact"
        )
    placement, routes = best.plan()
    weighted = any(d.weight_tokens != 1.0 for d in run.instance.demand)
    meaning = "step time weighted by tokens, summed over the planned sessions, seconds"
    reached = best.cost_s
    bound = min(run.bound, reached)
    label = f"search (order-free bound{', interrupted' if interrupted else ''})"
    return (
        placement,
        routes,
        Certificate(
            status="optimal" if reached - bound <= (run.gap + SAME) * reached else "feasible",
            objective=reached,
            bound=bound,
            method=label,
            meaning=meaning if weighted else STEP_OBJECTIVE,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The search as a placer; ``solve_search`` gives routes and certificate too."""

    time_limit_s: float | None = 10.0
    max_steps: int | None = None
    gap: float = 1e-6
    warm_start: Placement | None = None

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        """Placement of the best plan found; errors as ``solve_search``."""
        placement, _, _ = solve_search(
            problem,
            time_limit_s=self.time_limit_s,
            max_steps=self.max_steps,
            gap=self.gap,
            warm_start=self.warm_start,
            seed=seed,
        )
        return placement
