"""Servers of a scenario document: found, unrolled, added and taken out, with their measured times.

A document here is the plain data of a scenario file (``scenarios.files.parse_file``). Functions
change the document that they are given; ``edits.apply`` hands them a copy.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable
from typing import Any

from ..core.errors import ScenarioError

Document = dict[str, Any]
Entry = dict[str, Any]
#: What says where a machine stands.
PLACE = ("lat", "lon", "node", "city", "region", "last_mile_ms")


def servers_of(document: Document) -> list[Entry]:
    """The list of servers, editable."""
    found = document.get("servers", [])
    return found if isinstance(found, list) else []


def clients_of(document: Document) -> list[Entry]:
    """The list of clients, editable."""
    found = document.get("clients", [])
    return found if isinstance(found, list) else []


def size_of(entry: Entry) -> int:
    """How many machines an entry stands for."""
    count = entry.get("count", 1)
    return count if isinstance(count, int) else 1


def ids_of(entry: Entry) -> list[str]:
    """The ids of the machines of one entry: its own, or ``id-0``, ``id-1`` ..."""
    name = str(entry.get("id"))
    return [name] if size_of(entry) == 1 else [f"{name}-{i}" for i in range(size_of(entry))]


def members(document: Document, name: str, option: str) -> list[str]:
    """Ids of the servers that a name stands for: a server, a ``count`` group or a region.

    Raises
    ------
    ScenarioError
        If it names none, with the nearest names.
    """
    groups: dict[str, list[str]] = {}
    for entry in servers_of(document):
        ids = ids_of(entry)
        for key in (str(entry.get("region", "")), str(entry.get("id")), *ids):
            mine = [key] if key in ids else ids
            groups.setdefault(key, [])
            groups[key] += [i for i in mine if i not in groups[key]]
    groups.pop("", None)
    if name not in groups:
        near = difflib.get_close_matches(name, groups, n=3) or list(groups)[:8]
        message = f"no server, group or region {name!r}; there are {', '.join(near)}"
        raise ScenarioError.single(option, message)
    return groups[name]


def unroll(document: Document, wanted: Iterable[str]) -> None:
    """Turn the ``count`` groups of some servers into entries of their own.

    In a table of round-trip times they keep the row that the group has.
    """
    names = set(wanted)
    entries: list[Entry] = []
    for entry in servers_of(document):
        ids = ids_of(entry)
        if len(ids) == 1 or not names & set(ids):
            entries.append(entry)
            continue
        rest = {key: value for key, value in entry.items() if key != "count"}
        alone = [{**copy.deepcopy(rest), "id": name} for name in ids]
        if has_table(document):
            for server in alone:
                server["rtt_as"] = names_in_table(entry, server["id"])
        entries += alone
        _spread_events(document, str(entry["id"]), ids)
        _spread_uplinks(document, str(entry["id"]), ids)
    document["servers"] = entries


def has_table(document: Document) -> bool:
    """Whether round-trip times come from a file that names clients and servers."""
    return bool(document.get("network", {}).get("rtt_csv"))


def names_in_table(entry: Entry, name: str) -> list[str]:
    """What a file of round-trip times may call one machine of an entry."""
    given = entry.get("rtt_as")
    return list(dict.fromkeys((name, str(entry["id"])))) if given is None else list(given)


def _spread_events(document: Document, group: str, ids: list[str]) -> None:
    events = []
    for event in document.get("events", []):
        hit = ids if event.get("server") == group else [None]
        events += [event if name is None else {**event, "server": name} for name in hit]
    if events:
        document["events"] = events


def _spread_uplinks(document: Document, group: str, ids: list[str]) -> None:
    for uplink in document.get("network", {}).get("uplinks", []):
        named = [ids if name == group else [name] for name in uplink.get("servers", [])]
        if named:
            uplink["servers"] = [name for names in named for name in names]


def drop_lost_uplinks(document: Document) -> None:
    """Uplinks may not name who no longer exists; one behind which nobody is left goes."""
    network = document.get("network", {})
    if not network.get("uplinks"):
        return
    known = {
        "servers": {i for e in servers_of(document) for i in (str(e["id"]), *ids_of(e))},
        "clients": {str(c.get("id")) for c in clients_of(document)},
    }
    regions = {e.get("region") for e in (*servers_of(document), *clients_of(document))}
    left = []
    for uplink in network["uplinks"]:
        own = {k: v for k, v in uplink.items() if k != "region" or v in regions}
        for kind, ids in known.items():
            if kind in own:
                own[kind] = [name for name in own[kind] if name in ids]
        if any(own.get(kind) for kind in ("servers", "clients", "region")):
            left.append(own)
    document["network"] = {**network, "uplinks": left}


def entry_named(document: Document, name: str, option: str) -> Entry:
    """The entry of one server, unrolled so that it can be edited alone."""
    found = members(document, name, option)
    if found != [name]:
        message = f"{name!r} stands for {len(found)} servers; name one of them: {found[0]!r} ..."
        raise ScenarioError.single(option, message)
    unroll(document, found)
    return next(e for e in servers_of(document) if e["id"] == name)


def client_named(document: Document, name: str) -> Entry | None:
    """The entry of a client, None where there is none of that id."""
    return next((c for c in clients_of(document) if c.get("id") == name), None)


def row_of(document: Document, name: str) -> int | None:
    """Row of a client or server in ``network.rtt_ms``: the clients, then the servers."""
    ids = [str(c.get("id")) for c in clients_of(document)]
    if name in ids:
        return ids.index(name)
    unrolled = [i for e in servers_of(document) for i in ids_of(e)]
    return len(ids) + unrolled.index(name) if name in unrolled else None


def remove_servers(document: Document, names: list[str], option: str) -> None:
    """Take servers out, with their rows and their events."""
    unroll(document, names)
    _drop_rows(document, names)
    left = [e for e in servers_of(document) if e["id"] not in names]
    if not left:
        raise ScenarioError.single(option, "no server is left")
    document["servers"] = left
    _drop_lost_events(document)
    drop_lost_uplinks(document)


def _drop_rows(document: Document, names: Iterable[str]) -> None:
    """Take machines out of a matrix of round-trip times."""
    matrix = document.get("network", {}).get("rtt_ms")
    if matrix is None:
        return
    gone = {row_of(document, name) for name in names}
    document["network"]["rtt_ms"] = [
        [value for j, value in enumerate(line) if j not in gone]
        for i, line in enumerate(matrix)
        if i not in gone
    ]


def remove_client(document: Document, name: str, option: str) -> None:
    """Take a client out, with its row and its requests.

    Raises
    ------
    ScenarioError
        If no client is left, or a trace says whose its requests are.
    """
    left = [c for c in clients_of(document) if c.get("id") != name]
    if not left:
        raise ScenarioError.single(option, "no client is left")
    load = document.get("workload", {})
    trace = load.get("trace")
    if isinstance(trace, dict) and trace.get("client") == name:
        message = f"all requests of the trace are those of {name!r}: set workload.trace.client"
        raise ScenarioError.single(option, message)
    _drop_rows(document, [name])
    document["clients"] = left
    drop_lost_uplinks(document)
    if isinstance(trace, dict) and isinstance(trace.get("shares"), dict):
        trace["shares"].pop(name, None)
    if load.get("streams"):
        load["streams"] = [s for s in load["streams"] if s.get("client") != name]


def add_client(document: Document, entry: Entry, like: str, beside: bool) -> None:
    """Append a client that asks for what another one does.

    Parameters
    ----------
    beside : it stands where the other one does, and takes its measured times.
    """
    clients = clients_of(document)
    matrix = document.get("network", {}).get("rtt_ms")
    if matrix is not None:
        row, at = row_of(document, like), len(clients)
        assert row is not None
        for line in matrix:
            line.insert(at, line[row] if beside else None)
        matrix.insert(at, list(matrix[row]) if beside else [None] * (len(matrix) + 1))
        matrix[at][at] = 0.0
    clients.append(entry)
    load = document.get("workload", {})
    own = [{**s, "client": entry["id"]} for s in load.get("streams", []) if s.get("client") == like]
    load.get("streams", []).extend(copy.deepcopy(own))


def _drop_lost_events(document: Document) -> None:
    """Events may not name what no longer exists."""
    ids = {i for e in servers_of(document) for i in (str(e["id"]), *ids_of(e))}
    regions = {str(e.get("region", "")) for e in servers_of(document)}
    if "events" in document:
        document["events"] = [
            event
            for event in document["events"]
            if (event["server"] in ids if "server" in event else event.get("region") in regions)
        ]


def add_server(document: Document, entry: Entry, like: str | None, option: str) -> None:
    """Append a server; ``like`` names the client or server whose measured times it takes.

    Without one, its times follow from its place.

    Raises
    ------
    ScenarioError
        Where the scenario has a full matrix of measured times and neither is given.
    """
    matrix = document.get("network", {}).get("rtt_ms")
    if matrix is not None:
        row = None if like is None else row_of(document, like)
        if row is None and not entry.keys() & set(PLACE):
            raise ScenarioError.single(
                option,
                "round-trip times of this scenario are a measured matrix: add like=ID, the client "
                "or server beside which the new one stands, or lat and lon",
            )
        add_rows(matrix, size_of(entry), row)
    servers_of(document).append(entry)


def add_rows(matrix: list[list[Any]], count: int, like: int | None) -> None:
    """Lengthen a matrix of round-trip times: by copies of a row, or by pairs without a time."""
    for _ in range(count):
        for line in matrix:
            line.append(None if like is None else line[like])
        matrix.append([None] * (len(matrix) + 1) if like is None else list(matrix[like]))
        matrix[-1][-1] = 0.0


def forget_times(document: Document, name: str) -> None:
    """What was measured of a machine at another place holds no longer."""
    matrix, row = document.get("network", {}).get("rtt_ms"), row_of(document, name)
    if matrix is not None and row is not None:
        matrix[row] = [None] * len(matrix)
        for line in matrix:
            line[row] = None
    if has_table(document):
        _refuse_client(document, name)
        entry = next(e for e in servers_of(document) if e["id"] == name)
        entry["rtt_as"] = []


def _refuse_client(document: Document, name: str) -> None:
    """A client has no other name in a file of round-trip times."""
    if client_named(document, name) is not None:
        message = f"the round-trip times of client {name!r} come from a file that names it"
        raise ScenarioError.single("--move", message)


def stand_at(document: Document, entry: Entry, beside: str) -> None:
    """Give a server the place, the last mile and the measured times of another machine."""
    other = next(
        (e for e in (*clients_of(document), *servers_of(document)) if beside in ids_of(e)), None
    )
    assert other is not None
    for key in PLACE:
        entry.pop(key, None)
        if key in other:
            entry[key] = other[key]
    if has_table(document):
        _refuse_client(document, str(entry["id"]))
        entry["rtt_as"] = names_in_table(other, beside)
    matrix = document.get("network", {}).get("rtt_ms")
    mine, theirs = row_of(document, str(entry["id"])), row_of(document, beside)
    if matrix is not None and mine is not None and theirs is not None:
        matrix[mine] = list(matrix[theirs])
        for line in matrix:
            line[mine] = line[theirs]
        matrix[mine][mine] = 0.0
