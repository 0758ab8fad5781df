"""Plan files: sorted JSON with ids instead of rows, byte-equal for equal inputs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.errors import InputProblem, ScenarioError
from ..core.objective import GOALS, STEP, WEIGHTED_STEP, Objective
from ..core.plan import (
    Candidate,
    Certificate,
    Hop,
    Placement,
    Plan,
    PlannedRoute,
    Predicted,
    Route,
    Trial,
)
from ..core.version import TOOL
from . import schema
from .defects import validate
from .files import parse_file, write_text
from .scenario import Scenario

#: Who writes.


def plan_document(plan: Plan, scenario: Scenario) -> dict[str, Any]:
    """The content of a plan file. Idle servers are listed with an empty span."""
    problem = scenario.problem
    names = [s.id for s in problem.servers]
    document: dict[str, Any] = {
        "format": schema.PLAN_FORMAT,
        "scenario": scenario.document.name,
        "scenario_sha256": scenario.sha256,
        "tool": TOOL,
        "method": plan.method,
        "router": plan.router,
        "seed": plan.seed,
        "sessions": plan.sessions,
        "unrouted": plan.unrouted,
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
        "certificate": certificate_document(plan.certificate),
        "candidates": [asdict(c) for c in plan.candidates],
        "notes": list(plan.notes),
    }
    return {**document, "sha256": digest(document)}


def digest(document: Mapping[str, Any]) -> str:
    """sha256 of a plan document without its own ``sha256``."""
    content = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def certificate_document(proof: Certificate) -> dict[str, Any]:
    """What is proven, as data."""
    reached = proof.objective
    return {
        "status": proof.status,
        "objective": {
            "id": reached.goal.id,
            "unit": reached.goal.unit,
            "direction": reached.goal.direction,
            "value": reached.value,
            "bound": reached.bound,
            "gap": reached.gap,
        },
        "proof": proof.proof,
        "interrupted": proof.interrupted,
        "trial": None if proof.trial is None else asdict(proof.trial),
    }


def write_plan(path: Path, plan: Plan, scenario: Scenario) -> None:
    """Write a plan file, all or nothing: an existing file survives a failure."""
    text = json.dumps(plan_document(plan, scenario), indent=2, sort_keys=True) + "\n"
    write_text(path, text)


def read_plan(path: Path, scenario: Scenario) -> Plan:
    """A plan file for this scenario. Its soundness is for ``methods.verify`` to judge.

    Raises
    ------
    ScenarioError
        If it is not a plan file, or names servers or clients that the scenario does not have.
    """
    raw = brought_up_to_date(parse_file(path))
    given = validate(raw, schema.PlanFile, schema.plan_json_schema, source=str(path))
    problem = scenario.problem
    servers = {s.id: j for j, s in enumerate(problem.servers)}
    clients = {c.id: i for i, c in enumerate(problem.clients)}
    wrong = [*_unknown(given, servers, clients), *_objective(given.certificate.objective)]
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
            objective=_reached(proof.objective),
            status=proof.status,
            proof=proof.proof,
            interrupted=proof.interrupted,
            trial=None
            if proof.trial is None
            else Trial(
                seed=proof.trial.seed,
                requests=proof.trial.requests,
                admission=proof.trial.admission,
            ),
        ),
        sessions=given.sessions,
        unrouted=given.unrouted,
        seed=given.seed,
        notes=tuple(given.notes),
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
        remarks=tuple(_remarks(given, raw, scenario)),
    )


def is_for(given_sha256: str, scenario: Scenario) -> bool:
    """Whether a plan was made for exactly this scenario."""
    return given_sha256 == scenario.sha256


#: What reading a plan file may notice.
STALE = "the plan was made for another version of this scenario (the hashes differ)"
RENAMED = "the plan was made for a scenario of another name"
EDITED = "the file was edited after swarmplan wrote it (its own hash differs)"
OTHER_TOOL = "the plan was written by another version of swarmplan"


def _remarks(given: schema.PlanFile, raw: Any, scenario: Scenario) -> Iterator[str]:
    if not is_for(given.scenario_sha256, scenario):
        yield STALE
    if given.scenario != scenario.document.name:
        yield RENAMED
    if given.tool != TOOL:
        yield OTHER_TOOL
    if given.sha256 and given.sha256 != digest(raw):
        yield EDITED


def _reached(given: schema.PlanObjective) -> Objective:
    return Objective(goal=GOALS[given.id], value=given.value, bound=given.bound)


def _objective(given: schema.PlanObjective) -> list[InputProblem]:
    """Unit, direction and gap are written for readers; they must follow from the rest."""
    reached = _reached(given)
    where, wrong = "certificate.objective", []
    for name in ("unit", "direction"):
        right = getattr(reached.goal, name)
        if getattr(given, name) != right:
            message = f"is {getattr(given, name)!r}, for {given.id} it is {right!r}"
            wrong.append(InputProblem(f"{where}.{name}", message))
    right = reached.gap
    same = given.gap == right or (
        given.gap is not None and right is not None and abs(given.gap - right) <= 1e-9
    )
    if not (same or (right is not None and not math.isfinite(right))):  # for verify to judge
        message = f"is {given.gap}, value and bound give {right}; set all three"
        wrong.append(InputProblem(f"{where}.gap", message))
    return wrong


def brought_up_to_date(raw: Any) -> Any:
    """A plan file of an earlier format in today's; anything else is left as it is."""
    if not isinstance(raw, dict) or raw.get("format") != "swarmplan/plan/1":
        return raw
    try:
        old, routed = raw["certificate"], sum(r["sessions"] for r in raw["routes"])
        goal = STEP if old["meaning"].startswith("seconds per output token") else WEIGHTED_STEP
        document = {
            **raw,
            "format": schema.PLAN_FORMAT,
            "router": raw.get("router", "ws-rr"),
            "unrouted": max(0, raw["sessions"] - routed),
            "certificate": {
                "status": "feasible" if old["status"] == "limit" else old["status"],
                "objective": {
                    "id": goal.id,
                    "unit": goal.unit,
                    "direction": goal.direction,
                    "value": old["objective"],
                    "bound": old["bound"],
                    "gap": old["gap"],
                },
                "proof": "" if old["bound"] is None else old["method"],
                "interrupted": "interrupted" in old["method"],
            },
            # They were compared by figures of other goals.
            "candidates": [],
        }
    except (KeyError, TypeError, AttributeError):
        return raw  # its defects are told as those of a plan file
    return document


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
