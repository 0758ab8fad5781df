"""PETALS' default placement and routing against swarmplan's on the same live PETALS servers.

Four servers with emulated round trips join one after another, in orders in which every server has
every position once, and place themselves as PETALS does. The same prompts run by PETALS' placement
and routing; then a plan is published, the servers take it up by themselves, and the prompts run
over the planned placement, by PETALS' routing and by swarmplan's in turn. Needs
``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_comparison.py [--orders 4] [--skip 0]
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from swarmplan.api import plan
from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.planfile import write_plan
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import passing_folder
from swarmplan.swarm.trial import ClientProcess, Event, answers, operate, read_scenario

BLOCKS = 8
#: Server -> (emulated round trip of everybody to it in ms, blocks it can hold).
SERVERS = {"a": (10, 4), "b": (25, 4), "c": (60, 5), "d": (90, 3)}
PROMPTS = ([1, 2, 3, 4, 5], [7, 9, 11, 13], [2, 7, 1, 8, 2, 8])
TOKENS, ROUNDS = 24, 2
Spans = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One placement with one routing: medians over the requests, milliseconds."""

    tpot_ms: float
    ttft_ms: float
    chains: tuple[str, ...]
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One join order: both placements, cells by (placement, routing)."""

    spans: tuple[Spans, Spans]
    cells: dict[tuple[str, str], Cell]
    predicted_ms: float


def main() -> None:
    """Run the orders, print a line for each, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=4)
    parser.add_argument("--skip", type=int, default=0, help="leave out the first orders")
    options = parser.parse_args()
    chosen = join_orders()[options.skip : options.skip + options.orders]
    print("join order\tway\tspans\tchains\tTTFT ms\tms/token\tpredicted\ttokens", flush=True)
    found = []
    for order in chosen:
        started = time.monotonic()
        with passing_folder("swarmplan-live-") as folder:
            try:
                one = run_order(folder, order)
            except SwarmUnreachableError as error:
                print(f"{' '.join(order)}\tdid not finish: {error}", flush=True)
                continue
        report(order, one)
        load = os.getloadavg()[0]
        print(f"# {time.monotonic() - started:.0f} s, load {load:.1f}", flush=True)
        found.append(one)
    summary(found)


def join_orders() -> list[Sequence[str]]:
    """Orders in which every server joins at every position once; then the same backwards."""
    names = list(SERVERS)
    turned = [names[i:] + names[:i] for i in range(len(names))]
    return [*turned, *(order[::-1] for order in turned)]


def run_order(folder: Path, order: Sequence[str]) -> Order:
    """Join, measure over PETALS' placement, re-place, measure again."""
    from swarmplan.swarm.tiny_model import local_tokens, save_tiny_llama

    model = save_tiny_llama(folder / "model", blocks=BLOCKS)
    wanted = local_tokens(model, PROMPTS, TOKENS)
    key = folder / "key"
    operate(folder / "keygen.log", "keygen", str(key))
    follow = ("--operator-key", f"{key}.pub", "--drain", "5")
    with LoopbackSwarm(
        folder=folder / "swarm", model=model, handlers=1, update_period_s=3.0
    ) as swarm:
        specs = [
            ServerSpec(
                name=name, blocks=SERVERS[name][1], rtt_s=SERVERS[name][0] / 1e3, planned=follow
            )
            for name in order
        ]
        swarm.start_servers(specs, one_by_one=True)
        cells = {("petals", "petals"): measure(swarm, key, ["petals"], wanted)["petals"]}
        before, after, predicted_s = publish(swarm, folder, key)
        arrive(swarm, folder, after)
        ways = measure(swarm, key, ["petals", "plan"], wanted)
        cells |= {("plan", way): cell for way, cell in ways.items()}
    return Order(spans=(before, after), cells=cells, predicted_ms=predicted_s * 1e3)


def publish(swarm: LoopbackSwarm, folder: Path, key: Path) -> tuple[Spans, Spans, float]:
    """Read the swarm, plan, publish; spans before and after, predicted time per token."""
    more = ("--prompt-tokens", "5", "--output-tokens", str(TOKENS), "--sessions", "1")
    document = read_scenario(swarm, folder, memory_gb=0.1, more=more)
    names = {peer: name for name, peer in swarm.peers.items()}
    before = {names[s["id"]]: tuple(s["span"]) for s in document["servers"]}
    for server in document["servers"]:
        server["max_blocks"] = SERVERS[names[server["id"]]][1]
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
    after = {
        names[s.id]: (int(made.placement.start[j]), int(made.placement.end[j]))
        for j, s in enumerate(scenario.problem.servers)
        if made.placement.num_blocks[j]
    }
    return before, after, made.predicted[0].tpot_s


def arrive(swarm: LoopbackSwarm, folder: Path, spans: Spans) -> None:
    """Wait until every server serves what is planned."""
    stop = folder / "stop"
    watch = {"observe_s": 0.5, "blocks": BLOCKS, "until": str(stop)}
    wanted = {swarm.peers[name]: ["online", *span] for name, span in spans.items()}

    def there(events: list[Event]) -> bool:
        seen = [e["live"] for e in events if e["event"] == "spans"][-1:]
        return bool(seen) and all(seen[0].get(peer) == span for peer, span in wanted.items())

    with ClientProcess(swarm=swarm, name="watch", job=watch) as watcher:
        watcher.wait_for(there, limit_s=90)


def measure(
    swarm: LoopbackSwarm, key: Path, ways: Sequence[str], wanted: Sequence[Sequence[int]]
) -> dict[str, Cell]:
    """The prompts by each way of routing in turn, in one client process."""
    requests: list[dict[str, Any]] = [
        {"id": f"{way}.{r}.{i}", "prompt": prompt, "new_tokens": TOKENS, "routing": way}
        for r in range(ROUNDS)
        for i, prompt in enumerate(PROMPTS)
        for way in ways
    ]
    planned = {"public_key": f"{key}.pub"}
    job = {
        "routing": planned if "plan" in ways else "petals",
        "requests": requests,
        # PETALS' client looks and pings once a minute; here every three seconds, and it starts
        # only after it has looked a few times: kinder to PETALS' routing than its default.
        "config": {"update_period": 3, "request_timeout": 20},
        "warm_up_s": 10,
    }
    with ClientProcess(swarm=swarm, name="-".join(["client", *ways]), job=job) as client:
        done = answers(client.finish(limit_s=120))
    names = {peer: name for name, peer in swarm.peers.items()}
    return {way: _cell(way, requests, done, names, wanted) for way in ways}


def _cell(
    way: str,
    requests: Sequence[dict[str, Any]],
    done: dict[str, Event],
    names: dict[str, str],
    wanted: Sequence[Sequence[int]],
) -> Cell:
    mine = [done[r["id"]] for r in requests if r["routing"] == way]
    failed = [e for e in mine if e["event"] == "failed"]
    if failed:
        raise SwarmUnreachableError(f"a request failed: {failed[0]['error']}")
    chains = {" > ".join(f"{names[peer]} {a}:{b}" for peer, a, b in e["chains"][-1]) for e in mine}
    return Cell(
        tpot_ms=1e3 * median(median(e["steps_s"][1:]) for e in mine),
        ttft_ms=1e3 * median(e["steps_s"][0] for e in mine),
        chains=tuple(sorted(chains)),
        right=all(e["tokens"] == list(wanted[int(e["id"][-1])]) for e in mine),
    )


def report(order: Sequence[str], one: Order) -> None:
    """The ways of one order."""
    for (placed, routed), cell in one.cells.items():
        own = (placed, routed) == ("plan", "plan")
        spans = one.spans[placed == "plan"]
        figures = (
            " ".join(order),
            f"{placed} placement, {routed} routing",
            " ".join(f"{name} {a}:{b}" for name, (a, b) in sorted(spans.items())),
            "; ".join(cell.chains),
            f"{cell.ttft_ms:.0f}",
            f"{cell.tpot_ms:.1f}",
            f"{one.predicted_ms:.1f}" if own else "",
            "right" if cell.right else "WRONG",
        )
        print("\t".join(figures), flush=True)


def summary(found: Sequence[Order]) -> None:
    """Ratios of PETALS' time to the others', median and range over the orders."""
    print("\nPETALS' time / this way's\tms/token: mean\tleast\tmost\tTTFT: mean\tleast\tmost")
    for way in (("plan", "petals"), ("plan", "plan")):
        row = [f"{way[0]} placement, {way[1]} routing"]
        for name in ("tpot_ms", "ttft_ms"):
            ratios = [
                getattr(o.cells["petals", "petals"], name) / getattr(o.cells[way], name)
                for o in found
            ]
            if ratios:
                mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
                row += [f"{mean:.2f}", f"{min(ratios):.2f}", f"{max(ratios):.2f}"]
        print("\t".join(row))
    print("(geometric means over the join orders)")


if __name__ == "__main__":
    main()
