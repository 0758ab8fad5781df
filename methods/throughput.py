"""``auto --objective throughput``: layouts by flow and annealing, the portfolio; simulated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..chains.compose import client_shares
from ..chains.lines import queued_per_s
from ..chains.sustain import sustained
from ..core.errors import HeuristicFailedError, InfeasibleError
from ..core.objective import THROUGHPUT, Objective
from ..core.plan import Candidate, Certificate, Placement, Throughput, Trial
from ..perfmodel.cost import CostModel
from ..perfmodel.fluid import beyond, fluid
from ..placement.anneal import annealed
from ..placement.flowed import flow_placement
from ..placement.moves.resilience import honoured
from ..placement.task import Task
from ..solve.deadline import Deadline
from ..solve.progress import Progress
from ..workload.mix import mix_of
from .candidates import OTHER, Entry, entries
from .draft import Draft, Settings
from .saturated import MOST, PART_LOADS, PART_REQUESTS, best_of, saturated, trial_for

#: Shares of the time limit: until then the portfolio, the flow and the layouts are made; the last
#: one where a simulation takes more requests than most do.
SHARES, LARGE_SHARE = (0.1, 0.15, 0.75), 0.35
#: Best ones by the models that are simulated; those of the published methods always are, and so
#: many of annealing: lines of many sessions are shorter than the models say.
BEST, ANNEALED = 6, 2
#: Where servers work on one task at a time lines are counted for so many, the best without them.
LOOKED_AT = 12
#: Routers of what is planned by flow: of servers' speeds, and of their ratings.
ROUTER, RATED = "flow", "max-flow"
#: A candidate of the models is simulated if they give it this share of the best one.
WORTH = 0.7


@dataclass(slots=True, kw_only=True)
class _Runner:
    """A candidate: what the models say of it, and what its simulation said (mutable)."""

    name: str
    placement: Placement
    router: str
    rated_per_s: float
    always: bool = False
    annealed: bool = False
    found: Throughput | None = None

    def candidate(self, best: _Runner, trial: Trial) -> Candidate:
        """The row of the plan's table."""
        figure = None if self.found is None else self.found.requests_per_s
        verdict = "not simulated: others promise more, or time ran out"
        if self is best:
            verdict = "chosen"
        elif figure is not None and best.found is not None:
            less = 1.0 - figure / best.found.requests_per_s if best.found.requests_per_s else 0.0
            verdict = f"sustains {less * 100:.1f} % less"
            if less < 0.0:
                verdict = f"sustains {-less * 100:.1f} % more, within its interval, and is slower"
        return Candidate(
            placement=self.name,
            router=self.router,
            bound=self.rated_per_s if self.rated_per_s > 0 else None,
            figure=figure,
            requests=0 if figure is None else trial.requests,
            verdict=verdict,
        )


def most_throughput(task: Task, settings: Settings) -> Draft:
    """The candidate that serves most tokens per second in simulation, everything full.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no placement can be made.
    """
    began_s = time.monotonic()
    runners = _in_lines(task, sorted(_runners(task, settings), key=lambda r: -r.rated_per_s))
    asked = _asked(runners)
    trial = trial_for(task.cost, task.seed, asked[0].placement)
    # After the last one the latencies at parts of its load are simulated.
    more = 1.0 + len(PART_LOADS) * PART_REQUESTS / trial.requests
    interrupted, took_s = False, 0.0
    try:
        for number, runner in enumerate(asked):
            if number and task.deadline.left_s() < more * took_s:
                break
            asked_s = time.monotonic()
            runner.found = saturated(task.cost, runner.placement, runner.router, trial)
            took_s = time.monotonic() - asked_s
            _tell(task, asked, time.monotonic() - began_s)
    except KeyboardInterrupt:
        interrupted = True
        if not any(r.found for r in asked):
            raise
    ran = sorted((r for r in asked if r.found), key=lambda r: -_served(r))
    runs = [r.found for r in ran if r.found]
    best = ran.pop(best_of(runs, batched=not task.cost.serial.all()))
    ran.insert(0, best)
    rest = [r for r in runners if r.found is None]
    assert best.found is not None
    return Draft(
        placement=best.placement,
        router=best.router,
        certificate=Certificate(
            objective=Objective(goal=THROUGHPUT, value=best.found.requests_per_s),
            interrupted=interrupted,
            trial=trial,
        ),
        candidates=tuple(r.candidate(best, trial) for r in (*ran, *rest)),
        notes=(f"auto: {best.name} with {best.router}, the most of {len(ran)} simulated",),
        throughput=best.found,
        interrupted=interrupted,
    )


def _served(runner: _Runner) -> float:
    return runner.found.requests_per_s if runner.found else 0.0


def _asked(runners: Sequence[_Runner]) -> list[_Runner]:
    """Who is simulated: the best by the models and by annealing, then the published methods, then
    annealed ones and others that may be as good, while there is time.
    """
    most = runners[0].rated_per_s
    worth = [r for r in runners if r.rated_per_s >= WORTH * most]
    first = [*worth[:BEST], *[r for r in runners if r.annealed][:ANNEALED]]
    rest = [*(r for r in worth if r.annealed), *worth]
    always = [r for r in runners if r.always]
    return list({id(r): r for r in (*first, *always, *rest)}.values())


def _in_lines(task: Task, runners: list[_Runner]) -> list[_Runner]:
    """The best by what flows carry, now by what is left of it in lines; the others behind them."""
    if not task.cost.serial.all():
        return runners
    mix, known = mix_of(task.problem), dict[bytes, float]()
    looked: list[_Runner] = []
    for runner in runners[:LOOKED_AT]:
        if looked and task.deadline.passed:
            break
        spans = runner.placement
        key = b"".join(a.tobytes() for a in (spans.start, spans.end, spans.cache_bytes))
        if key not in known:
            known[key] = queued_per_s(task.cost, spans, mix)
        runner.rated_per_s = known[key]
        looked.append(runner)
    return [*sorted(looked, key=lambda r: -r.rated_per_s), *runners[len(looked) :]]


def _runners(task: Task, settings: Settings) -> Iterator[_Runner]:
    """All candidates; the portfolio's errors where there is nothing else."""
    known: list[Entry] = []
    failed: Exception | None = None
    large = trial_for(task.cost, task.seed).requests > MOST
    parts = (*SHARES[:2], LARGE_SHARE if large else SHARES[2])
    first, second, third = (task.deadline.share(part) for part in parts)
    limited = replace(task, deadline=first)
    try:
        known = list(entries(limited, settings.known))
    except (InfeasibleError, HeuristicFailedError) as error:
        failed = error
    made = list(_by_models(task, settings.router or ROUTER, second, third))
    if failed is not None and not made:
        raise failed
    yield from made
    for entry in known:
        rate = _modelled_per_s(task.cost, entry.plan.placement) or entry.plan.rate_per_s
        routers = (ROUTER, *entry.routers[:1]) if entry.rank != OTHER else (ROUTER,)
        for router in routers if settings.router is None else (settings.router,):
            yield _Runner(
                name=entry.plan.name,
                placement=entry.plan.placement,
                router=router,
                rated_per_s=rate,
                always=entry.rank != OTHER,
            )


def _by_models(
    task: Task, router: str, flow_until: Deadline, layouts_until: Deadline
) -> Iterator[_Runner]:
    """The layout of largest flow, and those of annealing."""
    if beyond(task.cost):
        return
    try:
        placement, flow = flow_placement(task, deadline=flow_until)
        if flow.interrupted:
            raise KeyboardInterrupt
        placement = honoured(task, placement)
        rate = _modelled_per_s(task.cost, placement) or flow.rate_per_s
        yield _Runner(name="flow", placement=placement, router=router, rated_per_s=rate)
    except (InfeasibleError, HeuristicFailedError):
        pass
    limited = replace(task, deadline=layouts_until)
    for number, layout in enumerate(annealed(limited, rated=router == RATED), start=1):
        placement = honoured(task, layout.placement)
        yield _Runner(
            name=f"stages {number}",
            placement=placement,
            router=router,
            rated_per_s=layout.rate_per_s,
            annealed=True,
        )


def _modelled_per_s(cost: CostModel, placement: Placement) -> float:
    """What flows carry where servers work on one task at a time, else the fluid model.

    0 where they know no chain.
    """
    if cost.serial.all():
        return sustained(cost, placement, mix_of(cost.problem)).rate_per_s
    if beyond(cost):
        return 0.0
    return fluid(cost, client_shares(cost.problem), placement).rate_per_s


def _tell(task: Task, runners: Sequence[_Runner], elapsed_s: float) -> None:
    if task.on_progress is not None:
        best = max(_served(r) for r in runners)
        objective = Objective(goal=THROUGHPUT, value=best)
        task.on_progress(Progress(elapsed_s=elapsed_s, objective=objective))
