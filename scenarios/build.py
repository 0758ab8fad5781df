"""From a scenario document to a ``Problem``: the only place that converts units."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..core.errors import InputProblem, ScenarioError
from ..core.events import ServerEvent
from ..core.problem import Client, Deadlines, Network, Planning, Problem, Server
from ..core.workload import Lengths, Workload
from . import schema
from .accuracy import build_accuracy
from .adapters import build_adapters, check_adapters
from .budget import build_allowance, check_budget
from .check import (
    check_context,
    check_document,
    check_live,
    check_nominal,
    check_problem,
    check_sessions,
)
from .constraints import build_constraints
from .defects import MAX_LISTED
from .drafting import build_drafting
from .hardware import build_server
from .kinds import build_kind
from .measured import End
from .models import build_model
from .network import build_network
from .wire import check_wires, timed_links
from .workload import build_workload

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What ``build`` made: the problem, contents of referenced files, warnings, notes, events."""

    problem: Problem
    referenced: tuple[bytes, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    events: tuple[ServerEvent, ...]


def build(document: schema.Scenario, base_dir: Path) -> Built:
    """Resolve every name and number of a document.

    Parameters
    ----------
    base_dir : folder that the paths in the document are relative to.

    Raises
    ------
    ScenarioError
        Listing all defects: unknown names, duplicate ids, missing places, impossible memory.
    """
    wrong: list[InputProblem] = []
    ends = _expand(document.servers)
    wrong += check_document(document, ends)
    profiles: dict[str, bytes] = {}
    model = _collect(wrong, lambda: build_model(document.model, base_dir, profiles))
    kinds = {
        n: _collect(wrong, partial(build_kind, n, d, base_dir, profiles))
        for n, d in document.devices.items()
    }
    load = _collect(wrong, lambda: build_workload(document, base_dir))
    clients = [End(where=f"clients[{i}]", id=c.id, given=c) for i, c in enumerate(document.clients)]
    drafting = _collect(wrong, lambda: build_drafting(document))
    network = _collect(
        wrong, lambda: build_network(document.network, clients, [e for e, _ in ends], base_dir)
    )
    sound = {n: kind for n, kind in kinds.items() if kind is not None}
    accuracy = None if model is None else _collect(wrong, lambda: build_accuracy(document, model))
    adapters = None if model is None else _collect(wrong, lambda: build_adapters(document, model))
    servers: list[Server | None] = []
    if model is not None:
        servers = [
            _collect(wrong, partial(build_server, s, e.id, e.where, document, model, sound))
            for e, s in ends
            if s.device not in kinds or s.device in sound
        ]
    if wrong or model is None or network is None or load is None or drafting is None:
        raise ScenarioError(list(dict.fromkeys(wrong))[:MAX_LISTED])
    timed = timed_links(network.network)
    problem = Problem(
        model=model,
        servers=tuple(
            replace(
                s,
                coordinates=network.server_places[j],
                # Where nothing takes time nothing is gained: states stay as precise as they may be.
                wires=s.wires if timed[j] and not s.local else (),
            )
            for j, s in enumerate(servers)
            if s is not None
        ),
        clients=tuple(
            Client(
                id=c.id,
                region=c.region,
                coordinates=network.client_places[i],
                adapter=c.adapter or "",
            )
            for i, c in enumerate(document.clients)
        ),
        network=_with_devices(network.network, document, ends),
        workload=load.workload,
        planning=_planning(document, load.workload),
        session_setup_s=document.session_setup_ms / 1e3,
        alloc_delay_s=document.testbed_alloc_delay_ms / 1e3,
        drafting=drafting,
        accuracy=accuracy,
        adapters=adapters or (),
    )
    constraints = build_constraints(problem, document.resilience)
    allowance = build_allowance(problem, document.planning.budget)
    wrong += check_sessions(document, problem)
    if wrong:
        raise ScenarioError(wrong)
    planning = replace(problem.planning, constraints=constraints, allowance=allowance)
    problem = replace(problem, planning=planning)
    nominal, stated = check_nominal(document, problem)
    return Built(
        problem=problem,
        referenced=(*network.referenced, *load.referenced, *profiles.values()),
        warnings=(
            *network.warnings,
            *load.warnings,
            *check_problem(problem),
            *check_context(problem),
            *check_live(document, problem),
            *check_adapters(document),
            *check_wires(document, ends, problem.servers),
            *check_budget(problem, document.planning.budget),
            *nominal,
        ),
        notes=(*network.notes, *stated),
        events=_events(document, ends),
    )


def _with_devices(
    network: Network, document: schema.Scenario, ends: list[tuple[End, schema.Server]]
) -> Network:
    """The network in which devices of clients stand beside them."""
    local = [(j, server.only[0]) for j, (_, server) in enumerate(ends) if server.local]
    if not local:
        return network
    rtt_s, rows = network.client_rtt_s.copy(), {c.id: i for i, c in enumerate(document.clients)}
    for j, owner in local:
        rtt_s[rows[owner], j] = 0.0
    return replace(network, client_rtt_s=rtt_s)


def _collect(wrong: list[InputProblem], make: Callable[[], T]) -> T | None:
    """Run one step; its defects are collected so that all are reported."""
    try:
        return make()
    except ScenarioError as error:
        wrong += error.problems
    return None


def _expand(servers: list[schema.Server]) -> list[tuple[End, schema.Server]]:
    """Servers with ``count`` unrolled to ``id-0``, ``id-1`` ..."""
    total = sum(s.count for s in servers)
    if total > schema.MAX_SERVERS:
        message = f"{total:,} servers in total, at most {schema.MAX_SERVERS:,} are supported"
        raise ScenarioError.single("servers", message)
    return [
        (End(where=f"servers[{at}]", id=name, given=s), s)
        for at, s in enumerate(servers)
        for name in server_ids(s)
    ]


def server_ids(given: schema.Server) -> list[str]:
    """Ids of the servers that one entry stands for."""
    return [given.id] if given.count == 1 else [f"{given.id}-{i}" for i in range(given.count)]


def _planning(document: schema.Scenario, workload: Workload) -> Planning:
    """The representative request: mean lengths; sessions reserve the chosen quantile."""
    given = document.planning
    if workload.trace:
        prompts = Lengths(values=tuple(r.prompt_tokens for r in workload.trace))
        outputs = Lengths(values=tuple(r.output_tokens for r in workload.trace))
        totals = [r.prompt_tokens + r.output_tokens for r in workload.trace]
        tokens = Lengths(values=tuple(totals)).quantile(given.session_quantile)
        mean_prompt, mean_output = prompts.mean, outputs.mean
    else:
        rates = np.array([c.rate_per_s for c in workload.classes])
        weights = rates / rates.sum() if rates.sum() > 0 else np.full(len(rates), 1 / len(rates))
        mean_prompt = sum(
            w * c.prompt_tokens.mean for w, c in zip(weights, workload.classes, strict=True)
        )
        mean_output = sum(
            w * c.output_tokens.mean for w, c in zip(weights, workload.classes, strict=True)
        )
        # The sum of two quantiles is at least the quantile of the sum of independent lengths.
        q = given.session_quantile
        tokens = max(
            c.prompt_tokens.quantile(q) + c.output_tokens.quantile(q) for c in workload.classes
        )
    return Planning(
        prompt_tokens=max(1, round(mean_prompt)),
        output_tokens=max(1, round(mean_output)),
        session_tokens=given.session_tokens or tokens,
        sessions=given.sessions,
        safety_z=given.safety_z,
        deadlines=_deadlines(given.deadlines),
    )


def _deadlines(given: schema.Deadlines | None) -> Deadlines | None:
    if given is None:
        return None
    first_s, token_ms = given.first_token_s, given.per_token_ms
    return Deadlines(
        first_token_s=math.inf if first_s is None else first_s,
        token_s=math.inf if token_ms is None else token_ms / 1e3,
    )


def _events(
    document: schema.Scenario, ends: list[tuple[End, schema.Server]]
) -> tuple[ServerEvent, ...]:
    """In order of time, then of servers; a region's event hits all its servers."""
    found = [
        ServerEvent(time_s=event.at_s, server=j, up=event.action == "join", cold=event.cold)
        for event in document.events
        for j, (end, server) in enumerate(ends)
        if (event.server in (end.id, server.id) if event.server else server.region == event.region)
    ]
    return tuple(sorted(found, key=lambda e: (e.time_s, e.server, e.up)))
