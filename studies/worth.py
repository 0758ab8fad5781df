"""The worth of every server: what is lost without it (leave one out)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..methods.draft import Known
from ..methods.table import method_of
from ..scenarios.files import parse_file
from ..scenarios.scenario import Scenario
from ..simulator.metrics import Interval
from .change import NOTABLE, carried, difference
from .edits import Edit, applied, remove
from .outcome import HopFigures, Outcome, Study, outcome

Verdict = Literal["needed", "helps", "no worth", "useless", "harms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """One server left out.

    Attributes
    ----------
    response_s : mean response without it minus with it, paired by seed: its worth in seconds.
    completed : completed requests without it minus with it, summed over the runs.
    share : requests that pass through it in the plan with it.
    critical : without it, and before anything is planned anew, some block is nowhere.
    why : the verdict in words.
    """

    server: str
    verdict: Verdict
    response_s: Interval
    completed: int
    share: float
    blocks: tuple[int, int]
    critical: bool
    why: str


def rank_servers(
    scenario: Scenario,
    study: Study,
    *,
    edits: Sequence[Edit] = (),
    on_progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Outcome, tuple[Worth, ...]]:
    """Plan and simulate without each server in turn; the most valuable first.

    A server harms when responses get shorter without it by more than the seeds differ, which a
    planner that may leave servers idle avoids. It is useless when the plan gives it no block, or
    when no request passes through it and nothing changes without it.

    Parameters
    ----------
    edits : applied to the scenario first.
    """
    raw = parse_file(scenario.path)
    edited = applied(raw, scenario, edits)
    base = _orders(edited, study, "all servers")
    names = [s.id for s in edited.problem.servers]
    found = []
    for j, name in enumerate(names):
        if on_progress:
            on_progress(j, len(names), name)
        without: list[Outcome] = []
        if len(names) > 1:
            left = applied(raw, scenario, [*edits, remove(name)])
            known = carried(base[0], edited, left)
            without = _orders(left, study, f"without {name}", known=known)
        found.append(_worth(base, without, j, name))
    return _merged(base), tuple(sorted(found, key=_rank))


def _orders(
    scenario: Scenario, study: Study, label: str, *, known: Sequence[Known] = ()
) -> list[Outcome]:
    """One plan; of a method that depends on the join order one per seed, so that the interval of
    a difference covers what the order alone changes."""
    if not method_of(study.method).random_order:
        return [outcome(scenario, study, label, known=known)]
    return [outcome(scenario, replace(study, seeds=(s,)), label) for s in study.seeds]


def _merged(orders: Sequence[Outcome]) -> Outcome:
    """All orders as one; placement and chains are those of the first."""
    hops = tuple(_mean(same) for same in zip(*(o.hops for o in orders if o.hops), strict=True))
    return replace(orders[0], runs=tuple(r for o in orders for r in o.runs), hops=hops)


def _mean(same: Sequence[HopFigures]) -> HopFigures:
    """One server over several plans: the first blocks that it gets, its mean share."""
    shown = next((h for h in same if h.end > h.start), same[0])
    return replace(shown, share=float(np.mean([h.share for h in same])))


def _rank(worth: Worth) -> tuple[int, float, str]:
    order = {"needed": 0, "helps": 1, "no worth": 1, "useless": 1, "harms": 1}
    value = worth.response_s.mean
    return order[worth.verdict], -(value if not math.isnan(value) else 0.0), worth.server


def _worth(base: list[Outcome], without: list[Outcome], row: int, name: str) -> Worth:
    both = [(a, b) for a, b in zip(base, without, strict=False) if a.served and b.served]
    lost = sum(a.served for a in base) - len(both)
    value = Interval.of([])
    completed = 0
    if both:
        a, b = (_merged(orders) for orders in zip(*both, strict=True))
        value = difference(a, b, lambda s: s.response_s.mean)
        completed = sum(r.completed for r in b.runs) - sum(r.completed for r in a.runs)
    whole = _merged(base)
    hop = whole.hops[row] if whole.hops else None
    verdict: Verdict
    if not any(o.served for o in (*base, *without)):
        verdict, why = "no worth", f"nothing is served, with it or without: {base[0].error}"
    elif lost or not without:
        more = f" in {lost} of {len(base)} join orders" if lost < len(base) > 1 else ""
        verdict, why = "needed", "nothing is served without it" + more
    elif not both:
        verdict, why = "harms", f"requests are served only without it: {base[0].error}"
    else:
        verdict, why = _verdict(whole.response_s, value, completed, hop)
    return Worth(
        server=name,
        verdict=verdict,
        response_s=value,
        completed=completed,
        share=hop.share if hop else 0.0,
        blocks=(hop.start, hop.end) if hop else (0, 0),
        critical=_critical(base[0], row),
        why=why,
    )


def _critical(base: Outcome, row: int) -> bool:
    """Whether some block is nowhere else in the placement."""
    if base.placement is None:
        return False
    start, end = int(base.placement.start[row]), int(base.placement.end[row])
    coverage = base.placement.coverage(base.problem.model.num_blocks)
    return bool((coverage[start:end] == 1).any())


def _verdict(
    response_s: float, value: Interval, completed: int, hop: HopFigures | None
) -> tuple[Verdict, str]:
    if hop is None or hop.end == hop.start:  # what else changes is the planner's luck
        return "useless", "the plan leaves it idle"
    noise = max(0.0 if math.isnan(value.half_width) else value.half_width, NOTABLE * response_s)
    percent = 100 * value.mean / response_s
    if completed < 0:
        return "helps", f"{-completed} requests less complete without it"
    if value.mean > noise:
        return "helps", f"responses are {value.mean:.3g} s ({percent:.1f} %) longer without it"
    if value.mean < -noise or completed > 0:
        return "harms", (
            f"makes things worse: responses are {-value.mean:.3g} s ({-percent:.1f} %) shorter "
            f"without it" + (f", {completed} more complete" if completed else "")
        )
    if hop.share == 0:
        return "useless", "no request passes through it"
    return "no worth", "what changes without it is within what the seeds differ"
