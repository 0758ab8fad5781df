"""Reading a swarm's own table: announcements of servers, with limits on size and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import hivemind
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2

from ..core.errors import SwarmUnreachableError
from .announce import Announcement, Warnings, read_entry
from .bounded import BoundedSerializer
from .pipe import result_of
from .settling import is_spanless, merge, with_spans

PING_LIMIT_S = 3.0
#: More of them in flight slow each other down.
_PINGED_AT_ONCE = 200
#: Blocks whose records pass from process to process in one message.
_READ_AT_ONCE = 16


def connect(initial_peers: Sequence[str], *, limit_s: float = 60.0) -> hivemind.DHT:
    """A client-mode peer of the swarm.

    Raises
    ------
    SwarmUnreachableError
        If no initial peer answers within the limit.
    """
    dht = hivemind.DHT(
        initial_peers=list(initial_peers),
        client_mode=True,
        start=False,
        startup_timeout=limit_s,
        num_workers=16,
        use_auto_relay=False,
    )
    try:
        dht.run_in_background(await_ready=True, timeout=limit_s)
    # The start fails with errors of p2pd, of asyncio or of multiprocessing, by what is wrong.
    except Exception as error:
        peers = ", ".join(initial_peers)
        raise SwarmUnreachableError(f"no answer from {peers}: {error!r}") from error
    return dht


def read_announcements(
    dht: hivemind.DHT, prefix: str, num_blocks: int, warnings: Warnings
) -> list[Announcement]:
    """What all servers of a model announce, checked and settled.

    Raises
    ------
    SwarmUnreachableError
        If the table does not answer within ``READ_LIMIT_S``.
    """
    found: list[tuple[float, int, Announcement]] = []
    told: dict[str, Announcement] = {}
    old = []
    for expires_s, block, peer, fields in _raw(dht, prefix, num_blocks):
        if is_spanless(fields):
            old.append((expires_s, block, peer, fields))
            continue
        entry = read_entry(peer, fields, num_blocks, warnings)
        if entry is not None:
            # The same words under each of its blocks are kept once.
            if told.get(entry.peer) != entry:
                told[entry.peer] = entry
            found.append((expires_s, block, told[entry.peer]))
    for expires_s, block, peer, fields in with_spans(old):
        entry = read_entry(peer, fields, num_blocks, warnings)
        if entry is not None:
            found.append((expires_s, block, entry))
    found.sort(key=lambda row: row[0])
    return merge([(block, entry) for _, block, entry in found], warnings)


def ping(dht: hivemind.DHT, peers: Iterable[str], *, times: int = 3) -> dict[str, float]:
    """Shortest of a few round trips to each peer, seconds; unreachable ones are left out.

    The first trip of a connection contains its set-up, so the minimum counts. Who misses it may
    have been at work, and is asked once more.
    """
    best: dict[str, float] = {}
    wanted = list(peers)
    for at in range(0, len(wanted), _PINGED_AT_ONCE):
        part = wanted[at : at + _PINGED_AT_ONCE]
        for turn in range(times):
            for peer, rtt_s in result_of(dht, partial(_ping_all, peers=part)).items():
                if rtt_s < best.get(peer, PING_LIMIT_S):
                    best[peer] = rtt_s
            if turn > 0:
                part = [peer for peer in part if peer in best]
    return best


def _raw(
    dht: hivemind.DHT, prefix: str, num_blocks: int
) -> Iterator[tuple[float, int, object, object]]:
    """(expiry, block, peer, fields) of every entry, some blocks at a time."""
    for at in range(0, num_blocks, _READ_AT_ONCE):
        blocks = range(at, min(at + _READ_AT_ONCE, num_blocks))
        tables = result_of(dht, partial(_read_all, uids=[f"{prefix}.{b}" for b in blocks]))
        for block in blocks:
            for peer, (value, expires_s) in tables.get(f"{prefix}.{block}", {}).items():
                yield expires_s, block, peer, _fields(value)


async def _read_all(_dht: Any, node: Any, uids: list[str]) -> dict[str, dict[Any, Any]]:
    """Runs in the process of the DHT."""
    node.protocol.serializer = BoundedSerializer
    found = await node.get_many(uids, sufficient_expiration_time=float("inf"))
    tables = {}
    for uid, entry in found.items():
        if entry is not None and isinstance(entry.value, Mapping):
            tables[uid] = {
                peer: (each.value, each.expiration_time) for peer, each in entry.value.items()
            }
    return tables


async def _ping_all(_dht: Any, node: Any, peers: list[str]) -> dict[str, float]:
    """Runs in the process of the DHT."""

    async def one(peer: str) -> float:
        request = dht_pb2.PingRequest(peer=node.protocol.node_info)
        started = time.perf_counter()
        try:
            stub = node.protocol.get_stub(PeerID.from_base58(peer))
            await stub.rpc_ping(request, timeout=PING_LIMIT_S)
        except Exception as error:  # every kind of failure means: not reachable, but one
            # A peer behind a relay runs no table of its own and says so.
            if "protocol not supported" not in str(error):
                return PING_LIMIT_S
        return time.perf_counter() - started

    return dict(zip(peers, await asyncio.gather(*map(one, peers)), strict=True))


def _fields(value: object) -> object:
    """PETALS stores (state, throughput, table); as one table."""
    if not isinstance(value, tuple | list) or len(value) < 2:
        return None
    rest = value[2] if len(value) > 2 and isinstance(value[2], Mapping) else {}
    return {**rest, "state": value[0], "throughput": value[1]}
