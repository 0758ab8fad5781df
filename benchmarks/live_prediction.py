"""Predicted against measured time per token on live PETALS servers with emulated delays.

Four servers that each hold all blocks, at different round trips; a client steps one token at a
time along given chains. Overhead per hop and time per block are fitted on one-hop chains only and
then predict chains of two to four hops, each of which stands for the placement in which its
servers host just those blocks. With ``--profile`` the time per block is not fitted but that of a
profile which ``swarmplan swarm measure`` makes of the model first. Needs the environment of
``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_prediction.py [--push] [--profile --hidden 512]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from swarmplan.perfmodel.profilefile import read_profiles
from swarmplan.perfmodel.timing import step_s
from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import passing_folder, run_to_end
from swarmplan.swarm.trial import ClientProcess, answers

BLOCKS = 8
RTT_MS = {"A": 10.0, "B": 20.0, "C": 35.0, "D": 60.0}
#: (server, blocks) of one-hop chains; shorter ones run the first blocks only.
ONE_HOP = [(name, k) for name in RTT_MS for k in (2, 5, 8)]
#: Chains of two to four hops, blocks per hop.
CHAINS: list[Sequence[tuple[str, int]]] = [
    [("A", 4), ("B", 4)],
    [("B", 4), ("A", 4)],
    [("A", 6), ("C", 2)],
    [("C", 4), ("D", 4)],
    [("D", 2), ("A", 6)],
    [("B", 5), ("C", 3)],
    [("A", 3), ("B", 3), ("C", 2)],
    [("B", 2), ("D", 3), ("A", 3)],
    [("D", 4), ("C", 2), ("B", 2)],
    [("C", 1), ("A", 6), ("B", 1)],
    [("A", 2), ("B", 2), ("C", 2), ("D", 2)],
    [("D", 1), ("C", 3), ("B", 1), ("A", 3)],
    [("B", 2), ("A", 3), ("D", 2), ("C", 1)],
    [("C", 2), ("D", 2), ("A", 1), ("B", 3)],
]
Chain = Sequence[tuple[str, int]]
#: Round trips between two servers in name order, ms.
Between = dict[tuple[str, str], float]
ESTABLISHED = "01"


def main() -> None:
    """Start, measure, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--push", action="store_true", help="servers with the push remedy")
    parser.add_argument("--profile", action="store_true", help="block time by swarm measure")
    options = parser.parse_args()
    chains: list[Chain] = [*([one] for one in ONE_HOP), *CHAINS]
    with passing_folder("swarmplan-live-") as folder:
        model = save_model(folder, options.hidden)
        block_ms = profiled_ms(folder, model, options.steps) if options.profile else None
        steps, between_ms = measured(folder, model, chains, options)
    if options.push:
        pairs = ", ".join(f"{a}-{b} {ms:.0f}" for (a, b), ms in sorted(between_ms.items()))
        print(f"# round trips between servers, ms: {pairs}\n")
    for label, pick in (("minimum", np.min), ("median", np.median)):
        times_ms = np.array([float(pick(s)) for s in steps]) * 1e3
        report(label, chains, times_ms, between_ms if options.push else None, block_ms)


def save_model(folder: Path, hidden: int) -> Path:
    """The model that servers hold, with random weights."""
    from swarmplan.swarm.tiny_model import save_tiny_llama

    return save_tiny_llama(folder / "model", blocks=BLOCKS, hidden=hidden)


def profiled_ms(folder: Path, model: Path, steps: int) -> float:
    """One block of a step by the profile that is measured here, amid the steps of a request."""
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "measure", "--model", str(model)]
    command += ["--longest", "1024", "--limit", "40", "--device", "cpu"]
    command += ["-o", str(folder / "profile.json")]
    done = run_to_end(command, folder / "measure.log", limit_s=120, environment=QUIET)
    if done.code:
        raise SystemExit(done.text)
    (profile,) = read_profiles(folder / "profile.json")
    return float(step_s(profile.timing, steps / 2)) * 1e3


def measured(
    folder: Path, model: Path, chains: Sequence[Chain], options: argparse.Namespace
) -> tuple[list[list[float]], Between]:
    """Seconds of every step after the third, by chain, all rounds together; and the emulated
    round trips between servers."""
    remedies = ("server-push",) if options.push else ()
    with LoopbackSwarm(folder=folder / "swarm", model=model, handlers=1) as swarm:
        specs = [
            ServerSpec(name=name, blocks=(0, BLOCKS), rtt_s=rtt / 1e3, remedies=remedies)
            for name, rtt in RTT_MS.items()
        ]
        swarm.start_servers(specs, one_by_one=True)
        requests = [
            {"id": f"{r}/{i}", "steps": options.steps, "route": spans(swarm, chain)}
            for r in range(options.rounds)
            for i, chain in enumerate(chains)
        ]
        job = {"routing": "fixed", "requests": requests, "hidden": options.hidden}
        with ClientProcess(swarm=swarm, name="stepper", job=job) as client:
            done = answers(client.finish(limit_s=900))
        between_ms = emulated_between(swarm)
    steps = [
        [t for r in range(options.rounds) for t in done[f"{r}/{i}"]["steps_s"][3:]]
        for i in range(len(chains))
    ]
    return steps, between_ms


def spans(swarm: LoopbackSwarm, chain: Chain) -> list[tuple[str, int, int]]:
    """The chain by peers and blocks."""
    found, at = [], 0
    for name, blocks in chain:
        found.append((swarm.peers[name], at, at + blocks))
        at += blocks
    return found


def emulated_between(swarm: LoopbackSwarm) -> Between:
    """Round trip between every two servers. The emulation delays the way to whom was called, and
    two peers use one connection for both directions; who called whom is in the kernel's table."""
    port_of = {port: name for name, port in swarm.ports.items()}
    owner = {
        inode: name
        for name in RTT_MS
        for pid in group_members(swarm.children[name].pid)
        for inode in socket_inodes(pid)
    }
    found: Between = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        called = port_of.get(int(fields[2].split(":")[1], 16))
        caller = owner.get(fields[9])
        if fields[3] == ESTABLISHED and called and caller and called != caller:
            pair = (min(called, caller), max(called, caller))
            found[pair] = min(RTT_MS[called], found.get(pair, math.inf))
    return found


def group_members(group: int) -> Iterator[int]:
    """Process ids of a group."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(entry.name)) == group:
                yield int(entry.name)


def socket_inodes(pid: int) -> Iterator[str]:
    """Inodes of a process' sockets."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(entry)
            if target.startswith("socket:["):
                yield target[8:-1]


def predicted_ms(chain: Chain, fit: Sequence[float], between_ms: Between | None) -> float:
    """Time of one step, docs/model.md 3.1. Without push every hop is a round trip of the client.
    With push the client still takes the answers of all hops, in order: the slowest one counts."""
    overhead_ms, block_ms = fit
    worked = list(itertools.accumulate(overhead_ms + block_ms * blocks for _, blocks in chain))
    trips = [RTT_MS[name] for name, _ in chain]
    if between_ms is None:
        return sum(trips) + worked[-1]
    hops = [between_ms[min(a, b), max(a, b)] / 2 for (a, _), (b, _) in itertools.pairwise(chain)]
    there = itertools.accumulate([trips[0] / 2, *hops])
    return max(way + trip / 2 + done for way, trip, done in zip(there, trips, worked, strict=True))


def report(
    label: str,
    chains: Sequence[Chain],
    times_ms: np.ndarray,
    between_ms: Between | None,
    block_ms: float | None,
) -> None:
    """Fit on one hop, predict the rest, print the table."""
    hops = np.array([len(chain) for chain in chains])
    blocks = np.array([sum(k for _, k in chain) for chain in chains])
    one = hops == 1
    rtt = np.array([RTT_MS[chain[0][0]] for chain in chains])
    design = np.stack([hops, blocks], axis=1).astype(float)
    if block_ms is None:
        fit, *_ = np.linalg.lstsq(design[one], (times_ms - rtt)[one], rcond=None)
    else:
        fit = np.array([np.median((times_ms - rtt - block_ms * blocks)[one]), block_ms])
    predicted = np.array([predicted_ms(chain, fit, between_ms) for chain in chains])
    error = np.abs(predicted - times_ms) / times_ms
    load = os.getloadavg()[0]
    print(f"# {label} of the steps; load {load:.1f}; o = {fit[0]:.2f} ms/hop,", end=" ")
    whence = "fit" if block_ms is None else "tau as profiled, o fit"
    print(f"tau = {fit[1]:.3f} ms/block; {whence} on {one.sum()} one-hop chains")
    print("chain\tpredicted ms\tmeasured ms\terror %")
    for i, chain in enumerate(chains):
        name = " > ".join(f"{s}{k}" for s, k in chain)
        figures = f"{predicted[i]:.1f}\t{times_ms[i]:.1f}\t{100 * error[i]:.1f}"
        print(f"{name}\t{figures}")
    many = error[~one]
    print(
        f"2 to 4 hops, {len(many)} placements: median error {100 * np.median(many):.1f} %,", end=""
    )
    print(f" worst {100 * many.max():.1f} %\n")


if __name__ == "__main__":
    main()
