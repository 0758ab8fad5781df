"""PETALS' own routing against the plan with work in progress, on the same live PETALS servers.

Eight clients on three servers, two of them near; compute by the clock (``swarm/clock.py``). Rounds
of requests that begin at staggered instants run by PETALS' rule and by the plan's router in turn:
the planned clients see their own sessions, what the others publish, and the waits of their own
hops. At the end a client that has only its own step times beside strangers who tell nobody
(``swarm/loaded.py``). Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_routing.py [--rounds 5] [--only whole] [--silent]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmplan.core.problem import Timing
from swarmplan.swarm.contend import Arena, Measured, Round, Station, Visit, Way, prompt_of
from swarmplan.swarm.processes import passing_folder
from swarmplan.swarm.trial import operate, publish_spans

BLOCKS = 8
PROMPT_TOKENS, NEW_TOKENS = 12, 12
#: PETALS' client looks and pings once a minute; here every other second, and it begins only after
#: it has looked some times: kinder to PETALS' routing than its default.
CONFIG, WARM_UP_S = {"update_period": 2, "request_timeout": 60}, 16.0
#: Sessions last seconds here, not minutes: what clients tell of them is renewed in proportion.
SHARE_S = 1.5


def by_clock(ms: float) -> Timing:
    """Blocks of so many ms a step; a prompt takes 1 % more for each token."""
    step_s = ms / 1e3
    return Timing(decode_base_s=step_s, prefill_base_s=step_s, prefill_per_token_s=0.01 * step_s)


Spans = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def stations(spans: Spans) -> tuple[Station, ...]:
    """Servers A and B, which are near, and C, with the blocks that they hold."""
    kinds = (("A", 0.020, 8.0), ("B", 0.030, 8.5), ("C", 0.090, 8.0))
    return tuple(
        Station(name=name, rtt_s=rtt_s, clock=by_clock(ms), span=span)
        for (name, rtt_s, ms), span in zip(kinds, spans, strict=True)
    )


def requests(starts_s: Sequence[float], way: Way) -> Round:
    """A round by one way of routing."""
    return [
        Visit(at_s=at_s, prompt_tokens=PROMPT_TOKENS, new_tokens=NEW_TOKENS, way=way)
        for at_s in starts_s
    ]


WHOLE = (0, BLOCKS)
#: Eight clients that begin within two seconds, and again; one session after another, so that they
#: would keep one near server busy for 0.85 and for 0.35 of the time.
CROWDED = tuple(0.25 * i for i in range(16))
STEADY, LIGHT = tuple(1.0 * i for i in range(8)), tuple(2.4 * i for i in range(4))
#: Servers by what they hold; on each the settings that are measured.
SWARMS: dict[str, tuple[Spans, dict[str, Sequence[float]]]] = {
    "whole": (
        (WHOLE, WHOLE, WHOLE),
        {
            "three whole servers, crowded": CROWDED,
            "three whole servers, a session a second": STEADY,
            "three whole servers, light load": LIGHT,
        },
    ),
    "halves": (((0, 4), (4, 8), WHOLE), {"two near halves and a far whole, crowded": CROWDED}),
    "chain": (((0, 3), (3, 6), (6, 8)), {"one chain, crowded": CROWDED[:8]}),
}


def main() -> None:
    """Run the swarms, print a table of rounds for each setting, then the loaded server."""
    from swarmplan.swarm.loaded import run_loaded
    from swarmplan.swarm.tiny_model import save_tiny_llama

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=[*SWARMS, "strangers"])
    parser.add_argument("--rounds", type=int, default=5, help="of each way")
    parser.add_argument("--processes", type=int, default=8, help="of clients")
    parser.add_argument("--share-s", type=float, default=SHARE_S, help="period of what is told")
    parser.add_argument("--silent", action="store_true", help="clients tell each other nothing")
    given = parser.parse_args()
    began = time.monotonic()
    for name, (spans, settings) in SWARMS.items():
        if given.only in (None, name):
            with passing_folder("swarmplan-live-") as folder:
                run_swarm(folder, spans, settings, given)
    if given.only in (None, "strangers"):
        with passing_folder("swarmplan-live-") as folder:
            print(f"\n{run_loaded(folder, save_tiny_llama(folder / 'model', blocks=BLOCKS))}")
    print(f"{time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f}")


def run_swarm(
    folder: Path, spans: Spans, settings: Mapping[str, Sequence[float]], given: argparse.Namespace
) -> None:
    """The rounds of every setting, PETALS' and the plan's in turn."""
    from swarmplan.swarm.tiny_model import local_tokens, save_tiny_llama

    model = save_tiny_llama(folder / "model", blocks=BLOCKS)
    most = max(map(len, settings.values()))
    wanted = local_tokens(model, [prompt_of(j, PROMPT_TOKENS) for j in range(most)], NEW_TOKENS)
    for owner in ("operator", "clients"):
        operate(folder / f"{owner}.log", "keygen", str(folder / owner))
    routing: dict[str, Any] = {"public_key": str(folder / "operator.pub")}
    if not given.silent:
        routing |= {"clients_key": str(folder / "clients"), "share_s": given.share_s}
    servers = stations(spans)
    arena = Arena(
        folder=folder / "swarm",
        model=model,
        stations=servers,
        blocks=BLOCKS,
        processes=given.processes,
        client={"routing": routing, "config": CONFIG, "warm_up_s": WARM_UP_S},
    )
    load = ("--prompt-tokens", str(PROMPT_TOKENS), "--output-tokens", str(NEW_TOKENS))
    # The way that goes first changes from round to round.
    plan = [(n, way) for n in settings for i in range(given.rounds) for way in _order(i)]
    with arena:
        placed = dict(zip("ABC", spans, strict=True))
        key = folder / "operator"
        publish_spans(arena.swarm, folder, key, placed, router="overlap", more=load)
        found = arena.run([requests(settings[n], way) for n, way in plan], name="ways")
        late = arena.late_tasks()
    for name in settings:
        by_way: dict[Way, list[Measured]] = {"petals": [], "plan": []}
        for (n, way), measured in zip(plan, found, strict=True):
            if n == name:
                by_way[way].append(measured)
        report(name, by_way["petals"], by_way["plan"], wanted)
    others = 100 * np.mean([m.others_frac for m in found])
    print(f"# others had {others:.0f} % of the cores; {late} tasks outran the clock", flush=True)


def _order(number: int) -> tuple[Way, Way]:
    return ("petals", "plan") if number % 2 == 0 else ("plan", "petals")


def report(
    name: str,
    petals: Sequence[Measured],
    planned: Sequence[Measured],
    wanted: Sequence[Sequence[int]],
) -> None:
    """Mean and P95 response of each round by both ways, and the change with its interval."""
    every = [m.tokens for m in (*petals, *planned)]
    right = all(list(told) == list(w) for t in every for told, w in zip(t, wanted, strict=False))
    print(f"\n{name}; tokens {'equal the local model' if right else 'DIFFER'}")
    print("round\tPETALS: mean s\tp95 s\tchains\tplan: mean s\tp95 s\tchains")
    figures = [(responses(p), responses(q)) for p, q in zip(petals, planned, strict=True)]
    for i, (p, q) in enumerate(figures):
        cells = [
            f"{x.mean():.2f}\t{np.quantile(x, 0.95):.2f}\t{chains(m)}"
            for x, m in ((p, petals[i]), (q, planned[i]))
        ]
        print("\t".join([str(i), *cells]))
    for what, figure in (("mean", np.mean), ("p95", lambda x: np.quantile(x, 0.95))):
        ratio = np.array([figure(q) / figure(p) for p, q in figures])
        a, b = (np.mean([figure(x) for x in side]) for side in zip(*figures, strict=True))
        change, spread = 100 * (ratio.mean() - 1.0), 100 * half_width(ratio)
        print(f"{what}: {a:.2f} and {b:.2f} s, change {change:+.1f} +- {spread:.1f} %")


def responses(measured: Measured) -> NDArray[np.float64]:
    """(requests,) seconds."""
    return np.array([t.whole_s for t in measured.times])


def chains(measured: Measured) -> str:
    """Which chains were taken how often."""
    names = Counter(">".join(s for s, _, _ in chain) for chain in measured.chains)
    return " ".join(f"{n} {count}" for n, count in sorted(names.items()))


def half_width(values: NDArray[np.float64]) -> float:
    """Of the 95 % interval of a mean of a few values."""
    if len(values) < 2:
        return float("nan")
    # Student's t at 97.5 %, by degrees of freedom.
    t = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36}.get(len(values) - 1, 2.3)
    return float(t * values.std(ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main()
