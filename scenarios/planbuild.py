"""A plan out of the content of its file: ids to rows, human units to seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..core.drafting import NO_USE, Use
from ..core.errors import InputProblem, ScenarioError
from ..core.objective import GOALS, Objective
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
from ..core.problem import Problem, Server
from ..perfmodel.accuracy import harm_of
from ..perfmodel.cost import CostModel
from . import schema

Rows = dict[str, int]


def plan_of(given: schema.PlanFile, problem: Problem, *, source: str) -> Plan:
    """The plan of a file's content.

    Raises
    ------
    ScenarioError
        If it names servers or clients that the problem does not have, or contradicts itself.
    """
    servers = {s.id: j for j, s in enumerate(problem.servers)}
    clients = {c.id: i for i, c in enumerate(problem.clients)}
    wrong = [
        *_unknown(given, problem, servers, clients),
        *_contradictions(given.certificate),
        *_drafts_wrong(given, problem, clients),
    ]
    if wrong:
        raise ScenarioError(wrong, source=source)
    return Plan(
        method=given.method,
        placement=_placement(given, servers, problem),
        routes=tuple(_route(r, servers, clients) for r in given.routes),
        predicted=tuple(
            Predicted(
                client=clients[p.client],
                ttft_s=p.ttft_ms / 1e3,
                tpot_s=p.tpot_ms / 1e3,
                response_s=p.response_ms / 1e3,
                harm=None if p.harm is None else harm_of(p.harm),
            )
            for p in given.predicted
        ),
        certificate=_certificate(given.certificate),
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
        drafts=_drafts(given, problem, clients),
    )


def _drafts(given: schema.PlanFile, problem: Problem, clients: Rows) -> tuple[Use, ...]:
    """How each client drafts; clients that are not listed do not."""
    if not given.drafts:
        return ()
    uses = [NO_USE] * len(problem.clients)
    for entry in given.drafts:
        client = clients[entry.client]
        if entry.draft_tokens:
            names = [m.name for m in problem.drafting[client].models]
            rows = {s.id: j for j, s in enumerate(problem.servers)}
            chains = {tuple(rows[s] for s in c.servers if s in rows): c.draft_tokens
                      for c in entry.chains}  # fmt: skip
            own = tuple(sorted(chains.items()))
            uses[client] = Use(entry.draft_tokens, names.index(entry.draft_model), own)
    return tuple(uses)


def _drafts_wrong(
    given: schema.PlanFile, problem: Problem, clients: Rows
) -> Iterator[InputProblem]:
    """Clients and draft models that the scenario does not have; routes that say something else."""
    listed = [entry.client for entry in given.drafts]
    if given.drafts and sorted(listed) != sorted(clients):
        yield InputProblem("drafts", "must list every client of the scenario once")
        return
    for i, entry in enumerate(given.drafts):
        names = [m.name for m in problem.drafting[clients[entry.client]].models
                 ] if problem.drafting else []  # fmt: skip
        if entry.draft_model not in (names if entry.draft_tokens else [""]):
            message = f"client {entry.client!r} has no draft model {entry.draft_model!r}"
            yield InputProblem(f"drafts[{i}].draft_model", message)
            return
        wrong = list(_chains_wrong(f"drafts[{i}].chains", entry, given))
        if wrong:
            yield from wrong
            return
    cost = CostModel.of(problem.with_drafts(_drafts(given, problem, clients)))
    rows = {s.id: j for j, s in enumerate(problem.servers)}
    for i, route in enumerate(given.routes):
        if route.client not in clients or any(h.server not in rows for h in route.hops):
            continue  # said elsewhere
        made = cost.passes_on(clients[route.client], _route(route, rows, clients).route)
        right = (made.drafts, made.tokens) if given.drafts else (None, None)
        for name, wanted in zip(("draft_tokens", "tokens_per_pass"), right, strict=True):
            told = getattr(route, name)
            if (told is None) != (wanted is None) or abs((told or 0) - (wanted or 0)) > 1e-9:
                yield InputProblem(f"routes[{i}].{name}", f"is {told}, drafts say {wanted}")


def _chains_wrong(
    where: str, entry: schema.PlanDrafts, given: schema.PlanFile
) -> Iterator[InputProblem]:
    """Chains of a client that draft another number of tokens than the others."""
    planned = [[h.server for h in r.hops] for r in given.routes if r.client == entry.client]
    if entry.chains and not entry.draft_tokens:
        yield InputProblem(where, "go with draft_tokens of at least 1")
    for i, chain in enumerate(entry.chains):
        if chain.servers not in planned:
            yield InputProblem(f"{where}[{i}].servers", "is no planned route of this client")
    if len({tuple(c.servers) for c in entry.chains}) < len(entry.chains):
        yield InputProblem(where, "names a chain twice")


def _placement(given: schema.PlanFile, servers: Rows, problem: Problem) -> Placement:
    """Servers that are not listed stay idle."""
    precision, wire = [s.precision for s in problem.servers], [s.wire for s in problem.servers]
    start, end, pool = np.zeros((3, len(servers)), dtype=np.int64)
    for placed in given.placement:
        j = servers[placed.server]
        start[j], end[j], pool[j] = placed.start_block, placed.end_block, placed.cache_bytes
        precision[j] = placed.precision or precision[j]
        wire[j] = placed.wire or wire[j]
    return Placement(
        start=start,
        end=end,
        cache_bytes=pool,
        precision=tuple(precision) if problem.chooses_precision else (),
        wire=tuple(wire) if problem.chooses_wire else (),
        adapters=loads_of(given, servers, problem),
    )


def loads_of(
    given: schema.PlanFile, servers: Rows, problem: Problem
) -> tuple[tuple[str, ...], ...]:
    """Adapters of every server as a plan file says; empty where nobody asks for any, or it says
    nothing."""
    told = [placed for placed in given.placement if placed.adapters is not None]
    if not problem.asked_adapters or not told:
        return ()
    loaded = [s.adapters or () for s in problem.servers]
    for placed in told:
        if placed.server in servers:
            loaded[servers[placed.server]] = tuple(placed.adapters or ())
    return tuple(loaded)


def _route(given: schema.PlanRoute, servers: Rows, clients: Rows) -> PlannedRoute:
    hops = tuple(
        Hop(server=servers[h.server], start=h.start_block, end=h.end_block) for h in given.hops
    )
    return PlannedRoute(
        client=clients[given.client], sessions=given.sessions, route=Route(hops=hops)
    )


def _certificate(given: schema.PlanCertificate) -> Certificate:
    trial = given.trial
    return Certificate(
        objective=_reached(given.objective),
        proof=given.proof,
        interrupted=given.interrupted,
        trial=None
        if trial is None
        else Trial(seed=trial.seed, requests=trial.requests, admission=trial.admission),
    )


def _reached(given: schema.PlanObjective) -> Objective:
    return Objective(goal=GOALS[given.id], value=given.value, bound=given.bound)


def _contradictions(proof: schema.PlanCertificate) -> list[InputProblem]:
    """Status, unit, direction and gap are written for readers; they must follow from the rest."""
    given, reached = proof.objective, _reached(proof.objective)
    where, wrong = "certificate.objective", []
    for name in ("unit", "direction"):
        meant = getattr(reached.goal, name)
        if getattr(given, name) != meant:
            message = f"is {getattr(given, name)!r}, for {given.id} it is {meant!r}"
            wrong.append(InputProblem(f"{where}.{name}", message))
    follows = Certificate(objective=reached).status
    if proof.status != follows:
        message = f"is {proof.status!r}, value and bound say {follows!r}"
        wrong.append(InputProblem("certificate.status", message))
    right = reached.gap
    same = given.gap == right or (
        given.gap is not None and right is not None and abs(given.gap - right) <= 1e-9
    )
    if not (same or (right is not None and not math.isfinite(right))):  # for verify to judge
        message = f"is {given.gap}, value and bound give {right}; set all three"
        wrong.append(InputProblem(f"{where}.gap", message))
    return wrong


def _unknown(
    given: schema.PlanFile, problem: Problem, servers: Rows, clients: Rows
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
        if placed.server in servers:
            own = problem.servers[servers[placed.server]]
            at, by = (placed.precision, "host at"), (placed.wire, "send by")
            wrong += _misfit(f"placement[{i}].precision", placed.server, *at, own.precisions)
            wrong += _misfit(f"placement[{i}].wire", placed.server, *by, own.wires or (own.wire,))
            wrong += _misloaded(f"placement[{i}].adapters", placed, own, problem)
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


def _misloaded(
    where: str, placed: schema.PlacedServer, server: Server, problem: Problem
) -> Iterator[InputProblem]:
    """What is wrong with the adapters that a server is to load."""
    known = [a.id for a in problem.adapters]
    for name in placed.adapters or ():
        if name not in known:
            yield InputProblem(where, f"no adapter {name!r} in the scenario")
    if len(set(placed.adapters or ())) < len(placed.adapters or ()):
        yield InputProblem(where, "names one twice")
    if placed.adapters is None or server.adapters is None:
        return
    if set(placed.adapters) != set(server.adapters):
        words = ", ".join(server.adapters) or "none"
        yield InputProblem(where, f"{placed.server!r} loads these by the scenario: {words}")


def _misfit(
    where: str, server: str, chosen: str | None, can: str, able: tuple[str, ...]
) -> Iterator[InputProblem]:
    """What is wrong with what was chosen for a server of those that it is able to."""
    words = ", ".join(able)
    if chosen is None:
        if len(able) > 1:
            yield InputProblem(where, f"is missing: {server!r} can {can} {words}")
    elif chosen not in able and able != ("",):
        yield InputProblem(where, f"{server!r} cannot {can} {chosen!r}: {words}")
