"""Who loads which adapter: fewest loads, then least memory, against enumeration."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.adapters import Adapter
from swarmplan.core.content import FloatArray
from swarmplan.core.errors import SolverError
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.adapters import adapter_bytes
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.adapters import SLOWER, Dealing, Lane, at_once, loads
from swarmplan.solve.deadline import NEVER
from swarmplan.solve.lp import Lp
from swarmplan.tests.placement.offline import offline

SPANS = [(0, 2), (0, 2), (2, 4), (2, 4)]
CHAINS = [(0, 2), (1, 2), (0, 3), (1, 3)]


def problem_of(adapters: list[str], sizes: dict[str, int]) -> Problem:
    """Four servers, two halves of four blocks twice; a client for each adapter."""
    count = len(adapters)
    plain = offline(
        blocks=4,
        tau_ms=[1.0, 2.0, 3.0, 4.0],
        memory=[1_000.0] * 4,
        cache=0.1,
        hop_ms=[[10.0, 20.0, 30.0, 40.0]] * count,
    )
    return replace(
        plain,
        servers=tuple(replace(s, adapters=None) for s in plain.servers),
        clients=tuple(replace(c, adapter=a) for c, a in zip(plain.clients, adapters, strict=True)),
        adapters=tuple(Adapter(id=name, block_bytes=size) for name, size in sizes.items()),
    )


def dealing_of(
    times: FloatArray, share: FloatArray, most: list[float], spare: list[int]
) -> Dealing:
    lanes = []
    for servers in CHAINS:
        use = np.zeros(8)
        use[list(servers)] = 1.0
        hops = tuple(Hop(server=j, start=SPANS[j][0], end=SPANS[j][1]) for j in servers)
        lanes.append(Lane(route=Route(hops=hops), use=use))
    return Dealing(
        lanes=tuple(lanes),
        share=share,
        time_s=times,
        most=np.array([*most, *[np.inf] * 4]),
        spare_bytes=np.array(spare),
    )


def least_time(dealing: Dealing, asked: list[str], loaded: set[tuple[int, str]]) -> float:
    """The mean time with these loads by a programme of its own; inf where none serves all."""
    lp = Lp()
    whole = [lp.add_row({}, 1.0, 1.0) for _ in asked]
    rows = [lp.add_row({}, -np.inf, float(m)) for m in dealing.most]
    for c, name in enumerate(asked):
        for k, lane in enumerate(dealing.lanes):
            if any((j, name) not in loaded for j in lane.route.servers):
                continue
            share = float(dealing.share[c])
            entries = {whole[c]: 1.0}
            entries |= {rows[r]: share * float(lane.use[r]) for r in np.flatnonzero(lane.use)}
            lp.add_column(share * float(dealing.time_s[c, k]), entries)
    try:
        found = lp.solve(NEVER)
    except SolverError:
        return np.inf
    return np.inf if found is None else found.objective


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_loads_are_the_fewest_and_then_the_smallest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked = ["a", "b", *rng.choice(["a", "b"], 1).tolist()]
    sizes = {"a": int(rng.integers(1, 30)), "b": int(rng.integers(1, 30))}
    problem = problem_of(asked, sizes)
    cost = CostModel.of(problem)
    placement = cost.placed(SPANS)
    share = rng.dirichlet(np.ones(3))
    times = rng.integers(10, 14, (3, 4)).astype(float)
    most = rng.choice([0.6, 0.8, 1.0], 4).tolist()
    spare = rng.choice([0, 20, 60, 200], 4).tolist()
    dealing = dealing_of(times, share, most, spare)
    found = loads(cost, placement, dealing, NEVER)
    memory = adapter_bytes(cost, placement)
    pairs = list(product(range(4), ("a", "b")))
    least_s = least_time(dealing, asked, set(pairs))
    best = {True: (np.inf, np.inf), False: (np.inf, np.inf)}
    for own in chain.from_iterable(combinations(pairs, n) for n in range(9)):
        taken = [sum(int(memory[a][j]) for i, a in own if i == j) for j in range(4)]
        if any(t > s for t, s in zip(taken, spare, strict=True)):
            continue
        time_s = least_time(dealing, asked, set(own))
        for fast in (True, False):
            if time_s <= (1.0 + SLOWER) * least_s + 1e-9 if fast else np.isfinite(time_s):
                best[fast] = min(best[fast], (len(own), sum(taken)))
    wanted = best[True] if np.isfinite(best[True][0]) else best[False]
    if found is None:
        assert not np.isfinite(wanted[0])
        return
    got = [(j, a) for j, own in enumerate(found) for a in own]
    assert (len(got), sum(int(memory[a][j]) for j, a in got)) == wanted


@given(seed=st.integers(0, 10**6))
def test_without_time_there_are_loads_that_fit_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked = ["a", "b", *rng.choice(["a", "b"], 1).tolist()]
    sizes = {"a": int(rng.integers(1, 30)), "b": int(rng.integers(1, 30))}
    cost = CostModel.of(problem_of(asked, sizes))
    placement, memory = cost.placed(SPANS), adapter_bytes(cost, cost.placed(SPANS))
    times = rng.integers(10, 14, (3, 4)).astype(float)
    spare = rng.choice([0, 20, 60, 200], 4).tolist()
    dealing = dealing_of(times, rng.dirichlet(np.ones(3)), [1.0] * 4, spare)
    found = at_once(cost, placement, dealing)
    if found is None:
        return
    taken = [sum(int(memory[a][j]) for a in own) for j, own in enumerate(found)]
    assert all(t <= s for t, s in zip(taken, spare, strict=True))
    got = {(j, a) for j, own in enumerate(found) for a in own}
    assert np.isfinite(least_time(replace(dealing, most=np.full(8, np.inf)), asked, got))


def test_servers_that_load_by_themselves_are_used_first() -> None:
    problem = problem_of(["a"], {"a": 5})
    servers = list(problem.servers)
    servers[1], servers[3] = (replace(servers[j], adapters=("a",)) for j in (1, 3))
    cost = CostModel.of(replace(problem, servers=tuple(servers)))
    placement = cost.placed(SPANS)
    times = np.full((1, 4), 10.0)
    dealing = dealing_of(times, np.ones(1), [1.0] * 4, [100] * 4)
    assert loads(cost, placement, dealing, NEVER) == ((), ("a",), (), ("a",))
    assert int(cost.weights_bytes(1, 0, 2)) - int(cost.weights_bytes(0, 0, 2)) == 10


@pytest.mark.parametrize("spare", [0, 9])
def test_without_memory_for_it_there_is_no_choice(spare: int) -> None:
    cost = CostModel.of(problem_of(["a"], {"a": 5}))
    placement: Placement = cost.placed(SPANS)
    dealing = dealing_of(np.full((1, 4), 10.0), np.ones(1), [1.0] * 4, [spare] * 4)
    assert loads(cost, placement, dealing, NEVER) is None
