"""Plan files: sorted JSON with ids instead of rows, byte-equal for equal inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..chains.expected import expected_per_million
from ..core.drafting import Use
from ..core.plan import Certificate, Plan, Throughput
from ..core.version import TOOL
from ..perfmodel.accuracy import percent_of
from ..perfmodel.cost import CostModel
from ..perfmodel.passes import Passes
from . import schema
from .defects import validate
from .files import parse_file, write_text
from .planbuild import plan_of
from .planold import brought_up_to_date
from .scenario import Scenario


def plan_document(
    plan: Plan, scenario: Scenario, *, roles: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of a plan file. Idle servers are listed with an empty span.

    Parameters
    ----------
    roles : what each server is for, to be told beside.
    """
    problem = scenario.problem
    names = [s.id for s in problem.servers]
    settled = plan.settled(problem)
    cost = CostModel.of(settled)
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
                **({"precision": plan.placement.precision[j]} if plan.placement.precision else {}),
                **({"wire": plan.placement.wire[j]} if plan.placement.wire else {}),
                **(
                    {"adapters": list(plan.placement.adapters[j])}
                    if plan.placement.adapters
                    else {}
                ),
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
                **(_of_pass(cost.passes_on(r.client, r.route)) if plan.drafts else {}),
            }
            for r in plan.routes
        ],
        "predicted": [
            {
                "client": problem.clients[p.client].id,
                "ttft_ms": p.ttft_s * 1e3,
                "tpot_ms": p.tpot_s * 1e3,
                "response_ms": p.response_s * 1e3,
                **({} if p.harm is None else {"harm": percent_of(p.harm)}),
            }
            for p in plan.predicted
        ],
        "certificate": certificate_document(plan.certificate),
        "candidates": [asdict(c) for c in plan.candidates],
        "notes": list(plan.notes),
    }
    kwh, money = expected_per_million(cost, plan.placement)
    if (kwh, money) != (None, None):
        document["expected"] = {
            "kwh_per_million_tokens": kwh,
            "money_per_million_tokens": money,
        }
    if plan.throughput is not None:
        document["throughput"] = _throughput(plan.throughput)
    if plan.drafts:
        document["drafts"] = [
            {
                "client": client.id,
                "draft_tokens": use.tokens,
                "draft_model": own.models[use.model].name if use.tokens else "",
                **({"chains": _chains(use, names)} if use.chains else {}),
            }
            for client, own, use in zip(problem.clients, problem.drafting, plan.drafts, strict=True)
        ]
    if roles is not None:
        document["roles"] = roles
    return {**document, "sha256": digest(document)}


def _throughput(found: Throughput) -> dict[str, Any]:
    """What the plan was seen to serve."""
    return {
        "decode_tokens_per_s": found.decode_per_s,
        "decode_half_width": found.half_width_per_s,
        "prompt_tokens_per_s": found.prompt_per_s,
        "requests_per_s": found.requests_per_s,
        "ms_per_token": found.token_s * 1e3,
        "first_token_ms": found.first_token_s * 1e3,
        "sessions": found.sessions,
        "part_loads": [
            {"share": share, "ms_per_token": token_s * 1e3, "first_token_ms": first_s * 1e3}
            for share, token_s, first_s in found.part_loads
        ],
    }


def _chains(use: Use, names: Sequence[str]) -> list[dict[str, Any]]:
    """Where a client drafts another number of tokens."""
    return [
        {"servers": [names[j] for j in chain], "draft_tokens": drafts}
        for chain, drafts in use.chains
    ]


def _of_pass(passes: Passes) -> dict[str, Any]:
    """What a route's passes are."""
    return {"draft_tokens": passes.drafts, "tokens_per_pass": passes.tokens}


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
    made = plan_of(given, scenario.problem, source=str(path))
    return replace(made, remarks=tuple(_remarks(given, raw, scenario)))


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
