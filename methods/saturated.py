"""What a placement serves when there is always somebody waiting: tokens per second, simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..chains.compose import client_shares
from ..core.content import FloatArray
from ..core.names import Admission
from ..core.plan import Placement, Throughput, Trial
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.fluid import beyond, fluid
from ..perfmodel.memory import max_sessions
from ..simulator.engine import simulate
from ..simulator.metrics import Interval
from ..simulator.result import SimulationResult
from ..workload.draw import draw_requests
from ..workload.load import at_load
from .routers import router_named

#: Requests of a run: so many times those that there is room for, and limits; where these leave less
#: than ``ENOUGH`` times as many as there is room for, that many up to ``LARGEST``.
TIMES, FEWEST, MOST = 3, 300, 3_000
ENOUGH, LARGEST = 1.33, 15_000
#: Runs of more than ``MOST`` requests end after so many times what a session lasts.
LASTS = 1.25
#: Of the requests that start after the first ones so many are not counted.
SETTLING = 0.3
#: Parts of the window whose means tell the interval.
PARTS = 10
#: Who waits stands in one line.
ADMISSION: Admission = "queue"
#: Shares of what is sustained for which latencies are told, and requests of such a run.
PART_LOADS, PART_REQUESTS = (0.25, 0.5, 0.8, 0.9), 400
#: Those that are told in words beside the table.
TOLD = (0.5, 0.8)
#: Offset of the seeds of these requests from those of reports.
SEED_OFFSET = 6_543_210
_NOTHING = Throughput(
    decode_per_s=0.0,
    prompt_per_s=0.0,
    half_width_per_s=0.0,
    requests_per_s=0.0,
    token_s=0.0,
    first_token_s=0.0,
    sessions=0.0,
    window_s=0.0,
)


def trial_for(cost: CostModel, seed: int, placement: Placement | None = None) -> Trial:
    """The requests that a problem's placements are compared on.

    Parameters
    ----------
    placement : a good one of servers that batch, which may have room for more than is sure.
    """
    sessions = float(max_sessions(cost))
    if placement is not None and not cost.serial.all() and not beyond(cost):
        sessions = max(sessions, fluid(cost, client_shares(cost.problem), placement).room)
    count = min(max(TIMES * sessions, FEWEST), MOST)
    count = int(max(count, min(ENOUGH * sessions, LARGEST)))
    return Trial(seed=SEED_OFFSET + seed, requests=count, admission=ADMISSION)


def saturated(cost: CostModel, placement: Placement, router: str, trial: Trial) -> Throughput:
    """What a placement serves while all requests of a trial wait from the beginning.

    From the start of the first requests that wait, a while later, to the start of the last one
    everything is full. Zeros where nothing is served.
    """
    drawn = draw_requests(cost.problem, trial.seed, num_requests=trial.requests)
    made, until_s = router_named(router)(cost, placement), _long_enough_s(cost, placement, trial)
    found = simulate(
        cost.problem,
        placement,
        made,
        _at_once(drawn),
        admission=trial.admission,
        horizon_s=until_s,
    )
    return figures(found, *window(found))


def _long_enough_s(cost: CostModel, placement: Placement, trial: Trial) -> float | None:
    """Until when a run of many requests is worth its time: as long as a session lasts, and a
    quarter. None = to its end.
    """
    if trial.requests <= MOST or beyond(cost):
        return None
    found = fluid(cost, client_shares(cost.problem), placement)
    return LASTS * found.room / found.rate_per_s if found.rate_per_s else None


def best_of(runs: Sequence[Throughput], *, batched: bool) -> int:
    """The number of the run that served most.

    Where servers batch, more sessions in flight buy tokens with time per token: of runs that the
    intervals do not tell from the most the one with the least time per token.
    """
    most = max(runs, key=lambda run: run.decode_per_s)
    if not batched:
        return runs.index(most)

    def alike(run: Throughput) -> bool:
        within = math.hypot(run.half_width_per_s, most.half_width_per_s)
        return most.decode_per_s - run.decode_per_s <= within

    return min((i for i, run in enumerate(runs) if alike(run)), key=lambda i: runs[i].token_s)


def with_part_loads(
    cost: CostModel, placement: Placement, router: str, trial: Trial, found: Throughput
) -> Throughput:
    """The same with the latencies at parts of the load, requests arriving at random."""
    rate = cost.problem.workload.rate_per_s
    if not (rate and found.requests_per_s):
        return found
    parts = []
    for share in PART_LOADS:
        problem = at_load(cost.problem, share * found.requests_per_s / rate)
        own = CostModel.of(problem)
        drawn = draw_requests(problem, trial.seed + 1, num_requests=PART_REQUESTS)
        made = router_named(router)(own, placement)
        run = simulate(problem, placement, made, drawn, admission=trial.admission)
        late = np.arange(len(drawn)) >= SETTLING * len(drawn)
        parts.append((share, _mean(run.tpot_s[late]), _mean(run.ttft_s[late])))
    return replace(found, part_loads=tuple(parts))


def in_words(found: Throughput) -> str:
    """Tokens per second and the latency that goes with them, in a line."""
    parts = "".join(
        f"; at {share:g} of it {token_s:.3g} s per token, first token {first_s:.3g} s"
        for share, token_s, first_s in reversed(found.part_loads)
        if share in TOLD
    )
    return (
        f"full: {found.decode_per_s:.4g} +- {found.half_width_per_s:.2g} decode tokens/s and "
        f"{found.prompt_per_s:.4g} prompt tokens/s with {found.sessions:.4g} sessions in flight, "
        f"{found.token_s:.3g} s per token, first token {found.first_token_s:.3g} s after the start"
        f"{parts}"
    )


def _at_once(requests: Sequence[Request]) -> list[Request]:
    return [replace(r, arrival_s=0.0) for r in requests]


def window(found: SimulationResult) -> tuple[float, float]:
    """From when to when everything was full."""
    started = np.sort(found.start_s[~np.isnan(found.start_s)])
    if not len(started):
        return 0.0, 0.0
    first = int((started <= 0.0).sum())
    if first >= 0.9 * len(started):  # there is room for all of them
        return 0.0, float(np.nanmin(found.finish_s))
    at = first + int(SETTLING * (len(started) - first))
    return float(started[min(at, len(started) - 1)]), float(started[-1])


def figures(found: SimulationResult, begin_s: float, end_s: float) -> Throughput:
    """Figures of a run between two instants.

    A session is taken to make its tokens evenly from its first one to its last.
    """
    if not end_s > begin_s:
        return _NOTHING
    edges = np.linspace(begin_s, end_s, PARTS + 1)
    rates = np.diff(_tokens_until(found, edges)) / np.diff(edges)
    decode = float(rates.mean())
    first, last = found.first_token_s, np.where(
        np.isnan(found.finish_s), found.end_s, found.finish_s
    )  # fmt: skip
    prompted = (first >= begin_s) & (first < end_s)
    counted = (found.finish_s >= begin_s) & (found.finish_s < end_s)
    present = np.clip(last, begin_s, end_s) - np.clip(found.start_s, begin_s, end_s)
    mean_tokens = max(float(found.output_tokens.mean()) - 1.0, 1.0)
    return Throughput(
        decode_per_s=decode,
        prompt_per_s=float(found.prompt_tokens[prompted].sum()) / (end_s - begin_s),
        half_width_per_s=Interval.of(rates.tolist()).half_width,
        requests_per_s=decode / mean_tokens,
        token_s=_mean(found.tpot_s[counted]),
        first_token_s=_mean((first - found.start_s)[prompted]),
        sessions=float(np.nansum(present)) / (end_s - begin_s),
        window_s=end_s - begin_s,
    )


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _tokens_until(found: SimulationResult, at_s: FloatArray) -> FloatArray:
    """Tokens after the first ones that all sessions have made by some instants."""
    first = found.first_token_s
    going = ~np.isnan(first) & (found.made > 1)
    last = np.where(np.isnan(found.finish_s), found.end_s, found.finish_s)[going]
    made, first = (found.made[going] - 1).astype(np.float64), first[going]
    share = np.clip((at_s[:, None] - first) / np.maximum(last - first, 1e-9), 0.0, 1.0)
    total: FloatArray = share @ made
    return total
