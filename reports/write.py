"""The report of each command: which parts, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.plan import Placement, Plan
from ..methods.routers import router_named
from ..perfmodel.cost import CostModel
from ..scenarios.scenario import Scenario
from ..simulator.compare import Comparison
from ..simulator.engine import simulate
from ..simulator.result import SimulationResult
from ..studies.change import Change
from ..studies.outcome import Outcome
from ..studies.roles import Roles, roles_of
from ..studies.worth import Worth
from ..workload.draw import draw_requests
from .page import write_report
from .sections import (
    Chain,
    coverage_section,
    distribution_section,
    map_section,
    occupancy_section,
    plan_section,
    planned_chains,
    provenance_section,
    regions_section,
    throughput_section,
    used_chains,
)
from .studies import change_section, comparison_section, roles_section, sweep_section, worth_section


class Kept:
    """Runs of a comparison, kept for the report: give ``Kept().add`` as ``on_result``."""

    def __init__(self) -> None:
        self.runs: dict[str, list[SimulationResult]] = {}
        self.placements: dict[str, Placement] = {}

    def add(self, method: str, placement: Placement, result: SimulationResult) -> None:
        """One run; of several placements of a method the first is shown."""
        self.runs.setdefault(method, []).append(result)
        self.placements.setdefault(method, placement)


def report_comparison(
    path: Path,
    scenario: Scenario,
    comparison: Comparison,
    kept: Kept,
    seeds: Sequence[int],
    *,
    plan: Plan | None = None,
    roles: Roles | None = None,
) -> None:
    """Methods side by side; map, blocks and caches of the one with the least mean response.

    Parameters
    ----------
    plan, roles : of one that took part, to be told as well.
    """
    sections = [comparison_section(comparison), distribution_section(kept.runs)]
    sections += [plan_section(scenario.problem, plan)] if plan else []
    sections += [roles_section(roles)] if roles else []
    best = _best(comparison)
    if best is not None:
        placement, runs = kept.placements[best], kept.runs[best]
        sections += [
            map_section(scenario.problem, placement, used_chains(runs[:1]), title=f"Map of {best}"),
            *regions_section(scenario.problem, used_chains(runs[:1])),
            coverage_section(scenario.problem, placement),
            occupancy_section(scenario.problem, placement, runs[0], best),
        ]
    facts = [
        ("methods", ", ".join(r.method for r in comparison.rows)),
        ("seeds", ", ".join(map(str, seeds))),
        ("waiting rule", comparison.admission),
    ]
    sections.append(provenance_section(scenario, facts))
    lead = f"{len(comparison.rows)} methods on {scenario.document.name}"
    if best is not None:
        lead += f"; the shortest mean response is that of {best}"
    write_report(path, f"Comparison: {scenario.document.name}", lead + ".", sections)


def _best(comparison: Comparison) -> str | None:
    served = [r for r in comparison.rows if r.runs and any(s.completed for s in r.runs)]
    if not served:
        return None
    return min(served, key=lambda r: float(np.mean([s.response_s.mean for s in r.runs]))).method


def report_plan(path: Path, scenario: Scenario, plan: Plan, roles: Roles | None = None) -> None:
    """A plan, what each server is for, and one simulated run of it."""
    problem = plan.settled(scenario.problem)
    known = roles or roles_of(problem, plan)
    requests = draw_requests(problem, plan.seed)
    result = simulate(
        problem,
        plan.placement,
        router_named(plan.router)(CostModel.of(problem), plan.placement),
        requests,
        events=scenario.events,
    )
    sections = [
        plan_section(problem, plan),
        *throughput_section(plan),
        roles_section(known),
        map_section(problem, plan.placement, planned_chains(plan)),
        *regions_section(problem, planned_chains(plan)),
        coverage_section(problem, plan.placement),
        distribution_section({plan.method: [result]}),
        occupancy_section(problem, plan.placement, result, plan.method),
        provenance_section(
            scenario, [("method", plan.method), ("seed", plan.seed), ("router", plan.router)]
        ),
    ]
    lead = (
        f"{problem.num_servers} servers, {problem.model.num_blocks} blocks of "
        f"{problem.model.name}, planned by {plan.method} for {plan.sessions} concurrent sessions."
    )
    write_report(path, f"Plan: {scenario.document.name}", lead, sections)


def report_change(path: Path, scenario: Scenario, change: Change, study: str) -> None:
    """Before and after, with a map of each."""
    sections = [change_section(change)]
    for outcome in (change.before, *change.after):
        if outcome.placement is not None and outcome.served:
            title = f"Map {outcome.label}"
            sections.append(
                map_section(outcome.problem, outcome.placement, _chains(outcome), title=title)
            )
    last = change.after[-1]
    if last.placement is not None:
        sections.append(coverage_section(last.problem, last.placement))
    sections.append(provenance_section(scenario, [("planned by", study)]))
    title = f"What if: {scenario.document.name}"
    write_report(path, title, "; ".join(change.edits) + ".", sections)


def _chains(outcome: Outcome) -> list[Chain]:
    return [
        Chain(client=row, route=client.chain, weight=client.completed)
        for row, client in enumerate(outcome.clients)
        if client.chain is not None
    ]


def report_worth(
    path: Path, scenario: Scenario, base: Outcome, found: Sequence[Worth], study: str
) -> None:
    """The worth of every server, and where they are."""
    sections = [worth_section(found)]
    if base.placement is not None and base.served:
        sections += [
            map_section(base.problem, base.placement, _chains(base)),
            coverage_section(base.problem, base.placement),
        ]
    sections.append(provenance_section(scenario, [("planned by", study)]))
    title = f"Worth of servers: {scenario.document.name}"
    write_report(path, title, f"{len(found)} servers, each left out in turn.", sections)


def report_sweep(
    path: Path, scenario: Scenario, records: Sequence[dict[str, Any]], sha256: str
) -> None:
    """Figures of a sweep and where its scenario's machines are."""
    sections = [
        sweep_section(records),
        provenance_section(scenario, [("sha256 of the sweep", sha256)]),
    ]
    title = f"Sweep: {scenario.document.name}"
    write_report(path, title, f"{len(records)} configuration{'s' * (len(records) != 1)}.", sections)
