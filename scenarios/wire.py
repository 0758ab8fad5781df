"""By what hidden states go over links, in a scenario file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..core import names
from ..core.errors import ScenarioError
from ..core.problem import Network, Server
from . import schema
from .measured import End


def wires_of(given: schema.Server, where: str, document: schema.Scenario) -> tuple[str, ...]:
    """Those that a server may send by, the most precise one first: one where there is no choice.

    Raises
    ------
    ScenarioError
        If one is named twice.
    """
    own = given.wire is not None
    said = given.wire or document.network.wire or "none"
    if isinstance(said, str):
        return (said,)
    if len(set(said)) < len(said):
        raise ScenarioError.single(f"{where}.wire" if own else "network.wire", "names one twice")
    return tuple(wire for wire in names.names(names.Wire) if wire in said)


def figures(given: schema.WireHarm | schema.WireTimes) -> dict[str, float]:
    """Format -> its figure, where it is given."""
    every = {wire: getattr(given, wire) for wire in names.names(names.Packed)}
    return {wire: figure for wire, figure in every.items() if figure is not None}


def check_wires(
    document: schema.Scenario, ends: Sequence[tuple[End, schema.Server]], servers: Sequence[Server]
) -> Iterator[str]:
    """Warnings about choices that make no difference."""
    kept = [
        server.id
        for (end, given), server in zip(ends, servers, strict=True)
        if len(wires_of(given, end.where, document)) > 1 and not server.wires
    ]
    if kept:
        shown = ", ".join(kept[:8]) + (" ..." if len(kept) > 8 else "")
        yield (
            f"{len(kept)} server(s) do not choose among wires, since no link of theirs has a "
            f"bandwidth (bandwidth_mbit_per_s): {shown}"
        )


def timed_links(network: Network) -> NDArray[np.bool_]:
    """(n,) whether some link of a server takes the longer the more goes over it."""
    timed = np.zeros(network.client_rtt_s.shape[1], dtype=bool)
    clients, servers = network.client_bandwidth_bytes_per_s, network.server_bandwidth_bytes_per_s
    if clients is not None:
        timed |= np.isfinite(clients).any(axis=0)
    if servers is not None:
        timed |= np.isfinite(servers).any(axis=1)
    return timed
