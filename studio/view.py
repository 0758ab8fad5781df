"""The desk as one document for the page: plain data, names as they are, finite numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from ..core.names import Quantisation, Wire, names
from ..core.plan import Plan, Route
from ..core.problem import Problem
from ..perfmodel.accuracy import percent_of
from ..reports.sections import kinds_of
from ..reports.worldmap import WIDTH, land, view_of
from ..scenarios.planfile import certificate_document
from ..scenarios.scenario import Scenario
from ..simulator.figures import FIGURES
from ..studies.document import Document, Entry, clients_of, ids_of, servers_of
from ..studies.outcome import PARTS
from .desk import Desk, Side
from .planner import IN_FULL
from .words import in_words, sentence, since, why

#: Chains that are told, the most used.
MOST_CHAINS = 80


class View:
    """The document, and where servers stood that are gone."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stood: dict[str, dict[str, Any]] = {}

    def document(self) -> dict[str, Any]:
        """Everything that the page shows."""
        desk, session = self._desk, self._desk.session
        scenario = session.scenario
        problem, raw = scenario.problem, session.document
        servers, clients = _servers(problem, raw), _clients(problem, raw)
        self._stood |= {s["id"]: s for s in servers}
        off = session.switched_off()
        told_changes = since(session.changes, desk.baseline)
        before, after = desk.before.found, desk.after.found
        told = {
            "revision": desk.revision,
            "name": scenario.document.name,
            "description": scenario.document.description,
            "model": problem.model.name,
            "blocks": problem.model.num_blocks,
            "warnings": list(scenario.warnings),
            "devices": sorted(scenario.document.devices),
            "quantisations": list(get_args(Quantisation)),
            "regions": sorted({s["region"] for s in servers if s["region"]}),
            "quantisation": _precision(raw),
            "wires": _known_wires(raw),
            "wire": _listed(_table(raw, "network").get("wire")),
            "streams": _streams(raw),
            "trace": raw.get("workload", {}).get("trace"),
            "requests": scenario.document.workload.requests,
            "accuracy_budget": _table(raw, "accuracy").get("budget"),
            "speculation": raw.get("speculation"),
            "map": _window(problem),
            "servers": servers,
            "clients": clients,
            "off": [{**self._stood[i], "by": by} for i, by in off.items() if i in self._stood],
            "changes": [in_words(c) for c in session.changes],
            "can_undo": session.can_undo,
            "can_redo": session.can_redo,
            "stay": desk.stay,
            "same": desk.same,
            "busy": desk.busy,
            "paused": desk.paused,
            "searching": desk.searching,
            "progress": desk.progress,
            "sentence": sentence(told_changes, before, after),
            "why": "" if desk.same else why(before, after),
            "before": _side(desk.before),
            "after": _side(desk.after),
        }
        clean: dict[str, Any] = _finite(told)
        return clean


def land_document() -> dict[str, Any]:
    """The outlines of the land, once."""
    return {"pieces": [{"path": o.path, "west": o.west, "east": o.east} for o in land()]}


def _window(problem: Problem) -> dict[str, float]:
    places = [*(s.coordinates for s in problem.servers), *(c.coordinates for c in problem.clients)]
    view = view_of([place for place in places if place is not None])
    return {
        "width": WIDTH,
        "height": view.height,
        "west": view.west,
        "north": view.north,
        "scale": view.scale,
    }


def _servers(problem: Problem, raw: Document) -> list[dict[str, Any]]:
    entries: dict[str, Entry] = {i: e for e in servers_of(raw) for i in ids_of(e)}
    kinds = kinds_of(problem)
    return [
        {
            "id": s.id,
            "place": s.coordinates,
            "device": s.device,
            "kind": kinds[s.device],
            "region": str(entries[s.id].get("region", "")),
            "memory_gb": s.memory_bytes / 1e9,
            "quantisation": entries[s.id].get("quantisation") or _precision(raw),
            "precisions": entries[s.id].get("precisions"),
            "own": "quantisation" in entries[s.id],
            "wire": _listed(entries[s.id].get("wire") or _table(raw, "network").get("wire")),
            "own_wire": "wire" in entries[s.id],
        }
        for s in problem.servers
    ]


def _precision(raw: Document) -> str:
    return str(raw.get("model", {}).get("quantisation", "nf4"))


def _known_wires(raw: Document) -> list[str]:
    """Ways that states may go over links: those whose harm is known."""
    harms = _table(_table(raw, "accuracy"), "wire_harm")
    return [wire for wire in names(Wire) if wire == "none" or harms.get(wire) is not None]


def _listed(wire: Any) -> list[str]:
    return list(wire) if isinstance(wire, list) else [str(wire or "none")]


def _clients(problem: Problem, raw: Document) -> list[dict[str, Any]]:
    """Clients with what their first stream asks for; lists of lengths are told by their mean."""
    streams = raw.get("workload", {}).get("streams", [])
    budgets = _table(raw, "accuracy").get("budget_of", {})
    found = []
    for row, (client, entry) in enumerate(zip(problem.clients, clients_of(raw), strict=True)):
        mine: Entry = next((s for s in streams if s.get("client") == client.id), {})
        found.append(
            {
                "id": client.id,
                "place": client.coordinates,
                "region": str(entry.get("region", "")),
                "series": row,
                "prompt_tokens": _length(mine.get("prompt_tokens")),
                "output_tokens": _length(mine.get("output_tokens")),
                "gap_cv": mine.get("gap_cv", 1.0),
                "accuracy_budget": budgets.get(client.id),
            }
        )
    return found


def _length(given: Any) -> Any:
    if isinstance(given, list) and given:
        return sum(given) / len(given)
    return given if isinstance(given, int | float) else None


def _streams(raw: Document) -> list[dict[str, Any]]:
    """Where each stream stands in the file, whose it is and how many requests come."""
    streams = raw.get("workload", {}).get("streams", [])
    return [
        {"index": i, "client": s.get("client"), "rate_per_s": s.get("rate_per_s")}
        for i, s in enumerate(streams)
    ]


def _table(raw: Document, name: str) -> Document:
    given = raw.get(name)
    return given if isinstance(given, dict) else {}


def _side(side: Side) -> dict[str, Any]:
    found, problem = side.found, side.scenario.problem
    plan, outcome = found.plan, found.outcome
    told: dict[str, Any] = {
        "effort": side.effort,
        "error": found.error,
        "load_per_s": problem.workload.rate_per_s,
        "most_per_s": found.most_per_s,
        "figures": _figures(found.figures),
        "rise_percent": _rise_percent(found.plan),
        "carried_per_s": None if found.carried is None else found.carried.rate_per_s,
        "parts_s": {} if outcome is None else dict(zip(PARTS, outcome.parts_s, strict=True)),
        "clients": []
        if outcome is None
        else [
            {
                "client": c.client,
                "requests": c.requests,
                "response_s": c.response_s,
                "ttft_s": c.ttft_s,
                "tpot_ms": c.tpot_s * 1e3,
            }
            for c in outcome.clients
        ],
    }
    if plan is None:
        return {**told, "method": "", "router": "", "servers": [], "chains": [], "proof": None}
    return {
        **told,
        "method": plan.method,
        "router": plan.router,
        "proof": certificate_document(plan.certificate),
        "servers": _placed(side),
        "chains": _chains(side),
    }


def _rise_percent(plan: Plan | None) -> float | None:
    """What precisions cost on the planned route that they cost most, None where nobody asks."""
    harms = [p.harm for p in (plan.predicted if plan else ()) if p.harm is not None]
    return percent_of(max(harms)) if harms else None


def _figures(known: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {"id": f.id, "title": f.title, "value": f.factor * known[f.id], "less": f.less_is_better}
        for f in IN_FULL
        if f.id in known and f.id in FIGURES
    ]


def _placed(side: Side) -> list[dict[str, Any]]:
    """Who hosts what, how many requests pass, and what is used up at what the chains carry."""
    found, problem = side.found, side.scenario.problem
    assert found.plan is not None
    placement, flow = found.plan.placement, found.carried
    chosen = placement.precision or (None,) * problem.num_servers
    hops = {} if found.outcome is None else {h.server: h.share for h in found.outcome.hops}
    rows = []
    for j, server in enumerate(problem.servers):
        share = found.share[j] if found.share is not None else hops.get(server.id)
        rows.append(
            {
                "id": server.id,
                "start": int(placement.start[j]),
                "end": int(placement.end[j]),
                "precision": chosen[j],
                "wire": placement.wire[j] if placement.wire else server.wire,
                "share": None if share is None else float(share),
                "compute_frac": None if flow is None else float(flow.compute_frac[j]),
                "cache_frac": None if flow is None else float(flow.cache_frac[j]),
                "binds": [] if flow is None else list(flow.binds(j)),
            }
        )
    return rows


def _chains(side: Side) -> list[dict[str, Any]]:
    """The chains that most requests of each client took, before that the planned ones."""
    found, problem = side.found, side.scenario.problem
    assert found.plan is not None
    used: list[tuple[int, float, Route]] = [
        (row, c.completed, c.chain)
        for row, c in enumerate(found.outcome.clients if found.outcome else ())
        if c.chain is not None
    ]
    planned = [(r.client, float(r.sessions), r.route) for r in found.plan.routes]
    chosen = sorted(used or planned, key=lambda c: -c[1])[:MOST_CHAINS]
    return [
        {
            "client": problem.clients[client].id,
            "weight": weight,
            "hops": [
                {"server": problem.servers[h.server].id, "start": h.start, "end": h.end}
                for h in route.hops
            ],
        }
        for client, weight, route in chosen
    ]


def _finite(value: Any) -> Any:
    """JSON knows neither nan nor inf: they are not known, or without end."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def name_of(scenario: Scenario) -> str:
    """The name of a scenario as part of a file's name."""
    kept = "".join(c if c.isalnum() else "-" for c in scenario.document.name).strip("-")
    return kept[:60] or "scenario"
