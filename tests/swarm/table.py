"""Scenes of a plan in a table, each in a process of its own: table.py SCENE FOLDER."""

from __future__ import annotations

import logging
import os
import random
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.swarm.needs import prepare

prepare("table")

import hivemind  # noqa: E402
from hivemind.dht.routing import DHTID  # noqa: E402
from hivemind.utils import MSGPackSerializer  # noqa: E402

from swarmplan.swarm import plan_table, signing  # noqa: E402
from swarmplan.swarm.announce import Warnings  # noqa: E402
from swarmplan.swarm.live_dht import ping, read_announcements  # noqa: E402
from swarmplan.swarm.pipe import result_of  # noqa: E402
from swarmplan.swarm.plan_table import fetch_stored  # noqa: E402
from swarmplan.swarm.sealing import PinnedValidator  # noqa: E402

warnings.simplefilter("ignore")
logging.getLogger("hivemind").setLevel(logging.CRITICAL)
PREFIX = "swarm"


def peer(*others: hivemind.DHT, client: bool = False) -> hivemind.DHT:
    """A peer on the loopback interface."""
    known = [str(address) for other in others for address in other.get_visible_maddrs()]
    return hivemind.DHT(
        initial_peers=known,
        host_maddrs=["/ip4/127.0.0.1/tcp/0"],
        client_mode=client,
        use_auto_relay=False,
        use_relay=False,
        start=True,
    )


def operator(folder: Path) -> tuple[Any, str]:
    """Private and public key."""
    signing.new_key(folder / "key")
    return signing.read_private_key(folder / "key")


async def _length(_dht: Any, _node: Any, blob: bytes) -> int:
    return len(blob)


def sizes(_folder: Path) -> str:
    """Commands of up to 300 kB, and pings of 800 peers."""
    dht = peer()
    parts = sum(
        result_of(dht, partial(_length, blob=os.urandom(15_000 * i)), 10) == 15_000 * i
        for i in range(1, 21)
    )
    whole = 0
    for i in range(1, 21):
        command = partial(_length, blob=os.urandom(15_000 * i))
        whole += dht.run_coroutine(command, return_future=True).result(timeout=10) == 15_000 * i
    names = [nobody(i) for i in range(800)]
    assert ping(dht, names, times=1) == {}
    shown = "alive" if dht.is_alive() else "dead"
    return f"{parts} of 20 in parts, {whole} of 20 in one piece, {len(names)} pings, {shown}"


def nobody(number: int) -> str:
    """The id of nobody."""
    return str(hivemind.PeerID(b"\x12\x20" + number.to_bytes(32, "big")).to_base58())


def large(folder: Path) -> str:
    """A plan for 300 servers with all their round trips, published twenty times and read back."""
    from swarmplan.api import plan
    from swarmplan.swarm.publishing import publish
    from swarmplan.swarm.record import read_record

    scenario = _of_300_servers(folder / "large.json")
    made = plan(scenario.problem, "cg-bp")
    _, public = operator(folder)
    first = peer()
    second = peer(first)
    reading = signing.trust(second, public, PREFIX)
    publisher = peer(first, client=True)
    good, sizes = 0, set()
    for _ in range(20):
        try:
            done = publish(made, scenario, key=folder / "key", prefix=PREFIX, dht=publisher)
        except SwarmUnreachableError as error:
            print(error)
            continue
        packed = signing.fetch_plan(second, reading, PREFIX)
        live = read_record(packed, prefix=PREFIX, now_s=signing.dht_now_s())
        good += live.version == done.version
        sizes.add(done.size_bytes)
    print(f"{min(sizes)} to {max(sizes)} bytes")
    return f"{good} of 20"


def _of_300_servers(path: Path) -> Any:
    from swarmplan.scenarios.generate import generate, write_document
    from swarmplan.scenarios.scenario import load_scenario

    document = generate("geographic", servers=300, clients=1, seed=1)
    draw = random.Random(0)
    rows = [[round(draw.uniform(5, 300), 4) for _ in range(301)] for _ in range(301)]
    document["network"] |= {"delay": "measured", "rtt_ms": rows}
    write_document(path, document)
    return load_scenario(path)


async def _put(_dht: Any, node: Any, peer: Any, key: str, subkey: Any, size: int) -> bool:
    """Whether one peer takes a stranger's value."""
    key_id = DHTID.generate(key)
    until_s = signing.dht_now_s() + 90_000
    value = MSGPackSerializer.dumps(b"x" * size)
    subkeys = None if subkey is None else [subkey]
    answer = await node.protocol.call_store(peer, [key_id], [value], [until_s], subkeys=subkeys)
    return bool(answer and answer[0])


def crowded(folder: Path) -> str:
    """Two plain peers take everything; one serving peer has the validator."""
    private, public = operator(folder)
    plain = [peer()]
    plain.append(peer(*plain))
    serving = peer(plain[0])
    wanted = signing.trust(serving, public, PREFIX)
    stranger = peer(plain[0], client=True)
    put = partial(_put, key=wanted.key)
    value = [
        result_of(stranger, partial(put, peer=p.peer_id, subkey=None, size=10))
        for p in (plain[0], serving)
    ]
    many = [
        [
            result_of(stranger, partial(put, peer=p.peer_id, subkey=f"s{i}", size=100_000))
            for i in range(60)
        ]
        for p in (plain[1], serving)
    ]
    publisher = peer(plain[0], client=True)
    signer = signing.trust(publisher, public, PREFIX, private)
    names = [serving.peer_id.to_base58()]
    signing.store_plan(publisher, signer, b"a plan", signing.dht_now_s() + 1_000, names)
    reader = peer(plain[0], client=True)
    reading = signing.trust(reader, public, PREFIX)
    found = signing.fetch_plan(reader, reading, PREFIX) == b"a plan"
    # As in a large swarm in which all peers near the key are plain ones.
    result_of(reader, _look_nowhere)
    asked = signing.fetch_plan(reader, reading, PREFIX, names) == b"a plan"
    return (
        f"taken by plain peers: value {value[0]}, subkeys {all(many[0])}; by the serving one: "
        f"{value[1]}, {any(many[1])}; found: {found}; by asking the serving one alone: {asked}"
    )


async def _look_nowhere(_dht: Any, _node: Any) -> None:
    async def nothing(*_args: Any) -> list[Any]:
        return []

    plan_table.__dict__["_near_the_key"] = nothing


def shorter(folder: Path) -> str:
    """Published for a day, then again for a minute."""
    from swarmplan.swarm.publishing import publish
    from swarmplan.swarm.record import Acceptor
    from swarmplan.tests.swarm.test_record import MADE, SCENARIO

    _, public = operator(folder)
    first = peer()
    signing.trust(first, public, PREFIX)
    begun = int(signing.dht_now_s())
    for number, valid_s in ((1, 86_400.0), (2, 60.0)):
        publish(
            MADE,
            SCENARIO,
            key=folder / "key",
            prefix=PREFIX,
            initial_peers=[str(a) for a in first.get_visible_maddrs()],
            valid_s=valid_s,
            version=begun + number,
        )
    reader = peer(first, client=True)
    reading: PinnedValidator = signing.trust(reader, public, PREFIX)
    packed, until_s = fetch_stored(reader, reading, PREFIX)
    accepting, now_s = Acceptor(PREFIX), signing.dht_now_s()
    assert accepting.offer(packed, now_s)
    assert accepting.plan is not None
    assert until_s > now_s + 80_000
    in_force = [accepting.current(now_s + later) is not None for later in (30, 70)]
    shown = "in force" if in_force == [True, False] else "wrong"
    return f"version {accepting._accepted.version - begun} is found, and until its own end {shown}"


def stated(folder: Path) -> str:
    """A serving peer states what it announces; strangers write under the same key, everywhere."""
    from types import SimpleNamespace

    from hivemind.p2p import P2P

    from swarmplan.swarm import stating

    first = peer()
    P2P.generate_identity(str(folder / "id"))
    serving = hivemind.DHT(
        initial_peers=[str(a) for a in first.get_visible_maddrs()],
        host_maddrs=["/ip4/127.0.0.1/tcp/0"],
        identity_path=str(folder / "id"),
        use_auto_relay=False,
        use_relay=False,
        start=True,
    )
    own = serving.peer_id.to_base58()
    speaker = stating.Speaker(serving, PREFIX, folder / "id", lambda: {"plan_version": 7})
    now_s = signing.dht_now_s()
    for start in (0, 4):
        fields = {"start_block": start, "end_block": start + 4}
        info = SimpleNamespace(to_tuple=lambda f=fields: (2, 100.0, f))
        speaker.say(info, now_s + 60 + start)
    stranger = peer(first, client=True)
    put = partial(_put, key=speaker._key, size=10)
    taken = [
        result_of(stranger, partial(put, peer=p.peer_id, subkey=subkey))
        for p in (first, serving)
        for subkey in (None, "x")
    ]
    reader = peer(first, client=True)
    names = [own, first.peer_id.to_base58(), nobody(1)]
    found = stating.fetch_statements(reader, PREFIX, names)
    spans = {name == own: s.announced["start_block"] for name, s in found.items()}
    mine = stating.fetch_statements(serving, PREFIX, [own])
    return (
        f"taken by a plain peer: {taken[0]}, by the serving one: {taken[2:]}; "
        f"found {spans}, plan {found[own].plan_version}, by itself {list(mine) == [own]}"
    )


async def _announce(_dht: Any, node: Any, servers: int) -> int:
    """Announcements of many servers of four blocks each, in this node's own storage."""
    until_s, stored = signing.dht_now_s() + 1_000, 0
    names = [nobody(i) for i in range(servers)]
    for i, name in enumerate(names):
        start = i % 125
        fields = {
            "start_block": start,
            "end_block": start + 4,
            "inference_rps": 100.0 + i % 300,
            "forward_rps": 4_000.0,
            "network_rps": 1_000.0,
            "cache_tokens_left": 50_000,
            "torch_dtype": "bfloat16",
            "quant_type": "nf4",
            "public_name": f"volunteer-{i}",
            "version": "2.2.0",
            "next_pings": {names[(i + k) % servers]: 0.01 * k for k in range(1, 11)},
        }
        value = MSGPackSerializer.dumps((2, 500.0, fields))
        for block in range(start, start + 4):
            key_id = DHTID.generate(f"{PREFIX}.{block}")
            stored += node.protocol.storage.store(key_id, value, until_s + i, subkey=name)
    return stored


def many(_folder: Path) -> str:
    """Three thousand servers are read by a client; no wall-clock limit, the figures are told."""
    first = peer()
    stored = result_of(first, partial(_announce, servers=3_000), 60)
    reader = peer(first, client=True)
    warnings = Warnings()
    begun_s = time.monotonic()
    entries = read_announcements(reader, PREFIX, 129, warnings)
    took_s = time.monotonic() - begun_s
    used = [_peak_mib(os.getpid()), _peak_mib(reader.pid)]
    print(f"{took_s:.1f} s, {used[0]} MiB here, {used[1]} MiB in the process of the table")
    spans = {e.end - e.start for e in entries}
    return f"{stored} stored, {len(entries)} read, spans of {spans}, {len(warnings.lines())} warned"


def _peak_mib(process: int | None) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10


SCENES = {
    "sizes": sizes,
    "large": large,
    "crowded": crowded,
    "shorter": shorter,
    "stated": stated,
    "many": many,
}

if __name__ == "__main__":
    scene = SCENES[sys.argv[1]]
    print(scene(Path(sys.argv[2])), flush=True)
    os._exit(0)
