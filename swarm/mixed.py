"""``swarmplan swarm demo --mixed``: a plan chooses precisions, live servers host them.

Two servers on the loopback interface with half of a tiny random Llama each, both as it is. The one
has memory for its half at 8 bit alone, so the plan hosts the halves at two precisions, within what
the client bears of accuracy. It is published, and who is to host otherwise loads its blocks anew.
Tokens are compared with those of the same mixture on this machine, and with the model as it is.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api import plan
from ..core.errors import SwarmUnreachableError
from ..core.plan import Plan
from ..perfmodel.accuracy import percent_of
from ..scenarios.generate import write_document
from ..scenarios.planfile import write_plan
from ..scenarios.scenario import Scenario, load_scenario
from .demo import BLOCKS, HALF, PROMPTS, TOKENS, Say
from .loopback import LoopbackSwarm, ServerSpec
from .trial import ClientProcess, answers, operate, read_scenario

SPANS = {"small": (0, HALF), "whole": (HALF, BLOCKS)}
RTT_S = {"small": 0.010, "whole": 0.020}
#: Rise of the perplexity at 8 bit that the scenario gives, and what the client bears of it, per
#: cent: less than the whole model at 8 bit, more than half of it.
INT8_PERCENT, BUDGET_PERCENT = 1.0, 0.7
NEEDED = "bitsandbytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """What happened.

    Attributes
    ----------
    precisions : by server, as planned; announced : as ``swarm inspect`` found them afterwards.
    harm_percent : what the client's route costs by the plan, at most ``BUDGET_PERCENT``.
    reload_s : from the plan's publication until both host as it says.
    chains : of the answers, by servers.
    as_mixed, as_whole : answers with the tokens of the local mixed model, of the local one as it
        is; of ``asked``.
    """

    precisions: dict[str, str]
    announced: dict[str, str]
    harm_percent: float
    reload_s: float
    chains: tuple[tuple[str, ...], ...]
    asked: int
    as_mixed: int
    as_whole: int


def run_mixed(folder: Path, say: Say) -> Mixed:
    """From the first server to the last answer; leaves no process behind.

    Raises
    ------
    SwarmUnreachableError
        If a process does not come up or gets stuck, or nothing can be quantised here.
    """
    from .tiny_model import local_tokens, save_tiny_llama

    if importlib.util.find_spec(NEEDED) is None:
        raise SwarmUnreachableError(f"8-bit blocks need the package {NEEDED}: make swarm-env")
    folder.mkdir(parents=True, exist_ok=True)
    model, key = save_tiny_llama(folder / "model", blocks=BLOCKS), folder / "key"
    operate(folder / "keygen.log", "keygen", str(key))
    follow = ("--operator-key", f"{key}.pub", "--follow", "3", "--drain", "5")
    with LoopbackSwarm(folder=folder / "swarm", model=model, update_period_s=3.0) as swarm:
        say(f"a Llama of {BLOCKS} blocks, random weights; two servers hold half of it each")
        swarm.start_servers(
            [ServerSpec(name=n, blocks=SPANS[n], rtt_s=RTT_S[n], planned=follow) for n in SPANS]
        )
        scenario, made = _planned(swarm, folder)
        precisions, harm = _chosen(swarm, scenario, made)
        say(
            f"plan: {_shown(precisions)}; it costs {harm:.2f} % of perplexity, "
            f"{BUDGET_PERCENT:g} % are allowed"
        )
        began = time.monotonic()
        operate(
            folder / "publish.log",
            *("publish", str(folder / "plan.json"), str(scenario.path), "--key", str(key)),
            *("--prefix", swarm.prefix, "--initial-peers", swarm.initial_peer),
        )
        for name in SPANS:
            swarm.children[name].wait_for("serves what is planned", limit_s=90)
        reload_s = time.monotonic() - began
        announced = _announced(swarm, folder)
        say(f"published, followed {reload_s:.0f} s later: they announce {_shown(announced)}")
        got, chains = _ask(swarm, key)
    by_block = [precisions[n] for n, (a, z) in SPANS.items() for _ in range(a, z)]
    mixed = local_tokens(model, PROMPTS, TOKENS, precisions=by_block)
    whole = local_tokens(model, PROMPTS, TOKENS)
    result = Mixed(
        precisions=precisions,
        announced=announced,
        harm_percent=harm,
        reload_s=reload_s,
        chains=chains,
        asked=len(got),
        as_mixed=_alike(got, mixed),
        as_whole=_alike(got, whole),
    )
    say(
        f"{result.as_mixed} of {result.asked} answers have the tokens of the same mixture here, "
        f"{result.as_whole} those of the model as it is ({'; '.join(map(' > '.join, chains))})"
    )
    return result


def _planned(swarm: LoopbackSwarm, folder: Path) -> tuple[Scenario, Plan]:
    """A plan that chooses the precisions of the live servers, where they are."""
    more = ("--prompt-tokens", "5", "--output-tokens", str(TOKENS), "--sessions", "1")
    document = read_scenario(swarm, folder, memory_gb=0.1, more=more)
    peers = {peer: name for name, peer in swarm.peers.items()}
    block_gb = document["model"]["block_mb"] / 1e3
    for server in document["servers"]:
        name = peers[server["id"]]
        server["precisions"] = ["bf16", "int8"]
        server["max_blocks"] = HALF
        if name == "small":
            # Its blocks at 8 bit, and as much again for the cache; not as they are.
            server["memory_gb"] = 0.9 * HALF * block_gb
    document["accuracy"] = {"harm": {"int8": INT8_PERCENT}, "budget": BUDGET_PERCENT}
    path = folder / "scenario.json"
    write_document(path, document)
    scenario = load_scenario(path)
    made = plan(scenario.problem, "manual")
    write_plan(folder / "plan.json", made, scenario)
    return scenario, made


def _chosen(swarm: LoopbackSwarm, scenario: Scenario, made: Plan) -> tuple[dict[str, str], float]:
    """Precision by server, and what the client's route costs, per cent."""
    names = {peer: name for name, peer in swarm.peers.items()}
    settled = made.placement.settled(scenario.problem)
    found = {names[s.id]: s.precision for s in settled.servers}
    return found, percent_of(made.predicted[0].harm or 0.0)


def _announced(swarm: LoopbackSwarm, folder: Path) -> dict[str, str]:
    """Precision by server as the swarm's table and the servers themselves say."""
    document = read_scenario(swarm, folder, memory_gb=0.1)
    names = {peer: name for name, peer in swarm.peers.items()}
    return {names[s["id"]]: s.get("quantisation", "bf16") for s in document["servers"]}


def _ask(swarm: LoopbackSwarm, key: Path) -> tuple[list[list[int]], tuple[tuple[str, ...], ...]]:
    """Answers to all prompts, by the plan, and the chains that they took."""
    job: dict[str, Any] = {
        "routing": {"public_key": f"{key}.pub"},
        "config": {"update_period": 3, "request_timeout": 20},
        "requests": [
            {"id": str(i), "prompt": p, "new_tokens": TOKENS} for i, p in enumerate(PROMPTS)
        ],
    }
    with ClientProcess(swarm=swarm, name="client", job=job) as client:
        done = answers(client.finish(limit_s=120))
    failed = [e for e in done.values() if e["event"] == "failed"]
    if failed or len(done) < len(PROMPTS):
        raise SwarmUnreachableError(f"a request failed: {failed[0]['error'] if failed else '?'}")
    names = {peer: name for name, peer in swarm.peers.items()}
    events = [done[str(i)] for i in range(len(PROMPTS))]
    chains = {tuple(names[peer] for peer, _, _ in e["chains"][-1]) for e in events}
    return [e["tokens"] for e in events], tuple(sorted(chains))


def _alike(got: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]) -> int:
    return sum(list(one) == list(other) for one, other in zip(got, wanted, strict=True))


def _shown(precisions: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {SPANS[name][0]}:{SPANS[name][1]} at {precision}"
        for name, precision in sorted(precisions.items())
    )
