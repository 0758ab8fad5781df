"""Throughput: what is promised beside what comes out.

    python benchmarks/throughput.py reference DIR   # layouts of Helix: model, simulated, judged
    python benchmarks/throughput.py layouts DIR     # own layouts of the same clusters
    python benchmarks/throughput.py serial          # one task at a time: predicted against engine
    python benchmarks/throughput.py auto [NAME ...] # auto for throughput beside other methods

DIR holds the three clusters as JSON documents. Judged are decode tokens per second in Helix' own
simulator (ASPLOS'25 artifact), 600 s after 60 s; simulated here the same window, and fed the same
way (``Feed``): slow layouts are not full by then. Own layouts are compared on three seeds, on het42
from 200 to 420 s.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from swarmplan import api
from swarmplan.chains.capacity import most_planned_per_s
from swarmplan.chains.compose import client_shares
from swarmplan.chains.lines import queued_per_s
from swarmplan.chains.sustain import sustained
from swarmplan.core.errors import SwarmplanError
from swarmplan.core.plan import Placement, Throughput
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings
from swarmplan.methods.routers import router_named
from swarmplan.methods.saturated import figures, saturated, trial_for
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.fluid import fluid
from swarmplan.scenarios.helix import (
    FILL,
    FILL_BY_OWN,
    Cluster,
    read_cluster,
    scenario_of_cluster,
    spans_of,
)
from swarmplan.scenarios.scenario import load_scenario, scenario_of
from swarmplan.simulator.admission import Gate
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.session import Session
from swarmplan.simulator.swarm import Swarm
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.mix import mix_of

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
#: Judged decode tokens/s of the reference layouts.
JUDGED = {
    ("single24", "helix"): 252.1,
    ("single24", "petals"): 191.1,
    ("single24", "swarm"): 128.2,
    ("geo24", "helix"): 98.0,
    ("geo24", "petals"): 68.3,
    ("geo24", "swarm"): 41.6,
    ("het42", "helix"): 641.0,
    ("het42", "swarm"): 574.0,
}
WINDOW_S, REQUESTS = (60.0, 660.0), 12_000
#: Where own layouts are judged in another window; and on so many seeds.
WINDOWS_S, SEEDS = {"het42": (200.0, 420.0)}, 3
#: Requests that Helix' feeder begins with, seconds between two of them, and between looks here at
#: whose prompt is done.
FIRST, APART_S, LOOK_S = 20, 0.1, 0.2
#: Tokens of the answer that it counts with.
MEAN_ANSWER = 240
LIMITS_S = {"single24": 60.0, "geo24": 60.0, "het42": 60.0}
SHIPPED = ("demo", "abvt", "cloud", "bellcanada", "volunteers")
OTHERS = ("cg-bp", "gbp-cr", "petals", "petals-tuned", "search", "flow", "stages")
LIMIT_S, HELD_OUT = 60.0, 1_000
SERIAL, PLACED = ("abvt", "demo", "cloud"), ("cg-bp", "petals-tuned", "flow")


class Feed:
    """Requests as Helix' simulator feeds them when there is always work.

    A few at first; then one more whenever a prompt is done or a request has ended, as long as the
    block that is scarcest is expected to be filled to no more than ``FILL``. The one for which
    there is no room is dropped. So the requests in flight grow as prompts get done.
    """

    def __init__(self, cost: CostModel, placement: Placement, end_s: float) -> None:
        held = np.maximum(placement.num_blocks, 1)
        pools = zip(placement.cache_bytes.tolist(), held.tolist(), strict=True)
        tokens = [cost.tokens_held(pool, 0, blocks) for pool, blocks in pools]
        room = np.zeros(cost.num_blocks)
        for start, end, own in zip(placement.start, placement.end, tokens, strict=True):
            room[start:end] += own
        self._most = FILL / FILL_BY_OWN * float(room.min())
        self._prompts: set[int] = set()
        self._end_s = end_s

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        """Stand in line; the first ones set out by themselves."""
        gate.waiting.append(session)
        if session.row < FIRST:
            gate.at(session.row * APART_S, lambda: self._next(gate))
        if session.row == 0:
            gate.at(LOOK_S, lambda: self._look(gate))

    def freed(self, gate: Gate) -> None:
        """A request has ended."""
        gate.at(gate.now_s + APART_S, lambda: self._next(gate))

    def _next(self, gate: Gate) -> None:
        running = cast("Swarm", gate).running.values()
        there = sum(s.origin.prompt_tokens + MEAN_ANSWER for s in running)
        if gate.waiting and there <= self._most:
            gate.attempt(gate.waiting.pop(0), patient=True)

    def _look(self, gate: Gate) -> None:
        swarm = cast("Swarm", gate)
        new = [row for row in swarm.running if row not in self._prompts]
        done = [row for row in new if swarm.work.made(row)]
        self._prompts.update(done)
        for _ in done:
            self._next(gate)
        if gate.now_s < self._end_s:
            gate.at(gate.now_s + LOOK_S, lambda: self._look(gate))


def cluster_of(folder: Path, case: str) -> tuple[Cluster, Problem]:
    """A cluster and the problem that is made of it."""
    path = folder / f"{case}-llama70b.json"
    cluster = read_cluster(path)
    return cluster, scenario_of(scenario_of_cluster(cluster), path).problem


def served(
    problem: Problem,
    placement: Placement,
    router: str,
    seed: int = 0,
    window_s: tuple[float, float] = WINDOW_S,
) -> Throughput:
    """What a layout serves in the window that is judged."""
    cost = CostModel.of(problem)
    waiting = [
        replace(r, arrival_s=0.0) for r in draw_requests(problem, seed, num_requests=REQUESTS)
    ]
    feed, made = Feed(cost, placement, window_s[1]), router_named(router)(cost, placement)
    found = simulate(problem, placement, made, waiting, admission=feed, horizon_s=window_s[1])
    return figures(found, *window_s)


def row(case: str, name: str, problem: Problem, placement: Placement) -> str:
    """What the fluid model and the simulator say of a layout, as Helix deals and as we do."""
    cost = CostModel.of(problem)
    rated = fluid(cost, client_shares(problem), placement, rated=True).rate_per_s
    theirs = served(problem, placement, "max-flow")
    ours = served(problem, placement, "flow")
    judged = JUDGED.get((case, name))
    off = "" if judged is None else f"{theirs.decode_per_s / judged - 1:+.0%}"
    return (
        f"| {case} {name} | {(problem.planning.output_tokens - 1) * rated:.1f} | "
        f"{theirs.decode_per_s:.1f} +- {theirs.half_width_per_s:.1f} | {theirs.prompt_per_s:.0f} | "
        f"{theirs.first_token_s:.2f}, {theirs.token_s:.2f} | "
        f"{'' if judged is None else judged} | {off} | {ours.decode_per_s:.1f} |"
    )


HEAD = (
    "| layout | fluid | simulated | prompt tokens/s | prompt s, s per token | judged | off | "
    "dealt by `flow` |\n|---|---|---|---|---|---|---|---|"
)


def reference(folder: Path) -> None:
    """The layouts of the documents."""
    print(HEAD)
    for case, name in JUDGED:
        cluster, problem = cluster_of(folder, case)
        ids = [s.id for s in problem.servers]
        placement = CostModel.of(problem).placed(
            spans_of(cluster.reference_layouts[name].layout, ids)
        )
        print(row(case, name, problem, placement), flush=True)


def layouts(folder: Path) -> None:
    """Layouts of ``auto``, for Helix' scheduler and for ours, beside Helix' own."""
    print(
        "| layout, router | fluid | full | in the window | first token s, s per token | of Helix' "
        "| plan s |\n|---|---|---|---|---|---|---|"
    )
    for case, limit_s in LIMITS_S.items():
        cluster, problem = cluster_of(folder, case)
        ids = [s.id for s in problem.servers]
        spans = spans_of(cluster.reference_layouts["helix"].layout, ids)
        known = CostModel.of(problem).placed(spans)
        base = compared(case, "helix", problem, known, "max-flow", None, 0.0)
        compared(case, "helix", problem, known, "flow", base, 0.0)
        for router in ("max-flow", "flow"):
            asked = Settings(time_limit_s=limit_s, aim="throughput")
            began_s = time.monotonic()
            plan = api.plan(problem, "auto", router=router, settings=asked)
            took_s = time.monotonic() - began_s
            compared(case, "auto", problem, plan.placement, router, base, took_s)


def compared(
    case: str,
    name: str,
    problem: Problem,
    placement: Placement,
    router: str,
    base: float | None,
    took_s: float,
) -> float:
    """Print a layout's row, all seeds together; its decode tokens per second in the window."""
    cost, window_s = CostModel.of(problem), WINDOWS_S.get(case, WINDOW_S)
    by_ratings = router == "max-flow"
    rate = fluid(cost, client_shares(problem), placement, rated=by_ratings).rate_per_s
    full = saturated(cost, placement, router, trial_for(cost, HELD_OUT))
    runs = [served(problem, placement, router, seed, window_s) for seed in range(SEEDS)]
    decode = [run.decode_per_s for run in runs]
    mean = float(np.mean(decode))
    print(
        f"| {case} {name}, {router} | {(problem.planning.output_tokens - 1) * rate:.1f} | "
        f"{full.decode_per_s:.1f} +- {full.half_width_per_s:.1f} | "
        f"{mean:.1f} ({min(decode):.0f} to {max(decode):.0f}) | "
        f"{np.mean([r.first_token_s for r in runs]):.2f}, "
        f"{np.mean([r.token_s for r in runs]):.2f} | "
        f"{'' if base is None else f'{mean / base:.2f}'} | {took_s:.0f} |",
        flush=True,
    )
    return mean


def serial() -> None:
    """What lines and caches leave of a placement's flows by the model, against the engine."""
    print(
        "| scenario, placement | bound, requests/s | flows | predicted | simulated | off |\n"
        "|---|---|---|---|---|---|"
    )
    for name in SERIAL:
        problem = load_scenario(SCENARIOS / f"{name}.toml").problem
        cost, mix = CostModel.of(problem), mix_of(problem)
        for method in PLACED:
            plan = api.plan(problem, method, settings=Settings(time_limit_s=60.0))
            carried = sustained(cost, plan.placement, mix).rate_per_s
            predicted = queued_per_s(cost, plan.placement, mix)
            told = saturated(cost, plan.placement, "flow", trial_for(cost, 0)).requests_per_s
            print(
                f"| {name}, {method} | {most_planned_per_s(cost):.4f} | {carried:.4f} | "
                f"{predicted:.4f} | {told:.4f} | {predicted / told - 1:+.0%} |",
                flush=True,
            )


def beside_others(names: Sequence[str]) -> None:
    """``auto --objective throughput`` beside other methods, on requests that none has seen."""
    print("| scenario | auto, requests/s | its choice | best of the others | of that |")
    print("|---|---|---|---|---|")
    for name in names or SHIPPED:
        problem = load_scenario(SCENARIOS / f"{name}.toml").problem
        cost = CostModel.of(problem)
        trial = trial_for(cost, HELD_OUT)
        asked = Settings(time_limit_s=LIMIT_S, aim="throughput")
        plan = api.plan(problem, "auto", settings=asked)
        mine = saturated(cost, plan.placement, plan.router, trial).requests_per_s
        rates = {}
        for method in OTHERS:
            try:
                other = api.plan(problem, method, settings=Settings(time_limit_s=LIMIT_S))
            except SwarmplanError:
                continue
            served = saturated(cost, other.placement, other.router, trial)
            rates[method] = served.requests_per_s
        best = max(rates, key=lambda m: rates[m])
        print(
            f"| {name} | {mine:.4f} | {plan.candidates[0].placement}, {plan.router} | "
            f"{best} {rates[best]:.4f} | {mine / rates[best]:.2f} |",
            flush=True,
        )


def main() -> None:
    """The part that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=("reference", "layouts", "serial", "auto"))
    parser.add_argument("of", nargs="*", help="the folder of the clusters; scenarios for auto")
    asked = parser.parse_args()
    if asked.part == "serial":
        serial()
    elif asked.part == "auto":
        beside_others(asked.of)
    elif len(asked.of) != 1:
        parser.error("name the folder of the clusters")
    else:
        (reference if asked.part == "reference" else layouts)(Path(asked.of[0]))


if __name__ == "__main__":
    main()
