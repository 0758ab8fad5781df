"""``swarmplan swarm demo``: PETALS' way and swarmplan's way on the same live servers.

Four servers on the loopback interface, each able to hold half of a tiny random Llama, two of them
near and two far (delays in user space). They join one after another and place themselves as
PETALS does; then a plan is published and they re-place themselves under traffic; then the client
drafts; then the server in use is killed in mid-generation. Every token is compared with the local
model's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..api import plan
from ..scenarios.generate import write_document
from ..scenarios.planfile import write_plan
from ..scenarios.scenario import load_scenario
from .loopback import LoopbackSwarm, ServerSpec
from .trial import ClientProcess, Event, answers, operate, read_scenario

BLOCKS = 8
HALF = BLOCKS // 2
PROMPTS = ([1, 2, 3, 4, 5], [7, 9, 11, 13], [2, 7, 1, 8, 2, 8])
TOKENS = 24
#: Emulated round trips to everybody.
RTT_S = {"near-1": 0.010, "near-2": 0.020, "far-1": 0.080, "far-2": 0.100}
JOIN_ORDERS = (
    ("near-1", "far-1", "near-2", "far-2"),
    ("far-1", "far-2", "near-1", "near-2"),
    ("near-1", "near-2", "far-1", "far-2"),
)
#: Noise in the head of the draft model: about three of four drafts are right.
DISTURBED = 0.2
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Of some requests: medians over the requests, seconds, and whether all tokens were right.

    Attributes
    ----------
    tokens_per_pass : where the client drafts.
    """

    ttft_s: float
    tpot_s: float
    right: bool
    chains: tuple[str, ...]
    tokens_per_pass: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What one join order showed.

    Attributes
    ----------
    predicted_s : time per token that the plan promised.
    dark_s : seconds during the re-placement in which some block was online nowhere.
    failed : requests that failed during the re-placement.
    recovery_s : longest step of the request whose server was killed; None = not tried.
    """

    order: tuple[str, ...]
    before_spans: dict[str, tuple[int, int]]
    after_spans: dict[str, tuple[int, int]]
    petals: Speed
    planned: Speed
    drafted: Speed
    predicted_s: float
    moved_requests: int
    failed: int
    dark_s: float
    recovery_s: float | None
    recovered_right: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What happened while servers moved."""

    requests: int
    failed: int
    dark_s: float
    predicted_s: float


def run_demo(
    folder: Path, say: Say, *, order: Sequence[str] = JOIN_ORDERS[0], kill: bool = True
) -> DemoResult:
    """One join order from the first server to the killed one; leaves no process behind."""
    from .tiny_model import local_tokens, save_disturbed, save_tiny_llama

    folder.mkdir(parents=True, exist_ok=True)
    model = save_tiny_llama(folder / "model", blocks=BLOCKS)
    draft = save_disturbed(model, folder / "draft", share=DISTURBED)
    wanted = local_tokens(model, PROMPTS, TOKENS)
    key = folder / "key"
    if not key.exists():
        operate(folder / "keygen.log", "keygen", str(key))
    follow = ("--operator-key", f"{key}.pub", "--follow", "3", "--drain", "5")
    with LoopbackSwarm(folder=folder / "swarm", model=model, update_period_s=3.0) as swarm:
        trips = ", ".join(f"{name} {RTT_S[name] * 1e3:.0f} ms" for name in order)
        say(f"a Llama of {BLOCKS} blocks, random weights; every server has room for {HALF}")
        say(f"bootstrap peer up; servers join one after another (round trips: {trips})")
        specs = [
            ServerSpec(name=name, blocks=HALF, rtt_s=RTT_S[name], planned=follow) for name in order
        ]
        swarm.start_servers(specs, one_by_one=True)
        before = _spans(swarm, folder)
        say(f"PETALS placed: {_shown(before)}")
        petals = measure(swarm, "petals", "petals", wanted)
        say(f"PETALS' way: {_speed(petals)}")
        moved = _move(swarm, folder, key, wanted, say)
        after = _spans(swarm, folder)
        say(
            f"servers arrived: {_shown(after)}; {moved.requests} requests meanwhile, "
            f"{moved.failed} failed; {moved.dark_s:.1f} s in which some block was online nowhere"
        )
        routing = {"public_key": f"{key}.pub"}
        planned = measure(swarm, "planned", routing, wanted)
        promise = f"predicted {moved.predicted_s * 1e3:.0f} ms per token"
        say(f"swarmplan's way: {_speed(planned)}, {promise}")
        drafted = measure(swarm, "drafted", routing, wanted, draft=draft)
        say(f"swarmplan's way, and a small model drafts: {_speed(drafted)}")
        killed = _kill(swarm, routing, wanted[0], say) if kill else (None, None)
    return DemoResult(
        order=tuple(order),
        before_spans=before,
        after_spans=after,
        petals=petals,
        planned=planned,
        drafted=drafted,
        predicted_s=moved.predicted_s,
        moved_requests=moved.requests,
        failed=moved.failed,
        dark_s=moved.dark_s,
        recovery_s=killed[0],
        recovered_right=killed[1],
    )


def measure(
    swarm: LoopbackSwarm,
    name: str,
    routing: Any,
    wanted: Sequence[Sequence[int]],
    rounds: int = 2,
    *,
    draft: Path | None = None,
) -> Speed:
    """The same prompts by one client, one after another, drafted by a model if there is one."""
    requests: list[dict[str, Any]] = [
        {"id": f"{r}.{i}", "prompt": prompt, "new_tokens": TOKENS, "draft": draft is not None}
        for r in range(rounds)
        for i, prompt in enumerate(PROMPTS)
    ]
    # PETALS' client looks and pings once a minute; here it may do so every three seconds, and
    # starts to measure only after it has looked a few times.
    job = {
        "routing": routing,
        "requests": requests,
        "config": {"update_period": 3, "request_timeout": 20},
        "warm_up_s": 10,
    }
    if draft is not None:
        job["draft"] = {"model": str(draft), "tokens": "auto"}
    with ClientProcess(swarm=swarm, name=name, job=job) as client:
        events = client.finish(limit_s=180)
    done = answers(events)
    told = next((e for e in events if e["event"] == "drafted"), {})
    right = all(done[r["id"]].get("tokens") == wanted[int(r["id"][-1])] for r in requests)
    times = [_times(done[r["id"]]) for r in requests]
    names = {peer: name for name, peer in swarm.peers.items()}
    chains = {_chain(names, done[r["id"]]) for r in requests}
    return Speed(
        ttft_s=statistics.median(first for first, _ in times),
        tpot_s=statistics.median(rest for _, rest in times),
        right=right,
        chains=tuple(sorted(chains)),
        tokens_per_pass=told.get("tokens_per_pass"),
    )


def _times(done: Event) -> tuple[float, float]:
    """Of an answer: time to the first token, and of each after it; drafted ones come in passes."""
    if "passes" in done:
        took = [seconds for _, _, seconds in done["passes"]]
        return took[0], sum(took[1:]) / (len(done["tokens"]) - 1)
    steps_s = done.get("steps_s", [0.0, 0.0])
    return steps_s[0], statistics.median(steps_s[1:])


def _chain(names: dict[str, str], event: Event) -> str:
    chain = event.get("chains", [[]])[-1]
    return " > ".join(f"{names.get(peer, '?')} {a}:{b}" for peer, a, b in chain)


def _spans(swarm: LoopbackSwarm, folder: Path) -> dict[str, tuple[int, int]]:
    """Who serves what, by ``swarm inspect``."""
    document = read_scenario(swarm, folder, memory_gb=0.1)
    names = {peer: name for name, peer in swarm.peers.items()}
    return {names[s["id"]]: tuple(s["span"]) for s in document["servers"]}


def _publish(swarm: LoopbackSwarm, folder: Path, key: Path) -> tuple[dict[str, list[Any]], float]:
    """Plan with as many blocks per server as before, publish; spans by peer, time per token."""
    more = ("--prompt-tokens", "5", "--output-tokens", str(TOKENS), "--sessions", "1")
    document = read_scenario(swarm, folder, memory_gb=0.1, more=more)
    for server in document["servers"]:
        server["max_blocks"] = HALF
    path = folder / "scenario.json"
    write_document(path, document)
    scenario = load_scenario(path)
    made = plan(scenario.problem, "cg-bp")
    write_plan(folder / "plan.json", made, scenario)
    operate(
        folder / "publish.log",
        *("publish", str(folder / "plan.json"), str(path), "--key", str(key)),
        *("--prefix", swarm.prefix, "--initial-peers", swarm.initial_peer),
    )
    spans = {
        s.id: ["online", int(made.placement.start[j]), int(made.placement.end[j])]
        for j, s in enumerate(scenario.problem.servers)
        if made.placement.num_blocks[j]
    }
    return spans, made.predicted[0].tpot_s


def _move(
    swarm: LoopbackSwarm,
    folder: Path,
    key: Path,
    wanted: Sequence[Sequence[int]],
    say: Say,
) -> Moved:
    """Publish under traffic and watch the servers take their places."""
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    traffic = {
        "until": str(stop),
        "config": {"update_period": 3, "request_timeout": 20},
        "routing": {"public_key": f"{key}.pub", "refresh_s": 1.0},
        "requests": [
            {"id": str(i), "prompt": p, "new_tokens": TOKENS} for i, p in enumerate(PROMPTS)
        ],
    }
    watch = {"observe_s": 0.2, "blocks": BLOCKS, "until": str(stop)}
    with (
        ClientProcess(swarm=swarm, name="watch", job=watch) as watcher,
        ClientProcess(swarm=swarm, name="traffic", job=traffic) as client,
    ):
        client.wait_for(lambda events: len(answers(events)) >= 1, limit_s=90)
        watcher.wait_for(lambda events: any(e["event"] == "spans" for e in events), limit_s=60)
        target, predicted_s = _publish(swarm, folder, key)
        names = {peer: name for name, peer in swarm.peers.items()}
        spans = {names[peer]: (a, b) for peer, (_, a, b) in target.items()}
        say(f"plan published: {_shown(spans)}; servers move while requests run")
        watcher.wait_for(lambda events: _arrived(events, target), limit_s=120)
        served = len(answers(client.events()))
        client.wait_for(lambda events: len(answers(events)) >= served + 2, limit_s=90)
        stop.touch()
        done = answers(client.finish(limit_s=90))
        events = [e for e in watcher.events() if e["event"] == "spans"]
    wrong = [
        e
        for e in done.values()
        if e["event"] == "failed" or e["tokens"] != wanted[int(e["id"].split("/")[0])]
    ]
    return Moved(
        requests=len(done), failed=len(wrong), dark_s=sum(_dark(events)), predicted_s=predicted_s
    )


def _arrived(events: Sequence[Event], target: dict[str, list[Any]]) -> bool:
    seen = [e["live"] for e in events if e["event"] == "spans"]
    return bool(seen) and all(seen[-1].get(peer) == span for peer, span in target.items())


def _dark(events: Sequence[Event]) -> Iterator[float]:
    """Seconds from each look that found a block online nowhere to the next look."""
    for one, following in pairwise(events):
        live = one["live"].values()
        online = {b for state, a, z in live if state == "online" for b in range(a, z)}
        if len(online) < BLOCKS:
            yield following["at_s"] - one["at_s"]


def _kill(
    swarm: LoopbackSwarm, routing: Any, wanted: Sequence[int], say: Say
) -> tuple[float | None, bool]:
    """Kill the last server of a chain after the tenth token; longest step, tokens right."""
    request = {"id": "0", "prompt": PROMPTS[0], "new_tokens": TOKENS, "pause_s": 0.1}
    job = {"routing": routing, "requests": [request], "config": {"request_timeout": 20}}
    names = {peer: name for name, peer in swarm.peers.items()}
    with ClientProcess(swarm=swarm, name="survivor", job=job) as client:
        events = client.wait_for(
            lambda found: sum(e["event"] == "token" for e in found) >= 10, limit_s=90
        )
        chain = next(e["chain"] for e in events if e["event"] == "route")[-1]
        victim = names[chain[-1][0]]
        swarm.children[victim].kill()
        say(f"killed {victim} (SIGKILL) in mid-generation")
        done = answers(client.finish(limit_s=120))["0"]
    if done["event"] == "failed":
        say(f"the generation failed: {done['error']}")
        return None, False
    right = done["tokens"] == list(wanted)
    longest = max(done["steps_s"][1:])
    verdict = "equal the local model's" if right else "DIFFER"
    say(f"the generation went on after {longest:.2f} s, tokens {verdict}")
    return longest, right


def _shown(spans: dict[str, tuple[int, int]]) -> str:
    return ", ".join(f"{name} {a}:{b}" for name, (a, b) in sorted(spans.items()))


def _speed(speed: Speed) -> str:
    tokens = "tokens equal the local model's" if speed.right else "TOKENS DIFFER"
    figures = f"{speed.tpot_s * 1e3:.0f} ms per token, first {speed.ttft_s * 1e3:.0f} ms"
    made = speed.tokens_per_pass
    passes = "" if made is None else f", {made:.1f} tokens a pass"
    return f"{figures}{passes}, {tokens} ({'; '.join(speed.chains)})"


@contextmanager
def timed(note: Say) -> Iterator[Say]:
    """Say everything with the seconds since the start in front."""
    started = time.monotonic()

    def say(text: str) -> None:
        note(f"{time.monotonic() - started:4.0f} s  {text}")

    try:
        yield say
    except BaseException:
        say("the demo did not finish; its processes are stopped")
        raise
    say("done; all processes are stopped")
