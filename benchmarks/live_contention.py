"""Predicted against measured times of several clients at once on live PETALS servers.

Four servers at different round trips; 1, 2, 4 and 8 clients make requests at once, with prompts of
several lengths, over chains of one to three hops. The simulator is told starts, prompts, chains,
round trips and block times, and the overheads of a hop that were fitted to other rounds, of one hop
only; it says when every token is there. Compute goes by the clock (``swarm/clock.py``): PETALS' own
servers, handlers and protocol, but a task lasts as long as a timing says, so that servers that
share the cores of this machine do not slow each other down. With ``--real`` it does not: real
blocks on these cores, whose times the servers tell. Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_contention.py [--real]
"""

from __future__ import annotations

import argparse
import os
import pickle
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.overhead import HopOverhead, fit_overhead
from swarmplan.swarm.contend import Arena, Measured, Round, Station, Times, Visit
from swarmplan.swarm.forecast import hop_rows, predict, problem_of
from swarmplan.swarm.processes import passing_folder

BLOCKS = 8


def by_clock(ms: float) -> Timing:
    """Blocks of so many ms a step; a prompt takes 80 % of that and 1 % for each token."""
    step_s = ms / 1e3
    return Timing(
        decode_base_s=step_s,
        prefill_floor_s=step_s,
        prefill_base_s=0.8 * step_s,
        prefill_per_token_s=0.01 * step_s,
    )


STATIONS = (
    Station(name="A", rtt_s=0.020, clock=by_clock(12.0)),
    Station(name="B", rtt_s=0.040, clock=by_clock(9.0)),
    Station(name="C", rtt_s=0.060, clock=by_clock(14.0)),
    Station(name="D", rtt_s=0.030, clock=by_clock(7.0)),
)
#: Chains that a placement offers, blocks per server; clients are dealt out to them in turn.
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
#: New tokens by number of clients: rounds last about as long.
TOKENS = {1: 12, 2: 12, 4: 10, 8: 8}
PROMPTS = (8, 160, 60, 200, 24, 128, 140, 90)
#: Servers that overheads are fitted on, and prompts of a client alone there.
CALIBRATED = ("A", "D")
ALONE = (4, 64, 128, 144, 208)
#: From one client's start to the next one's.
APART_S = 0.07
CORES = ("idle_frac", "swarm_frac")
FIGURES = {"step_s": "per token", "first_s": "first token", "whole_s": "whole request"}


def main() -> None:
    """Measure, calibrate, predict, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", action="store_true", help="real compute, not by the clock")
    parser.add_argument("--hidden", type=int, default=64, help="width of the blocks")
    parser.add_argument("--keep", type=Path, help="a file for all that was measured (pickle)")
    given = parser.parse_args()
    began = time.monotonic()
    tuning = calibration()
    trial = [(p, n, trial_round(p, n)) for p in PLACEMENTS for n in CLIENTS]
    with passing_folder("swarmplan-live-") as folder:
        stations, tuned, measured, late = measure(
            folder, tuning, [r for _, _, r in trial], real=given.real, hidden=given.hidden
        )
    if given.keep:
        given.keep.write_bytes(pickle.dumps((stations, tuning, tuned, trial, measured)))
    hop = fit_overhead(list(hop_rows(stations, tuning, tuned)))
    print("# real compute" if given.real else "# compute by the clock")
    print(told(hop))
    problem = problem_of(stations, hop, blocks=BLOCKS)
    report(trial, [predict(problem, r) for _, _, r in trial], measured)
    idle, own = (100 * np.array([getattr(m, f) for m in measured]) for f in CORES)
    print(
        f"cores: idle {idle.mean():.0f} % (least in a round {idle.min():.0f} %), the swarm's "
        f"{own.mean():.0f} % (most {own.max():.0f} %), others {(100 - idle - own).mean():.0f} %; "
        f"{late} tasks outran the clock; load {os.getloadavg()[0]:.1f}; "
        f"{time.monotonic() - began:.0f} s"
    )


def measure(
    folder: Path, tuning: Sequence[Round], trial: Sequence[Round], *, real: bool, hidden: int
) -> tuple[Sequence[Station], list[Measured], list[Measured], int]:
    """Run the rounds for calibration, then those to predict; what tasks take at the stations."""
    from swarmplan.swarm.tiny_model import save_tiny_llama

    model = save_tiny_llama(folder / "model", blocks=BLOCKS, hidden=hidden)
    stations = [replace(s, clock=None) for s in STATIONS] if real else list(STATIONS)
    swarm = folder / "swarm"
    with Arena(folder=swarm, model=model, stations=stations, blocks=BLOCKS) as arena:
        if real:
            alone = [one(s.name, p, 12) for s in stations for p in (*ALONE, 1024)]
            arena.run(alone, name="alone")
        stations = arena.told()
        tuned = arena.run(tuning, name="tuning")
        measured = arena.run(trial, name="trial")
        return stations, tuned, measured, arena.late_tasks()


def one(name: str, prompt: int, tokens: int) -> Round:
    """A client alone at a server."""
    whole = ((name, 0, BLOCKS),)
    return [Visit(at_s=0.0, prompt_tokens=prompt, new_tokens=tokens, chain=whole)]


def calibration() -> list[Round]:
    """Clients alone and equal clients at once, all on one hop, twice; the first of all warms up."""
    found: list[Round] = []
    for name in CALIBRATED:
        found += [one(name, p, 4) for p in ALONE]
        for clients in CLIENTS:
            (visit,) = one(name, 8, 8)
            found.append([replace(visit, at_s=APART_S * i) for i in range(clients)])
    return 2 * found


def trial_round(placement: str, clients: int) -> Round:
    """Clients dealt out to the chains, one after another within half a second."""
    chains = [chain_of(text) for text in placement.split(" | ")]
    return [
        Visit(
            at_s=APART_S * i,
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
        blocks = int(part[1:])
        hops.append((part[0], at, at + blocks))
        at += blocks
    return tuple(hops)


def told(hop: HopOverhead) -> str:
    """The fitted overheads."""
    ms = ", ".join(f"{f.name[:-2]} {1e3 * getattr(hop, f.name):.3f}" for f in fields(hop))
    return f"overheads of a hop, ms: {ms} (task: work of the server; the others delay)"


def report(
    trial: Sequence[tuple[str, int, Round]],
    predicted: Sequence[Sequence[Times]],
    measured: Sequence[Measured],
) -> None:
    """A row for each placement and number of clients, and the errors of rows and of requests."""
    heads = [f"{figure}, ms\tmeasured\terror %" for figure in FIGURES.values()]
    print("\t".join(["placement", "clients", *heads, "idle %", "swarm %"]))
    rows, requests = [], []
    for (placement, clients, _), said, found in zip(trial, predicted, measured, strict=True):
        p, m = figures(said), figures(found.times)
        requests.append(np.abs(p / m - 1.0))
        p, m = np.median(p, axis=0), np.median(m, axis=0)
        rows.append(np.abs(p / m - 1.0)[None])
        cells = chain(*zip(1e3 * p, 1e3 * m, 100 * (p / m - 1.0), strict=True))
        text = "\t".join(f"{c:+.1f}" if i % 3 == 2 else f"{c:.0f}" for i, c in enumerate(cells))
        cores = f"{100 * found.idle_frac:.0f}\t{100 * found.swarm_frac:.0f}"
        print(f"{placement}\t{clients}\t{text}\t{cores}")
    for what, errors in (("medians of a row's requests", rows), ("single requests", requests)):
        all_errors = 100 * np.concatenate(errors)
        print(f"\n{what}:")
        for figure, e in (*zip(FIGURES.values(), all_errors.T, strict=True), ("all", all_errors)):
            print(
                f"  {figure}: median error {np.median(e):.1f} %, 90 % within "
                f"{np.quantile(e, 0.9):.1f} %, worst {e.max():.1f} %"
            )


def figures(times: Sequence[Times]) -> NDArray[np.float64]:
    """(requests, figures), seconds."""
    return np.array([[getattr(t, figure) for figure in FIGURES] for t in times])


if __name__ == "__main__":
    main()
