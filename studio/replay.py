"""A run of the plan as data for the map: who travels where and when, and how full servers are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.errors import ScenarioError
from ..core.events import ServerEvent
from ..core.plan import Plan, Route
from ..methods.routers import router_named
from ..perfmodel.cost import CostModel
from ..scenarios.scenario import Scenario
from ..simulator.engine import simulate
from ..simulator.result import SimulationResult
from ..workload.draw import draw_requests
from .planner import SEED

#: Failures that may be injected, requests that are shown, instants at which caches are told.
MOST_FAILURES, MOST_REQUESTS, INSTANTS = 12, 2_000, 400
#: A session's chain from an instant on: (seconds, server rows).
Leg = tuple[float, tuple[int, ...]]


def replay(scenario: Scenario, plan: Plan, failures: Sequence[tuple[float, str]]) -> dict[str, Any]:
    """The run of ``simulate`` with further failures, told as it happens.

    A result knows the last chain of a session only. Up to a failure a run is the same as without
    it, so that the run without the later failures tells the chains between two of them.

    Parameters
    ----------
    failures : (seconds, server id) of servers that drop out for good.

    Raises
    ------
    ScenarioError
        For unknown servers and more failures than are taken.
    """
    if len(failures) > MOST_FAILURES:
        raise ScenarioError.single("failures", f"more than {MOST_FAILURES}: take some back")
    rows = {s.id: j for j, s in enumerate(scenario.problem.servers)}
    for _, name in failures:
        if name not in rows:
            raise ScenarioError.single("failures", f"no server {name!r}")
    own = list(scenario.events)
    given = [ServerEvent(time_s=t, server=rows[name], up=False) for t, name in failures]
    breaks = sorted({e.time_s for e in given})
    whole = _run(scenario, plan, (*own, *given), None)
    parts = [
        _run(scenario, plan, (*own, *(e for e in given if e.time_s < at)), at) for at in breaks
    ]
    legs = [_legs(parts, breaks, whole, i) for i in range(len(whole.routes))]
    return _document(scenario, plan, whole, legs, (*own, *given))


def _run(
    scenario: Scenario, plan: Plan, events: Sequence[ServerEvent], until_s: float | None
) -> SimulationResult:
    problem = plan.settled(scenario.problem)
    count = min(MOST_REQUESTS, problem.workload.num_requests)
    return simulate(
        problem,
        plan.placement,
        router_named(plan.router)(CostModel.of(problem), plan.placement),
        draw_requests(problem, SEED, num_requests=count),
        events=events,
        horizon_s=until_s,
    )


def _legs(
    parts: Sequence[SimulationResult], breaks: Sequence[float], whole: SimulationResult, i: int
) -> list[Leg]:
    """The chains of one session in the order in which it took them."""
    legs: list[Leg] = []
    since = 0.0
    for run, until_s in zip((*parts, whole), (*breaks, math.inf), strict=True):
        route = run.routes[i]
        started = whole.start_s[i] < until_s
        if route is not None and started and (not legs or legs[-1][1] != route.servers):
            legs.append((since, _servers(route)))
        since = until_s
    return legs


def _servers(route: Route) -> tuple[int, ...]:
    return tuple(int(j) for j in route.servers)


def _document(
    scenario: Scenario,
    plan: Plan,
    run: SimulationResult,
    legs: Sequence[Sequence[Leg]],
    events: Sequence[ServerEvent],
) -> dict[str, Any]:
    order = np.argsort(run.arrival_s, kind="stable")
    kept = np.unique(np.linspace(0, len(run.timeline_s) - 1, INSTANTS).astype(int))
    pool = np.maximum(plan.placement.cache_bytes, 1)
    used = np.round(100 * run.timeline_bytes[kept] / pool).astype(int) if len(kept) else []
    return {
        "end_s": float(run.end_s),
        "servers": list(run.server_ids),
        "clients": list(run.client_ids),
        "sessions": [
            {
                "client": int(run.client[i]),
                "arrival_s": float(run.arrival_s[i]),
                "start_s": _known(run.start_s[i]),
                "first_s": _known(run.first_token_s[i]),
                "finish_s": _known(run.finish_s[i]),
                "tokens": int(run.output_tokens[i]),
                "status": run.status[i],
                "legs": [[at, list(servers)] for at, servers in legs[i]],
            }
            for i in order
        ],
        "cache": {
            "times_s": [float(t) for t in run.timeline_s[kept]] if len(kept) else [],
            "percent": [row.tolist() for row in used],
        },
        "events": [
            {"time_s": e.time_s, "server": run.server_ids[e.server], "up": e.up}
            for e in sorted(events, key=lambda e: e.time_s)
        ],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
