"""What a scenario gives: a plan, simulated runs, and where their time goes."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.content import FloatArray
from ..core.errors import SwarmplanError, SwarmplanWarning
from ..core.names import Admission, block_ranges
from ..core.plan import Placement, Route
from ..core.problem import Problem
from ..methods.draft import Known, Settings
from ..methods.draftrace import with_uses
from ..methods.routers import AnyRouter, router_name, router_of
from ..methods.table import AnyMethod, method_of
from ..perfmodel.cost import CostModel
from ..scenarios.scenario import Scenario
from ..simulator.engine import simulate
from ..simulator.metrics import Summary, summarise
from ..simulator.result import SimulationResult
from ..workload.draw import draw_requests

#: Parts of a response, in the order in which they happen.
PARTS = ("waiting", "prompt", "network", "overhead", "compute", "line")
Parts = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """How outcomes are made: one way to plan, the same requests for every outcome.

    Attributes
    ----------
    method : plans the placement and brings its router: a name, a method or a placement rule.
    router : in place of the method's own: a name, or what makes one.
    seeds : one simulated run each.
    time_limit_s : limit of one plan; None = none, which makes every method repeatable.
    """

    method: AnyMethod = "auto"
    router: AnyRouter | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    requests: int | None = None
    admission: Admission = "retry"
    time_limit_s: float | None = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFigures:
    """One client over all runs: means over its completed requests, seconds.

    Attributes
    ----------
    parts_s : response split into waiting for cache, prompt (with session set-up) and, for the
        tokens after the first, network, software overhead (the client's drafts included) and
        compute; last what tasks stood in line at servers that worked for others, losses, replays
        and the luck of drafts included.
    chain : the chain that most of its requests took, None without any.
    """

    client: str
    requests: int
    completed: int
    response_s: float
    ttft_s: float
    tpot_s: float
    hops: float
    parts_s: Parts
    chain: Route | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HopFigures:
    """One server as a hop: its span, who passes, and what a pass costs per token.

    Attributes
    ----------
    share : completed requests that passed here over all completed ones.
    token_s : network, overhead and compute of one decode step here, mean over the passes.
    """

    server: str
    start: int
    end: int
    share: float
    token_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One scenario under one plan.

    Attributes
    ----------
    runs : a summary per seed; empty when ``error`` says why nothing could be planned or served.
    uncovered : blocks that no server hosts.
    rooms : concurrent planned sessions that the caches hold at the tightest block.
    """

    label: str
    problem: Problem
    placement: Placement | None
    router: str
    runs: tuple[Summary, ...]
    clients: tuple[ClientFigures, ...]
    hops: tuple[HopFigures, ...]
    parts_s: Parts
    uncovered: tuple[int, ...]
    rooms: float
    error: str = ""

    @property
    def served(self) -> bool:
        """Whether some request completed."""
        return any(r.completed for r in self.runs)

    @property
    def response_s(self) -> float:
        """Mean response over the runs, seconds."""
        return float(np.mean([r.response_s.mean for r in self.runs])) if self.runs else np.nan


def outcome(
    scenario: Scenario, study: Study, label: str, *, known: Sequence[Known] = ()
) -> Outcome:
    """Plan a scenario and simulate the plan; a plan that cannot be made is an outcome too.

    Parameters
    ----------
    known : plans that are there already: none that does worse comes out of ``auto``.
    """
    settings = Settings(
        seed=study.seeds[0],
        time_limit_s=study.time_limit_s,
        admission=study.admission,
        known=tuple(known),
    )
    try:
        with warnings.catch_warnings():  # what loading said of small servers, once per plan
            warnings.simplefilter("ignore", SwarmplanWarning)
            draft = method_of(study.method)(scenario.problem, settings)
    except SwarmplanError as error:
        if error.exit_code not in (3, 4):
            raise
        return _nothing(scenario.problem, label, router_name(study.router or ""), str(error))
    draft = with_uses(draft, scenario.problem)
    drafted = replace(scenario, problem=scenario.problem.with_drafts(draft.drafts))
    return outcome_of(drafted, draft.placement, study.router or draft.router, study, label)


def outcome_of(
    scenario: Scenario, placement: Placement, router: AnyRouter, study: Study, label: str
) -> Outcome:
    """Simulate a given placement, servers at its precisions."""
    name = router_name(router)
    problem = placement.settled(scenario.problem)
    cost = CostModel.of(problem)
    missing = np.flatnonzero(placement.coverage(problem.model.num_blocks) == 0)
    if len(missing):
        dark = ", ".join(block_ranges(missing.tolist()))
        return _nothing(
            problem,
            label,
            name,
            f"no server hosts blocks {dark}: no request is served",
            placement=placement,
            uncovered=tuple(int(b) for b in missing),
        )
    results = []
    for seed in study.seeds:
        requests = draw_requests(problem, seed, num_requests=study.requests)
        made = router_of(router)(cost, placement)
        results.append(
            simulate(
                problem,
                placement,
                made,
                requests,
                admission=study.admission,
                events=scenario.events,
            )
        )
    clients = tuple(_client(cost, results, c) for c in range(len(problem.clients)))
    return Outcome(
        label=label,
        problem=problem,
        placement=placement,
        router=name,
        runs=tuple(summarise(r) for r in results),
        clients=clients,
        hops=_hops(cost, placement, results),
        parts_s=_mean_parts(clients),
        uncovered=(),
        rooms=_rooms(cost, placement),
        error=next((r.refusal for r in results if not r.done.any()), ""),
    )


def _nothing(
    problem: Problem,
    label: str,
    router: str,
    error: str,
    *,
    placement: Placement | None = None,
    uncovered: tuple[int, ...] = (),
) -> Outcome:
    return Outcome(
        label=label,
        problem=problem,
        placement=placement,
        router=router,
        runs=(),
        clients=(),
        hops=(),
        parts_s=(np.nan,) * 6,
        uncovered=uncovered,
        rooms=0.0,
        error=error,
    )


def _rooms(cost: CostModel, placement: Placement) -> float:
    """Sessions of the planned size that fit at once at the block with the least cache."""
    each = cost.session_bytes(placement.start, placement.end)
    per_block = placement.cache_bytes // np.maximum(each, 1)
    room = np.zeros(cost.num_blocks)
    for j in np.flatnonzero(placement.num_blocks):
        room[placement.start[j] : placement.end[j]] += per_block[j]
    return float(room.min())


def _client(cost: CostModel, results: Sequence[SimulationResult], client: int) -> ClientFigures:
    total = 0
    rows: list[tuple[float, ...]] = []
    chains: Counter[Route] = Counter()
    for result in results:
        mine = result.client == client
        total += int(mine.sum())
        for i in np.flatnonzero(mine & result.done).tolist():
            route = result.routes[i]
            rows.append(_request(cost, result, i, route))
            if route is not None:
                chains[route] += 1
    table = np.array(rows) if rows else np.full((1, 10), np.nan)
    mean = [float(np.mean(column[~np.isnan(column)])) if rows else np.nan for column in table.T]
    return ClientFigures(
        client=cost.problem.clients[client].id,
        requests=total,
        completed=len(rows),
        response_s=mean[0],
        ttft_s=mean[1],
        tpot_s=mean[2],
        hops=mean[3],
        parts_s=(mean[4], mean[5], mean[6], mean[7], mean[8], mean[9]),
        chain=chains.most_common(1)[0][0] if chains else None,
    )


def _request(
    cost: CostModel, result: SimulationResult, i: int, route: Route | None
) -> tuple[float, ...]:
    """Response, TTFT, time per token, hops, then the parts of the response, seconds."""
    wait = float(result.wait_s[i])
    ttft, response = float(result.ttft_s[i]), float(result.response_s[i])
    tpot = float(result.tpot_s[i]) if result.output_tokens[i] > 1 else np.nan
    decode = response - ttft
    if route is None:
        return response, ttft, tpot, 0.0, wait, ttft - wait, decode, 0.0, 0.0, 0.0
    client = int(result.client[i])
    tokens = int(result.prompt_tokens[i]), int(result.output_tokens[i])
    shape = cost.shape(client, *tokens, route)
    network, overhead, compute = cost.step_parts_s(route, shape)
    alone = cost.route_time(route, shape)
    prompt = min(ttft - wait, cost.opening_s + alone.ttft_s)
    steps = shape.steps * alone.tpot_s
    # A run with losses may end on a faster chain than it made most of its tokens on.
    scale = min(shape.steps, decode / alone.tpot_s) if steps > 0 else 0.0
    return (
        response,
        ttft,
        tpot,
        len(route.hops),
        wait,
        prompt,
        network * scale,
        (overhead + shape.draft_s) * scale,
        compute * scale,
        ttft - wait - prompt + decode - scale * alone.tpot_s,
    )


def _mean_parts(clients: Sequence[ClientFigures]) -> Parts:
    """Parts of the response, weighted by completed requests."""
    total = sum(c.completed for c in clients)
    if not total:
        return (np.nan,) * 6
    mean = np.sum([np.array(c.parts_s) * c.completed for c in clients if c.completed], axis=0)
    a, b, c, d, e, f = (float(v) / total for v in mean)
    return a, b, c, d, e, f


def _hops(
    cost: CostModel, placement: Placement, results: Sequence[SimulationResult]
) -> tuple[HopFigures, ...]:
    n = cost.problem.num_servers
    passes, seconds, done = np.zeros(n), np.zeros(n), 0
    known: dict[tuple[int, Route], int] = Counter()
    for result in results:
        for i, (route, status) in enumerate(zip(result.routes, result.status, strict=True)):
            if status == "completed" and route is not None:
                known[int(result.client[i]), route] += 1
    for (client, route), times in known.items():
        paid = cost.planned(client, route)
        done += times
        for hop in route.hops:
            passes[hop.server] += times
            run = paid.step_run_s(hop.server, hop.start, hop.end)
            step = paid.step_hop_s[hop.server] + run
            seconds[hop.server] += times * float(step)
    each: FloatArray = np.divide(seconds, passes, out=np.full(n, np.nan), where=passes > 0)
    return tuple(
        HopFigures(
            server=s.id,
            start=int(placement.start[j]),
            end=int(placement.end[j]),
            share=float(passes[j] / done) if done else 0.0,
            token_s=float(each[j]),
        )
        for j, s in enumerate(cost.problem.servers)
    )
