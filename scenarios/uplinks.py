"""Uplinks of a scenario file, in SI units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..core.errors import InputProblem, ScenarioError
from ..core.uplinks import Uplink
from . import schema
from .measured import End

MBIT = 1e6 / 8


def build_uplinks(
    given: Sequence[schema.Uplink], clients: Sequence[End], servers: Sequence[End]
) -> tuple[Uplink, ...]:
    """The uplinks of a network; those with ``each`` once for every server, as ``name ID``.

    Raises
    ------
    ScenarioError
        Listing unknown names, uplinks behind which nobody is, and those that say nothing.
    """
    wrong: list[InputProblem] = []
    found: list[Uplink] = []
    names: set[str] = set()
    for at, uplink in enumerate(given):
        where = f"network.uplinks[{at}]"
        defects = [*_defects(uplink, where), *_unknown(uplink, where, clients, servers)]
        if uplink.name in names:
            defects.append(InputProblem(f"{where}.name", f"{uplink.name!r} is given twice"))
        names.add(uplink.name)
        wrong += defects
        if not defects:
            found += _built(uplink, clients, servers)
    if wrong:
        raise ScenarioError(wrong)
    return tuple(found)


def _defects(given: schema.Uplink, where: str) -> Iterator[InputProblem]:
    """What contradicts itself, or says nothing."""
    one_way = given.up_mbit_per_s is not None or given.down_mbit_per_s is not None
    if given.mbit_per_s is not None and one_way:
        message = "give mbit_per_s for both directions, or up_mbit_per_s and down_mbit_per_s"
        yield InputProblem(f"{where}.mbit_per_s", message)
    if given.mbit_per_s is None and not one_way and given.egress_price_per_gb is None:
        message = "give mbit_per_s, up_mbit_per_s, down_mbit_per_s or egress_price_per_gb"
        yield InputProblem(f"{where}.mbit_per_s", message)
    if not given.servers and not given.clients and given.region is None:
        yield InputProblem(where, "nobody is behind it: give servers, clients or region")
    if given.each and given.clients:
        yield InputProblem(f"{where}.each", "is of servers: give clients uplinks of their own")


def _unknown(
    given: schema.Uplink, where: str, clients: Sequence[End], servers: Sequence[End]
) -> Iterator[InputProblem]:
    """Names of nobody, and of devices that stand where their client does."""
    known = {e.id for e in servers} | {e.given.id for e in servers}
    local = {e.id for e in servers if _is_local(e)}
    for name in given.servers:
        if name not in known:
            yield InputProblem(f"{where}.servers", f"no server {name!r} in this scenario")
        elif name in local:
            message = f"{name!r} is the device of a client: name its client"
            yield InputProblem(f"{where}.servers", message)
    for name in given.clients:
        if name not in {e.id for e in clients}:
            yield InputProblem(f"{where}.clients", f"no client {name!r} in this scenario")
    regions = {e.given.region for e in (*clients, *servers)} - {""}
    if given.region is not None and given.region not in regions:
        yield InputProblem(f"{where}.region", f"nobody is in region {given.region!r}")


def _is_local(server: End) -> bool:
    """Whether it is the device of its client, and behind what that is behind."""
    return isinstance(server.given, schema.Server) and server.given.local


def _built(
    given: schema.Uplink, clients: Sequence[End], servers: Sequence[End]
) -> Iterator[Uplink]:
    inside = [
        j
        for j, e in enumerate(servers)
        if {e.id, e.given.id} & set(given.servers)
        or (e.given.region == given.region and not _is_local(e))
    ]
    own = [
        c for c, e in enumerate(clients) if e.id in given.clients or e.given.region == given.region
    ]
    up, down = given.up_mbit_per_s, given.down_mbit_per_s
    price = given.egress_price_per_gb
    whole = Uplink(
        name=given.name,
        servers=tuple(inside),
        clients=tuple(own),
        up_bytes_per_s=(given.mbit_per_s or up or math.inf) * MBIT,
        down_bytes_per_s=(given.mbit_per_s or down or math.inf) * MBIT,
        egress_price_per_byte=None if price is None else price / 1e9,
    )
    if given.each:
        for j in inside:
            name = f"{given.name} {servers[j].id}"
            yield replace(whole, name=name, servers=(j,), clients=())
    else:
        yield whole
