"""Waiting decode steps of several sessions as one pass, against PETALS as it is, on real servers.

Two servers that hold the same blocks, one of them with the remedy ``batch-steps`` (``swarm serve
--batch-steps``); 1, 2, 4 and 8 clients with prompts of 5 to 400 tokens that begin at random
instants, at either server in turn, the other idle meanwhile. Compute is real; the servers tell how
long every task and pass took. Tokens of either server are compared one by one. Needs the
environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_batching.py [--hidden 2048] [--clients 1 2 4 8]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from swarmplan.core.content import FloatArray
from swarmplan.swarm.clock import told_timing
from swarmplan.swarm.contend import Arena, Measured, Round, Station, Visit
from swarmplan.swarm.processes import passing_folder

BLOCKS, VOCABULARY = 8, 1024
RTT_S = 0.040
STATIONS = (Station(name="plain", rtt_s=RTT_S), Station(name="together", rtt_s=RTT_S, batched=True))
#: Prompts, tokens; instants at which clients begin, seconds.
PROMPTS, STARTS_S = (5, 400), (0.0, 4.0)
#: Gives a client that is slow its time, too.
LIMIT_S = 600.0
#: What a server that runs steps together writes to its log.
CURVE, COUNTS = "sessions in times of one", "steps together:"


def main() -> None:
    """Measure and print."""
    from swarmplan.swarm.tiny_model import save_tiny_llama

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hidden", type=int, default=2048, help="width of the blocks")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--tokens", type=int, default=100, help="new tokens of each request")
    parser.add_argument("--rounds", type=int, default=1, help="of each number of clients")
    parser.add_argument("--longest", type=int, default=PROMPTS[1], help="prompt")
    given = parser.parse_args()
    began = time.monotonic()
    rng = np.random.default_rng(0)
    rounds = [
        (clients, crowd(clients, given.tokens, given.longest, rng))
        for clients in given.clients
        for _ in range(given.rounds)
    ]
    # Which server goes first changes from round to round.
    turns = [STATIONS if i % 2 == 0 else STATIONS[::-1] for i in range(len(rounds))]
    with passing_folder("swarmplan-live-") as folder:
        model = save_tiny_llama(
            folder / "model", blocks=BLOCKS, hidden=given.hidden, vocabulary=VOCABULARY
        )
        found, logs = measure(folder, model, [r for _, r in rounds], turns)
    print(f"# {BLOCKS} blocks, hidden {given.hidden}, float32, one thread a server")
    report([visits for _, visits in rounds], found)
    tell_log(logs)
    others = 100 * np.mean([m.others_frac for pair in found for m in pair])
    print(
        f"# others had {others:.0f} % of the cores; load {os.getloadavg()[0]:.1f}; "
        f"{time.monotonic() - began:.0f} s"
    )


def crowd(clients: int, tokens: int, longest: int, rng: np.random.Generator) -> list[Visit]:
    """Clients with prompts of all lengths; whose server it is comes later."""
    prompts = rng.integers(PROMPTS[0], longest + 1, clients)
    starts_s = rng.uniform(*STARTS_S, clients) if clients > 1 else np.zeros(1)
    return [
        Visit(at_s=float(at_s), prompt_tokens=int(prompt), new_tokens=tokens)
        for at_s, prompt in zip(starts_s, prompts, strict=True)
    ]


def at(visits: Sequence[Visit], station: Station) -> Round:
    """The round at one server."""
    return [replace(v, chain=((station.name, 0, BLOCKS),)) for v in visits]


def measure(
    folder: Path,
    model: Path,
    rounds: Sequence[Sequence[Visit]],
    turns: Sequence[Sequence[Station]],
) -> tuple[list[tuple[Measured, Measured]], dict[str, str]]:
    """Every round at both servers, the plain one's figures first; the servers' logs."""
    swarm = folder / "swarm"
    arena = Arena(
        folder=swarm, model=model, stations=STATIONS, blocks=BLOCKS, round_limit_s=LIMIT_S
    )
    runs = [at(visits, s) for visits, pair in zip(rounds, turns, strict=True) for s in pair]
    with arena:
        done = iter(arena.run(runs, name="crowd"))
        logs = {s.name: arena.swarm.children[s.name].text() for s in STATIONS}
    by_name = [{s.name: next(done) for s in pair} for pair in turns]
    return [(one["plain"], one["together"]) for one in by_name], logs


def report(rounds: Sequence[Round], found: Sequence[tuple[Measured, Measured]]) -> None:
    """A row for each round; the tokens that differ."""
    heads = ["tokens/s in all", "ms per token", "busy ms per token", "of it steps", "busy %"]
    print("\t".join(["clients", "server", *heads, "sessions of a pass"]))
    for visits, pair in zip(rounds, found, strict=True):
        count = len(visits)
        rows = [figures(visits, one, s) for one, s in zip(pair, STATIONS, strict=True)]
        for station, row in zip(STATIONS, rows, strict=True):
            text = "\t".join(f"{figure:.1f}" for figure in row[:-1])
            print(f"{count}\t{station.name}\t{text}\t{row[-1]:.2f}")
        ratios = rows[1] / rows[0]
        print(f"{count}\tratio\t" + "\t".join(f"{r:.2f}" for r in ratios), flush=True)
    compared = differing = 0
    for plain, together in found:
        for one, other in zip(plain.tokens, together.tokens, strict=True):
            compared += len(one)
            differing += sum(a != b for a, b in zip(one, other, strict=True))
    print(f"# {differing} of {compared} tokens differ between the two servers")


def figures(visits: Round, found: Measured, station: Station) -> FloatArray:
    """Of one round at one server: in all from the first start to the last token."""
    tokens, busy = sum(map(len, found.tokens)), found.busy[station.name]
    lasted_s = max(v.at_s + t.whole_s for v, t in zip(visits, found.times, strict=True))
    lasted_s -= min(v.at_s for v in visits)
    busy_s = busy.prompt_s + busy.step_s
    return np.array(
        [
            tokens / lasted_s,
            1e3 * float(np.mean([t.step_s for t in found.times])),
            1e3 * busy_s / tokens,
            1e3 * busy.step_s / max(1, busy.steps),
            100 * busy_s / lasted_s,
            busy.steps / max(1, busy.passes),
        ]
    )


def tell_log(logs: dict[str, str]) -> None:
    """What the server says itself of its passes."""
    lines = logs["together"].splitlines()
    for mark in (CURVE, COUNTS):
        said = [line[line.index(mark) :] for line in lines if mark in line]
        print(f"# {said[-1] if said else f'nothing was said of {mark!r}'}")
    timing = told_timing(logs["together"])
    step_ms = 1e3 * BLOCKS * timing.decode_base_s
    curve = ", ".join(f"{r:g}: {step_ms + 1e3 * BLOCKS * s:.0f}" for r, s in timing.step_curve)
    print(f"# ms of a pass by its sessions, as measured: 1: {step_ms:.0f}, {curve}")


if __name__ == "__main__":
    main()
