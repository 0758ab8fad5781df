"""CG-BP: published cases, an exact re-statement, its bound, and what it refuses."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan import api
from swarmplan.chains.soundness import misplaced, uncovered, unsound
from swarmplan.core.errors import (
    HeuristicFailedError,
    InfeasibleError,
    SwarmplanError,
    SwarmplanWarning,
)
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Lengths, Request, RequestClass, Workload
from swarmplan.methods.verify import verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import Windows, blocks_that_fit, max_sessions, windows_that_fit
from swarmplan.perfmodel.timing import decode_s
from swarmplan.placement.rules.cg_bp import (
    block_bound,
    cg_bp,
    place_blocks,
    require_memory,
    step_bound,
    thinnest,
    thinnest_window,
    window_speeds_s,
)
from swarmplan.placement.sessions import demand_of, target_sessions, task_of, unloaded_response_s
from swarmplan.routing.offline import best_routes
from swarmplan.routing.state import SwarmState
from swarmplan.routing.ws_rr import WsRr
from swarmplan.tests.placement.offline import BLOOM, best_plan_s, heavy_tailed, spans, uneven

MB = 1_000_000
Make = Callable[..., Problem]


@dataclasses.dataclass(frozen=True)
class Offline:
    """One row of docs/model.md, offline instances: memory in blocks, times in ms."""

    length: int
    each: int
    cache: float
    tau: list[float]
    memory: list[float]
    hop: list[list[float]]
    total: float | None
    spans: list[tuple[int, int]]
    bound: float | None = None

    @property
    def sessions(self) -> int:
        return self.each * len(self.hop)

    def problem(self) -> Problem:
        n, lengths = len(self.tau), Lengths(values=(20,))
        return Problem(
            model=ModelSpec(
                name="toy",
                num_blocks=self.length,
                hidden_size=8,
                block_bytes=MB,
                cache_bytes_per_token=round(self.cache * MB),
                activation_bytes_per_token=16,
            ),
            servers=tuple(
                Server(
                    id=f"s{j}",
                    memory_bytes=round(self.memory[j] * MB),
                    block_bytes=MB,
                    timing=Timing(decode_base_s=self.tau[j] / 1e3, prefill_base_s=0.0),
                )
                for j in range(n)
            ),
            clients=tuple(Client(id=f"c{c}") for c in range(len(self.hop))),
            network=Network(client_rtt_s=np.array(self.hop) / 1e3, server_rtt_s=np.zeros((n, n))),
            workload=Workload(
                classes=tuple(
                    RequestClass(
                        client=c, rate_per_s=1.0, prompt_tokens=lengths, output_tokens=lengths
                    )
                    for c in range(len(self.hop))
                )
            ),
            planning=Planning(
                prompt_tokens=1, output_tokens=20, session_tokens=1, sessions=self.sessions
            ),
        )


OFFLINE = {
    "C1": Offline(4, 2, 0.2, [8.104, 2.363], [4.199, 3.741], [[109.074, 91.067]],
                  8843, [(2, 4), (0, 2)], 221.075),
    "C2": Offline(4, 2, 0.2, [9.711, 11.914, 6.073], [4.043, 5.572, 5.585],
                  [[50.117, 66.449, 35.293]], 5275, [(0, 2), (1, 4), (0, 3)], 131.875),
    "C3": Offline(5, 2, 0.2, [14.228, 15.56, 14.169, 9.432], [2.931, 2.046, 3.722, 3.609],
                  [[129.535, 120.678, 136.071, 133.677]], 18127.52,
                  [(2, 4), (2, 3), (3, 5), (0, 2)], 460.772),
    "C4": Offline(6, 2, 0.2, [2.145, 9.026, 8.941, 3.874], [2.568, 2.874, 3.674, 2.992],
                  [[41.812, 94.1, 58.355, 200.712]], 17477.28,
                  [(2, 3), (3, 5), (0, 2), (4, 6)], 436.932),
    "C5": Offline(4, 1, 0.2, [4.524, 2.273, 8.485], [4.9, 3.681, 3.942],
                  [[27.556, 122.474, 213.361], [195.159, 170.993, 46.747]], 8102.62,
                  [(0, 3), (2, 4), (0, 2)], 381.997),
    "C6": Offline(4, 3, 0.5, [14.745, 7.357, 12.685, 15.255], [4.329, 2.27, 3.327, 3.532],
                  [[142.572, 168.162, 87.895, 205.676]], None, []),
    "C7": Offline(3, 4, 0.5, [5.482, 3.464, 6.06, 9.881], [2.561, 3.103, 2.149, 4.265],
                  [[27.978, 80.855, 181.912, 188.012]], None, []),
    "C8": Offline(4, 2, 0.2, [6.125, 9.428, 4.681], [0.9, 9, 9], [[38.58, 182.397, 156.267]],
                  6999.64, [(0, 0), (0, 4), (0, 4)]),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n, case in OFFLINE.items() if case.total is not None])
@pytest.mark.filterwarnings("ignore::swarmplan.core.errors.SwarmplanWarning")
def test_a_published_instance_gives_its_spans_total_and_bound(name: str) -> None:
    case = OFFLINE[name]
    problem = case.problem()
    cost = CostModel.of(problem)
    placement = place_blocks(cost, case.sessions)
    assert spans(placement) == case.spans
    demand = demand_of(problem, case.sessions)
    assert [d.sessions for d in demand] == [case.each] * len(case.hop)
    routes, unrouted = best_routes(cost, placement, demand)
    assert not unrouted
    total_s = sum(
        20 * r.sessions * cost.route_time(r.route, cost.shape(r.client, 1, 20)).tpot_s
        for r in routes
    )
    assert total_s * 1e3 == pytest.approx(case.total, rel=1e-9)
    if case.bound is not None:
        bound = step_bound(cost, placement, case.sessions)
        assert bound.seconds * 1e3 == pytest.approx(case.bound, abs=6e-4)


@pytest.mark.parametrize("name", ["C6", "C7"])
@pytest.mark.filterwarnings("ignore::swarmplan.core.errors.SwarmplanWarning")
def test_instances_beyond_the_heuristic_fail_without_a_claim_of_infeasibility(name: str) -> None:
    case = OFFLINE[name]
    with pytest.raises(HeuristicFailedError, match="no proof that no plan exists"):
        place_blocks(CostModel.of(case.problem()), case.sessions)


def test_a_server_too_small_for_a_block_stays_idle_with_a_warning() -> None:
    with pytest.warns(SwarmplanWarning, match=r"1 server\(s\) too small .* stay idle: s0"):
        placement = place_blocks(CostModel.of(OFFLINE["C8"].problem()), 2)
    assert placement.span(0) is None
    assert 0 not in placement.order


def cluster(client: int, rate: float, output: int, cap: int | None = 4) -> Problem:
    """Seven MIG slices and two A100 in clusters; docs of the paper's online evaluation."""
    raw = np.full((1, 9), 100.0)
    if client == 1:
        raw[0, 7:] = 5.0
    elif client == 2:
        raw[0, :7] = 5.0
    lengths = Lengths(values=(output,))

    def server(j: int) -> Server:
        mig = j < 7
        timing = (
            Timing(
                decode_base_s=16.2488e-3,
                prefill_base_s=206.3547e-3,
                prefill_per_token_s=0.1041e-3,
            )
            if mig
            else Timing(
                decode_base_s=3.2197e-3, prefill_base_s=32.99e-3, prefill_per_token_s=0.0743e-3
            )
        )
        return Server(
            id=f"s{j}",
            memory_bytes=8_200_000_000 if mig else 79_130_000_000,
            block_bytes=1_323_397_667,
            timing=timing,
            max_blocks=cap if mig else None,
        )

    return Problem(
        model=BLOOM,
        servers=tuple(server(j) for j in range(9)),
        clients=(Client(id="client"),),
        network=Network(
            client_rtt_s=raw / 1e3,
            server_rtt_s=np.zeros((9, 9)),
            step_overhead_s=0.1,
            prefill_overhead_s=81.098e-3,
        ),
        workload=Workload(
            classes=(
                RequestClass(
                    client=0,
                    rate_per_s=rate,
                    prompt_tokens=Lengths(values=(20,)),
                    output_tokens=lengths,
                ),
            )
        ),
        planning=Planning(prompt_tokens=20, output_tokens=output, session_tokens=20 + output),
        session_setup_s=0.07,
    )


#: client, rate, output, T1 ms, R, starts of the MIG slices, spans of the A100, K, B ms.
CLUSTER = [
    (0, 0.1, 128, 82268.649, 11, [0, 4, 8, 55, 59, 63, 12], [(0, 55), (15, 70)], 2, 625.379),
    (0, 0.1, 64, 42244.393, 6, [0, 4, 8, 58, 62, 66, 12], [(0, 58), (12, 70)], 2, 625.379),
    (0, 0.5, 128, 82268.649, 48, [0, 4, 8, 12, 16, 20, 45], [(0, 45), (25, 70)], 2, 625.379),
    (0, 0.5, 64, 42244.393, 26, [0, 4, 8, 12, 54, 58, 62], [(0, 54), (16, 70)], 2, 625.379),
    (1, 0.1, 128, 57948.649, 8, [0, 4, 8, 56, 60, 64, 12], [(0, 56), (14, 70)], 2, 435.379),
    (1, 0.5, 128, 57948.649, 34, [0, 4, 8, 12, 16, 49, 53], [(0, 49), (21, 70)], 2, 435.379),
    (2, 0.5, 128, 82268.649, 48, [0, 4, 8, 12, 16, 20, 45], [(0, 45), (25, 70)], 2, 625.379),
]


@pytest.mark.parametrize(
    ("client", "rate", "output", "t1", "sessions", "mig", "a100", "count", "bound"), CLUSTER
)
def test_the_cluster_case_gives_the_published_figures(
    client: int,
    rate: float,
    output: int,
    t1: float,
    sessions: int,
    mig: list[int],
    a100: list[tuple[int, int]],
    count: int,
    bound: float,
) -> None:
    problem = cluster(client, rate, output)
    cost = CostModel.of(problem)
    alone = place_blocks(cost, 1, capped=False)
    assert alone.start[:7].tolist() == [0, 59, 6, 64, 12, 18, 24]
    assert alone.num_blocks.tolist() == [6] * 7 + [59, 59]
    assert unloaded_response_s(cost, alone, 0) * 1e3 == pytest.approx(t1, abs=6e-4)
    assert max_sessions(cost) == {128: 165, 64: 291}[output]
    assert target_sessions(cost) == sessions
    placement = cg_bp(task_of(problem))
    assert placement.start[:7].tolist() == mig
    assert placement.num_blocks[:7].tolist() == [4] * 7
    assert spans(placement)[7:] == a100
    proof = step_bound(cost, placement, sessions)
    assert proof.count == count
    assert proof.seconds * 1e3 == pytest.approx(bound, abs=6e-4)
    first = Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=20,
        output_tokens=output,
        reserved_tokens=20 + output,
    )
    decision = WsRr(cost, placement)(first, SwarmState(cost, placement), 0.0)
    assert decision.route.servers == (7, 8)
    assert (decision.cost_s + 0.07) * 1e3 == pytest.approx(t1, abs=6e-4)
    ttft = cost.route_time(decision.route, cost.shape(0, 20, output)).ttft_s + 0.07
    if output == 128:
        assert ttft * 1e3 == pytest.approx(2655.516 if client == 1 else 2845.516, abs=6e-4)


def restated(problem: Problem, sessions: int) -> list[tuple[int, int]] | None:
    """docs/model.md, CG-BP, in exact fractions; None when some block lacks capacity.

    Blocks weigh 1000 bytes and hold 10 bytes of cache for a token, as ``make_problem`` has them.
    """
    length = problem.model.num_blocks
    sc = problem.planning.session_tokens * 10
    blocks, fits, per_block = [], [], []
    context = problem.planning.prompt_tokens + problem.planning.output_tokens / 2
    for j, server in enumerate(problem.servers):
        assert isinstance(server.timing, Timing)
        m = min(server.memory_bytes // (1_000 + sessions * sc), length)
        m = min(m, int(problem.max_blocks[j]))
        hop = max(Fraction(float(r)) for r in problem.network.client_rtt_s[:, j])
        t = hop + Fraction(problem.network.step_overhead_s)
        t += Fraction(decode_s(server.timing, context)) * m
        blocks.append(m)
        fits.append((server.memory_bytes - 1_000 * m) // (sc * m) if m else 0)
        per_block.append(t / m if m else None)
    known = [p for p in per_block if p is not None]
    dummy = max(known, default=Fraction(0)) + Fraction(1, 1000)
    capacity, slow = [0] * length, [sessions * dummy] * length
    starts = [0] * len(blocks)
    order = [j for j in range(len(blocks)) if blocks[j]]
    for j in sorted(order, key=lambda j: (per_block[j], j)):
        m = blocks[j]
        windows = range(length - m + 1)
        if min(capacity) < sessions:
            lacking = [s for s in windows if min(capacity[s : s + m]) < sessions]
            begin = max(lacking, key=lambda s: (sum(slow[s : s + m]), -s))
        else:
            begin = min(windows, key=lambda s: (sorted(capacity[s : s + m]), s))
        starts[j] = begin
        for b in range(begin, begin + m):
            served = min(max(sessions - capacity[b], 0), fits[j])
            slow[b] -= (dummy - (per_block[j] or 0)) * served
            capacity[b] += fits[j]
    if min(capacity) < sessions:
        return None
    return [(s, s + m) if m else (0, 0) for s, m in zip(starts, blocks, strict=True)]


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 8), n=st.integers(2, 9))
def test_the_placement_is_that_of_the_rule_in_exact_arithmetic(
    make_problem: Make, seed: int, sessions: int, n: int
) -> None:
    problem = make_problem(np.random.default_rng(seed), servers=n, length=8)
    expected = restated(problem, sessions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        if expected is None:
            with pytest.raises(HeuristicFailedError, match=f"R = {sessions} sessions"):
                place_blocks(CostModel.of(problem), sessions)
            return
        placement = place_blocks(CostModel.of(problem), sessions)
    assert spans(placement) == expected


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), length=st.integers(1, 12))
def test_a_plan_is_sound_or_refused_with_a_reason(
    make_problem: Make, seed: int, n: int, length: int
) -> None:
    problem = make_problem(np.random.default_rng(seed), servers=n, length=length)
    plan, proven, reason = None, False, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        try:
            plan = api.plan(problem, "cg-bp")
        except (InfeasibleError, HeuristicFailedError) as error:
            proven, reason = isinstance(error, InfeasibleError), str(error)
    if plan is None:
        told = "blocks are missing" if proven else "try fewer sessions or another method"
        assert told in reason
        assert proven == (blocks_that_fit(CostModel.of(problem), 1).sum() < length)
        return
    assert verify(problem, plan) == ()
    assert (plan.placement.coverage(length) > 0).all()


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 6))
def test_up_to_r_sessions_wait_for_nothing_and_keep_the_bound(
    make_problem: Make, seed: int, sessions: int
) -> None:
    """Theorem 2, where prompt and steps cost alike, so that the router minimises the step."""
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=7)
    each = problem.servers
    ticks = [s.timing.decode_base_s for s in each if isinstance(s.timing, Timing)]
    servers = tuple(
        dataclasses.replace(s, timing=Timing(decode_base_s=t, prefill_base_s=t))
        for s, t in zip(each, ticks, strict=True)
    )
    network = dataclasses.replace(
        problem.network, prefill_overhead_s=problem.network.step_overhead_s
    )
    problem = dataclasses.replace(problem, servers=servers, network=network)
    cost = CostModel.of(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        try:
            placement = place_blocks(cost, sessions)
        except HeuristicFailedError:
            return
    bound_s = step_bound(cost, placement, sessions).seconds
    state, router = SwarmState(cost, placement), WsRr(cost, placement)
    for number in range(sessions):
        asked = Request(
            id=number,
            client=int(rng.integers(2)),
            arrival_s=0.0,
            prompt_tokens=10,
            output_tokens=10,
            reserved_tokens=problem.planning.session_tokens,
        )
        route = router(asked, state, 0.0).route
        assert state.fits_now(route, asked.reserved_tokens)
        step_s = cost.step_s(route, cost.shape(asked.client, 10, 10))
        assert step_s <= bound_s * (1 + 1e-9)
        state.reserve(number, route, asked.reserved_tokens, 1e6)


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 6))
def test_where_blocks_differ_every_block_still_has_room_for_r_sessions(
    make_problem: Make, seed: int, sessions: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=7), rng)
    cost = CostModel.of(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        try:
            placement = place_blocks(cost, sessions)
        except HeuristicFailedError:
            return
    assert not [*misplaced(cost, placement), *uncovered(cost, placement)]
    routes, unrouted = best_routes(cost, placement, demand_of(problem, sessions))
    assert not unrouted
    assert not unsound(cost, placement, routes, demand_of(problem, sessions))


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 6))
def test_where_blocks_differ_the_bound_by_blocks_holds_and_theorem_2_is_refused(
    make_problem: Make, seed: int, sessions: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=7), rng)
    cost = CostModel.of(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        try:
            placement = place_blocks(cost, sessions)
        except HeuristicFailedError:
            return
    with pytest.raises(SwarmplanError, match="equal blocks only"):
        step_bound(cost, placement, sessions)
    bound_s = block_bound(cost, placement, sessions).seconds
    routes, unrouted = best_routes(cost, placement, demand_of(problem, sessions))
    assert not unrouted
    for planned in routes:
        shape = cost.planned(planned.client)
        assert cost.step_s(planned.route, shape) <= bound_s * (1 + 1e-9)


def test_the_bound_by_blocks_is_counted_by_hand(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (3, 6), (0, 3), (4, 6)], order=(0, 1, 2, 3))
    found = block_bound(cost, placement, 1)
    hops = 0.120 + 0.150 + 2 * 0.001
    assert found.count == 2
    assert found.seconds == pytest.approx(hops + 3 * 0.002 + 3 * 0.010)
    with pytest.raises(ValueError, match="no capacity"):
        block_bound(cost, placement, 100)


def test_windows_are_by_bytes_and_grow_at_neither_end() -> None:
    """Five light blocks and one that weighs as much as three: 3.5 MB hold it alone, or three of
    the others."""
    cost = CostModel.of(heavy_tailed(6.2, 3.5))
    for own, memory in zip(windows_that_fit(cost, 1), (6.2, 3.5), strict=True):
        found = list(zip(own.start.tolist(), own.end.tolist(), strict=True))
        need = [1.1, 1.1, 1.1, 1.1, 1.1, 3.1]
        wanted = [
            (a, e)
            for a in range(6)
            for e in range(a + 1, 7)
            if sum(need[a:e]) <= memory
            and (a == 0 or sum(need[a - 1 : e]) > memory)
            and (e == 6 or sum(need[a : e + 1]) > memory)
        ]
        assert found == wanted


def test_servers_are_taken_by_their_mean_over_windows(tiny: Problem) -> None:
    timing = tuple(Timing(decode_base_s=0.001 * b) for b in (1, 2, 3, 4, 5, 6))
    servers = tuple(dataclasses.replace(s, timing=timing) for s in tiny.servers)
    cost = CostModel.of(dataclasses.replace(tiny, servers=servers))
    windows = windows_that_fit(cost, 1)
    found = window_speeds_s(cost, windows)
    for j, own in enumerate(windows):
        width = int(own.end[0] - own.start[0])
        hop = float(cost.step_hop_s[:, j].max())
        each = [
            (hop + sum(0.001 * b for b in range(a + 1, a + width + 1))) / width
            for a in range(7 - width)
        ]
        assert found[j] == pytest.approx(np.mean(each))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 10**6))
def test_of_windows_of_any_length_the_thinnest_is_the_least_of_all(
    values: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    start = np.unique(rng.integers(0, len(values), 3))
    end = np.array([int(rng.integers(a + 1, len(values) + 1)) for a in start])
    chosen = thinnest(np.array(values), Windows(start=start, end=end))
    keys = [
        [*sorted(values[a:e]), *[np.inf] * (len(values) - (e - a))]
        for a, e in zip(start.tolist(), end.tolist(), strict=True)
    ]
    assert chosen == keys.index(min(keys))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 12))
def test_the_thinnest_window_is_the_lexicographically_least(values: list[int], width: int) -> None:
    width = min(width, len(values))

    def rank(start: int) -> tuple[Sequence[int], int]:
        return sorted(values[start : start + width]), start

    best = min(range(len(values) - width + 1), key=rank)
    assert thinnest_window(np.array(values), width) == best


def test_missing_memory_is_a_proof_and_says_how_much(tiny: Problem) -> None:
    servers = tuple(dataclasses.replace(s, memory_bytes=2_500) for s in tiny.servers[:2])
    network = dataclasses.replace(
        tiny.network,
        client_rtt_s=tiny.network.client_rtt_s[:, :2],
        server_rtt_s=tiny.network.server_rtt_s[:2, :2],
    )
    short = dataclasses.replace(tiny, servers=servers, network=network)
    with pytest.raises(InfeasibleError, match=r"host 4 of the 6 blocks .* 2 blocks are missing"):
        require_memory(CostModel.of(short))
    require_memory(CostModel.of(tiny))


def test_memory_is_called_missing_only_where_no_placement_fits() -> None:
    problem = heavy_tailed(3.5, 6.2)
    assert np.isfinite(best_plan_s(problem, demand_of(problem, 1)))
    require_memory(CostModel.of(problem))
    with pytest.raises(InfeasibleError, match="blocks are missing"):
        require_memory(CostModel.of(heavy_tailed(2.5, 4.2)))
