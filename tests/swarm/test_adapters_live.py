"""Adapters on real servers: loaded because a plan says so, announced, and used by who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmplan.api import plan
from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.planfile import write_plan
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.trial import ClientProcess, answers, operate, read_scenario
from swarmplan.tests.extras import needs

pytestmark = pytest.mark.live
BLOCKS, TOKENS = 8, 16
PROMPTS = [[1, 2, 3, 4, 5], [7, 9, 11]]
LOADS = {"A": "legal", "B": "medical"}


@pytest.fixture(scope="module")
def two(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LoopbackSwarm, Path]]:
    """Two servers with all blocks; a plan by which each loads an adapter of a folder, in turn."""
    needs("quantised")
    from swarmplan.swarm.tiny_model import save_adapter

    folder = tmp_path_factory.mktemp("adapters")
    adapters = {
        name: save_adapter(tiny_model, folder / name, seed=seed)
        for seed, name in enumerate(LOADS.values())
    }
    operate(folder / "keygen.log", "keygen", str(folder / "key"))
    follow = ("--operator-key", f"{folder / 'key'}.pub", "--follow", "1", "--drain", "3")
    with LoopbackSwarm(folder=folder / "swarm", model=tiny_model, update_period_s=2.0) as swarm:
        swarm.start_servers(
            [ServerSpec(name=name, blocks=(0, BLOCKS), planned=follow) for name in "AB"]
        )
        document = read_scenario(swarm, folder, memory_gb=0.1, more=("--sessions", "1"))
        names = {peer: name for name, peer in swarm.peers.items()}
        document["adapters"] = {
            name: {"source": str(where), "block_mb": 0.002} for name, where in adapters.items()
        }
        document["clients"][0]["adapter"] = "legal"
        for server in document["servers"]:
            server["adapters"] = [LOADS[names[server["id"]]]]
        write_document(folder / "scenario.json", document)
        scenario = load_scenario(folder / "scenario.json")
        write_plan(folder / "plan.json", plan(scenario.problem, "manual"), scenario)
        watch = {"observe_s": 0.2, "blocks": BLOCKS, "until": str(folder / "stop")}
        with ClientProcess(swarm=swarm, name="watch", job=watch) as watcher:
            watcher.wait_for(lambda events: any(e["event"] == "spans" for e in events), limit_s=60)
            said = operate(
                folder / "publish.log",
                *("publish", str(folder / "plan.json"), str(folder / "scenario.json")),
                *("--key", str(folder / "key"), "--prefix", swarm.prefix),
                *("--initial-peers", swarm.initial_peer),
            )
            for name in LOADS:
                swarm.children[name].wait_for("serves what is planned", limit_s=90)
            seen = [e["live"] for e in watcher.events() if e["event"] == "spans"]
        order = said.split("moves: ")[-1].strip().split(", ")
        assert sorted(order) == sorted(swarm.peers.values())
        # Both were away for a while, and never at once.
        online = [{peer for peer, (state, *_) in one.items() if state == "online"} for one in seen]
        assert all(online)
        assert {len(one) for one in online} == {1, 2}
        yield swarm, folder


def test_a_planned_adapter_is_loaded_announced_and_used_by_those_who_ask_for_it(
    two: tuple[LoopbackSwarm, Path], tiny_model: Path
) -> None:
    from swarmplan.swarm.tiny_model import local_tokens

    swarm, folder = two
    legal = folder / "legal"
    document = read_scenario(swarm, folder, memory_gb=0.1)
    by_name = {peer: name for name, peer in swarm.peers.items()}
    loaded = {by_name[s["id"]]: s["adapters"] for s in document["servers"]}
    assert loaded == {name: [str(folder / adapter)] for name, adapter in LOADS.items()}
    ids = [str(i) for i in range(len(PROMPTS))]
    requests = [
        {"id": i, "prompt": p, "new_tokens": TOKENS} for i, p in zip(ids, PROMPTS, strict=True)
    ]
    with_it = {
        "routing": {"public_key": f"{folder / 'key'}.pub"},
        "config": {"active_adapter": str(legal), "request_timeout": 20},
        "requests": requests,
    }
    route = [(swarm.peers["A"], 0, BLOCKS)]
    without = {"requests": [{**r, "route": route} for r in requests]}
    with (
        ClientProcess(swarm=swarm, name="legal", job=with_it) as asking,
        ClientProcess(swarm=swarm, name="plain", job=without) as plain,
    ):
        got, other = answers(asking.finish(limit_s=120)), answers(plain.finish(limit_s=120))
    merged = local_tokens(tiny_model, PROMPTS, TOKENS, adapter=legal)
    assert [got[i].get("tokens") for i in ids] == merged, got
    assert {hop[0] for i in ids for hop in got[i]["chains"][-1]} == {swarm.peers["A"]}
    # The same server, without the adapter: its blocks are as ever.
    as_ever = local_tokens(tiny_model, PROMPTS, TOKENS)
    assert [other[i].get("tokens") for i in ids] == as_ever
    assert all(a != b for a, b in zip(merged, as_ever, strict=True))


def test_a_client_of_an_adapter_that_nobody_loads_is_told_so_in_one_line(
    two: tuple[LoopbackSwarm, Path],
) -> None:
    swarm, folder = two
    words = ["--model", str(swarm.model), "--prefix", swarm.prefix]
    words += ["--initial-peers", swarm.initial_peer, "--ids", "1 2 3", "--new-tokens", "4"]
    with pytest.raises(SwarmUnreachableError) as told:
        operate(folder / "drive.log", "drive", *words, "--adapter", "org/poems")
    (line,) = [row for row in str(told.value).splitlines() if "org/poems" in row]
    assert "no server loads adapter 'org/poems' for blocks 0:8" in line
    assert "ended with 3" in str(told.value)
