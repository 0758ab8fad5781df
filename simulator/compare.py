"""Methods side by side: the same requests, the same constants, the same waiting rule."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.drafting import Use
from ..core.errors import SwarmplanError, SwarmplanWarning
from ..core.events import ServerEvent
from ..core.names import Admission, Quality
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..routing.api import RouterFactory
from .engine import simulate
from .metrics import WARM_UP, Interval, Summary, summarise
from .result import SimulationResult
from .service import Yardstick

OnProgress = Callable[[int, int, str], None]
#: Called with the method, the placement and the result of every run.
OnResult = Callable[[str, Placement, SimulationResult], None]


#: A placement, what makes its router, how clients draft (empty: as the problem says).
Decided = tuple[Placement, RouterFactory, Sequence[Use]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One method of a comparison.

    Attributes
    ----------
    decide : placement, router and drafts for a seed.
    random_order : the decision depends on the seed as the order in which servers join.
    problem : on which it is measured; None = that of the comparison. Requests are the same.
    """

    name: str
    note: str
    decide: Callable[[int], Decided]
    random_order: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method over all seeds (and join orders).

    Attributes
    ----------
    runs : one summary per run, seeds outermost.
    error : why the method has no runs.
    """

    method: str
    note: str
    runs: tuple[Summary, ...]
    error: str = ""

    def interval(self, figure: Callable[[Summary], float], per_seed: int = 1) -> Interval:
        """Mean of a figure; join orders of one seed are averaged before the spread is taken."""
        values = [figure(r) for r in self.runs]
        groups = [values[i : i + per_seed] for i in range(0, len(values), per_seed)]
        return Interval.of([float(np.mean(g)) for g in groups])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Rows in the order asked for; the first is the baseline. ``problem`` is what all solved.

    Attributes
    ----------
    quality : what service is judged by.
    """

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    join_orders: int
    admission: Admission
    alloc_delay_s: float
    problem: Problem
    quality: Quality = "mean"

    def __repr__(self) -> str:
        methods = ", ".join(r.method for r in self.rows)
        return f"{type(self).__name__}({methods} over {len(self.seeds)} seeds)"

    @property
    def runs(self) -> list[Summary]:
        """All runs of all methods."""
        return [run for row in self.rows for run in row.runs]

    def gain(self, row: Row, figure: Callable[[Summary], float]) -> Interval:
        """``1 - figure / baseline`` per seed: paired, so that common randomness cancels."""
        base = self._per_seed(self.rows[0], figure)
        mine = self._per_seed(row, figure)
        if len(base) != len(mine):
            return Interval.of([])
        return Interval.of([1.0 - m / b for m, b in zip(mine, base, strict=True) if b])

    def per_seed(self, row: Row) -> int:
        """Runs of a row for each seed."""
        return max(1, len(row.runs) // max(1, len(self.seeds)))

    def _per_seed(self, row: Row, figure: Callable[[Summary], float]) -> list[float]:
        size = self.per_seed(row)
        values = [figure(r) for r in row.runs]
        return [float(np.mean(values[i : i + size])) for i in range(0, len(values), size)]


def compare(
    problem: Problem,
    methods: Sequence[Contestant],
    requests_of: Callable[[int], Sequence[Request]],
    *,
    seeds: Iterable[int] = range(5),
    join_orders: int = 3,
    admission: Admission = "retry",
    events: Sequence[ServerEvent] = (),
    quality: Quality = "mean",
    on_progress: OnProgress | None = None,
    on_result: OnResult | None = None,
) -> Comparison:
    """Run every method on the requests of every seed.

    Parameters
    ----------
    requests_of : requests of a seed; every method gets the very same ones.
    join_orders : random join orders per seed for methods that depend on them.
    """
    numbers = tuple(seeds)
    total = sum((join_orders if m.random_order else 1) * len(numbers) for m in methods)
    drawn = {seed: requests_of(seed) for seed in numbers}
    cost = CostModel.of(problem)
    by = {seed: Yardstick.of(cost, requests) for seed, requests in drawn.items()}
    rows: list[Row] = []
    done = 0

    def run(method: Contestant, decision: Decided, seed: int) -> Summary:
        placement, router, drafts = decision
        drafted = placement.settled(method.problem or problem).with_drafts(drafts)
        result = simulate(
            drafted,
            placement,
            router(CostModel.of(drafted), placement),
            drawn[seed],
            admission=admission,
            events=events,
        )
        if on_result:
            on_result(method.name, placement, result)
        return summarise(result, warm_up=WARM_UP, by=by[seed])

    for method in methods:
        orders = join_orders if method.random_order else 1
        runs: list[Summary] = []
        error = ""
        decision = None
        for seed, order in itertools.product(numbers, range(orders)):
            if on_progress:
                on_progress(done, total, method.name)
            done += 1
            if error:
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("once", SwarmplanWarning)
                    if decision is None or method.random_order:
                        decision = method.decide(seed * 1_000 + order)
                runs.append(run(method, decision, seed))
            except SwarmplanError as failure:
                error = str(failure)
        kept = tuple(runs) if not error else ()
        rows.append(Row(method=method.name, note=method.note, runs=kept, error=error))
    return Comparison(
        rows=tuple(rows),
        seeds=numbers,
        join_orders=join_orders,
        admission=admission,
        alloc_delay_s=problem.alloc_delay_s,
        problem=problem,
        quality=quality,
    )
