"""What reservation by predicted length does to waiting: same requests, placement and constants.

Arrivals and prompts are those of the Azure conversation trace 2023, lengths and predicted classes
those of 85,482 LMSYS answers (a BERT on a million chats); both must lie in ../shared/data. The
load is found first: the highest at which reserving the maximum still has 95 % of the requests
started within ten seconds, in the first half of the requests; the table is at a share of it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from swarms import swarm

from swarmplan.core.names import Admission, LengthMode
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Lengths, LengthUse, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.routing.state import SwarmState
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate
from swarmplan.workload.lengths import known_of, predicted_by_class, provided

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
#: Output tokens that every client allows: the cap of the LMSYS file.
LIMIT = 512
#: Timed decisions of a router.
DECISIONS = 300
#: Longer prompts are left out: they would need servers of their own.
LONGEST_PROMPT = 1_024
MODES: tuple[tuple[str, LengthMode, float], ...] = (
    ("maximum", "maximum", 0.95),
    ("constant q95", "model-constant", 0.95),
    ("predictor q95", "predictor", 0.95),
    ("predictor q96", "predictor", 0.96),
    ("predictor q90", "predictor", 0.90),
    ("predictor q99", "predictor", 0.99),
    ("oracle", "oracle", 0.95),
)


def columns(path: Path) -> list[list[str]]:
    """Rows of a packed CSV, without its header."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def workload(count: int, seed: int, clients: int) -> tuple[list[Request], Lengths, np.ndarray]:
    """Requests at one per second on average, and the pool of lengths they are drawn from."""
    given = columns(DATA / "lengths" / "lmsys_vicuna13b_lengths_ssjf.csv.gz")
    tokens = np.array([int(row[0]) for row in given], dtype=np.int64)
    lengths = Lengths(
        values=tuple(tokens.tolist()), predicted=predicted_by_class(tokens, [r[1] for r in given])
    )
    trace = columns(DATA / "traces" / "azure2023_conv.csv.gz")
    rng = np.random.default_rng(seed)
    begin = int(rng.integers(0, len(trace) - 3 * count))
    kept = [row for row in trace[begin:] if int(row[1]) <= LONGEST_PROMPT][:count]
    at = np.array([np.datetime64(row[0]) for row in kept])
    seconds = (at - at[0]) / np.timedelta64(1, "s")
    seconds *= (count - 1) / seconds[-1]
    rows = rng.integers(0, len(tokens), count)
    requests = [
        Request(
            id=i,
            client=i % clients,
            arrival_s=float(seconds[i]),
            prompt_tokens=int(kept[i][1]),
            output_tokens=int(tokens[rows[i]]),
            reserved_tokens=int(kept[i][1]) + int(tokens[rows[i]]),
        )
        for i in range(count)
    ]
    return requests, lengths, rows


def at_rate(requests: Sequence[Request], rate_per_s: float) -> list[Request]:
    """The same requests, faster or slower."""
    return [replace(r, arrival_s=r.arrival_s / rate_per_s) for r in requests]


def sustains(
    problem: Problem, placement: Placement, requests: Sequence[Request], admission: Admission
) -> bool:
    """Whether nearly all requests start soon when each reserves the maximum."""
    result = simulate(
        problem, placement, WsRr(CostModel.of(problem), placement), requests, admission=admission
    )
    return bool(np.quantile(result.start_s - result.arrival_s, 0.95) <= 10.0)


def highest_rate(
    problem: Problem, placement: Placement, requests: Sequence[Request], admission: Admission
) -> float:
    """By bisection, to 2 %."""
    low, high = 0.05, 0.1
    while sustains(problem, placement, at_rate(requests, high), admission):
        low, high = high, 2 * high
    while high / low > 1.02:
        middle = (low * high) ** 0.5
        if sustains(problem, placement, at_rate(requests, middle), admission):
            low = middle
        else:
            high = middle
    return low


def main() -> None:
    """Print one table per waiting rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=30)
    parser.add_argument("--requests", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.6, 0.9, 1.0, 1.1])
    parser.add_argument("--admission", nargs="+", default=["retry", "queue"])
    parser.add_argument("--routing", action="store_true", help="time of one decision instead")
    given = parser.parse_args()
    if given.routing:
        routing(given.servers, given.sessions)
        return
    problem = swarm(given.servers)
    tokens = LONGEST_PROMPT + LIMIT
    problem = replace(problem, planning=replace(problem.planning, session_tokens=tokens))
    placement = place_blocks(CostModel.of(problem), given.sessions)
    for admission in given.admission:
        table(problem, placement, admission, given)


def routing(servers: int, sessions: int) -> None:
    """CPU time of one WS-RR decision while sessions come and go, by what is known."""
    problem = swarm(servers)
    tokens = LONGEST_PROMPT + LIMIT
    problem = replace(problem, planning=replace(problem.planning, session_tokens=tokens))
    placement = place_blocks(CostModel.of(problem), sessions)
    live = servers
    drawn, lengths, rows = workload(live + DECISIONS, 0, len(problem.clients))
    typical = replace(drawn[0], prompt_tokens=LONGEST_PROMPT, reserved_tokens=tokens)
    shapes = {"all alike, maximum": [replace(typical, id=r.id, client=r.client) for r in drawn]}
    for name, mode, quantile in MODES:
        use = LengthUse(mode=mode, quantile=quantile, limit_tokens=LIMIT)
        begin = time.process_time()
        shapes[name] = list(provided(drawn, use, known_of(lengths, rows)))
        spent = (time.process_time() - begin) / len(drawn)
        print(f"{name}: {spent * 1e6:.1f} us per request to attach what is known")
    print(f"\n{servers} servers, {live} live sessions, {DECISIONS} decisions")
    print("| what is known | servers full | median CPU ms | p95 CPU ms |")
    print("|---|---|---|---|")
    for name, requests in shapes.items():
        full, times = decisions(problem, placement, requests, live)
        median, p95 = np.median(times) * 1e3, np.quantile(times, 0.95) * 1e3
        print(f"| {name} | {full:.0%} | {median:.3f} | {p95:.3f} |", flush=True)


def decisions(
    problem: Problem, placement: Placement, requests: Sequence[Request], live: int
) -> tuple[float, list[float]]:
    """Share of servers too full for the representative session, and seconds per decision."""
    cost = CostModel.of(problem)
    state, router = SwarmState(cost, placement), WsRr(cost, placement)
    rng = np.random.default_rng(0)
    times, full = [], 0.0
    for number, one in enumerate(requests):
        begin = time.process_time()
        route = router(one, state, 0.0).route
        times.append(time.process_time() - begin)
        if number >= live:
            state.release(number - live)
        state.reserve(number, route, one.reserved_tokens, float(rng.uniform(1, 60)))
        if number == live:
            full = float((state.free_bytes < int(cost.session_bytes(0, 1))).mean())
    return full, times[live:]


def table(
    problem: Problem, placement: Placement, admission: Admission, given: argparse.Namespace
) -> None:
    """Mean over the seeds, at every share of the load that reserving the maximum sustains."""
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    drawn = [workload(given.requests, seed, len(problem.clients)) for seed in seeds]
    full = LengthUse(mode="maximum", limit_tokens=LIMIT)
    rates = []
    for requests, lengths, rows in drawn:
        half = given.requests // 2
        known = known_of(lengths, rows[:half])
        rates.append(
            highest_rate(problem, placement, provided(requests[:half], full, known), admission)
        )
    print(
        f"\nwaiting rule {admission}: {given.requests} requests, {given.seeds} seeds, "
        f"{given.servers} servers; maximum sustains {np.mean(rates):.3g} requests/s"
    )
    print(
        "| load | reservation | reserved output tokens | mean waiting s | against maximum "
        "| p95 waiting s | mean response s | overflowed | sent again |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for share in given.loads:
        base = 0.0
        for name, mode, quantile in MODES:
            runs = [
                one_run(
                    problem,
                    placement,
                    admission,
                    requests,
                    lengths,
                    rows,
                    rate * share,
                    LengthUse(mode=mode, quantile=quantile, limit_tokens=LIMIT),
                )
                for (requests, lengths, rows), rate in zip(drawn, rates, strict=True)
            ]
            mean = np.mean(runs, axis=0)
            base = base or float(mean[1])
            print(
                f"| {share:.0%} | {name} | {mean[0]:.0f} | {mean[1]:.2f} | "
                f"{mean[1] / base - 1 if base else 0:+.0%} | {mean[2]:.1f} | {mean[3]:.1f} | "
                f"{mean[4]:.1%} | {mean[5]:.2%} |",
                flush=True,
            )


def one_run(
    problem: Problem,
    placement: Placement,
    admission: Admission,
    requests: Sequence[Request],
    lengths: Lengths,
    rows: np.ndarray,
    rate_per_s: float,
    use: LengthUse,
) -> tuple[float, ...]:
    """Reserved tokens, mean and p95 waiting, mean response, share overflowed and sent again.

    Waiting is all time beyond that of the unloaded route that the request ended on: pauses after
    an overflow count, and so does sending tokens again.
    """
    known = provided(at_rate(requests, rate_per_s), use, known_of(lengths, rows))
    cost = CostModel.of(problem)
    result = simulate(problem, placement, WsRr(cost, placement), known, admission=admission)
    assert set(result.status) == {"completed"}
    plain = np.array(
        [
            cost.route_time(route, cost.shape(r.client, r.prompt_tokens, r.output_tokens)).total_s
            for r, route in zip(known, result.routes, strict=True)
            if route is not None
        ]
    )
    response = result.finish_s - result.arrival_s
    waiting = response - plain - problem.session_setup_s - problem.alloc_delay_s
    counted = slice(len(known) // 10, None)
    reserved = np.array([r.reserved_tokens - r.prompt_tokens for r in known])
    return (
        float(reserved[counted].mean()),
        float(waiting[counted].mean()),
        float(np.quantile(waiting[counted], 0.95)),
        float(response[counted].mean()),
        float((result.overflows[counted] > 0).mean()),
        float((result.replays[counted] > 0).mean()),
    )


if __name__ == "__main__":
    main()
