"""Concurrent clients on three live servers: PETALS' way, planned, planned and drafted.

Three servers hold five or six of eight blocks each; 1 to 16 clients ask at once, each way with
PETALS' own servers and with such as run waiting steps as one pass (``batch-steps``). PETALS' way:
its own choice of blocks and chains. Planned: what ``auto`` makes of the same servers, published and
followed. Drafted: the planned clients draft as many tokens as a rehearsal of the round likes best;
the draft model goes by the clock (``swarm/clock_draft.py``). Every token is compared with the local
model's. Compute goes by the clock (``swarm/clock.py``): what the simulator says beforehand of the
same starts, prompts, chains and luck stands beside what was measured; the overheads of a hop are
fitted to other rounds, on one hop. A round is run once more where others took more than a fifth of
the cores; that with the smaller share counts, whatever its times. Some 12 minutes on a quiet
machine; a round is broken off after three. Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_load.py [--clients 1 2 4 8 16] [--ways petals planned]
        [--servers plain] [--tokens 16] [--once]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from live_contention import by_clock
from numpy.typing import NDArray

from swarmplan.api import plan
from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.core.problem import Problem, Timing
from swarmplan.core.workload import Workload
from swarmplan.methods.draft import Settings
from swarmplan.perfmodel.overhead import HopOverhead, fit_overhead
from swarmplan.swarm.contend import (
    Arena,
    Drafter,
    Measured,
    Round,
    Station,
    Times,
    Visit,
    Way,
    prompt_of,
)
from swarmplan.swarm.forecast import hop_rows, predict, problem_of, rehearse
from swarmplan.swarm.processes import passing_folder
from swarmplan.swarm.trial import operate, publish_spans

BLOCKS = 8
WAYS = ("petals", "planned", "drafted")
SERVERS = ("plain", "batched")
#: Time of a pass by its tokens, in times of one: between what a processor and an H100 take.
CURVE = ((2, 1.08), (4, 1.2), (8, 1.4), (16, 1.8), (32, 2.6))
PROMPTS = (8, 60, 24, 160, 12, 40, 100, 30)
APART_S = 0.15
ACCEPTANCE, DRAFT_S, MOST_DRAFTS = 0.75, 0.004, 8
#: A round, and all that a plan may take to be found.
ROUND_LIMIT_S, PLAN_LIMIT_S = 180.0, 20.0
#: PETALS' client looks and pings once a minute; here every other second, and it begins only after
#: it has looked some times: kinder to PETALS' routing than its default.
CONFIG, WARM_UP_S, SHARE_S = {"update_period": 2, "request_timeout": 120}, 12.0, 1.5
MOST_PROCESSES = 4
#: Share of the cores that others may take of a round.
OTHERS_FRAC = 0.2
#: Promised: median errors up to so many clients.
BOUNDS = ((8, 6.0), (16, 10.0))
#: Prompts of a client alone, and clients at once, that overheads are fitted to.
ALONE, AT_ONCE = (4, 64, 128, 160), (1, 2, 4, 8)
Spans = dict[str, tuple[int, int]]


def batching(ms: float) -> Timing:
    """Blocks by the clock, of so many ms a step, whose passes take longer with their rows."""
    plain = by_clock(ms)
    more = tuple((float(rows), (times - 1.0) * plain.decode_base_s) for rows, times in CURVE)
    return replace(plain, step_curve=more)


#: With the number of blocks that each has room for.
STATIONS = (
    Station(name="A", rtt_s=0.020, clock=batching(30.0), span=5),
    Station(name="B", rtt_s=0.030, clock=batching(33.0), span=5),
    Station(name="C", rtt_s=0.060, clock=batching(28.0), span=6),
)
WHOLE = Station(name="W", rtt_s=0.030, clock=batching(8.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A round: its way and servers, what was said of it and what was measured.

    Attributes
    ----------
    equal : requests whose tokens are the local model's.
    """

    way: str
    servers: str
    visits: Round
    said: tuple[Times, ...]
    found: Measured
    equal: int

    @property
    def clients(self) -> int:
        """How many."""
        return len(self.visits)

    def figures(self, times: Sequence[Times]) -> NDArray[np.float64]:
        """Tokens/s in all, median ms per token, to the first one and to the last one."""
        each = np.array([[t.step_s, t.first_s, t.whole_s] for t in times])
        return np.array([tokens_per_s(self.visits, times), *(1e3 * np.median(each, axis=0))])


FIGURES = ("tokens/s", "ms per token", "first token ms", "whole ms")


def main() -> None:
    """Calibrate, run the rows, print them as they come, then the errors."""
    from swarmplan.swarm.tiny_model import local_tokens, save_tiny_llama

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--tokens", type=int, default=16, help="of each answer")
    parser.add_argument("--once", action="store_true", help="run no round again")
    given = parser.parse_args()
    began = time.monotonic()
    most = max(given.clients)
    prompts = [prompt_of(j, prompt_tokens(j)) for j in range(most)]
    with passing_folder("swarmplan-live-") as folder:
        model = save_tiny_llama(folder / "model", blocks=BLOCKS)
        wanted = local_tokens(model, prompts, given.tokens)
        crowds = [crowd(n, wanted) for n in given.clients]
        hop = calibrated(folder / "calibration", model)
        print("# compute by the clock;", told(hop), flush=True)
        heads = [f"{f}: said\tmeasured\terror %" for f in FIGURES]
        print("\t".join(["way", "servers", "clients", "drafts", *heads, "equal", "chains"]))
        found: list[Row] = []
        for servers in given.servers:
            stations = [replace(s, batched=servers == "batched") for s in STATIONS]
            for row in rows(folder / servers, model, stations, hop, given, crowds):
                print(line(row), flush=True)
                found.append(row)
    summary(found)
    print(f"# {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")


def prompt_tokens(client: int) -> int:
    """Of the prompt of a round's so many-th client."""
    return PROMPTS[client % len(PROMPTS)]


def crowd(clients: int, wanted: Sequence[Sequence[int]]) -> Round:
    """Clients that begin one after another."""
    return [
        Visit(
            at_s=APART_S * j,
            prompt_tokens=prompt_tokens(j),
            new_tokens=len(wanted[j]),
            answer=tuple(wanted[j]),
        )
        for j in range(clients)
    ]


def by(visits: Round, way: Way, drafter: Drafter | None = None) -> Round:
    """The same requests, that find their chains so and draft so."""
    return [replace(v, way=way, drafter=drafter) for v in visits]


def calibrated(folder: Path, model: Path) -> HopOverhead:
    """The overheads of a hop, by clients alone and at once on one server that holds everything."""
    chain = ((WHOLE.name, 0, BLOCKS),)
    rounds: list[Round] = [
        [Visit(at_s=0.0, prompt_tokens=p, new_tokens=4, chain=chain)] for p in ALONE
    ]
    rounds += [
        [Visit(at_s=0.01 * i, prompt_tokens=8, new_tokens=10, chain=chain) for i in range(n)]
        for n in AT_ONCE
    ]
    with Arena(folder=folder, model=model, stations=[WHOLE], blocks=BLOCKS) as arena:
        found = arena.run(2 * rounds, name="calibration")
    return fit_overhead(list(hop_rows([WHOLE], 2 * rounds, found)))


def told(hop: HopOverhead) -> str:
    """The fitted overheads."""
    return (
        f"a hop: {1e3 * hop.step_s:.1f} ms of a step, {1e3 * hop.prefill_s:.1f} of a prompt, "
        f"{1e3 * hop.piece_s:.1f} of a piece; {1e3 * hop.task_s:.2f} ms of work for each task"
    )


def rows(
    folder: Path,
    model: Path,
    stations: Sequence[Station],
    hop: HopOverhead,
    given: argparse.Namespace,
    crowds: Sequence[Round],
) -> Iterator[Row]:
    """The rounds of one kind of server; what does not finish is told and left out."""
    servers = "batched" if stations[0].batched else "plain"
    problem = problem_of(stations, hop, blocks=BLOCKS)
    series: list[tuple[str, Sequence[Station]]] = []
    if "petals" in given.ways:
        series.append(("petals", stations))
    if {"planned", "drafted"} & {*given.ways}:
        series.append(("plan", planned(problem, stations, max(crowds, key=len))))
    for placed, here in series:
        try:
            done = run(folder / placed, model, here, problem, placed, given, crowds)
        except SwarmUnreachableError as error:
            print(f"# {placed}, {servers}: did not finish: {error}", flush=True)
            continue
        for way, visits, found in done:
            chosen = [replace(v, chain=c) for v, c in zip(visits, found.chains, strict=True)]
            pairs = zip(visits, found.tokens, strict=True)
            yield Row(
                way=way,
                servers=servers,
                visits=visits,
                said=predict(problem, chosen),
                found=found,
                equal=sum(v.answer == tokens for v, tokens in pairs),
            )


def planned(problem: Problem, stations: Sequence[Station], visits: Round) -> list[Station]:
    """The stations with the blocks that ``auto`` gives them for a round."""
    room = {s.name: s.span if isinstance(s.span, int) else None for s in stations}
    servers = tuple(replace(s, max_blocks=room[s.id]) for s in problem.servers)
    trace = tuple(visit.asked(i) for i, visit in enumerate(visits))
    asked = replace(problem, servers=servers, workload=Workload(trace=trace))
    made = plan(asked, "auto", router="overlap", settings=Settings(time_limit_s=PLAN_LIMIT_S))
    spans = zip(made.placement.start.tolist(), made.placement.end.tolist(), strict=True)
    placed = [replace(s, span=span) for s, span in zip(stations, spans, strict=True)]
    return [s for s in placed if isinstance(s.span, tuple) and s.span[1] > s.span[0]]


def run(
    folder: Path,
    model: Path,
    stations: Sequence[Station],
    problem: Problem,
    placed: str,
    given: argparse.Namespace,
    crowds: Sequence[Round],
) -> list[tuple[str, Round, Measured]]:
    """All rounds on one placement."""
    folder.mkdir(parents=True)
    client: dict[str, Any] = {"config": CONFIG, "warm_up_s": WARM_UP_S, "routing": "petals"}
    if placed == "plan":
        for owner in ("operator", "clients"):
            operate(folder / f"{owner}.log", "keygen", str(folder / owner))
        client["routing"] = {
            "public_key": str(folder / "operator.pub"),
            "clients_key": str(folder / "clients"),
            "share_s": SHARE_S,
        }
    arena = Arena(
        folder=folder / "swarm",
        model=model,
        stations=stations,
        blocks=BLOCKS,
        processes=min(MOST_PROCESSES, max(map(len, crowds))),
        round_limit_s=ROUND_LIMIT_S,
        client=client,
    )
    with arena:
        spans: Spans = {s.name: s.span for s in arena.stations if isinstance(s.span, tuple)}
        shown = ", ".join(f"{name} {a}:{b}" for name, (a, b) in spans.items())
        kind = "batched" if stations[0].batched else "plain"
        print(f"# {placed}, {kind} servers: {shown}", flush=True)
        rounds: list[tuple[str, Round]] = []
        if placed == "petals":
            rounds = [("petals", by(visits, "petals")) for visits in crowds]
        else:
            lengths = ("--prompt-tokens", "54", "--output-tokens", str(crowds[0][0].new_tokens))
            publish_spans(
                arena.swarm, folder, folder / "operator", spans, router="overlap", more=lengths
            )
            if "planned" in given.ways:
                rounds += [("planned", by(visits, "plan")) for visits in crowds]
            if "drafted" in given.ways:
                rounds += [("drafted", best_drafted(problem, visits, spans)) for visits in crowds]
        found = arena.run([visits for _, visits in rounds], name="load")
        disturbed = [i for i, m in enumerate(found) if m.others_frac > OTHERS_FRAC]
        if disturbed and not given.once:
            again = arena.run([rounds[i][1] for i in disturbed], name="again")
            for i, second in zip(disturbed, again, strict=True):
                found[i] = min(found[i], second, key=lambda m: m.others_frac)
        late = arena.late_tasks()
    others = 100 * np.mean([m.others_frac for m in found])
    print(f"# others had {others:.0f} % of the cores; {late} tasks outran the clock", flush=True)
    return [(way, visits, m) for (way, visits), m in zip(rounds, found, strict=True)]


def best_drafted(problem: Problem, visits: Round, spans: Spans) -> Round:
    """The planned requests, with as many drafts as a rehearsal of the round likes best."""
    held = {s.id: spans.get(s.id, (0, 0)) for s in problem.servers}
    rounds = [
        by(visits, "plan", Drafter(tokens=k, acceptance=ACCEPTANCE, draft_s=DRAFT_S))
        for k in range(MOST_DRAFTS + 1)
    ]
    return min(rounds, key=lambda each: sum(t.whole_s for t in rehearse(problem, each, held)))


def tokens_per_s(visits: Round, times: Sequence[Times]) -> float:
    """Of all requests together, from the first start to the last token."""
    ends = [v.at_s + t.whole_s for v, t in zip(visits, times, strict=True)]
    tokens = sum(len(t.tokens_s) for t in times)
    return tokens / (max(ends) - min(v.at_s for v in visits))


def line(row: Row) -> str:
    """A row of the table."""
    drafter = row.visits[0].drafter
    said, found = row.figures(row.said), row.figures(row.found.times)
    cells = [
        f"{a:.{d}f}\t{b:.{d}f}\t{100 * (a / b - 1.0):+.1f}"
        for a, b, d in zip(said, found, (2, 0, 0, 0), strict=True)
    ]
    chains = sorted({">".join(s for s, _, _ in chain) for chain in row.found.chains})
    head = (row.way, row.servers, str(row.clients), str(drafter.tokens if drafter else 0))
    return "\t".join([*head, *cells, f"{row.equal} of {row.clients}", " ".join(chains)])


def summary(found: Sequence[Row]) -> None:
    """Errors by the number of clients, of rows and of requests; what each way gains."""
    if not found:
        print("# no round finished")
        return
    equal, total = sum(r.equal for r in found), sum(r.clients for r in found)
    print(f"\n# {equal} of {total} requests have the local model's tokens")
    print("\t".join(["clients", *(f"{f}: median error %" for f in FIGURES), "of requests"]))
    for clients in sorted({r.clients for r in found}):
        here = [r for r in found if r.clients == clients]
        by_figure = np.median([errors(r) for r in here], axis=0)
        each = np.concatenate([of_requests(r) for r in here])
        print("\t".join([str(clients), *(f"{e:.1f}" for e in by_figure), f"{np.median(each):.1f}"]))
    least = 0
    for most, bound in BOUNDS:
        here = [r for r in found if least < r.clients <= most]
        if here:
            rows_ = np.median([errors(r)[:2] for r in here])
            each = np.median(np.concatenate([of_requests(r) for r in here]))
            print(
                f"# {least + 1} to {most} clients: median error {rows_:.1f} % of tokens/s and time "
                f"per token of rows, {each:.1f} % of times per token of requests (bound {bound} %)"
            )
        least = most
    gains(found)


def errors(row: Row) -> NDArray[np.float64]:
    """(figures,) of a row, per cent."""
    found = row.figures(row.found.times)
    off: NDArray[np.float64] = 100 * np.abs(row.figures(row.said) / found - 1.0)
    return off


def of_requests(row: Row) -> NDArray[np.float64]:
    """(clients,) of each request's time per token, per cent."""
    pairs = zip(row.said, row.found.times, strict=True)
    return np.array([100 * abs(p.step_s / m.step_s - 1.0) for p, m in pairs])


def gains(found: Sequence[Row]) -> None:
    """Measured tokens/s in all of every way, by that of unmodified PETALS with as many clients."""
    rate = {(r.way, r.servers, r.clients): r.figures(r.found.times)[0] for r in found}
    counts = sorted({r.clients for r in found})
    print("\t".join(["times PETALS' tokens/s", *map(str, counts)]))
    for way, servers in dict.fromkeys((r.way, r.servers) for r in found):
        cells = []
        for n in counts:
            one, base = rate.get((way, servers, n)), rate.get(("petals", "plain", n))
            cells.append(f"{one / base:.2f}" if one and base else "")
        print("\t".join([f"{way}, {servers}", *cells]))


if __name__ == "__main__":
    main()
