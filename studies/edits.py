"""Edits of a scenario that compose: each says what it does and returns a changed copy."""

from __future__ import annotations

import copy
import fnmatch
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import ScenarioError
from ..core.problem import Problem
from ..scenarios.files import parse_file
from ..scenarios.scenario import Scenario, scenario_of
from .document import (
    PLACE,
    Document,
    add_client,
    add_server,
    client_named,
    clients_of,
    entry_named,
    forget_times,
    has_table,
    ids_of,
    members,
    names_in_table,
    remove_client,
    remove_servers,
    servers_of,
    stand_at,
    unroll,
)

#: A part of a path: bare, or in quotes where it has a dot.
_PART = re.compile(r'"([^"]*)"|([^."]+)')
#: Fields that exclude each other: setting one drops the other.
_EITHER = {
    "memory_gb": "memory_gib",
    "memory_gib": "memory_gb",
    "quantisation": "precisions",
    "precisions": "quantisation",
    "streams": "trace",
    "trace": "streams",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change.

    Attributes
    ----------
    text : what it does, in words.
    document : changes the plain data of the file in place, or None.
    problem : returns a changed problem, for what no field of the file says, or None.
    """

    text: str
    document: Callable[[Document], None] | None = None
    problem: Callable[[Problem], Problem] | None = None


def apply(scenario: Scenario, edits: Sequence[Edit]) -> Scenario:
    """The scenario after the edits, in the order given; the scenario itself stays as it is.

    Raises
    ------
    ScenarioError
        For an edit that names nothing, and for whatever the edited document breaks.
    """
    if not edits:
        return scenario
    return applied(parse_file(scenario.path), scenario, edits)


def applied(raw: Document, scenario: Scenario, edits: Sequence[Edit]) -> Scenario:
    """``apply`` for plain data that was read before."""
    edited = scenario
    if any(e.document for e in edits):
        edited = scenario_of(edited_document(raw, edits), scenario.path)
    problem = edited.problem
    for edit in edits:
        if edit.problem is not None:
            problem = edit.problem(problem)
    return replace(edited, problem=problem)


def edited_document(raw: Document, edits: Sequence[Edit]) -> Document:
    """A changed copy of the plain data of a scenario file."""
    document = copy.deepcopy(raw)
    for edit in edits:
        if edit.document is not None:
            edit.document(document)
    return document


def add(fields: str | dict[str, Any]) -> Edit:
    """A new server from ``id=...,device=...,lat=...``.

    ``like=ID`` fills what is missing from another server, its measured times included; with a
    client's id it takes only the place.
    """
    given = fields if isinstance(fields, dict) else _pairs(fields, "--add-server")
    given = dict(given)
    like = given.pop("like", None)
    option = "--add-server"
    if "id" not in given:
        raise ScenarioError.single(option, "needs an id: id=NAME,device=TYPE,lat=..,lon=..")

    def change(document: Document) -> None:
        base: dict[str, Any] = {}
        beside: str | None = None
        if like is not None:
            others = (*clients_of(document), *servers_of(document))
            found = next((e for e in others if like in (e.get("id"), *ids_of(e))), None)
            if found is None:
                raise ScenarioError.single(option, f"like={like}: no client or server {like!r}")
            is_client = any(found is c for c in clients_of(document))
            base = {k: v for k, v in found.items() if not is_client or k in PLACE}
            base.pop("count", None)
            base.pop("span", None)
            beside = ids_of(found)[0] if like == found.get("id") else str(like)
            if has_table(document):
                base["rtt_as"] = names_in_table(found, beside)
            if {"lat", "lon", "node"} & given.keys():
                base = {k: v for k, v in base.items() if k not in (*PLACE, "rtt_as")}
                beside = None
        add_server(document, _merged(base, given), beside, option)

    shown = ", ".join(f"{k}={v}" for k, v in given.items() if k != "id")
    beside = f" like {like}" if like is not None else ""
    return Edit(
        text=f"add {given['id']}{beside}" + (f" ({shown})" if shown else ""), document=change
    )


def _merged(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``given`` over ``base``, without fields that contradict each other."""
    kept = {k: v for k, v in base.items() if _EITHER.get(k) not in given}
    return {**kept, **given}


def add_another_client(fields: str | dict[str, Any]) -> Edit:
    """A new client from ``id=...,like=CLIENT,lat=..,lon=..``: it asks for what the other one does.

    Without a place of its own it stands beside that one.
    """
    option = "--add-client"
    given = dict(fields) if isinstance(fields, dict) else _pairs(fields, option)
    name, like = given.get("id"), given.pop("like", None)
    if name is None or like is None:
        message = "needs an id and another client: id=NAME,like=CLIENT,lat=..,lon=.."
        raise ScenarioError.single(option, message)

    def change(document: Document) -> None:
        other = client_named(document, str(like))
        if other is None:
            raise ScenarioError.single(option, f"like={like}: no client {like!r}")
        beside = not set(PLACE) & given.keys()
        base = {k: v for k, v in other.items() if beside or k not in PLACE}
        add_client(document, {**base, **given}, str(like), beside)

    shown = ", ".join(f"{k}={v}" for k, v in given.items() if k != "id")
    return Edit(text=f"add client {name} like {like}" + (f" ({shown})" if shown else ""),
                document=change)  # fmt: skip


def remove(name: str, *, option: str = "--remove") -> Edit:
    """Who leaves: a server, a ``count`` group, a region, or a client with its requests."""

    def change(document: Document) -> None:
        servers = {i for e in servers_of(document) for i in (str(e.get("id")), *ids_of(e))}
        regions = {str(e.get("region", "")) for e in servers_of(document)}
        if client_named(document, name) is not None and name not in servers | regions:
            remove_client(document, name, option)
            return
        remove_servers(document, members(document, name, option), option)

    return Edit(text=f"remove {name}", document=change)


def move(spec: str, place: str | None = None) -> Edit:
    """``NAME=PLACE``, or a name and a place, of a server or client.

    A place is ``lat,lon``, a machine to stand beside, a node of the topology or, where there is no
    topology, a city.
    """
    name, _, there = (spec, "", place) if place else spec.partition("=")
    if not there:
        message = f"{spec!r} is not NAME=PLACE (lat,lon, a topology node, or another id)"
        raise ScenarioError.single("--move", message)

    def change(document: Document) -> None:
        entry = client_named(document, name) or entry_named(document, name, "--move")
        known = {i for e in (*clients_of(document), *servers_of(document)) for i in ids_of(e)}
        if there in known:
            stand_at(document, entry, there)
            return
        forget_times(document, str(entry["id"]))
        for key in PLACE:
            entry.pop(key, None)
        coordinates = re.fullmatch(r"\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*", there)
        if coordinates:
            entry["lat"], entry["lon"] = float(coordinates[1]), float(coordinates[2])
        elif document.get("network", {}).get("topology") or there.isdecimal():
            entry["node"] = there
        else:
            entry["city"] = there

    return Edit(text=f"move {name} to {there}", document=change)


def set_value(spec: str, value: Any = None) -> Edit:
    """``path=value``: ``servers.ID.memory_gb=24``, ``network.step_overhead_ms=5``.

    Members of a list are named by id (streams by client, ``*`` and ``?`` match several) or by
    position; the value is written as in TOML, anything else is text.
    """
    path = spec
    if value is None:
        path, _, text = spec.partition("=")
        if not text:
            raise ScenarioError.single("--set", f"{spec!r} is not path=value")
        value = parse_value(text)
    parts = parts_of(path)

    def change(document: Document) -> None:
        if len(parts) > 2 and parts[0] == "servers":
            single = {i for e in servers_of(document) for i in ids_of(e)}
            unroll(document, fnmatch.filter(sorted(single), parts[1]))
        if not _set(document, parts, value):
            raise ScenarioError.single("--set", f"{path!r} names nothing in this scenario")

    return Edit(text=f"set {path} = {value}", document=change)


def parts_of(path: str) -> list[str]:
    """``servers."a.b".memory_gb`` as names."""
    return [a or b for a, b in _PART.findall(path.strip())]


def _set(target: Any, parts: Sequence[str], value: Any) -> int:
    """Set every field that the path reaches; how many."""
    if isinstance(target, list):
        chosen = [x for i, x in enumerate(target) if isinstance(x, dict) and _is(x, i, parts[0])]
        return sum(_set(item, parts[1:], value) for item in chosen)
    if not isinstance(target, dict) or not parts:
        return 0
    if len(parts) == 1:
        target.pop(_EITHER.get(parts[0], ""), None)
        target[parts[0]] = value
        return 1
    return _set(target.setdefault(parts[0], {}), parts[1:], value)


def _is(item: dict[str, Any], position: int, name: str) -> bool:
    """A member of a list by id, by client or by position."""
    known = str(item.get("id", item.get("client", "")))
    return name == str(position) or fnmatch.fnmatchcase(known, name)


def parse_value(text: str) -> Any:
    """A value as TOML would read it, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _pairs(text: str, option: str) -> dict[str, Any]:
    """``a=1,b="x, y"`` as a table."""
    found: dict[str, Any] = {}
    for part in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ScenarioError.single(option, f"{part!r} is not name=value")
        found[key.strip()] = parse_value(value.strip())
    return found


def scale_load(spec: str | float) -> Edit:
    """``FACTOR`` for every client, or ``CLIENT=FACTOR``."""
    name, equals, text = str(spec).rpartition("=")
    factor = _factor(text, "--scale-load")

    def change(problem: Problem) -> Problem:
        rows = [i for i, c in enumerate(problem.clients) if not equals or c.id == name]
        load = problem.workload
        if not rows:
            raise ScenarioError.single("--scale-load", f"no client {name!r}")
        if equals and load.trace:
            raise ScenarioError.single("--scale-load", "a trace can only be scaled as a whole")
        classes = tuple(
            replace(c, rate_per_s=c.rate_per_s * factor) if c.client in rows else c
            for c in load.classes
        )
        trace = tuple(replace(r, arrival_s=r.arrival_s / factor) for r in load.trace)
        return replace(problem, workload=replace(load, classes=classes, trace=trace))

    return Edit(text=f"load of {name or 'all clients'} x {factor:g}", problem=change)


def rtt_scale(spec: str | float) -> Edit:
    """Every round-trip time, last miles included, times a factor; software overheads stay."""
    factor = _factor(str(spec), "--rtt-scale")

    def change(problem: Problem) -> Problem:
        net = problem.network
        scaled = replace(
            net,
            client_rtt_s=net.client_rtt_s * factor,
            server_rtt_s=net.server_rtt_s * factor,
        )
        return replace(problem, network=scaled)

    return Edit(text=f"round-trip times x {factor:g}", problem=change)


def _factor(text: str, option: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = -1.0
    if not 0 < factor < 1e6:
        raise ScenarioError.single(option, f"{text!r} is not a factor above 0")
    return factor


def acceptance(spec: str | float | Sequence[float]) -> Edit:
    """How often drafts are right, at every client and for every prompt: ``0.7``, ``[0.9, 0.8]``."""
    value = parse_value(spec) if isinstance(spec, str) else spec

    def change(document: Document) -> None:
        _speculation(document, "acceptance", value)
        for stream in document.get("workload", {}).get("streams", []):
            stream.pop("acceptance", None)

    return Edit(text=f"acceptance of drafts {value}", document=change)


def draft_ms(spec: str | float) -> Edit:
    """What a draft takes at every client, milliseconds."""
    value = parse_value(spec) if isinstance(spec, str) else spec
    return Edit(
        text=f"a draft takes {value} ms",
        document=lambda document: _speculation(document, "draft_ms", value),
    )


def _speculation(document: Document, field: str, value: Any) -> None:
    """Set a figure of the file's one draft model; clients have none of their own any more."""
    table = document.setdefault("speculation", {})
    if table.get("models"):
        option = f"--{field.replace('_', '-')}"
        message = f"the scenario has several draft models: --set speculation.models.NAME.{field}=.."
        raise ScenarioError.single(option, message)
    table[field] = value
    for client in clients_of(document):
        if isinstance(client.get("speculation"), dict):
            client["speculation"].pop(field, None)


#: Kinds of edits by name, in the order in which they are applied.
KINDS: dict[str, Callable[[Any], Edit]] = {
    "add_server": add,
    "add_client": add_another_client,
    "remove": remove,
    "move": move,
    "set": set_value,
    "scale_load": scale_load,
    "rtt_scale": rtt_scale,
    "acceptance": acceptance,
    "draft_ms": draft_ms,
}


def edits_of(given: Mapping[str, Iterable[Any]]) -> list[Edit]:
    """Edits by kind, in the order of ``KINDS``."""
    return [KINDS[name](value) for name in KINDS for value in given.get(name, ())]
