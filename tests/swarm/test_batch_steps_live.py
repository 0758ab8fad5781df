"""Servers that run waiting steps together: the tokens of everybody, and what the swarm tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmplan.core.problem import Timing
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.trial import ClientProcess, answers, read_scenario

pytestmark = pytest.mark.live
NEW_TOKENS = 16
#: Steps last long enough that others come meanwhile.
CLOCK = Timing(
    decode_base_s=0.004,
    step_curve=((8, 0.002),),
    prefill_base_s=0.004,
    prefill_per_token_s=1e-5,
)
CHAINS = ("A8", "B8", "A3>B5", "B4>A4", "B2>A6", "B8")


@pytest.fixture(scope="module")
def together(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSwarm]:
    """A, as an operator starts it, and B, whose compute goes by the clock; all blocks each."""
    folder = tmp_path_factory.mktemp("together")
    with LoopbackSwarm(folder=folder, model=tiny_model, update_period_s=2.0) as swarm:
        swarm.start_servers(
            [
                ServerSpec(name="A", blocks=(0, 8), planned=("--batch-steps",)),
                ServerSpec(name="B", blocks=(0, 8), remedies=("batch-steps",), clock=CLOCK),
            ]
        )
        yield swarm


def test_sessions_on_chains_of_all_kinds_get_the_local_models_tokens(
    together: LoopbackSwarm, tiny_model: Path
) -> None:
    from swarmplan.swarm.tiny_model import local_tokens

    prompts = [[(11 * i + t) % 250 for t in range(3 + 30 * i)] for i in range(len(CHAINS))]
    requests = [
        {"id": f"{i}", "prompt": prompt, "new_tokens": NEW_TOKENS, "route": route(together, chain)}
        for i, (prompt, chain) in enumerate(zip(prompts, CHAINS, strict=True))
    ]
    job = {"threads": len(requests), "requests": requests}
    with ClientProcess(swarm=together, name="crowd", job=job) as client:
        done = answers(client.finish(limit_s=150))
    wanted = local_tokens(tiny_model, prompts, NEW_TOKENS)
    assert {e["event"] for e in done.values()} == {"done"}, done
    assert [done[f"{i}"]["tokens"] for i in range(len(CHAINS))] == wanted
    # Each chain but one goes through B; the first token comes of the prompt.
    steps = sum("B" in chain for chain in CHAINS) * (NEW_TOKENS - 1)
    said = together.children["B"].wait_for(f"steps together: {steps} steps in", limit_s=20)
    assert "0 fell back" in said
    assert int(said.split(" steps in ")[1].split()[0]) < steps


def route(swarm: LoopbackSwarm, chain: str) -> list[tuple[str, int, int]]:
    """``A3>B5``: three blocks at A, then five at B."""
    hops, at = [], 0
    for hop in chain.split(">"):
        hops.append((swarm.peers[hop[0]], at, at + int(hop[1:])))
        at = hops[-1][2]
    return hops


def test_what_is_announced_makes_them_servers_that_batch(
    together: LoopbackSwarm, tmp_path: Path
) -> None:
    document = read_scenario(together, tmp_path, memory_gb=0.1)
    devices = {s["id"]: document["devices"][s["device"]] for s in document["servers"]}
    assert [d["sharing"] for d in devices.values()] == ["batched"] * 2
    curves = {name: devices[together.peers[name]]["decode_ms_by_batch"] for name in "AB"}
    # A measures its own; B tells the knots of its clock, 4 ms and 6 ms of eight blocks.
    assert curves["A"][0][0] == 1, json.dumps(curves)
    assert len(curves["A"]) > 2, json.dumps(curves)
    assert curves["B"] == [[1, 0.5], [8, 0.75]]
    problem = load_scenario(tmp_path / f"{together.prefix}.live.json").problem
    assert [s.sharing for s in problem.servers] == ["batched"] * 2
    assert all(isinstance(s.timing, Timing) and s.timing.step_curve for s in problem.servers)
