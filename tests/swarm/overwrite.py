"""Stores under a server's own name that it is gone, and serves other blocks, for an hour."""

# Runs by itself beside a loopback swarm: overwrite.py PEER PREFIX NAME START END
from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

from swarmplan.swarm.needs import prepare

prepare("client")

from petals.data_structures import ServerInfo, ServerState  # noqa: E402

from swarmplan.swarm.live_dht import connect  # noqa: E402
from swarmplan.swarm.pipe import result_of  # noqa: E402
from swarmplan.swarm.signing import dht_now_s  # noqa: E402


async def _store(_dht: Any, node: Any, keys: list[str], name: str, value: Any) -> int:
    until_s = dht_now_s() + 3_600
    stored = await node.store_many(
        keys=keys, subkeys=[name] * len(keys), values=[value] * len(keys), expiration_time=until_s
    )
    return sum(map(bool, stored.values()))


if __name__ == "__main__":
    peer, prefix, name, start, end = sys.argv[1:]
    dht = connect([peer])
    info = ServerInfo(ServerState.OFFLINE, 1.0, start_block=0, end_block=8, inference_rps=1.0)
    keys = [f"{prefix}.{block}" for block in range(int(start), int(end))]
    taken = result_of(dht, partial(_store, keys=keys, name=name, value=info.to_tuple()))
    print("stored", taken, flush=True)
    dht.shutdown()
    os._exit(0)
