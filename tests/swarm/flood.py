"""Stores hostile announcements: absurd figures, wrong shapes, bytes that no serializer made."""

# Runs by itself beside a loopback swarm: flood.py [[peers], prefix, count, operator's public key]
import json
import math
import os
import random
import sys
from functools import partial
from typing import Any

import hivemind
from hivemind.utils import MSGPackSerializer, get_dht_time

peers, prefix, count, public_key = json.loads(sys.argv[1])
rng = random.Random(0)
alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def value() -> Any:
    bad = [math.nan, math.inf, -1.0, 1e308, 10**18, "x" * 500, None, [], {"a": 1}, True]
    fields = {
        name: rng.choice(bad)
        for name in (
            "inference_rps",
            "forward_rps",
            "network_rps",
            "cache_tokens_left",
            "next_pings",
            "quant_type",
            "public_name",
            "using_relay",
        )
    }
    fields["start_block"] = rng.choice([0, 3, -1, 10**9, "0", None])
    fields["end_block"] = rng.choice([8, 4, 10**9, 0, None])
    return rng.choice([(2, rng.choice(bad), fields), (2, 1e9, fields), [], "junk", 7, (9, 1.0)])


class Raw:
    # Hands bytes through as they are, so that malformed ones reach the table.
    @staticmethod
    def dumps(obj: Any) -> Any:
        raw = isinstance(obj, dict) and "raw" in obj
        return obj["raw"] if raw else MSGPackSerializer.dumps(obj)

    loads = MSGPackSerializer.loads


async def flood(_dht: Any, node: Any, prefix: str, count: int) -> int:
    node.protocol.serializer = Raw
    stored = 0
    keys, subkeys, values = [], [], []
    for i in range(count):
        name = "".join(rng.choice(alphabet) for _ in range(46))
        keys.append(f"{prefix}.{i % 8}")
        subkeys.append(rng.choice([name] * 40 + ["short", str(i)]))
        garbage = {"raw": bytes(rng.randrange(256) for _ in range(40))}
        values.append(garbage if i % 4 == 0 else value())
    for at in range(0, count, 100):
        part = slice(at, at + 100)
        until = get_dht_time() + 120
        done = await node.store_many(keys[part], values[part], until, subkeys=subkeys[part])
        stored += sum(map(bool, done.values()))
    return stored + await store_odd(node, prefix)


async def store_odd(node: Any, prefix: str) -> int:
    # Subkeys that are no text, at instants of their own: a peer refuses two types at one instant.
    mark = b"[owner:" + public_key.encode() + b"]"
    odd = [
        7,
        -1.5,
        True,
        b"bytes",
        b"\xff\xfe",
        ("a", 1),
        "",
        "\u0000",
        "x" * 5_000,
        mark,
        mark + b"x",
    ]
    stored = 0
    for i, subkey in enumerate(odd * 4):
        until = get_dht_time() + 130 + i
        stored += bool(await node.store(f"{prefix}.{i % 8}", value(), until, subkey=subkey))
    return stored


if __name__ == "__main__":
    dht = hivemind.DHT(initial_peers=peers, client_mode=True, start=True)
    print("stored", dht.run_coroutine(partial(flood, prefix=prefix, count=count)), flush=True)
    dht.shutdown()
    os._exit(0)
