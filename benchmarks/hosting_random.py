"""Precisions on random swarms: never worse than a plain choice, and no request above its budget.

``hosting.py dominance``, ``hosting.py frontier`` and ``hosting.py budgets`` run it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from swarmplan import api
from swarmplan.chains.soundness import misplaced, overfull
from swarmplan.core.accuracy import Accuracy
from swarmplan.core.errors import HeuristicFailedError, InfeasibleError, NoSolutionInTimeError
from swarmplan.core.events import ServerEvent
from swarmplan.core.problem import (
    Client,
    ModelSpec,
    Network,
    Planning,
    Problem,
    Server,
    Timing,
    Variant,
)
from swarmplan.core.workload import Lengths, RequestClass, Workload
from swarmplan.methods.draft import Settings
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.precise.solve import solve_precise
from swarmplan.placement.sessions import task_of
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.scenarios.generate import generate
from swarmplan.simulator.engine import simulate
from swarmplan.solve.deadline import Deadline
from swarmplan.studies.accuracy import Tradeoff, tradeoffs
from swarmplan.workload.draw import draw_requests

PRECISIONS = ("bf16", "int8", "nf4")
#: Weights of a block beside those of 16 bit, and its time beside that of 16 bit at the most.
SIZES, SLOWEST = {"bf16": 1.0, "int8": 0.5, "nf4": 0.27}, {"bf16": 1.0, "int8": 6.0, "nf4": 2.0}
#: Memory of servers beside the whole model at 16 bit.
LARGE, SMALL = (0.5, 1.1), (0.15, 0.5)
#: Of one solution; a few of a hundred joint ones are not proven by then, on a busy machine.
LIMIT_S = 60.0
#: What counts as worse, relative.
WORSE = 1e-6
#: Swarms whose frontier is made, and CPU seconds for it.
FRONTIERS = ((14, 1.0), (200, 30.0))
#: Requests of one swarm, and routers that serve them in turn.
REQUESTS, ROUTERS = 2_000, ("ws-rr", "overlap", "jffc", "fastest-free", "petals", "shortest")


def random_swarm(rng: np.random.Generator) -> Problem:
    """Four to eight servers, two sizes, six to twelve blocks, two clients with budgets."""
    length, n = int(rng.integers(6, 13)), int(rng.integers(4, 9))
    block = int(rng.integers(500, 1_500))
    each = {p: np.round(rng.uniform(0.3, 1.7, length), 3) for p in PRECISIONS}
    harm = {"bf16": np.zeros(length), "int8": 0.02 * each["int8"], "nf4": each["nf4"]}
    servers = []
    for j in range(n):
        large = bool(rng.integers(0, 2))
        base_s = float(rng.uniform(0.002, 0.02))
        variants = tuple(
            Variant(
                precision=p,
                block_bytes=max(1, round(block * SIZES[p])),
                timing=Timing(
                    decode_base_s=base_s * float(rng.uniform(0.6, max(0.7, SLOWEST[p]))),
                    prefill_base_s=base_s,
                ),
            )
            for p in PRECISIONS
        )
        servers.append(
            Server(
                id=f"s{j}",
                device="large" if large else "small",
                memory_bytes=int(block * length * rng.uniform(*(LARGE if large else SMALL))),
                block_bytes=variants[0].block_bytes,
                timing=variants[0].timing,
                precision="bf16",
                variants=variants,
            )
        )  # fmt: skip
    worst = float(harm["nf4"].sum())
    tokens = Lengths(values=(10,))
    return Problem(
        model=ModelSpec(
            name="random",
            num_blocks=length,
            hidden_size=64,
            block_bytes=block,
            cache_bytes_per_token=1,
            activation_bytes_per_token=128,
        ),
        servers=tuple(servers),
        clients=(Client(id="a"), Client(id="b")),
        network=Network(
            client_rtt_s=rng.uniform(0.001, 0.1, (2, n)), server_rtt_s=np.zeros((n, n))
        ),
        workload=Workload(
            classes=tuple(
                RequestClass(client=c, rate_per_s=1.0, prompt_tokens=tokens, output_tokens=tokens)
                for c in range(2)
            )
        ),
        planning=Planning(prompt_tokens=10, output_tokens=10, session_tokens=20),
        accuracy=Accuracy(
            harm=tuple((p, tuple(map(float, harm[p]))) for p in PRECISIONS),
            budgets=tuple(map(float, worst * rng.choice([0.1, 0.25, 0.5, 0.75, 1.0], 2))),
        ),
    )


def dominance(swarms: int, seed: int) -> bool:
    """The joint plan beside every uniform choice and the owner's rule, all within the budgets."""
    rng = np.random.default_rng(seed)
    compared = beaten = lost = 0
    for _ in range(swarms):
        drawn = random_swarm(rng)
        # Slots for compute, which the method plans for, are no part of the comparison.
        alone = tuple(replace(s, sharing="independent") for s in drawn.servers)
        problem = replace(drawn, servers=alone)
        joint = _joint_s(problem)
        rule = ["int8" if s.device == "large" else "nf4" for s in problem.servers]
        for names in (*([p] * problem.num_servers for p in PRECISIONS), rule):
            plain = _least_s(problem.at_precisions(names).fixed)
            if plain is None:
                continue
            compared += 1
            lost += joint is None or joint > plain * (1 + WORSE)
            beaten += joint is not None and joint < plain * (1 - WORSE)
    print(f"{swarms} swarms, {compared} plain choices within the budgets: {beaten} beaten,")
    print(f"{lost} better than the joint plan")
    return not lost


def _joint_s(problem: Problem) -> float | None:
    """The step time of the plan of ``exact``; None where it finds none."""
    try:
        made = api.plan(problem, "exact", sessions=3, settings=Settings(time_limit_s=LIMIT_S))
    except (HeuristicFailedError, InfeasibleError, NoSolutionInTimeError):
        return None
    return made.certificate.objective.value


def _least_s(problem: Problem) -> float | None:
    """The step time of the best plan that was found; None where there is none."""
    task = task_of(problem.at_lightest(), sessions=3, deadline=Deadline.after(LIMIT_S))
    try:
        return solve_precise(task)[2].objective.value
    except (InfeasibleError, NoSolutionInTimeError):
        return None


def frontier(seed: int) -> bool:
    """Time against accuracy on generated swarms whose servers choose: sound, monotone, how fast."""
    kept = True
    for servers, limit_s in FRONTIERS:
        document = generate("geographic", servers=servers, clients=4, seed=seed)
        for group in document["servers"]:
            group.pop("quantisation", None)
            group["precisions"] = list(PRECISIONS)
        problem = build(msgspec.convert(document, schema.Scenario), Path()).problem
        began_s = time.process_time()
        found = tradeoffs(problem, sessions=4)
        spent_s = time.process_time() - began_s
        wrong = sum(len(_faults(problem, point)) for point in found)
        falling = all(a.step_s < b.step_s and a.harm > b.harm for a, b in pairwise(found))
        kept = kept and not wrong and falling and spent_s <= limit_s
        print(
            f"{servers} servers: {len(found)} points from {found[0].step_s * 1e3:.1f} ms at "
            f"{found[0].harm:.3g} to {found[-1].step_s * 1e3:.1f} ms at {found[-1].harm:.3g}, "
            f"{'monotone' if falling else 'NOT monotone'}, {wrong} do not verify, "
            f"{spent_s:.2f} CPU s of {limit_s:g}",
            flush=True,
        )
    return kept


def _faults(problem: Problem, point: Tradeoff) -> list[object]:
    """What is wrong with a point's plan."""
    cost = CostModel(problem.at_precisions(list(point.placement.precision)))
    route = point.routes[0].route
    harm = abs(cost.route_harm(route) - point.harm) > 1e-9
    return [
        *misplaced(cost, point.placement),
        *overfull(cost, point.placement, point.routes),
        *(["harm"] if harm else []),
    ]


def budgets(requests: int, seed: int) -> bool:
    """Simulated requests with failures: the harm of every route against its client's budget."""
    rng = np.random.default_rng(seed)
    served = above = swarms = 0
    while served < requests:
        problem = random_swarm(rng)
        names = rng.choice(PRECISIONS, problem.num_servers).tolist()
        settled = problem.at_precisions(names)
        cost = CostModel(settled)
        most = [int(m) for m in problem.memory_bytes // cost.weights_bytes.cheapest_block()]
        spans = []
        for j in range(problem.num_servers):
            count = max(1, min(problem.model.num_blocks, most[j] - 1))
            start = int(rng.integers(0, problem.model.num_blocks - count + 1))
            spans.append((start, start + count))
        placement = cost.placed(spans)
        if not placement.coverage(problem.model.num_blocks).all():
            continue
        swarms += 1
        drawn = draw_requests(settled, swarms, num_requests=REQUESTS)
        last_s = max(r.arrival_s for r in drawn)
        events = []
        for at_s in np.sort(rng.uniform(0, last_s, 20)).tolist():
            server = int(rng.integers(0, problem.num_servers))
            events += [ServerEvent(time_s=at_s, server=server, up=False),
                       ServerEvent(time_s=at_s + last_s / 40, server=server, up=True)]  # fmt: skip
        router = ROUTERS[swarms % len(ROUTERS)]
        found = simulate(
            settled, placement, router_named(router)(cost, placement), drawn, events=events
        )
        for client, route in zip(found.client.tolist(), found.routes, strict=True):
            if route is not None:
                served += 1
                above += cost.route_harm(route) > float(cost.budgets[client]) + 1e-12
    print(f"{served} requests on {swarms} swarms with failures: {above} above their budget")
    return not above
