"""Instances of the offline problem that tests of several methods share."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from swarmplan.chains.soundness import unmet
from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Demand, Lengths, RequestClass, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.task import Task
from swarmplan.tests.chains.every import every_chain

BYTES = 1_000_000
BLOOM = ModelSpec(
    name="BLOOM-176B",
    num_blocks=70,
    hidden_size=14336,
    block_bytes=1_323_397_667,
    cache_bytes_per_token=57_344,
    activation_bytes_per_token=28_672,
)


def toy(blocks: int, cache: float) -> ModelSpec:
    """A model whose blocks are 1 MB, with so many MB of cache per token and block."""
    return ModelSpec(
        name="toy",
        num_blocks=blocks,
        hidden_size=8,
        block_bytes=BYTES,
        cache_bytes_per_token=round(cache * BYTES),
        activation_bytes_per_token=16,
    )


def bare(spans: Sequence[tuple[int, int]]) -> Placement:
    """A placement without caches; a span that ends where it begins is none."""
    return Placement(
        start=np.array([s if e > s else 0 for s, e in spans]),
        end=np.array([e if e > s else 0 for s, e in spans]),
        cache_bytes=np.zeros(len(spans), dtype=np.int64),
    )


def forty_blocks(servers: int, clients: int) -> Problem:
    """A drawn instance that is too large to be solved at once."""
    rng = np.random.default_rng(7)
    return offline(
        blocks=40,
        tau_ms=rng.uniform(2, 15, servers).tolist(),
        memory=rng.uniform(9, 24, servers).tolist(),
        cache=0.1,
        hop_ms=rng.uniform(20, 200, (clients, servers)).tolist(),
        each=6,
    )


def offline(
    *,
    blocks: int,
    tau_ms: list[float],
    memory: list[float],
    cache: float,
    hop_ms: list[list[float]],
    each: int = 1,
    block: list[float] | None = None,
    relay: Relay = "client",
    caps: list[int | None] | None = None,
) -> Problem:
    """An instance; memory, cache and blocks (1 each when left out) in MB, ``each``: per client."""
    n = len(tau_ms)
    lengths = Lengths(values=(20,))
    weights = block or [1.0] * n
    return Problem(
        model=toy(blocks, cache),
        servers=tuple(
            Server(
                id=f"s{j}",
                memory_bytes=round(memory[j] * BYTES),
                block_bytes=round(weights[j] * BYTES),
                max_blocks=caps[j] if caps else None,
                timing=Timing(decode_base_s=tau_ms[j] / 1e3),
            )
            for j in range(n)
        ),
        clients=tuple(Client(id=f"c{c}") for c in range(len(hop_ms))),
        network=Network(
            client_rtt_s=np.array(hop_ms) / 1e3,
            server_rtt_s=np.full((n, n), 0.01) - np.eye(n) / 100,
            relay=relay,
        ),
        workload=Workload(
            classes=tuple(
                RequestClass(client=c, rate_per_s=1.0, prompt_tokens=lengths, output_tokens=lengths)
                for c in range(len(hop_ms))
            )
        ),
        planning=Planning(
            prompt_tokens=20, output_tokens=20, session_tokens=1, sessions=each * len(hop_ms)
        ),
    )


def jobs(
    *,
    blocks: int,
    memory: list[float],
    comm_s: list[float],
    block_s: list[float],
    cache: float = 0.1,
    rate_per_s: float = 1.0,
) -> Problem:
    """Whole-job times as given: requests of one output token, so only the prompt costs."""
    one = Lengths(values=(1,))
    n = len(memory)
    return Problem(
        model=toy(blocks, cache),
        servers=tuple(
            Server(
                id=f"j{j + 1}",
                memory_bytes=round(memory[j] * BYTES),
                block_bytes=BYTES,
                timing=Timing(decode_base_s=0.0, prefill_base_s=block_s[j]),
            )
            for j in range(n)
        ),
        clients=(Client(id="c"),),
        network=Network(client_rtt_s=np.array([comm_s]), server_rtt_s=np.zeros((n, n))),
        workload=Workload(
            classes=(
                RequestClass(client=0, rate_per_s=rate_per_s, prompt_tokens=one, output_tokens=one),
            )
        ),
        planning=Planning(prompt_tokens=1, output_tokens=1, session_tokens=1),
    )


def uneven(problem: Problem, rng: np.random.Generator) -> Problem:
    """The same swarm for a model of which every block has its own weights, cache and times.

    The first server keeps one figure for all of its blocks.
    """
    length = problem.model.num_blocks

    def sizes(mean: int) -> tuple[int, ...]:
        return tuple(max(1, int(mean * factor)) for factor in rng.uniform(0.3, 1.7, length))

    def times(mean: Timing) -> tuple[Timing, ...]:
        factors = rng.uniform(0.3, 1.7, length).tolist()
        return tuple(
            replace(
                mean,
                decode_base_s=factor * mean.decode_base_s,
                prefill_base_s=factor * mean.prefill_base_s,
            )
            for factor in factors
        )

    def server(given: Server) -> Server:
        assert isinstance(given.block_bytes, int)
        assert isinstance(given.timing, Timing)
        return replace(given, block_bytes=sizes(given.block_bytes), timing=times(given.timing))

    cache = problem.model.cache_bytes_per_token
    assert isinstance(cache, int)
    first, *rest = problem.servers
    model = replace(problem.model, cache_bytes_per_token=sizes(cache))
    return replace(problem, model=model, servers=(first, *map(server, rest)))


def lopsided(problem: Problem, rng: np.random.Generator) -> Problem:
    """The same swarm for a model some of whose blocks weigh a twentieth, keep the latest tokens
    alone or a state, and take less time."""
    light = rng.random(problem.model.num_blocks) < 0.5
    light[rng.choice(len(light), 2, replace=False)] = True, False

    def server(given: Server) -> Server:
        assert isinstance(given.block_bytes, int)
        assert isinstance(given.timing, Timing)
        size, slow = given.block_bytes, given.timing
        quick = replace(slow, decode_base_s=0.25 * slow.decode_base_s)
        return replace(
            given,
            block_bytes=tuple(size // 20 if few else size for few in light),
            timing=tuple(quick if few else slow for few in light),
        )

    model = replace(
        problem.model,
        cache_bytes_per_token=tuple(rng.choice([0, 10], len(light)).tolist()),
        window_tokens=tuple(rng.choice([5, 1_000], len(light)).tolist()),
        state_bytes=tuple(rng.choice([30, 200], len(light)).tolist()),
    )
    return replace(problem, model=model, servers=tuple(map(server, problem.servers)))


def heavy_tailed(*memory: float) -> Problem:
    """Six blocks, the last of which weighs as much as three; servers of these MB, 0.1 MB a session.

    3.5 MB hold the last block alone, 6.2 MB all others: by the heaviest run of as many blocks
    neither would hold so much.
    """
    n = len(memory)
    hop_ms = [[5.0 + j for j in range(n)]]
    even = offline(blocks=6, tau_ms=[1.0] * n, memory=[*memory], cache=0.1, hop_ms=hop_ms)
    sizes = (BYTES,) * 5 + (3 * BYTES,)
    return replace(even, servers=tuple(replace(s, block_bytes=sizes) for s in even.servers))


def task_for(problem: Problem, demand: Sequence[Demand], **asked: Any) -> Task:
    """A task for these very sessions, in place of R split by the load."""
    sessions = sum(d.sessions for d in demand)
    return Task(cost=CostModel.of(problem), sessions=sessions, demand=tuple(demand), **asked)


def spans(placement: Placement) -> list[tuple[int, int]]:
    """(start, end) of every server."""
    return list(zip(placement.start.tolist(), placement.end.tolist(), strict=True))


def fits_alone(cost: CostModel, route: Route, tokens: int) -> bool:
    """Whether every server of a route may host its part of the model and holds a session on it."""
    problem = cost.problem
    return all(
        len(h) <= problem.max_blocks[h.server]
        and cost.weights_bytes(h.server, h.start, h.end) + cost.cache_bytes(tokens, h.start, h.end)
        <= problem.memory_bytes[h.server]
        for h in route.hops
    )


def every_route(problem: Problem) -> Iterator[Route]:
    """All orders of servers and all shares of the blocks, whether they fit or not."""
    length = problem.model.num_blocks
    for count in range(1, min(problem.num_servers, length) + 1):
        for servers in itertools.permutations(range(problem.num_servers), count):
            for inner in itertools.combinations(range(1, length), count - 1):
                edges = itertools.pairwise((0, *inner, length))
                hops = zip(servers, edges, strict=True)
                yield Route(hops=tuple(Hop(server=j, start=s, end=e) for j, (s, e) in hops))


def best_plan_s(problem: Problem, demand: Sequence[Demand]) -> float:
    """The optimum by trying all placements that meet all demands, and all ways to route; inf when
    there is none."""
    cost, length = CostModel.of(problem), problem.model.num_blocks
    demanding = problem.planning.constraints.shapes_placement
    every = [(0, 0), *itertools.combinations(range(length + 1), 2)]
    options = [
        [
            (s, e)
            for s, e in every
            if e - s <= problem.max_blocks[j] and cost.weights_bytes(j, s, e) <= memory
        ]
        for j, memory in enumerate(problem.memory_bytes.tolist())
    ]
    sessions = [d for d in demand for _ in range(d.sessions)]
    best = float("inf")
    for chosen in itertools.product(*options):
        placement = cost.placed(chosen)
        if demanding and any(unmet(cost, placement)):
            continue
        routes = list(every_chain(placement, length))
        if routes:
            best = min(best, _cheapest_routing_s(cost, sessions, routes, placement, best))
    return best


def _cheapest_routing_s(
    cost: CostModel,
    sessions: Sequence[Demand],
    routes: Sequence[Route],
    placement: Placement,
    best: float,
) -> float:
    """The cheapest way to put every session on a route within the memory; at most ``best``."""
    paid = [
        [d.weight_tokens * cost.step_s(r, cost.planned(d.client)) for r in routes] for d in sessions
    ]
    least = [min(p) for p in paid]

    def assign(i: int, total: float, spare: list[int], first: int) -> None:
        nonlocal best
        if total + sum(least[i:]) >= best * (1 - 1e-12):
            return
        if i == len(sessions):
            best = total
            return
        same = i > 0 and sessions[i - 1] is sessions[i]
        for number in range(first if same else 0, len(routes)):
            left = list(spare)
            for hop in routes[number].hops:
                left[hop.server] -= cost.cache_bytes(sessions[i].cache_tokens, hop.start, hop.end)
            if min(left) >= 0:
                assign(i + 1, total + paid[i][number], left, number)

    assign(0, 0.0, placement.cache_bytes.tolist(), 0)
    return best


def golden(folder: Path) -> Iterator[tuple[str, Problem, dict[str, Any]]]:
    """Name, problem and expected answer of every tiny golden case."""
    for path in sorted((folder / "golden" / "bprr").glob("tiny_*.json")):
        case = json.loads(path.read_text())
        given = case["inputs"]
        problem = offline(
            blocks=given["L"],
            tau_ms=given["tau"],
            memory=given["M"],
            cache=given["sc"],
            hop_ms=given["RTT"],
            each=given["n_request_client"],
        )
        yield case["name"], problem, case["expected"]["milp"]
