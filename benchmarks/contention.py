"""Is the simulator exact where servers work on one task at a time, and how fast is it?

    python benchmarks/contention.py exact     # every request against a plain replay
    python benchmarks/contention.py fixed     # the fixed point of planning and routing beside it
    python benchmarks/contention.py speed     # 100,000 requests on 100 and 1,000 servers

The replay (``replay.py``) shares no code with the engine. Loads are shares of what all servers
together can compute (``perfmodel/capacity.py``).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import swarms
from replay import replay, started

from swarmplan.core.content import FloatArray
from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement
from swarmplan.core.problem import COEFFICIENTS, Problem, Timing
from swarmplan.core.workload import Request
from swarmplan.perfmodel.capacity import most_per_s
from swarmplan.perfmodel.contention import steady_steps_s
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.ws_rr import WsRr
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.simulator import tasks
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult
from swarmplan.workload.draw import draw_requests

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
#: Relative difference that counts as equal; tasks that come so near to each other are a tie.
EQUAL, TIE_S = 1e-9, 1e-11
LOADS = (0.2, 0.5, 0.8, 0.95)
#: The fixed point is claimed up to this share of the time of the busiest server.
FIXED_LOADS, CLAIMED, INSTANTS = (0.3, 0.5, 0.7, 0.85, 0.95), 0.85, 40
PROMPTS = (20, 300)
RELAYS: tuple[Relay, ...] = ("client", "server")
TASKS = {"nf4": 1, "16 bit": 128}


def off_by(problem: Problem, result: SimulationResult) -> tuple[float, bool]:
    """The largest relative difference of a first or last token; whether tasks met in a tie."""
    sessions = started(result)
    tie = replay(problem, sessions) < TIE_S
    worst = 0.0
    for s in sessions:
        for told, found in (
            (result.first_token_s[s.row], s.token_s[0]),
            (result.finish_s[s.row], s.token_s[-1]),
        ):
            worst = max(worst, abs(float(told) / found - 1.0))
    return worst, tie


def variants(problem: Problem) -> Iterator[tuple[str, Problem]]:
    """Both relay modes, both ways to cut prompts; no two servers are alike to the last digit.

    Like servers and times in whole milliseconds make ties: a block of one prompt ends at the very
    instant at which that of another comes. Who is first is then up to the rounding of sums, which
    no two programs share, so timings and distances are taken apart by a millionth. (Sessions on one
    chain may still be a whole number of blocks apart.)
    """
    rng = np.random.default_rng(0)
    rtt, between = problem.network.client_rtt_s, np.asarray(problem.network.server_rtt_s)
    apart = [replace(s, timing=odd(s.timing, 1.0 + 1e-6 * rng.random())) for s in problem.servers]
    far = replace(
        problem.network,
        client_rtt_s=rtt + rng.uniform(0, 1e-6, rtt.shape),
        server_rtt_s=between + rng.uniform(0, 1e-6, between.shape),
    )
    for relay, (kind, tokens) in itertools.product(RELAYS, TASKS.items()):
        servers = tuple(replace(s, task_tokens=tokens) for s in apart)
        network = replace(far, relay=relay)
        yield f"{relay} relay, {kind}", replace(problem, servers=servers, network=network)


def odd(timing: Timing | tuple[Timing, ...], factor: float) -> Timing | tuple[Timing, ...]:
    """A timing that takes so many times as long."""
    if isinstance(timing, tuple):
        return tuple(scaled(t, factor) for t in timing)
    return scaled(timing, factor)


def scaled(timing: Timing, factor: float) -> Timing:
    """Every coefficient times a factor."""
    plain = {name: factor * getattr(timing, name) for name in COEFFICIENTS}
    curve = tuple((rows, factor * more_s) for rows, more_s in timing.step_curve)
    return Timing(**plain, step_curve=curve)


def offered(
    problem: Problem, load: float, prompt: int | None, count: int, seed: int = 3
) -> list[Request]:
    """Requests of the scenario at a share of what the servers compute, with prompts of a length."""
    drawn = draw_requests(problem, seed, num_requests=count)
    if prompt is not None:
        drawn = tuple(
            replace(
                r,
                prompt_tokens=prompt,
                reserved_tokens=r.reserved_tokens - r.prompt_tokens + prompt,
            )
            for r in drawn
        )
    rate = (count - 1) / (drawn[-1].arrival_s - drawn[0].arrival_s)
    shapes = [r.prompt_tokens for r in drawn], [r.output_tokens for r in drawn]
    stretch = rate / (load * most_per_s(CostModel.of(problem), shapes))
    return [replace(r, arrival_s=r.arrival_s * stretch) for r in drawn]


def exact(count: int) -> None:
    """Every shipped scenario, load, relay mode, cut and prompt."""
    print("| scenario | variant | prompt | load | busiest | mean response s | alone s | off by |")
    print("|---|---|---|---|---|---|---|---|")
    worst, cells, ties, parted = 0.0, 0, 0, 0
    for path in sorted(SCENARIOS.glob("*.toml")):
        for what, problem in variants(load_scenario(path).problem):
            cost = CostModel.of(problem)
            placement = place_blocks(cost, 4)
            for prompt, load in itertools.product(PROMPTS, LOADS):
                requests = offered(problem, load, prompt, count)
                found = simulate(problem, placement, WsRr(cost, placement), requests)
                off, tie = off_by(problem, found)
                cells, ties = cells + 1, ties + tie
                worst = max(worst, 0.0 if tie else off)
                parted += tie and off > EQUAL
                print(
                    f"| {path.stem} | {what} | {prompt} | {load} | "
                    f"{found.compute_busy_frac.max():.2f} | {np.nanmean(found.response_s):.1f} | "
                    f"{alone_s(cost, found):.1f} | {off:.0e}{' (tie)' if tie else ''} |",
                    flush=True,
                )
    print(
        f"\n{cells} cells; worst difference where no two tasks meet in a tie {worst:.1e}: "
        f"{'equal' if worst <= EQUAL else 'NOT EQUAL'}; {ties} with ties, of which {parted} part"
    )


def alone_s(cost: CostModel, result: SimulationResult) -> float:
    """Mean response of the same requests on the same chains, each alone."""
    times = []
    for s, route in ((s, result.routes[s.row]) for s in started(result)):
        assert route is not None
        shape = cost.shape(s.client, s.prompt_tokens, s.output_tokens)
        times.append(cost.route_time(route, shape).total_s)
    return float(np.mean(times)) if times else float("nan")


def fixed(count: int) -> None:
    """Mean step of the sessions that run at some instants: by the fixed point and in the engine.

    The mean over tokens, which is harmonic over instants: a session makes one over its step tokens
    in a second, and more of them while few others are there.
    """
    print("| scenario | load | busiest | alone s | engine s | fixed point s | off by |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    for path in sorted(SCENARIOS.glob("*.toml")):
        problem = load_scenario(path).problem
        cost = CostModel.of(problem)
        placement = place_blocks(cost, 4)
        for load in FIXED_LOADS:
            found = simulate(
                problem, placement, Overlap(cost, placement), offered(problem, load, None, count)
            )
            steps = beside(cost, found)
            alone, engine, told = 1.0 / (1.0 / steps).mean(axis=0)
            busiest, off = float(found.compute_busy_frac.max()), told / engine - 1.0
            worst = max(worst, abs(off) if busiest <= CLAIMED else 0.0)
            print(
                f"| {path.stem} | {load} | {busiest:.2f} | {alone:.3f} | {engine:.3f} | "
                f"{told:.3f} | {off * 100:+.1f} % |",
                flush=True,
            )
    print(f"\nworst up to a busiest server of {CLAIMED}: {worst * 100:.1f} %")


def beside(cost: CostModel, result: SimulationResult) -> FloatArray:
    """(S, 3) step alone, in the engine and by the fixed point, of who runs at some instants."""
    alone: dict[int, float] = {}
    visits: dict[int, list[tuple[int, float]]] = {}
    for s, route in ((s, result.routes[s.row]) for s in started(result) if s.output_tokens > 1):
        assert route is not None
        shape = cost.shape(s.client, s.prompt_tokens, s.output_tokens)
        alone[s.row] = cost.step_s(route, shape)
        spans = ((h.server, h.start, h.end) for h in route.hops)
        visits[s.row] = [(j, float(cost.step_work_s(shape, j, a, b))) for j, a, b in spans]
    steps = (result.finish_s - result.first_token_s) / np.maximum(result.output_tokens - 1, 1)
    last = float(result.arrival_s.max())
    rows: list[tuple[float, float, float]] = []
    for at in np.random.default_rng(0).uniform(0.2 * last, last, INSTANTS):
        here = [i for i in alone if result.first_token_s[i] <= at < result.finish_s[i]]
        told = steady_steps_s(
            cost.serial, np.array([alone[i] for i in here]), [visits[i] for i in here]
        )
        rows += [(alone[i], float(steps[i]), t) for i, t in zip(here, told.tolist(), strict=True)]
    return np.array(rows).reshape(-1, 3)


def speed(count: int, load: float) -> None:
    """CPU seconds of whole runs, and of that the task engine; compiling apart."""
    for servers in (100, 1000):
        problem, placement = swarm(servers)
        cost = CostModel.of(problem)
        requests = offered(problem, load, None, count)
        simulate(problem, placement, Overlap(cost, placement), requests[:200])
        with engine_time() as spent_s:
            began = time.process_time()
            result = simulate(problem, placement, Overlap(cost, placement), requests)
            whole_s = time.process_time() - began
        hops = float(result.num_hops.mean())
        print(
            f"{count} requests, {servers} servers, {hops:.1f} hops, busiest "
            f"{result.compute_busy_frac.max():.2f}: {whole_s:.1f} CPU s, of which the engine "
            f"{sum(spent_s):.1f}"
        )


@contextmanager
def engine_time() -> Iterator[list[float]]:
    """CPU seconds of each stretch that the task engine runs."""
    run = tasks.advance
    spent: list[float] = []

    def timed(*given: Any) -> Any:
        began = time.process_time()
        done = run(*given)
        spent.append(time.process_time() - began)
        return done

    vars(tasks)["advance"] = timed
    try:
        yield spent
    finally:
        vars(tasks)["advance"] = run


def swarm(servers: int) -> tuple[Problem, Placement]:
    """A synthetic swarm of so many servers, placed by CG-BP."""
    problem = swarms.swarm(servers)
    return problem, place_blocks(CostModel.of(problem), max(4, servers // 20))


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("exact", "fixed", "speed"))
    parser.add_argument("--requests", type=int)
    parser.add_argument("--load", type=float, default=0.7)
    given = parser.parse_args()
    if given.part == "exact":
        exact(given.requests or 60)
    elif given.part == "fixed":
        fixed(given.requests or 400)
    else:
        speed(given.requests or 100_000, given.load)


if __name__ == "__main__":
    main()
