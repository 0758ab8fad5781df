"""What the simulator says of rounds of requests, and the overheads that rounds tell.

The counterpart of ``swarm.contend``: the same stations as a problem, with servers that work on one
task at a time and cut prompts as PETALS does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..core.drafting import Drafting, DraftModel, Use
from ..core.plan import Hop, Placement, Route
from ..core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from ..core.workload import Request, Workload
from ..perfmodel.cost import CostModel
from ..perfmodel.measurements import HopMeasurement
from ..perfmodel.overhead import HopOverhead
from ..routing.api import Decision, Router
from ..routing.overlap import Overlap
from ..simulator.engine import simulate
from .contend import Measured, Round, Station, Times

#: Positions that PETALS takes in one task without quantisation.
TASK_TOKENS = 128


def problem_of(stations: Sequence[Station], hop: HopOverhead, *, blocks: int) -> Problem:
    """The stations as the simulator sees them: one client, a runtime each."""
    servers = tuple(
        Server(
            id=s.name,
            memory_bytes=10**12,
            block_bytes=10**6,
            timing=known_timing(s),
            sharing="batched" if s.batched else "serial",
            task_overhead_s=hop.task_s,
            piece_delay_s=hop.piece_s,
        )
        for s in stations
    )
    rtt_s = np.array([[s.rtt_s for s in stations]])
    network = Network(
        client_rtt_s=rtt_s,
        server_rtt_s=np.zeros((len(stations), len(stations))),
        step_overhead_s=hop.step_s,
        prefill_overhead_s=hop.prefill_s,
        prefill_overhead_per_token_s=hop.per_prompt_token_s,
    )
    model = ModelSpec(
        name="small blocks",
        num_blocks=blocks,
        hidden_size=64,
        block_bytes=10**6,
        cache_bytes_per_token=512,
        activation_bytes_per_token=256,
    )
    return Problem(
        model=model,
        servers=servers,
        clients=(Client(id="here"),),
        network=network,
        workload=Workload(trace=()),
        planning=Planning(prompt_tokens=32, output_tokens=16, session_tokens=64),
    )


def known_timing(station: Station) -> Timing:
    """The timing of a station that has one: given, or told by its tasks."""
    if station.clock is None:
        raise ValueError(f"server {station.name} has not told yet how long its tasks take")
    return station.clock


def predict(problem: Problem, visits: Round) -> tuple[Times, ...]:
    """What the simulator says of a round: first and last tokens; evenly spaced between them."""
    row = {s.id: j for j, s in enumerate(problem.servers)}
    routes = {
        i: Route(hops=tuple(Hop(server=row[s], start=a, end=b) for s, a, b in visit.chain))
        for i, visit in enumerate(visits)
    }

    def given(request: Request, *_view: Any, **_rest: Any) -> Decision:
        return Decision(route=routes[request.id], cost_s=0.0)

    problem = drafted(problem, visits)
    placement = CostModel.of(problem).placed([(0, problem.model.num_blocks)] * problem.num_servers)
    return _simulated(problem, placement, given, visits)


def rehearse(
    problem: Problem, visits: Round, spans: Mapping[str, tuple[int, int]]
) -> tuple[Times, ...]:
    """The same where the router ``overlap`` chooses the chains over what the servers hold."""
    problem = drafted(problem, visits)
    cost = CostModel.of(problem)
    placement = cost.placed([spans[s.id] for s in problem.servers])
    return _simulated(problem, placement, Overlap(cost, placement), visits)


def drafted(problem: Problem, visits: Round) -> Problem:
    """The problem where the client drafts as the requests of a round say, all alike."""
    (drafter,) = {visit.drafter for visit in visits}
    if drafter is None:
        return problem
    model = DraftModel(acceptance=(drafter.acceptance,), draft_s=drafter.draft_s)
    return replace(problem, drafting=(Drafting(models=(model,), use=Use(drafter.tokens)),))


def _simulated(
    problem: Problem, placement: Placement, router: Router, visits: Round
) -> tuple[Times, ...]:
    requests = [visit.asked(i) for i, visit in enumerate(visits)]
    found = simulate(problem, placement, router, requests)
    return tuple(
        Times(tokens_s=tuple(np.linspace(first, whole, v.new_tokens).tolist()))
        for first, whole, v in zip(found.ttft_s, found.response_s, visits, strict=True)
    )


def hop_rows(
    stations: Sequence[Station], rounds: Sequence[Round], measured: Sequence[Measured]
) -> Iterator[tuple[HopMeasurement, Timing]]:
    """What rounds of equal clients on one hop tell: first tokens of one alone, steps of all."""
    station = {s.name: s for s in stations}
    for visits, found in zip(rounds, measured, strict=True):
        (name, start, end), *rest = visits[0].chain
        if rest or any(v.chain != visits[0].chain for v in visits):
            raise ValueError("overheads are told by clients that share a chain of one hop")
        rtt_s, blocks, timing = station[name].rtt_s, end - start, known_timing(station[name])
        prompt = visits[0].prompt_tokens
        if len(visits) == 1:
            first = HopMeasurement(
                what="first",
                tokens=prompt,
                clients=1,
                blocks=blocks,
                tasks=blocks if prompt > TASK_TOKENS else 1,
                rtt_s=rtt_s,
                seconds=found.times[0].first_s,
            )
            yield first, timing
        step = HopMeasurement(
            what="step",
            tokens=prompt + visits[0].new_tokens // 2,
            clients=len(visits),
            blocks=blocks,
            tasks=1,
            rtt_s=rtt_s,
            seconds=together_s(visits, found.times),
        )
        yield step, timing


def together_s(visits: Round, times: Sequence[Times]) -> float:
    """Median time per token while all clients step."""
    stamps = [
        [visit.at_s + t for t in told.tokens_s] for visit, told in zip(visits, times, strict=True)
    ]
    begin, end = max(s[0] for s in stamps), min(s[-1] for s in stamps)
    gaps = [b - a for s in stamps for a, b in pairwise(s) if begin <= a and b <= end]
    if not gaps:
        raise ValueError("no client made a token while all were there: more tokens are needed")
    return float(np.median(gaps))
