"""How long a step takes at each server, measured from here: a short session with each of them.

A few steps of one token of random hidden states, through PETALS' own client session; nobody's
answer depends on them. A server whose cache is full refuses, and is not measured.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from hivemind.moe.client.remote_expert_worker import RemoteExpertWorker
from hivemind.p2p import PeerID
from hivemind.proto import runtime_pb2
from hivemind.utils import MSGPackSerializer
from petals.client.config import ClientConfig
from petals.client.inference_session import _ServerInferenceSession
from petals.data_structures import CHAIN_DELIMITER, RemoteSpanInfo, ServerInfo, ServerState
from petals.server.handler import TransformerConnectionHandler
from petals.utils.misc import DUMMY, DUMMY_INT64

from .announce import Announcement
from .limits import PROBE_STEPS

logger = logging.getLogger(__name__)

LIMIT_S = 15.0
#: Sessions at once, each at another server.
_AT_ONCE = 4
_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def probed(dht: Any, prefix: str, hidden: int, servers: Sequence[Announcement]) -> dict[str, float]:
    """Peer -> seconds of a step over its whole span, the way there and back included."""
    p2p = RemoteExpertWorker.run_coroutine(dht.replicate_p2p())

    def one(entry: Announcement) -> float | None:
        try:
            return _least_s(p2p, prefix, hidden, entry)
        # Errors of p2pd, of asyncio, of the server, PETALS' bare ones: it is not measured.
        except Exception as error:
            logger.info("%s cannot be measured: %r", entry.peer, error)
            return None

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(zip(servers, pool.map(one, servers), strict=True))
    finally:
        RemoteExpertWorker.run_coroutine(p2p.shutdown())
    return {entry.peer: seconds for entry, seconds in found if seconds is not None}


def _least_s(p2p: Any, prefix: str, hidden: int, entry: Announcement) -> float:
    peer = PeerID.from_base58(entry.peer)
    uids = [f"{prefix}.{block}" for block in range(entry.start, entry.end)]
    config = ClientConfig(request_timeout=LIMIT_S, connect_timeout=LIMIT_S)
    span = RemoteSpanInfo(peer, entry.start, entry.end, ServerInfo(ServerState.ONLINE, 1.0))
    session = RemoteExpertWorker.run_coroutine(
        _open(config, p2p, span, CHAIN_DELIMITER.join(uids), uids[0])
    )
    token = torch.randn(1, 1, hidden, dtype=_DTYPES.get(entry.torch_dtype or "", torch.float32))
    times = []
    with session:
        for _ in range(PROBE_STEPS):
            began_s = time.perf_counter()
            session.step(token, DUMMY, DUMMY_INT64, step_id=uuid.uuid4().hex)
            times.append(time.perf_counter() - began_s)
    return min(times[1:])


async def _open(config: Any, p2p: Any, span: Any, uid: str, first: str) -> Any:
    stub = TransformerConnectionHandler.get_stub(p2p, span.peer_id)
    answer = await stub.rpc_info(runtime_pb2.ExpertUID(uid=first), timeout=LIMIT_S)
    info = MSGPackSerializer.loads(answer.serialized_info)
    return await _ServerInferenceSession.create(
        config, p2p, span, uid, rpc_info=info, max_length=PROBE_STEPS, active_adapter=""
    )
