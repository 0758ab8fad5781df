"""Storing and finding the operator's plan in the swarm's table, whatever others put in its way.

Plain PETALS peers store anything: a value without subkey in place of the plan, or so much beside it
that no answer of theirs arrives. Peers with the validator refuse both, so the plan is handed to
serving peers too, they keep it, and who finds none near the key asks them directly.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.dht.traverse import traverse_dht
from hivemind.dht.validation import DHTRecord
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2
from hivemind.utils import get_dht_time

from ..core.errors import SwarmUnreachableError
from .bounded import BoundedSerializer
from .pipe import READ_LIMIT_S, result_of
from .sealing import PinnedValidator

#: Serving peers that are handed the plan, or asked for it.
MOST_PEERS = 24
ASK_LIMIT_S = 5.0
_WORKERS = 4
#: Peers that one answer may name.
_MOST_NEIGHBOURS = 100


@dataclass(frozen=True, slots=True)
class Stored:
    """A plan as it lies in the table: signed, and until when it stays there."""

    signed: bytes
    expires_s: float


def store_plan(
    dht: Any,
    validator: PinnedValidator,
    packed: bytes,
    expires_s: float,
    peers: Collection[str] = (),
) -> None:
    """Publish a record until ``expires_s``, at the peers near its key and at serving ones.

    Raises
    ------
    SwarmUnreachableError
        If no peer took it.
    """
    record = DHTRecord(validator._table, validator._entry, packed, expires_s)
    stored = Stored(validator.sign_value(record), expires_s)
    call = partial(_store, reader=validator.reader(), stored=stored, peers=_some(peers))
    if not result_of(dht, call, READ_LIMIT_S):
        raise SwarmUnreachableError("no peer of the swarm stored the plan")


def fetch_stored(
    dht: Any, validator: PinnedValidator, prefix: str, peers: Collection[str] = ()
) -> tuple[bytes | None, float]:
    """The validly signed record of the pinned key that lives longest, and until when.

    A peer that is no mere client keeps it for others.

    Parameters
    ----------
    peers : serving peers, asked when nobody near the key has it; those announced for the first
        blocks when none are given.
    """
    call = partial(_fetch, reader=validator.reader(), prefix=prefix, peers=_some(peers))
    found = result_of(dht, call, READ_LIMIT_S)
    if not isinstance(found, Stored):
        return None, 0.0
    record = DHTRecord(validator._table, validator._entry, found.signed, found.expires_s)
    return validator.strip_value(record), found.expires_s


def fetch_plan(
    dht: Any, validator: PinnedValidator, prefix: str, peers: Collection[str] = ()
) -> bytes | None:
    """The plan of ``fetch_stored`` alone."""
    return fetch_stored(dht, validator, prefix, peers)[0]


def _some(peers: Collection[str]) -> list[str]:
    """No more peers than are asked at once, other ones each time."""
    every = list(peers)
    return every if len(every) <= MOST_PEERS else random.sample(every, MOST_PEERS)


async def _store(
    _dht: Any, node: Any, reader: PinnedValidator, stored: Stored, peers: list[str]
) -> bool:
    """Runs in the process of the DHT."""
    key_id = DHTID.generate(reader.key)
    nearest = await node.find_nearest_nodes([key_id], k_nearest=node.num_replicas)
    near = {peer for peer in nearest[key_id].values() if peer != node.peer_id}
    taking = [
        node.protocol.call_store(
            peer, [key_id], [stored.signed], [stored.expires_s], subkeys=[reader.subkey]
        )
        for peer in near | set(_parsed(peers))
    ]
    taken = [bool(answer and answer[0]) for answer in await asyncio.gather(*taking)]
    return any(taken) or _kept(node, reader, stored)


async def _fetch(
    _dht: Any, node: Any, reader: PinnedValidator, prefix: str, peers: list[str]
) -> Stored | None:
    """Runs in the process of the DHT."""
    key_id = DHTID.generate(reader.key)
    own = node.protocol.storage.get(key_id)
    found = [] if own is None else list(_good(own.value, reader))
    found += await _near_the_key(node, key_id, reader)
    if not found:
        serving = _parsed(peers) or await _announced(node, prefix)
        answers = await asyncio.gather(*(ask(node, peer, key_id) for peer in serving))
        found = [one for answer in answers for one in _good(_value(answer), reader)]
    best = max(found, key=lambda stored: stored.expires_s, default=None)
    if best is not None:
        _kept(node, reader, best)
    return best


def _kept(node: Any, reader: PinnedValidator, stored: Stored) -> bool:
    """Whether this node answers others with the plan from now on; mere clients are never asked."""
    if node.protocol.client_mode:
        return False
    key_id = DHTID.generate(reader.key)
    held = node.protocol.storage.get(key_id)
    if held is not None and not any(_good(held.value, reader)):
        del node.protocol.storage[key_id]  # was there before the validator
    keep = node.protocol.storage.store
    return bool(keep(key_id, stored.signed, stored.expires_s, subkey=reader.subkey))


async def _near_the_key(node: Any, key_id: DHTID, reader: PinnedValidator) -> list[Stored]:
    """What the peers on the way to the key, and those nearest to it, have."""
    table = node.protocol.routing_table
    size = node.protocol.bucket_size
    known = dict(table.get_nearest_neighbors(key_id, size, exclude=node.node_id))
    found: list[Stored] = []

    async def neighbours(name: DHTID, queries: Collection[DHTID]) -> dict[Any, Any]:
        answer = await ask(node, known[name], key_id)
        if answer is None:
            return {query: ((), False) for query in queries}
        found.extend(_good(_value(answer), reader))
        names = [DHTID.from_bytes(one) for one in answer.nearest_node_ids]
        known.update(zip(names, map(PeerID, answer.nearest_peer_ids), strict=True))
        return {query: (tuple(names), False) for query in queries}

    await traverse_dht(
        queries=[key_id],
        initial_nodes=list(known),
        beam_size=size,
        num_workers=_WORKERS,
        queries_per_call=1,
        get_neighbors=neighbours,
        visited_nodes={key_id: {node.node_id}},
    )
    return found


async def ask(node: Any, peer: PeerID, key_id: DHTID) -> Any:
    """What one peer has under the key, and whom it knows near to it; None without an answer."""
    request = dht_pb2.FindRequest(keys=[key_id.to_bytes()], peer=node.protocol.node_info)
    try:
        stub = node.protocol.get_stub(peer)
        answer = await stub.rpc_find(request, timeout=ASK_LIMIT_S)
    # Errors of p2pd, of asyncio, of malformed answers: this peer tells nothing.
    except Exception:
        return None
    results = answer.results
    if len(results) != 1:
        return None
    ids = results[0].nearest_node_ids, results[0].nearest_peer_ids
    return results[0] if len(ids[0]) == len(ids[1]) <= _MOST_NEIGHBOURS else None


def _value(answer: Any) -> object:
    if answer is None or answer.type != dht_pb2.FOUND_DICTIONARY:
        return None
    return BoundedSerializer.loads(answer.value)


def _good(value: object, reader: PinnedValidator) -> Iterable[Stored]:
    """The operator's own entry of a stored table, if it is signed; the rest is not looked at."""
    if isinstance(value, DictionaryDHTValue):
        entry = value.data.get(reader.subkey)
        timed = entry is not None and isinstance(entry.expiration_time, float)
        if timed and isinstance(entry.value, bytes) and get_dht_time() < entry.expiration_time:
            record = DHTRecord(reader._table, reader._entry, entry.value, entry.expiration_time)
            if reader.validate(record):
                yield Stored(bytes(entry.value), float(entry.expiration_time))


async def _announced(node: Any, prefix: str) -> list[PeerID]:
    """Peers that are announced for the first blocks; strangers may be among them."""
    found = await node.get_many([f"{prefix}.{block}" for block in range(2)])
    names = {
        name
        for entry in found.values()
        if entry is not None and isinstance(entry.value, dict)
        for name in entry.value
        if isinstance(name, str)
    }
    return _parsed(_some(sorted(names)))


def _parsed(peers: Iterable[str]) -> list[PeerID]:
    found = []
    for peer in peers:
        try:
            found.append(PeerID.from_base58(peer))
        except ValueError:
            continue
    return found
