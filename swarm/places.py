"""Where the servers of a swarm are and how far from each other, as a scenario tells it.

What was measured is kept as measured; of two places that are known the distance follows from them,
so that others can be added by place; the rest is estimated. A swarm of thousands has millions of
pairs and measured times of few of them: no table then, but each server's own way to the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.content import FloatArray
from ..perfmodel.network import rtt_from_coordinates_s
from .announce import Announcement
from .settling import symmetric_rtt_s

#: PETALS takes this where it knows nothing.
DEFAULT_RTT_S = 0.3
#: Beyond so many places pairs are not listed: the table grows with the square.
MOST_LISTED = 400
_ONE_REGION = "swarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPlace:
    """A client: measured round trips, or where it is, or neither (then it is put amid the servers,
    or the median is taken)."""

    name: str
    rtt_s: Mapping[str, float] = field(default_factory=dict)
    coordinates: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Parts of a scenario document: of ``network``, and of each client and server."""

    network: dict[str, Any]
    clients: list[dict[str, Any]]
    servers: list[dict[str, Any]]


def network_of(
    clients: Sequence[ClientPlace], servers: Sequence[Announcement], estimated: list[str]
) -> Where:
    """Times and places; what had to be estimated is appended to ``estimated``."""
    middle = _amid([s.coordinates for s in servers if s.coordinates is not None])
    spots = []
    for client in clients:
        spot = client.coordinates
        if spot is None and not client.rtt_s and middle is not None:
            spot = middle
            estimated.append(f"the place of {client.name} (amid the servers: give --lat, --lon)")
        spots.append(spot)
    spots += [s.coordinates for s in servers]
    if len(spots) <= MOST_LISTED:
        return _listed(clients, servers, spots, estimated)
    return _unlisted(clients, servers, spots, estimated)


Spot = tuple[float, float] | None


def _amid(spots: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """The place of a server that is nearest to the middle of all, by median of each coordinate."""
    if not spots:
        return None
    every = np.array(spots)
    far = np.abs(every - np.median(every, axis=0)).sum(axis=1)
    return spots[int(np.argmin(far))]


def _documents(spots: Sequence[Spot]) -> list[dict[str, Any]]:
    return [{} if s is None else {"lat": round(s[0], 4), "lon": round(s[1], 4)} for s in spots]


def _listed(
    clients: Sequence[ClientPlace],
    servers: Sequence[Announcement],
    spots: Sequence[Spot],
    estimated: list[str],
) -> Where:
    """A table of pairs, with gaps where the distance tells; none when there would be only gaps."""
    names = [*(c.name for c in clients), *(s.peer for s in servers)]
    rtt_s, guessed = _round_trips(clients, servers, spots)
    if guessed.any():
        count = int(np.triu(guessed).sum())
        estimated.append(f"round trips of {count} pairs of {len(names)} places")
    first, known = len(clients), np.array([spot is not None for spot in spots])
    gap = guessed & known[:, None] & known[None, :]
    rest = ~gap & ~np.eye(len(names), dtype=bool)
    rest[:first, :first] = False
    places = _documents(spots)
    network: dict[str, Any] = {"delay": "internet"}
    if rest.any():
        rows = [
            [None if empty else round(x * 1e3, 4) for x, empty in zip(*row, strict=True)]
            for row in zip(rtt_s.tolist(), gap.tolist(), strict=True)
        ]
        network = {"delay": "measured", "rtt_ms": rows}
    return Where(network=network, clients=places[:first], servers=places[first:])


def _unlisted(
    clients: Sequence[ClientPlace],
    servers: Sequence[Announcement],
    spots: Sequence[Spot],
    estimated: list[str],
) -> Where:
    """By place where all are known; else as a star, with the way to the first client as each
    server's last mile, which two servers have between them twice."""
    first = len(clients)
    places = _documents(spots)
    if all(spot is not None for spot in spots):
        estimated.append(f"round trips between all of {len(spots)} places, from their distance")
        return Where(network={"delay": "internet"}, clients=places[:first], servers=places[first:])
    estimated.append(f"round trips between {len(servers)} servers, by way of {clients[0].name}")
    way_s = np.array([clients[0].rtt_s.get(s.peer, np.nan) for s in servers])
    if spots[0] is not None:
        from_here = [
            np.nan if spot is None else rtt_from_coordinates_s([spots[0], spot], "internet")[0, 1]
            for spot in spots[first:]
        ]
        way_s = np.where(np.isnan(way_s), from_here, way_s)
    known = way_s[np.isfinite(way_s)]
    way_s = np.where(np.isnan(way_s), np.median(known) if len(known) else DEFAULT_RTT_S, way_s)
    star = {
        "delay": "measured",
        "region_rtt_ms": {_ONE_REGION: {_ONE_REGION: 0.0}},
    }
    for place, seconds in zip(places[first:], way_s.tolist(), strict=True):
        place |= {"region": _ONE_REGION, "last_mile_ms": round(seconds * 1e3, 4)}
    for place in places[:first]:
        place |= {"region": _ONE_REGION}
    return Where(network=star, clients=places[:first], servers=places[first:])


def _round_trips(
    clients: Sequence[ClientPlace], servers: Sequence[Announcement], spots: Sequence[Spot]
) -> tuple[FloatArray, Any]:
    """(c + n, c + n) seconds, and which of the pairs had to be guessed.

    A pair that nobody measured takes its distance where both places are known, else the best way
    over a third place as an upper bound, but no more than PETALS assumes for an unknown one.
    """
    names = [*(c.name for c in clients), *(s.peer for s in servers)]
    row = {name: i for i, name in enumerate(names)}
    count, first = len(names), len(clients)
    rtt = np.full((count, count), np.nan)
    for (one, other), value in symmetric_rtt_s(list(servers)).items():
        rtt[row[one], row[other]] = rtt[row[other], row[one]] = value
    for client in clients:
        for peer, value in client.rtt_s.items():
            if peer in row:
                rtt[row[client.name], row[peer]] = rtt[row[peer], row[client.name]] = value
    np.fill_diagonal(rtt, 0.0)
    # Nothing is routed between clients.
    rtt[:first, :first] = np.where(np.isnan(rtt[:first, :first]), 0.0, rtt[:first, :first])
    guessed = np.isnan(rtt)
    where = np.array([spot or (np.nan, np.nan) for spot in spots], dtype=np.float64)
    rtt = np.where(np.isnan(rtt), rtt_from_coordinates_s(where, "internet"), rtt)
    over = _over_a_third(rtt, first)
    known = rtt[np.isfinite(rtt) & (rtt > 0)]
    fallback = float(np.median(known)) if len(known) else DEFAULT_RTT_S
    guess = np.where(np.isfinite(over), np.minimum(over, DEFAULT_RTT_S), fallback)
    rtt = np.where(np.isnan(rtt), guess, rtt)
    return rtt, guessed


def _over_a_third(rtt: FloatArray, clients: int) -> FloatArray:
    """(N, N) shortest way over one other place that is not a client's twin; inf = none."""
    known = np.where(np.isnan(rtt), np.inf, rtt)
    known[:clients, :clients] = np.inf
    best = np.full_like(known, np.inf)
    for k in range(len(known)):
        np.minimum(best, known[:, k, None] + known[None, k, :], out=best)
    return best
