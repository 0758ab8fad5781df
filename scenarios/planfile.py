"""Plan files: sorted JSON with ids instead of rows, byte-equal for equal inputs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.errors import InputProblem, ScenarioError
from ..core.plan import Candidate, Certificate, Hop, Placement, Plan, PlannedRoute, Predicted, Route
from . import schema
from .defects import validate
from .files import parse_file, write_text
from .load import Scenario


def plan_document(plan: Plan, scenario: Scenario) -> dict[str, Any]:
    """The content of a plan file. Idle servers are listed with an empty span."""
    problem = scenario.problem
    names = [s.id for s in problem.servers]
    proof = plan.certificate
    return {
        "format": schema.PLAN_FORMAT,
        "scenario": scenario.document.name,
        "scenario_sha256": scenario.sha256,
        "tool": f"swarmplan {__version__}",
        "method": plan.method,
        "router": plan.router,
        "seed": plan.seed,
        "sessions": plan.sessions,
        "placement": [
            {
                "server": name,
                "start_block": int(plan.placement.start[j]),
                "end_block": int(plan.placement.end[j]),
                "cache_bytes": int(plan.placement.cache_bytes[j]),
            }
            for j, name in enumerate(names)
        ],
        "routes": [
            {
                "client": problem.clients[r.client].id,
                "sessions": r.sessions,
                "hops": [
                    {"server": names[h.server], "start_block": h.start, "end_block": h.end}
                    for h in r.route.hops
                ],
            }
            for r in plan.routes
        ],
        "predicted": [
            {
                "client": problem.clients[p.client].id,
                "ttft_ms": p.ttft_s * 1e3,
                "tpot_ms": p.tpot_s * 1e3,
                "response_ms": p.response_s * 1e3,
            }
            for p in plan.predicted
        ],
        "certificate": {
            "status": proof.status,
            "objective": proof.objective,
            "bound": proof.bound,
            "gap": proof.gap,
            "method": proof.method,
            "meaning": proof.meaning,
        },
        "candidates": [asdict(c) for c in plan.candidates],
        "notes": list(plan.notes),
    }


def write_plan(path: Path, plan: Plan, scenario: Scenario) -> None:
    """Write a plan file, all or nothing: an existing file survives a failure."""
    text = json.dumps(plan_document(plan, scenario), indent=2, sort_keys=True) + "\n"
    write_text(path, text)


def read_plan(path: Path, scenario: Scenario) -> Plan:
    """A plan file for this scenario. Its soundness is for ``verify`` to judge.

    Raises
    ------
    ScenarioError
        If it is not a plan file, or names servers or clients that the scenario does not have.
    """
    given = validate(parse_file(path), schema.PlanFile, schema.plan_json_schema, source=str(path))
    problem = scenario.problem
    servers = {s.id: j for j, s in enumerate(problem.servers)}
    clients = {c.id: i for i, c in enumerate(problem.clients)}
    wrong = [*_unknown(given, servers, clients), *_gap(given.certificate)]
    if wrong:
        raise ScenarioError(wrong, source=str(path))
    spans: list[tuple[int, int, int]] = [(0, 0, 0)] * len(servers)
    for placed in given.placement:
        spans[servers[placed.server]] = (placed.start_block, placed.end_block, placed.cache_bytes)
    proof = given.certificate
    return Plan(
        method=given.method,
        placement=Placement(
            start=[s for s, _, _ in spans],  # type: ignore[arg-type]
            end=[e for _, e, _ in spans],  # type: ignore[arg-type]
            cache_bytes=[c for _, _, c in spans],  # type: ignore[arg-type]
        ),
        routes=tuple(
            PlannedRoute(
                client=clients[r.client],
                sessions=r.sessions,
                route=Route(
                    hops=tuple(
                        Hop(server=servers[h.server], start=h.start_block, end=h.end_block)
                        for h in r.hops
                    )
                ),
            )
            for r in given.routes
        ),
        predicted=tuple(
            Predicted(
                client=clients[p.client],
                ttft_s=p.ttft_ms / 1e3,
                tpot_s=p.tpot_ms / 1e3,
                response_s=p.response_ms / 1e3,
            )
            for p in given.predicted
        ),
        certificate=Certificate(
            status=proof.status,
            objective=proof.objective,
            bound=proof.bound,
            method=proof.method,
            meaning=proof.meaning,
        ),
        sessions=given.sessions,
        seed=given.seed,
        notes=(*given.notes, *_stale(given, scenario)),
        router=given.router,
        candidates=tuple(
            Candidate(
                placement=c.placement,
                router=c.router,
                bound=c.bound,
                figure=c.figure,
                requests=c.requests,
                verdict=c.verdict,
            )
            for c in given.candidates
        ),
    )


def is_for(given_sha256: str, scenario: Scenario) -> bool:
    """Whether a plan was made for exactly this scenario."""
    return given_sha256 == scenario.sha256


def _stale(given: schema.PlanFile, scenario: Scenario) -> tuple[str, ...]:
    if is_for(given.scenario_sha256, scenario):
        return ()
    return (STALE,)


STALE = "the plan was made for another version of this scenario (the hashes differ)"


def _gap(given: schema.PlanCertificate) -> list[InputProblem]:
    """The gap is written for readers; it must follow from the other two."""
    right = Certificate(status=given.status, objective=given.objective, bound=given.bound).gap
    same = given.gap == right or (
        given.gap is not None and right is not None and abs(given.gap - right) <= 1e-9
    )
    if same or (right is not None and not math.isfinite(right)):  # figures for verify to judge
        return []
    message = f"is {given.gap}, objective and bound give {right}; set all three"
    return [InputProblem("certificate.gap", message)]


def _unknown(
    given: schema.PlanFile, servers: dict[str, int], clients: dict[str, int]
) -> list[InputProblem]:
    wrong: list[InputProblem] = []
    seen: set[str] = set()
    for i, placed in enumerate(given.placement):
        where = f"placement[{i}].server"
        if placed.server not in servers:
            wrong.append(InputProblem(where, f"no server {placed.server!r} in the scenario"))
        if placed.server in seen:
            wrong.append(InputProblem(where, f"{placed.server!r} is placed twice"))
        seen.add(placed.server)
    for i, route in enumerate(given.routes):
        if route.client not in clients:
            wrong.append(
                InputProblem(f"routes[{i}].client", f"no client {route.client!r} in the scenario")
            )
        wrong += [
            InputProblem(f"routes[{i}].hops[{k}].server", f"no server {h.server!r} in the scenario")
            for k, h in enumerate(route.hops)
            if h.server not in servers
        ]
    for i, figure in enumerate(given.predicted):
        if figure.client not in clients:
            where = f"predicted[{i}].client"
            wrong.append(InputProblem(where, f"no client {figure.client!r} in the scenario"))
    return wrong[:50]
