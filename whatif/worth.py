"""The worth of every server: what is lost without it (leave one out)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..scenarios.files import parse_file
from ..scenarios.load import Scenario
from ..simulator.metrics import Interval
from .change import NOTABLE, difference
from .edits import applied, remove
from .outcome import Outcome, Study, outcome

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
    on_progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Outcome, tuple[Worth, ...]]:
    """Plan and simulate without each server in turn; the most valuable first.

    A server harms when responses get shorter without it by more than the seeds differ, which a
    planner that may leave servers idle avoids; it is useless when the plan gives it no block or
    no request passes through it.
    """
    raw = parse_file(scenario.path)
    base = outcome(scenario, study, "all servers")
    names = [s.id for s in scenario.problem.servers]
    found = []
    for j, name in enumerate(names):
        if on_progress:
            on_progress(j, len(names), name)
        without = (
            outcome(applied(raw, scenario, [remove(name)]), study, f"without {name}")
            if len(names) > 1
            else None
        )
        found.append(_worth(base, without, j, name))
    return base, tuple(sorted(found, key=_rank))


def _rank(worth: Worth) -> tuple[int, float, str]:
    order = {"needed": 0, "helps": 1, "no worth": 1, "useless": 1, "harms": 1}
    value = worth.response_s.mean
    return order[worth.verdict], -(value if not math.isnan(value) else 0.0), worth.server


def _worth(base: Outcome, without: Outcome | None, row: int, name: str) -> Worth:
    blocks, share, critical = (0, 0), 0.0, False
    if base.placement is not None:
        start, end = int(base.placement.start[row]), int(base.placement.end[row])
        blocks = (start, end)
        coverage = base.placement.coverage(base.problem.model.num_blocks)
        critical = bool(end > start and (coverage[start:end] == 1).any())
    if base.hops:
        share = base.hops[row].share
    value = Interval.of([])
    completed = 0
    if without is not None and without.served and base.served:
        value = difference(base, without, lambda s: s.response_s.mean)
        completed = sum(r.completed for r in without.runs) - sum(r.completed for r in base.runs)
    verdict, why = _verdict(base, without, value, completed, blocks, share)
    return Worth(
        server=name,
        verdict=verdict,
        response_s=value,
        completed=completed,
        share=share,
        blocks=blocks,
        critical=critical,
        why=why,
    )


def _verdict(
    base: Outcome,
    without: Outcome | None,
    value: Interval,
    completed: int,
    blocks: tuple[int, int],
    share: float,
) -> tuple[Verdict, str]:
    if without is None or not without.served:
        return "needed", "nothing is served without it"
    if not base.served:
        return "harms", f"requests are served only without it: {base.error}"
    noise = max(
        0.0 if math.isnan(value.half_width) else value.half_width, NOTABLE * base.response_s
    )
    percent = 100 * value.mean / base.response_s
    if completed < 0:
        return "helps", f"{-completed} requests less complete without it"
    if value.mean > noise:
        return "helps", f"responses are {value.mean:.3g} s ({percent:.1f} %) longer without it"
    if value.mean < -noise or completed > 0:
        return "harms", (
            f"makes things worse: responses are {-value.mean:.3g} s ({-percent:.1f} %) shorter "
            f"without it" + (f", {completed} more complete" if completed else "")
        )
    if blocks[1] == blocks[0]:
        return "useless", "the plan leaves it idle"
    if share == 0:
        return "useless", "no request passes through it"
    return "no worth", "responses are the same without it, within what the seeds differ"
