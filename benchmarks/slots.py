"""Many requests decided at once (docs/model.md 13): how good the solver is, and what it is worth.

    python benchmarks/slots.py random     # 300 random slots against the optimum and the bound
    python benchmarks/slots.py value      # the queueing value against the engine; a slot's CPU time
    python benchmarks/slots.py bursts     # 16, 32, 48 requests at once, by router
    python benchmarks/slots.py stream     # Poisson arrivals at 0.3 and 0.7 of what compute bears

Three settings, three clients with shares of 0.6, 0.3 and 0.1; prompts of the Azure 2023
conversation trace up to 1,024 tokens, answers of the LMSYS lengths up to 512, known. Prompts are
cut as PETALS cuts them, one server works on one task at a time, routers that decide for one request
retry as PETALS' clients do.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import msgspec
import numpy as np
from auto import PLACES, twenty

from swarmplan.chains.compose import job_costs
from swarmplan.chains.graph import build_graph, session_bytes
from swarmplan.chains.shortest import shortest
from swarmplan.core.content import FloatArray, IntArray
from swarmplan.core.plan import Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.gbp_cr import Queue, filled, gbp_cr
from swarmplan.routing.api import Decision, Router, SwarmView
from swarmplan.routing.jffc import Jffc
from swarmplan.routing.joint import HOLD, Joint, together
from swarmplan.routing.offers import Desk, Offer
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.queueing import Rows
from swarmplan.routing.slot import (
    WAIT,
    Assignment,
    Slot,
    Value,
    iterate,
    one_by_one,
    remembered,
)
from swarmplan.routing.slot_exact import by_pairs, enumerated, lower_bound_s
from swarmplan.routing.ws_rr import WsRr
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.simulator.engine import simulate
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.routing.random_slots import random_slot

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
SHARES = (0.6, 0.3, 0.1)
CLIENTS = {"bellcanada": ("Lethbridge", "New York", "Vancouver"), "twenty": (0, 4, 16)}
#: Requests per second at which compute saturates in the best mix of chains.
SATURATED_PER_S = {"bellcanada": 0.151, "cloud": 0.319, "twenty": 0.665}
#: A router that never holds back who fits.
NEVER_HELD = 1e4


# ------------------------------------------------------------------ settings


@cache
def setting(name: str) -> tuple[Problem, Placement]:
    """A problem and its plan: chains of one capacity, or of a large one first and a small then."""
    if name == "twenty":
        document = twenty()
        places = enumerate(PLACES[i] for i in (0, 4, 16))
        document["clients"] = [{"id": f"c{i}", "lat": at[0], "lon": at[1]} for i, at in places]
    else:
        document = tomllib.loads((ROOT / "benchmarks" / "before" / f"{name}.toml").read_text())
    if name == "bellcanada":
        document["clients"] = [{"id": n, "node": n} for n in CLIENTS[name]]
    shape = {"prompt_tokens": 300, "output_tokens": 177}
    document["workload"]["streams"] = [
        {"client": c["id"], "rate_per_s": 0.1 * share, **shape}
        for c, share in zip(document["clients"], SHARES, strict=True)
    ]
    problem = build(msgspec.convert(document, schema.Scenario), ROOT / "benchmarks").problem
    whole = 128 if name == "cloud" else 1  # int8 and nf4
    servers = (replace(s, task_tokens=whole, sharing="serial") for s in problem.servers)
    problem = replace(problem, servers=tuple(servers))
    cost = CostModel.of(problem)
    if name == "twenty":
        return problem, gbp_cr(cost, 20, load=None)
    return problem, tiers(cost, *((32, 1, 5) if name == "bellcanada" else (84, 2, 14)))


def tiers(cost: CostModel, large: int, many: int, small: int) -> Placement:
    """So many chains of a large capacity, the servers that are left over for a small one."""
    jobs, length = job_costs(cost), cost.num_blocks
    head = filled(Queue.of(cost, jobs, large), length)
    chains = [next(head) for _ in range(many)]
    used = frozenset(j for c in chains for j in c.servers)
    chains += filled(Queue.of(cost, jobs, small), length, without=used)
    spans = [(0, 0)] * cost.problem.num_servers
    for chain in chains:
        for j, span in zip(chain.servers, chain.spans, strict=True):
            spans[j] = span
    return cost.placed(spans)


@cache
def lengths(path: str, column: str, most: int) -> IntArray:
    """The lengths of a table that are not above a limit."""
    with gzip.open(DATA / path, "rt") as file:
        found = (int(row[column]) for row in csv.DictReader(file))
        return np.array([n for n in found if 1 <= n <= most], dtype=np.int64)


def asked(count: int, seed: int, rate_per_s: float | None = None) -> list[Request]:
    """Requests at once, or Poisson arrivals."""
    rng = np.random.default_rng(seed)
    prompts = rng.choice(lengths("traces/azure2023_conv.csv.gz", "ContextTokens", 1024), count)
    table = "lengths/lmsys_vicuna13b_lengths_ssjf.csv.gz"
    answers = rng.choice(lengths(table, "output_tokens", 512), count)
    clients = rng.choice(len(SHARES), count, p=SHARES)
    at = np.zeros(count)
    if rate_per_s is not None:
        at = np.cumsum(rng.exponential(1.0 / rate_per_s, count))
    return [
        Request(
            id=i,
            client=int(clients[i]),
            arrival_s=float(at[i]),
            prompt_tokens=int(prompts[i]),
            output_tokens=int(answers[i]),
            reserved_tokens=int(prompts[i] + answers[i]),
        )
        for i in range(count)
    ]


# ------------------------------------------------------------------ random slots


def random(count: int) -> None:
    """The solver by pairs against enumeration, the programme and the bound."""
    solvers: dict[str, Callable[[Slot, Value], Assignment]] = {
        "one by one": one_by_one,
        "damped": partial(iterate, exchanges=0),
        "with exchanges": iterate,
    }
    gaps: dict[str, list[float]] = {name: [] for name in solvers}
    below, rounds = 0, 0
    for seed in range(count):
        slot, value = random_slot(seed)
        _, least = enumerated(slot, value)
        bound = lower_bound_s(slot, value.wait_s, value.alone_s(), Deadline())
        below += bound <= least + 1e-6
        for name, solve in solvers.items():
            found = solve(slot, value)
            gaps[name].append(found.value_s / least - 1.0)
            rounds = max(rounds, found.rounds)
    print("| R 5, P 3, J 4 | optimal | mean gap % | worst % |\n|---|---|---|---|")
    for name, row in gaps.items():
        gap = np.array(row)
        optimal, mean, worst = (gap < 1e-9).mean(), gap.mean(), gap.max()
        print(f"| {name} | {optimal:.1%} | {mean * 100:.3f} | {worst * 100:.2f} |")
    print(f"bound below the optimum in {below} of {count}; at most {rounds} rounds")
    off = 0.0
    for seed in range(40):
        slot, value = random_slot(seed)
        _, solved = by_pairs(slot, value, Deadline.after(60))
        off = max(off, abs(solved - enumerated(slot, value)[1]))
    print(f"programme against enumeration on 40 slots: at most {off:.1e} apart", flush=True)
    for shape in ((10, 4, 6), (20, 6, 10)):
        rows = []
        for seed in range(20):
            slot, value = random_slot(seed, *shape)
            bound = lower_bound_s(slot, value.wait_s, value.alone_s(), Deadline())
            rows.append([solve(slot, value).value_s / bound - 1.0 for solve in solvers.values()])
        means = ", ".join(f"{100 * m:.2f} %" for m in np.mean(rows, axis=0))
        print(f"R {shape[0]}, P {shape[1]}, J {shape[2]} above the bound: {means}", flush=True)


# ------------------------------------------------------------------ the value


class Given:
    """Every request on the chain that was drawn for it."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        return Decision(route=self._routes[request.id], cost_s=0.0)


def offered(name: str, requests: Sequence[Request]) -> tuple[Desk, list[list[Offer]], Slot]:
    """Six chains of each request in the idle swarm, and the slot."""
    problem, placement = setting(name)
    desk, free = Desk(CostModel.of(problem), placement), placement.cache_bytes.astype(float)
    nobody = np.zeros(problem.num_servers)
    offers = [desk.offers(r, 0, free, nobody, 6) for r in requests]
    return desk, offers, desk.slot(offers, free)


def drawn(slot: Slot, rng: np.random.Generator) -> IntArray:
    """Each request in turn on a chain at random, of those with room."""
    choice: IntArray = np.full(slot.requests, WAIT, dtype=np.int64)
    for r in range(slot.requests):
        room = slot.open(choice, r)
        choice[r] = rng.choice(room) if room else WAIT
    return choice


def value(seeds: int) -> None:
    """Mean response by the queueing value and in the engine, on chains at random."""
    print("| setting, N | error % mean | absolute | worst | of each request | ms | started |")
    print("|---|---|---|---|---|---|---|")
    for name in SATURATED_PER_S:
        problem, placement = setting(name)
        for count in (16, 32, 48):
            rows = []
            for seed in range(seeds):
                requests, rng = asked(count, seed), np.random.default_rng(seed)
                desk, offers, slot = offered(name, requests)
                queueing = desk.value(offers, Rows())
                for _ in range(8):
                    choice = drawn(slot, rng)
                    on = np.flatnonzero(choice != WAIT).tolist()
                    begun = [replace(requests[i], id=k) for k, i in enumerate(on)]
                    router = Given([offers[i][choice[i]].route for i in on])
                    truth = simulate(problem, placement, router, begun).response_s
                    queueing.ends_s(choice)
                    at = time.process_time()
                    told = queueing.ends_s(choice)
                    spent_ms = 1e3 * (time.process_time() - at)
                    each = np.abs(told / truth - 1.0).mean()
                    rows.append((told.mean() / truth.mean() - 1.0, each, spent_ms, len(on)))
            off, each, spent, on_mean = np.array(rows).T
            print(
                f"| {name} {count} | {100 * off.mean():+.1f} | {100 * np.abs(off).mean():.1f} | "
                f"{100 * np.abs(off).max():.1f} | {100 * each.mean():.1f} | {spent.mean():.2f} | "
                f"{on_mean.mean():.1f} |",
                flush=True,
            )
    own_value(seeds)


def own_value(seeds: int) -> None:
    """The joint decision against one by one in their own value, and what it costs."""
    print("\n| setting, N x 6 chains | joint / one by one, mean | largest | CPU s mean | most |")
    print("|---|---|---|---|---|")
    for name in SATURATED_PER_S:
        for count in (16, 48):
            rows = []
            for seed in range(seeds):
                requests = asked(count, seed)
                desk, offers, slot = offered(name, requests)
                queueing = desk.value(offers, Rows())
                dear = queueing.waiting(np.full(count, 1e6))
                ends = queueing.ends_s(one_by_one(slot, dear).choice)
                waits = HOLD * ends.mean() + queueing.alone_s()
                priced = queueing.waiting(waits)
                first = one_by_one(slot, priced)
                at = time.process_time()
                found = together(slot, remembered(priced), first.choice)
                spent_s = time.process_time() - at
                rows.append((found.value_s / first.value_s, spent_s))
            ratio, spent = np.array(rows).T
            print(
                f"| {name} {count} | {ratio.mean():.3f} | {ratio.max():.3f} | "
                f"{spent.mean():.2f} | {spent.max():.2f} |",
                flush=True,
            )


# ------------------------------------------------------------------ routers


class Fewest:
    """The chain with the fewest sessions x blocks of those with room; else as WS-RR."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._graph = cost, build_graph(cost, placement)
        self._any = WsRr(cost, placement)

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        graph = self._graph
        sessions = np.array([view.count_at(j) for j in range(len(view.free_bytes))])
        load = (sessions[graph.server] + 1.0) * (graph.end - graph.origin)
        need = session_bytes(self._cost, graph, request.reserved_tokens)
        links, total = shortest(
            graph, np.where(need <= view.free_bytes[graph.server], load, np.inf)
        )
        if not links:
            return self._any(request, view, now_s, start_block=start_block, exclude=exclude)
        return Decision(route=graph.route(links), cost_s=total)


ROUTERS: dict[str, Callable[[CostModel, Placement], Router]] = {
    "ws-rr": WsRr,
    "jffc": Jffc,
    "fewest": Fewest,
    "overlap": Overlap,
    "one by one": partial(Joint, rounds=False),
    "joint": Joint,
    "one by one, nobody held": partial(Joint, rounds=False, hold=NEVER_HELD),
    "joint, nobody held": partial(Joint, hold=NEVER_HELD),
}


def bursts(seeds: int) -> None:
    """Mean response, s, by router; below the table P95 and first tokens at 48."""
    print(f"| setting, N | {' | '.join(ROUTERS)} |\n|{'---|' * (len(ROUTERS) + 1)}")
    more = []
    for name in SATURATED_PER_S:
        for count in (16, 32, 48):
            rows = [measured(name, [asked(count, s) for s in range(seeds)], r) for r in ROUTERS]
            print(f"| {name} {count} | {' | '.join(f'{r[0]:.1f}' for r in rows)} |", flush=True)
            if count == 48:
                cells = (f"{r[1]:.0f}; {r[2]:.0f} / {r[3]:.0f}" for r in rows)
                more.append(f"| {name} 48 | {' | '.join(cells)} |")
                cells = (f"{r[4]:.2f}" for r in rows)
                more.append(f"| CPU s | {' | '.join(cells)} |")
    print("\nP95 of the response; first token mean / P95; CPU s of a run", *more, sep="\n")


def stream(seeds: int) -> None:
    """Poisson arrivals: mean / P95 of the response, first token mean / P95."""
    names = ("jffc", "fewest", "overlap", "joint", "joint, nobody held")
    print(f"| setting, load | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for name, rate in SATURATED_PER_S.items():
        for load in (0.3, 0.7):
            runs = [asked(400, 100 + s, load * rate) for s in range(seeds)]
            rows = [measured(name, runs, r) for r in names]
            cells = (f"{r[0]:.0f} / {r[1]:.0f}; {r[2]:.1f} / {r[3]:.1f}" for r in rows)
            print(f"| {name} {load} | {' | '.join(cells)} |", flush=True)


def measured(name: str, runs: Sequence[Sequence[Request]], router: str) -> FloatArray:
    """(5,) response mean and P95, first token mean and P95, CPU s; over runs."""
    problem, placement = setting(name)
    cost, rows = CostModel.of(problem), []
    for requests in runs:
        at = time.process_time()
        found = simulate(problem, placement, ROUTERS[router](cost, placement), requests)
        spent_s = time.process_time() - at
        response, first = found.response_s, found.ttft_s
        assert not np.isnan(response).any(), f"{router} left requests of {name} unserved"
        tails = np.percentile(response, 95), np.percentile(first, 95)
        rows.append((response.mean(), tails[0], first.mean(), tails[1], spent_s))
    mean: FloatArray = np.mean(rows, axis=0)
    return mean


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("random", "value", "bursts", "stream"))
    parser.add_argument("--count", type=int, help="random slots, or seeds")
    given = parser.parse_args()
    if given.part == "random":
        random(given.count or 300)
    elif given.part == "value":
        value(given.count or 5)
    elif given.part == "bursts":
        bursts(given.count or 5)
    else:
        stream(given.count or 3)


if __name__ == "__main__":
    main()
