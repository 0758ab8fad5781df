"""The smallest or cheapest set of servers that meets a target, with a proven lower bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import blocks_that_fit
from ..workload.draw import draw_requests
from .catalogue import Market
from .coldstart import Recovery, in_words, recoveries
from .outcome import PARTS, Outcome, Study, outcome
from .sizebound import Bound, size_bound
from .target import Target, check_known

Minimise = Literal["count", "price"]
Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One set that was simulated.

    Attributes
    ----------
    figures : the figure of each target, mean over the seeds.
    excess : the worst relative miss; 0 when all targets are met by every request.
    recovery : the server whose loss leaves blocks dark for longest, where that was asked for.
    """

    counts: Counts
    figures: tuple[float, ...]
    excess: float
    outcome: Outcome
    recovery: Recovery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The answer.

    Attributes
    ----------
    best : the least set found that meets the targets, None when none was found.
    bound : no set below this meets them, by whatever placement and routing.
    proven : the best set is as small as the bound.
    closest : where nothing fits, the set that came nearest.
    missing : where nothing fits, what is missing, in words.
    recover_s : within so long blocks are to be served again after any loss; None = not asked.
    """

    minimise: Minimise
    targets: tuple[Target, ...]
    best: Tried | None
    bound: float
    proven: bool
    closest: Tried
    tried: tuple[Tried, ...]
    missing: tuple[str, ...]
    recover_s: float | None = None

    def __repr__(self) -> str:
        targets = ", ".join(map(str, self.targets))
        if self.best is None:
            return f"{type(self).__name__}({targets}: {'; '.join(self.missing)})"
        proven = "proven least" if self.proven else f"none below {self.bound:g}"
        return f"{type(self).__name__}({targets}: {sum(self.best.counts)} servers, {proven})"


class _Search:
    """Simulated sets, each once; the list grows until the budget is spent."""

    def __init__(
        self,
        market: Market,
        targets: Sequence[Target],
        study: Study,
        most: int,
        on_progress: Callable[[int, int, str], None] | None,
        recover_s: float | None,
    ) -> None:
        self._market, self._targets, self._study = market, targets, study
        self._most, self._on_progress, self._recover_s = most, on_progress, recover_s
        self.tried: dict[Counts, Tried] = {}
        self.may_be_empty = market.own > 0

    @property
    def spent(self) -> bool:
        """No more simulations are allowed."""
        return len(self.tried) >= self._most

    def __call__(self, counts: Counts) -> Tried | None:
        """A set's figures, None when the budget is spent."""
        if counts not in self.tried:
            if self.spent:
                return None
            if self._on_progress:
                self._on_progress(len(self.tried), self._most, str(sum(counts)))
            self.tried[counts] = self._simulated(counts)
        return self.tried[counts]

    def _simulated(self, counts: Counts) -> Tried:
        made = outcome(self._market.scenario_with(counts), self._study, "sized")
        figures = tuple(
            float(np.mean([t.figure.of(r) for r in made.runs])) if made.runs else math.nan
            for t in self._targets
        )
        excess = max(t.excess(f) for t, f in zip(self._targets, figures, strict=True))
        total = sum(r.requests for r in made.runs)
        done = sum(r.completed for r in made.runs)
        if not made.runs:
            excess = math.inf
        elif done < total:
            excess += 1.0 + 10.0 * (1.0 - done / total)
        recovery = None
        if self._recover_s is not None and made.placement is not None:
            recovery = recoveries(CostModel.of(made.problem), made.placement)[0]
            excess = max(excess, _late(recovery, self._recover_s))
        return Tried(counts=counts, figures=figures, excess=excess, outcome=made, recovery=recovery)


def _late(recovery: Recovery, limit_s: float) -> float:
    """How far blocks stay dark beyond a limit, relative; by how many where nobody hosts them."""
    if math.isinf(recovery.seconds):
        return 100.0 + recovery.dark
    return max(0.0, recovery.seconds - limit_s) / max(limit_s, 1.0)


def size(
    market: Market,
    targets: Sequence[Target],
    study: Study,
    *,
    minimise: Minimise = "count",
    most: int = 80,
    recover_s: float | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Sizing:
    """Find the least set of offers that meets all targets in simulation.

    The search starts from the set that the lower bound would take, adds what helps most for its
    price until the targets are met, then takes away and swaps what is not needed.

    Parameters
    ----------
    most : sets that may be simulated.
    recover_s : after the loss of any one server every block is to be served again within so long,
        by spares that load what is dark over their links; the lower bound knows nothing of it.
    """
    available = tuple(o.available for o in market.offers)
    check_known(targets, market.scenario_with(available).problem)
    cost = _weights(market, minimise)
    bound = lower_bound(market, targets, study, minimise)
    run = _Search(market, targets, study, most, on_progress, recover_s)
    best: Tried | None = None
    if math.isfinite(bound.value):
        best = _grow(run, bound.counts, available, cost)
        if best is not None:
            best = _shrink(run, best, available, cost)
    run(available)  # what all of it gives, for the table and for what is missing
    full = run.tried.get(available)
    if best is None and full is not None and full.excess == 0:
        best = _shrink(run, full, available, cost)
    tried = tuple(run.tried.values())
    closest = min(tried, key=lambda t: (t.excess, _sum(t.counts, cost)))
    value = _sum(best.counts, cost) if best is not None else math.inf
    return Sizing(
        minimise=minimise,
        targets=tuple(targets),
        best=best,
        bound=bound.value,
        proven=value <= bound.value + 1e-9 if best is not None else math.isinf(bound.value),
        closest=closest,
        tried=tried,
        missing=() if best is not None else _missing(market, targets, study, bound, closest),
        recover_s=recover_s,
    )


def _weights(market: Market, minimise: Minimise) -> tuple[float, ...]:
    """Cost of each offer; a tiny part of the other figure breaks ties in the search."""
    return tuple(1.0 if minimise == "count" else o.price_per_hour for o in market.offers)


def _sum(counts: Counts, cost: Sequence[float]) -> float:
    return float(sum(c * n for c, n in zip(cost, counts, strict=True)))


def lower_bound(
    market: Market, targets: Sequence[Target], study: Study, minimise: Minimise
) -> Bound:
    """The least over the seeds: a mean over seeds within the limit needs one seed within it."""
    available = tuple(o.available for o in market.offers)
    if any(offered(market, t, study) < t.limit for t in targets if t.least):
        return Bound(value=math.inf, counts=())
    problem = market.scenario_with(available).problem
    if any(own.models for own in problem.drafting):
        return Bound(value=0.0, counts=())  # how few passes are enough nobody knows
    offer_of = [-1] * market.own
    offer_of += [i for i, n in enumerate(available) for _ in range(n)]
    found = [
        size_bound(
            CostModel.of(problem),
            offer_of,
            available,
            _weights(market, minimise),
            draw_requests(problem, seed, num_requests=study.requests),
            targets,
        )
        for seed in study.seeds
    ]
    return min(found, key=lambda b: b.value)


def offered(market: Market, target: Target, study: Study) -> float:
    """The most that a rate can be, whatever serves it: all requests done at the last arrival."""
    rates = []
    for seed in study.seeds:
        requests = draw_requests(market.scenario.problem, seed, num_requests=study.requests)
        arrivals = [r.arrival_s for r in requests]
        work = sum(r.output_tokens for r in requests) if "tokens" in target.name else len(requests)
        span = max(arrivals) - min(arrivals)
        rates.append(work / span if span > 0 else math.inf)
    return float(np.mean(rates))


def _grow(run: _Search, start: Counts, available: Counts, cost: Sequence[float]) -> Tried | None:
    """Add offers until the targets are met; None when the budget or the offers run out."""
    at = run(start)
    while at is not None and at.excess > 0:
        steps = [t for c in _more(at.counts, available) if (t := run(c)) is not None]
        if not steps:
            return None
        base = min(at.excess, 1e6)

        def gain(t: Tried, base: float = base, at: Tried = at) -> tuple[float, float]:
            added = _sum(t.counts, cost) - _sum(at.counts, cost)
            return (base - min(t.excess, 1e6)) / max(added, 1e-6), -added

        at = max(steps, key=gain)
    return at


def _more(counts: Counts, available: Counts) -> Iterator[Counts]:
    for i, (n, limit) in enumerate(zip(counts, available, strict=True)):
        if n < limit:
            yield (*counts[:i], n + 1, *counts[i + 1 :])


def _fewer(counts: Counts) -> Iterator[Counts]:
    for i, n in enumerate(counts):
        if n:
            yield (*counts[:i], n - 1, *counts[i + 1 :])


def _shrink(run: _Search, best: Tried, available: Counts, cost: Sequence[float]) -> Tried:
    """Leave out or swap single servers while the targets stay met and the set gets cheaper."""
    while True:
        now = _sum(best.counts, cost)
        steps = set(_fewer(best.counts))
        steps |= {c for less in _fewer(best.counts) for c in _more(less, available)}
        steps |= {
            c
            for less in _fewer(best.counts)
            for even in _fewer(less)
            for c in _more(even, available)
        }
        if not run.may_be_empty:
            steps.discard((0,) * len(available))
        better = None
        for counts in sorted(steps, key=lambda c: (_sum(c, cost), c)):
            if _sum(counts, cost) >= now - 1e-12:
                break
            found = run(counts)
            if found is None:
                return best
            if found.excess == 0:
                better = found
                break
        if better is None:
            return best
        best = better


def _missing(
    market: Market, targets: Sequence[Target], study: Study, bound: Bound, closest: Tried
) -> tuple[str, ...]:
    """Why nothing fits: what is proven first, then how near the closest set came."""
    lines = []
    available = tuple(o.available for o in market.offers)
    if math.isinf(bound.value):
        lines.append("proven: no set of this catalogue meets the targets, however it is planned")
        lines += _proofs(market, targets, study, available)
    if not closest.outcome.served:
        lines.append(f"even the closest set serves nothing: {closest.outcome.error}")
        return tuple(lines)
    for target, figure in zip(targets, closest.figures, strict=True):
        if target.excess(figure) > 0:
            lines.append(f"closest set: {target.name} {figure:.4g}, wanted {target.limit:g}")
    if closest.recovery is not None:
        lines.append(f"closest set: {in_words(closest.recovery)}")
    if all(t.excess(f) == 0 for t, f in zip(targets, closest.figures, strict=True)):
        return tuple(lines)
    if all(t.least for t, f in zip(targets, closest.figures, strict=True) if t.excess(f) > 0):
        return tuple(lines)  # a rate follows from how many requests are served, not from a part
    part = int(np.nanargmax(closest.outcome.parts_s))
    remedy = {
        "waiting": "more memory for caches",
        "prompt": "faster devices or servers nearer to the clients",
        "network": "servers nearer to the clients, or larger ones so that chains are shorter",
        "overhead": "larger servers, so that chains are shorter",
        "compute": "faster devices",
        "line": "more or faster devices: servers work for others most of the time",
    }[PARTS[part]]
    seconds = closest.outcome.parts_s[part]
    lines.append(f"most of its response is {PARTS[part]} ({seconds:.3g} s): add {remedy}")
    return tuple(lines)


def _proofs(
    market: Market, targets: Sequence[Target], study: Study, available: Counts
) -> Iterator[str]:
    """Which demands fail alone, and where each would begin to be possible."""
    for target in targets:
        if target.least and (most := offered(market, target, study)) < target.limit:
            yield (
                f"the requests arrive too slowly: {target.name} cannot exceed {most:.4g}, "
                f"wanted {target.limit:g}"
            )
            continue
        alone = lower_bound(market, [target], study, "count")
        if math.isfinite(alone.value) or target.alone is None:
            continue
        low, high = target.limit, target.limit
        for _ in range(20):
            high *= 2
            if math.isfinite(_count(market, replace(target, limit=high), study)):
                break
        else:
            problem: Problem = market.scenario_with(available).problem
            cost = CostModel.of(problem.at_lightest())
            room = int(blocks_that_fit(cost, 0, capped=False).sum())
            yield (
                f"all of it together holds {room} blocks beside no session; "
                f"{problem.model.num_blocks} and room for one request are needed"
            )
            return
        for _ in range(12):
            middle = (low + high) / 2
            if math.isfinite(_count(market, replace(target, limit=middle), study)):
                high = middle
            else:
                low = middle
        yield f"with all of it {target.name} is above {low:.4g} at best, wanted {target.limit:g}"


def _count(market: Market, target: Target, study: Study) -> float:
    return lower_bound(market, [target], replace(study, seeds=study.seeds[:1]), "count").value
