"""Predicted against measured times of several clients at once on live PETALS servers.

Four servers at different round trips; N = 1, 2, 4, 8 clients make requests at once, with prompts of
several lengths, over chains of one to three hops. The simulator is told the starts, prompts,
chains, round trips, block times, and the overheads of a hop that were fitted to rounds on one hop
alone, and says when every token is there. Compute goes by the clock (``swarm/clock.py``): PETALS'
own servers, handlers and protocol, but a task lasts as long as the timing says, so that servers
that share the cores of this machine do not slow each other; with --real it does not, and block
times are measured inside the servers. Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_contention.py [--real]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.overhead import fit_overhead
from swarmplan.swarm.contend import Arena, Measured, Round, Station, Times, Visit
from swarmplan.swarm.forecast import hop_rows, predict, problem_of
from swarmplan.swarm.processes import passing_folder

BLOCKS = 8


def by_clock(ms: float) -> Timing:
    """Blocks of so many ms a step; a prompt takes 80 % of that and a hundredth for each token."""
    return Timing(
        decode_base_s=ms / 1e3,
        prefill_floor_s=ms / 1e3,
        prefill_base_s=0.8 * ms / 1e3,
        prefill_per_token_s=0.01 * ms / 1e3,
    )


STATIONS = (
    Station(name="A", rtt_s=0.020, timing=by_clock(12.0)),
    Station(name="B", rtt_s=0.040, timing=by_clock(9.0)),
    Station(name="C", rtt_s=0.060, timing=by_clock(14.0)),
    Station(name="D", rtt_s=0.030, timing=by_clock(7.0)),
)
#: Chains that the placement offers, blocks per server; clients are dealt out to them in turn.
PLACEMENTS = (
    "A8",
    "A4>B4",
    "B5>D3",
    "A3>B3>C2",
    "D3>A3>B2",
    "D8 | A4>B4",
    "C2>D6 | A8",
    "B4>C4 | D4>A4",
    "C3>D5 | C3>A5",
    "A2>D3>B3 | C5>B3",
)
CLIENTS = (1, 2, 4, 8)
#: New tokens by number of clients: about as long for all.
TOKENS = {1: 12, 2: 12, 4: 10, 8: 8}
PROMPTS = (8, 160, 60, 200, 24, 128, 140, 90)
#: Calibration: servers, and prompts of a client alone.
CALIBRATED = ("A", "D")
ALONE = (4, 64, 128, 144, 208)
FIGURES = ("step_s", "first_s", "whole_s")


def main() -> None:
    """Measure, calibrate, predict, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1, help="runs of every round")
    parser.add_argument("--real", action="store_true", help="real compute, not by the clock")
    given = parser.parse_args()
    began = time.monotonic()
    tuning = [*calibration(), *calibration()]
    trial = [(p, n, trial_round(p, n)) for p in PLACEMENTS for n in CLIENTS]
    rounds = [r for _, _, r in trial] * given.repeats
    with passing_folder("swarmplan-live-") as folder:
        tuned, measured = measure(folder, [tuning, rounds], given)
    if os.environ.get("KEEP"):
        import pickle
        pickle.dump((tuning, tuned, rounds, measured), open(os.environ["KEEP"], "wb"))
    hop = fit_overhead(list(hop_rows(STATIONS, tuning, tuned.rounds)))
    print(hop)
    problem = problem_of(STATIONS, hop, blocks=BLOCKS)
    report(trial, [predict(problem, r) for r in rounds], measured)
    idle = np.array(measured.idle_frac)
    print(f"cores idle: {100 * idle.mean():.0f} % on average, {100 * idle.min():.0f} % in the")
    print(f"busiest round; {measured.late_tasks} tasks outran the clock; load {os.getloadavg()[0]:.1f};")
    print(f"{time.monotonic() - began:.0f} s in all")


def measure(folder: Path, parts: Sequence[Sequence[Round]], given: argparse.Namespace) -> list[Measured]:
    """Start the servers, run the rounds of each part."""
    from swarmplan.swarm.tiny_model import save_tiny_llama

    model = save_tiny_llama(folder / "model", blocks=BLOCKS, hidden=64)
    with Arena(folder=folder / "swarm", model=model, stations=STATIONS, by_clock=not given.real) as arena:
        arena.start(BLOCKS)
        return [arena.run(rounds, name=f"part-{i}") for i, rounds in enumerate(parts)]


def calibration() -> list[Round]:
    """Rounds of equal clients on one hop."""
    found: list[Round] = []
    for name in CALIBRATED:
        chain = ((name, 0, BLOCKS),)
        found += [[Visit(at_s=0.0, prompt_tokens=p, new_tokens=4, chain=chain)] for p in ALONE]
        found += [
            [Visit(at_s=0.05 * i, prompt_tokens=8, new_tokens=8, chain=chain) for i in range(n)]
            for n in CLIENTS
        ]
    return found


def trial_round(placement: str, clients: int) -> Round:
    """Clients dealt out to the chains, one after another within half a second."""
    chains = [chain_of(text) for text in placement.split(" | ")]
    return [
        Visit(
            at_s=0.07 * i,
            prompt_tokens=PROMPTS[i],
            new_tokens=TOKENS[clients],
            chain=chains[i % len(chains)],
        )
        for i in range(clients)
    ]


def chain_of(text: str) -> tuple[tuple[str, int, int], ...]:
    """``A4>B4``: four blocks at A, then four at B."""
    hops, at = [], 0
    for part in text.split(">"):
        hops.append((part[0], at, at + int(part[1:])))
        at += int(part[1:])
    return tuple(hops)


def report(
    trial: Sequence[tuple[str, int, Round]],
    predicted: Sequence[Sequence[Times]],
    measured: Measured,
) -> None:
    """A row per placement and number of clients: medians over its requests; errors of both."""
    cells, single = [], []
    print("placement\tclients\tms/token\t\terr%\tfirst ms\t\terr%\trequest ms\t\terr%")
    for at, (placement, clients, _) in enumerate(trial):
        rows = range(at, len(predicted), len(trial))
        told = [np.array([[getattr(t, f) for f in FIGURES] for r in rows for t in of[r]])
                for of in (predicted, measured.rounds)]
        single.append(np.abs(told[0] / told[1] - 1.0))
        p, m = np.median(told[0], axis=0), np.median(told[1], axis=0)
        cells.append(np.abs(p / m - 1.0))
        figures = "\t".join(f"{1e3 * a:.0f}\t{1e3 * b:.0f}\t{100 * (a / b - 1):+.1f}" for a, b in zip(p, m))
        print(f"{placement}\t{clients}\t{figures}\t{100*measured.idle_frac[at]:.0f}")
    for what, errors in (("medians of a row's requests", np.array(cells)), ("single requests", np.concatenate(single))):
        for i, figure in enumerate(FIGURES):
            e = 100 * errors[:, i]
            print(f"{what}: {figure} median error {np.median(e):.1f} %, 90 % {np.quantile(e,.9):.1f}, worst {e.max():.1f} %")
        e = 100 * errors
        print(f"{what}: all median error {np.median(e):.1f} %, worst {e.max():.1f} %")


if __name__ == "__main__":
    main()
