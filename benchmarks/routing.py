"""One WS-RR decision at 60 and 1,000 servers, against networkx' Dijkstra over the same graph.

A second table: CPU time of one ``overlap`` decision, for requests that are all alike and for those
that are all different. Between two timed decisions one session ends and another begins, as in a
live swarm.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time
from dataclasses import replace

import networkx as nx
import numpy as np
from swarms import swarm

from swarmplan.core.content import FloatArray
from swarmplan.core.plan import Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.contention import Pace
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.state import SwarmState
from swarmplan.routing.ws_rr import WsRr

DECISIONS = 300
#: Servers, sessions that run, sessions for which blocks are placed, ms that a decision may take.
OVERLAP = ((26, 60, 16, 0.5), (1_000, 1_000, 64, 1.5))
#: A session that ends and another that begins, this long after the last, seconds.
PAUSE_S = 0.1


def request(number: int, problem: Problem) -> Request:
    """Request ``number`` of the representative shape, clients in turn."""
    plan = problem.planning
    return Request(
        id=number,
        client=number % len(problem.clients),
        arrival_s=0.0,
        prompt_tokens=plan.prompt_tokens,
        output_tokens=plan.output_tokens,
        reserved_tokens=plan.session_tokens,
    )


def explicit_graph(
    cost: CostModel, placement: Placement, state: SwarmState, one: Request
) -> nx.DiGraph:
    """Every link of the routing graph with its present WS-RR cost."""
    shape = cost.shape(one.client, one.prompt_tokens, one.output_tokens)
    placed = np.flatnonzero(placement.num_blocks).tolist()
    start, end = placement.start.tolist(), placement.end.tolist()
    graph = nx.DiGraph()
    for j in placed:
        ready: dict[int, float] = {}  # by the block at which a session enters
        for i in itertools.chain([-1], placed):
            at = 0 if i < 0 else end[i]
            if start[j] <= at < end[j]:
                if at not in ready:
                    held = int(cost.cache_bytes(one.reserved_tokens, at, end[j]))
                    ready[at] = state.ready_s(j, held, 0.0)
                run_s = shape.hop_s[j] + shape.run_s(j, at, end[j])
                graph.add_edge(i, j, weight=ready[at] + run_s)
        if end[j] == cost.num_blocks:
            graph.add_edge(j, "end", weight=0.0)
    return graph


def measure(servers: int, live: int, sessions: int) -> None:
    """Print one row."""
    problem = swarm(servers)
    cost = CostModel.of(problem)
    placement = place_blocks(cost, sessions)
    state, router = SwarmState(cost, placement), WsRr(cost, placement)
    rng = np.random.default_rng(0)
    for number in range(live):
        route = router(request(number, problem), state, 0.0).route
        state.reserve(number, route, problem.planning.session_tokens, float(rng.uniform(1, 60)))
    full = float((state.free_bytes < int(cost.session_bytes(0, 1))).mean())
    times = []
    for number in range(live, live + DECISIONS):
        one = request(number, problem)
        begin = time.perf_counter()
        decision = router(one, state, 0.0)
        times.append(time.perf_counter() - begin)
        state.release(number - live)
        finish = float(rng.uniform(1, 60))
        state.reserve(number, decision.route, problem.planning.session_tokens, finish)
    one = request(live + DECISIONS, problem)
    graph = explicit_graph(cost, placement, state, one)
    plain = []
    for _ in range(5):
        begin = time.perf_counter()
        length = nx.dijkstra_path_length(graph, -1, "end")
        plain.append(time.perf_counter() - begin)
    found_s = router(one, state, 0.0).cost_s
    assert abs(found_s - length) <= 1e-9 * length, (found_s, length)
    median, other = statistics.median(times), statistics.median(plain)
    print(
        f"| {servers} | {live} | {full:.0%} | {median * 1e3:.3f} | {other * 1e3:.2f} "
        f"| {other / median:.0f}x |"
    )


def pace_of(cost: CostModel, one: Request, route: Route, now_s: float) -> Pace:
    """What is expected of a session: as the simulator tells it."""
    shape = cost.shape(one.client, one.prompt_tokens, one.planned_tokens)
    time_s = cost.route_time(route, shape)
    return Pace(
        alone_s=time_s.tpot_s,
        work_s=[float(cost.step_work_s(shape, h.server, h.start, h.end)) for h in route.hops],
        steps=one.planned_tokens - 1,
        from_s=now_s + time_s.ttft_s,
    )


def overlap_ms(servers: int, live: int, sessions: int, *, alike: bool) -> FloatArray:
    """(DECISIONS,) CPU ms; who comes first ends first."""
    problem = swarm(servers)
    cost = CostModel.of(problem)
    placement = place_blocks(cost, sessions)
    state, router = SwarmState(cost, placement), Overlap(cost, placement)
    rng, times = np.random.default_rng(0), []
    for number in range(live + DECISIONS):
        one, now_s = request(number, problem), number * PAUSE_S
        if not alike:
            prompt, output = rng.integers(1, [one.prompt_tokens, one.output_tokens]) + 1
            tokens = int(prompt + output)
            one = replace(one, prompt_tokens=int(prompt), reserved_tokens=tokens)
        if number >= live:
            state.release(number - live)
        begin = time.process_time()
        route = router(one, state, now_s).route
        times.append((time.process_time() - begin) * 1e3)
        pace = pace_of(cost, one, route, now_s)
        finish_s = pace.from_s + pace.steps * pace.step_s
        state.reserve(number, route, one.reserved_tokens, finish_s, pace=pace)
    return np.array(times[live:])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--overlap", action="store_true", help="the second table alone")
    if not parser.parse_args().overlap:
        ws_rr()
    print("\n| servers | live sessions | requests | overlap CPU ms | mean | p95 | at most | |")
    print("|---|---|---|---|---|---|---|---|")
    for servers, live, sessions, most in OVERLAP:
        for alike in (True, False):
            took = overlap_ms(servers, live, sessions, alike=alike)
            print(
                f"| {servers} | {live} | {'all alike' if alike else 'all different'} "
                f"| {np.median(took):.3f} | {took.mean():.3f} | {np.quantile(took, 0.95):.3f} "
                f"| {most} | {'PASS' if np.median(took) <= most else 'FAIL'} |",
                flush=True,
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")


def ws_rr() -> None:
    """Print the table of WS-RR."""
    print("| servers | live sessions | servers full | WS-RR ms | networkx Dijkstra ms | ratio |")
    print("|---|---|---|---|---|---|")
    measure(60, 60, 16)
    measure(60, 600, 16)
    measure(1_000, 1_000, 64)
    measure(1_000, 6_000, 64)


if __name__ == "__main__":
    main()
