"""Results as the library hands them out: rows for a table, pictures for a notebook.

They are the results themselves, with what is needed to show them beside.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from .api import Explanation
from .core.plan import Plan
from .core.problem import Problem
from .reports.page import fragment
from .reports.sections import (
    coverage_section,
    distribution_section,
    map_section,
    plan_section,
    planned_chains,
)
from .reports.studies import change_section, comparison_section
from .reports.write import Kept
from .simulator.compare import Comparison
from .simulator.figures import JUDGED_BY, compared
from .simulator.result import SimulationResult
from .studies.catalogue import Market
from .studies.change import Change, changed, difference
from .studies.size import Sizing
from .views.sizing import sizing_document

Rows = list[dict[str, Any]]
Result = TypeVar("Result")


def shown(kind: type[Result], result: Any, **beside: Any) -> Result:
    """A result as one that can be shown."""
    given = {f.name: getattr(result, f.name) for f in fields(result) if f.init}
    return kind(**given, **beside)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ShownPlan(Plan):
    """A plan with the problem that it is for."""

    problem: Problem

    def to_dicts(self) -> Rows:
        """One row per server."""
        spans = self.placement
        return [
            {
                "server": server.id,
                "start_block": int(spans.start[j]),
                "end_block": int(spans.end[j]),
                "cache_bytes": int(spans.cache_bytes[j]),
            }
            for j, server in enumerate(self.problem.servers)
        ]

    def _repr_html_(self) -> str:
        sections = [
            plan_section(self.problem, self),
            map_section(self.problem, self.placement, planned_chains(self)),
            coverage_section(self.problem, self.placement),
        ]
        return fragment(sections)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ShownRun(SimulationResult):
    """A simulated run."""

    def to_dicts(self) -> Rows:
        """One row per request."""
        return list(self.rows())

    def _repr_html_(self) -> str:
        return fragment([distribution_section({"run": [self]})])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ShownComparison(Comparison):
    """A comparison with its runs."""

    kept: Kept = field(default_factory=Kept)

    def to_dicts(self) -> Rows:
        """One row per method: means, half-widths of their intervals, gain over the first."""
        found: Rows = []
        for row in self.rows:
            entry: dict[str, Any] = {"method": row.method, "error": row.error}
            for figure in compared(row.runs, self.quality) if row.runs else ():
                interval = row.interval(figure.of, self.per_seed(row))
                entry[figure.id] = interval.mean
                entry[f"{figure.id}_half_width"] = interval.half_width
            if row.runs:
                entry["gain"] = self.gain(row, JUDGED_BY[self.quality].of).mean
            found.append(entry)
        return found

    def requests(self) -> Rows:
        """One row per request of every run, with its method and the number of the run."""
        return [
            {"method": method, "run": number, **row}
            for method, runs in self.kept.runs.items()
            for number, run in enumerate(runs)
            for row in run.rows()
        ]

    def _repr_html_(self) -> str:
        return fragment([comparison_section(self), distribution_section(self.kept.runs)])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ShownChange(Change):
    """Before and after."""

    def to_dicts(self) -> Rows:
        """One row per figure and outcome after the change."""
        return [
            {
                "after": after.label,
                "figure": figure.id,
                "difference": delta.mean,
                "half_width": delta.half_width,
            }
            for after in self.after
            for figure in changed(self.before, after)
            for delta in (difference(self.before, after, figure.of),)
        ]

    def _repr_html_(self) -> str:
        return fragment([change_section(self)])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ShownSizing(Sizing):
    """A sizing with the market that it chose from."""

    market: Market

    def to_dicts(self) -> Rows:
        """One row per set that was simulated."""
        found: Rows = sizing_document(self.market, self)["simulated"]
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShownExplanation(Explanation):
    """Where one client's time goes."""

    problem: Problem = field(repr=False)

    def to_dicts(self) -> Rows:
        """One row per hop."""
        names = [s.id for s in self.problem.servers]
        return [{**asdict(h), "server": names[h.server]} for h in self.hops]
