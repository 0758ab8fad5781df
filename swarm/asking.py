"""Asking servers themselves what they serve, over connections that prove who answers.

Entries of the table are what anybody stored under a peer's name. A connection of libp2p is
authenticated by the peer's own key, so an answer on it is the peer's word, signed and fresh; and
PETALS answers ``rpc_info`` for blocks that it serves, for others it fails. Plain servers do so too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from typing import Any

from hivemind.p2p import P2PHandlerError, PeerID
from hivemind.proto import dht_pb2, runtime_pb2

from .pipe import result_of

ASK_LIMIT_S = 5.0
#: Questions of one command, all in flight at once.
_ASKED_AT_ONCE = 100
_HANDLER = "TransformerConnectionHandler.rpc_info"

#: A peer and the blocks ``[start, end)`` that it may serve; of no block: that it is there.
Claim = tuple[str, int, int]


def confirmed(dht: Any, prefix: str, claims: Collection[Claim]) -> frozenset[Claim]:
    """Those claims that their peers confirm: they serve the first and the last of the blocks, and
    none beside them.

    Raises
    ------
    SwarmUnreachableError
        If the process of the table does not answer.
    """
    every = list(dict.fromkeys(claims))
    good: set[Claim] = set()
    for at in range(0, len(every), _ASKED_AT_ONCE):
        part = every[at : at + _ASKED_AT_ONCE]
        answers = result_of(dht, partial(_ask_all, prefix=prefix, claims=part))
        good |= {claim for claim, answer in zip(part, answers, strict=True) if answer}
    return frozenset(good)


async def _ask_all(_dht: Any, node: Any, prefix: str, claims: list[Claim]) -> list[bool]:
    """Runs in the process of the DHT."""

    async def serves(peer: str, block: int) -> bool | None:
        """None when it did not say."""
        request = runtime_pb2.ExpertUID(uid=f"{prefix}.{block}")
        try:
            call = node.protocol.p2p.call_protobuf_handler(
                PeerID.from_base58(peer), _HANDLER, request, runtime_pb2.ExpertInfo
            )
            await asyncio.wait_for(call, ASK_LIMIT_S)
        except P2PHandlerError:  # what PETALS answers for blocks that it does not serve
            return False
        # Whatever else the failure is, the peer did not say anything of the block.
        except Exception:
            return None
        return True

    async def is_there(peer: str) -> bool:
        request = dht_pb2.PingRequest(peer=node.protocol.node_info)
        try:
            stub = node.protocol.get_stub(PeerID.from_base58(peer))
            await stub.rpc_ping(request, timeout=ASK_LIMIT_S)
        except Exception:
            return False
        return True

    async def holds(peer: str, start: int, end: int) -> bool:
        if start == end:
            return await is_there(peer)
        # The blocks beside them too: one that still serves more has not arrived yet.
        beside = [block for block in (start - 1, end) if block >= 0]
        first, last, *more = await asyncio.gather(
            *(serves(peer, block) for block in (start, end - 1, *beside))
        )
        return first is True and last is True and all(one is False for one in more)

    return list(await asyncio.gather(*(holds(*claim) for claim in claims)))
