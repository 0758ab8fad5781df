"""PETALS' own routing against the plan with work in progress, on the same live PETALS servers.

Eight clients on three servers, two of them near; compute by the clock (``swarm/clock.py``). Rounds
of requests that begin at staggered instants run by PETALS' rule and by the plan's router in turn:
the planned clients see their own sessions, what the others publish, and the waits of their own
hops. Then a server is loaded by four sessions of somebody who tells nobody: a client that has only
its own step times goes to the other one. Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_routing.py [--only NAME] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Servers, and when the requests of a round begin.

    Attributes
    ----------
    spans : of servers A, B (near) and C (far).
    starts_s : of each session; clients take them in turn.
    useful : whether two chains are of use.
    """

    spans: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    starts_s: tuple[float, ...]
    useful: bool

    @property
    def stations(self) -> tuple[Station, ...]:
        """The servers."""
        kinds = (("A", 0.020, 8.0), ("B", 0.030, 8.5), ("C", 0.090, 8.0))
        return tuple(
            Station(name=name, rtt_s=rtt_s, clock=by_clock(ms), span=span)
            for (name, rtt_s, ms), span in zip(kinds, self.spans, strict=True)
        )

    def round(self, way: Way) -> Round:
        """The requests, by one way of routing."""
        return [
            Visit(at_s=at_s, prompt_tokens=PROMPT_TOKENS, new_tokens=NEW_TOKENS, way=way)
            for at_s in self.starts_s
        ]


WHOLE, TWICE = (0, BLOCKS), 2
#: Eight clients that begin within two seconds, and again two seconds later; one at a time.
CROWDED = tuple(0.25 * i + 2.0 * r for r in range(TWICE) for i in range(8))
LIGHT = tuple(2.0 * i for i in range(8))
SETTINGS = {
    "three whole servers": Setting(spans=(WHOLE, WHOLE, WHOLE), starts_s=CROWDED, useful=True),
    "three whole servers, light load": Setting(
        spans=(WHOLE, WHOLE, WHOLE), starts_s=LIGHT, useful=False
    ),
    "near halves, a far whole": Setting(
        spans=((0, 4), (4, 8), WHOLE), starts_s=CROWDED, useful=True
    ),
    "one chain": Setting(spans=((0, 3), (3, 6), (6, 8)), starts_s=CROWDED[:8], useful=False),
}


def main() -> None:
    """Run the settings, print a table of rounds and a line for each setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=SETTINGS, help="one setting")
    parser.add_argument("--rounds", type=int, default=5, help="of each way")
    parser.add_argument("--processes", type=int, default=8, help="of clients")
    given = parser.parse_args()
    began = time.monotonic()
    for name, setting in SETTINGS.items():
        if given.only in (None, name):
            with passing_folder("swarmplan-live-") as folder:
                run_setting(folder, name, setting, given.rounds, given.processes)
    print(f"{time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f}")


def run_setting(folder: Path, name: str, setting: Setting, rounds: int, processes: int) -> None:
    """The rounds of a setting, PETALS' and the plan's in turn."""
    from swarmplan.swarm.tiny_model import local_tokens, save_tiny_llama

    model = save_tiny_llama(folder / "model", blocks=BLOCKS)
    prompts = [prompt_of(j, PROMPT_TOKENS) for j in range(len(setting.starts_s))]
    wanted = local_tokens(model, prompts, NEW_TOKENS)
    for owner in ("operator", "clients"):
        operate(folder / f"{owner}.log", "keygen", str(folder / owner))
    routing = {
        "public_key": str(folder / "operator.pub"),
        "clients_key": str(folder / "clients"),
        "share_s": SHARE_S,
    }
    arena = Arena(
        folder=folder / "swarm",
        model=model,
        stations=setting.stations,
        blocks=BLOCKS,
        processes=processes,
        client={"routing": routing, "config": CONFIG, "warm_up_s": WARM_UP_S},
    )
    with arena:
        load = ("--prompt-tokens", str(PROMPT_TOKENS), "--output-tokens", str(NEW_TOKENS))
        spans = {s.name: s.span or WHOLE for s in setting.stations}
        key = folder / "operator"
        publish_spans(arena.swarm, folder, key, spans, router="overlap", more=load)
        # The one that goes first changes from round to round.
        ways: list[Way] = [w for i in range(rounds) for w in _order(i)]
        found = arena.run([setting.round(way) for way in ways], name="ways")
        late = arena.late_tasks()
    right = all(list(m.tokens[j]) == wanted[j] for m in found for j in range(len(wanted)))
    by_way = {w: [m for m, o in zip(found, ways, strict=True) if o == w] for w in set(ways)}
    report(name, by_way["petals"], by_way["plan"], right=right)
    others = 100 * np.mean([m.others_frac for m in found])
    print(f"# others had {others:.0f} % of the cores; {late} tasks outran the clock", flush=True)


def _order(number: int) -> tuple[Way, Way]:
    return ("petals", "plan") if number % 2 == 0 else ("plan", "petals")


def report(
    name: str, petals: Sequence[Measured], planned: Sequence[Measured], *, right: bool
) -> None:
    """Mean and P95 response of each round by both ways, and the change with its interval."""
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
