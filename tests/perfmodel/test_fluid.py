"""The fluid model: dealing, room, rates by hand and against what they have to obey."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.content import IntArray
from swarmplan.core.problem import Problem, Timing
from swarmplan.core.uplinks import Uplink
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.dealing import dealt_by_ratings, dealt_by_speed
from swarmplan.perfmodel.fluid import FIGURES, entered, fluid, stages_of
from swarmplan.perfmodel.stages import Stages
from swarmplan.perfmodel.steady import (
    CYCLE_S,
    ELSEWHERE,
    in_flight,
    measure,
    room_of,
    sustains,
)

Make = Callable[..., Problem]
LENGTH = 6


def batched(problem: Problem) -> Problem:
    return replace(problem, servers=tuple(replace(s, sharing="batched") for s in problem.servers))


def layout(g: Stages, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Random spans that every server has room for."""
    n = len(g.place)
    start, end = np.zeros((2, n), np.int64)
    for i in range(n):
        fits = np.flatnonzero(g.slots[i] >= 1)
        if len(fits):
            k = int(rng.choice(fits))
            start[i] = int(rng.integers(0, LENGTH - k + 1))
            end[i] = start[i] + k
    return start, end


@pytest.mark.slow
@given(seed=st.integers(0, 10**6))
def test_what_comes_to_a_server_leaves_it(make_problem: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g = stages_of(CostModel.of(batched(make_problem(rng, servers=6))), np.ones(2) / 2)
    start, end = layout(g, rng)
    dealt = dealt_by_speed(g, start, end)
    flow = np.zeros((6, 6))
    used = int(dealt.used[0])
    np.add.at(flow, tuple(dealt.pairs[:used].T), dealt.flow[:used])
    for i in range(6):
        if end[i] < LENGTH:
            assert flow[i].sum() == pytest.approx(dealt.share[i], abs=1e-6)
        if start[i] > 0:
            assert flow[:, i].sum() == pytest.approx(dealt.share[i], abs=1e-6)
    begun = dealt.share[(start == 0) & (end > 0)].sum()
    assert begun == pytest.approx(1.0) or not dealt.share.any()
    assert dealt.share[end == LENGTH].sum() == pytest.approx(begun, abs=1e-6)


@given(seed=st.integers(0, 10**6))
def test_there_is_room_for_the_least_cut(make_problem: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g = stages_of(CostModel.of(batched(make_problem(rng, servers=5))), np.ones(2) / 2)
    start, end = layout(g, rng)
    slots = [g.slots[i, end[i] - start[i]] if end[i] > start[i] else 0.0 for i in range(5)]
    least = math.inf
    for chosen in itertools.product((False, True), repeat=LENGTH - 1):
        side = {0, *(p for p, c in zip(range(1, LENGTH), chosen, strict=True) if c)}
        cut = sum(slots[i] for i in range(5) if int(start[i]) in side and int(end[i]) not in side)
        least = min(least, cut)
    assert room_of(g, start, end) == pytest.approx(least)


@pytest.mark.slow
@given(seed=st.integers(0, 10**6))
def test_dealing_by_ratings_is_a_largest_flow(make_problem: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g = stages_of(CostModel.of(batched(make_problem(rng, servers=6))), np.ones(2) / 2)
    g = g._replace(prompt_send_s=rng.uniform(0.0, 0.2, (6, 6)))
    start, end = layout(g, rng)
    dealt = dealt_by_ratings(g, start, end)
    graph = networkx.DiGraph()
    busy_s = g.prompt_send_s + g.tokens[0] * g.step_send_s
    most = [float(g.rated[i, end[i] - start[i]]) for i in range(6)]
    for i, j in itertools.product(range(6), range(6)):
        if start[i] < end[i] == start[j] < end[j]:
            graph.add_edge(("out", i), ("in", j), capacity=1.0 / busy_s[i, j])
    for i in range(6):
        graph.add_edge(("in", i), ("out", i), capacity=most[i])
        if start[i] == 0 < end[i]:
            graph.add_edge("first", ("in", i))
        if end[i] == LENGTH:
            graph.add_edge(("out", i), "last")
    value = 0.0
    if "first" in graph and "last" in graph:
        value = networkx.maximum_flow_value(graph, "first", "last")
    flow = np.zeros((6, 6))
    used = int(dealt.used[0])
    np.add.at(flow, tuple(dealt.pairs[:used].T), dealt.flow[:used])
    limits = [most[i] / s for i, s in enumerate(dealt.share) if s > 0]
    limits += [1.0 / (busy_s[i, j] * flow[i, j]) for i, j in zip(*np.nonzero(flow), strict=True)]
    assert min(limits, default=0.0) == pytest.approx(value, rel=1e-6)
    for i in range(6):
        if end[i] < LENGTH:
            assert flow[i].sum() == pytest.approx(dealt.share[i], abs=1e-6)
        if start[i] > 0:
            assert flow[:, i].sum() == pytest.approx(dealt.share[i], abs=1e-6)


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), share=st.floats(0.2, 3.0))
def test_what_is_below_the_least_is_told_as_nothing_and_the_rest_is_the_same(
    make_problem: Make, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    g = stages_of(CostModel.of(batched(make_problem(rng, servers=6))), np.ones(2) / 2)
    spans, figures = layout(g, rng), np.zeros(FIGURES)
    rate = sustains(g, *spans, False, figures, 0.0)
    least = share * max(rate, 0.01)
    again = sustains(g, *spans, False, figures, least)
    if share < 0.99:
        assert again == pytest.approx(rate, rel=1e-3)
    elif share > 1.01:
        assert again == 0.0


def test_a_server_that_begins_where_nobody_ends_is_entered_later(tiny: Problem) -> None:
    problem = batched(tiny)
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 3), (2, 4), (4, 6), (0, 0)])
    assert entered(placement).tolist() == [0, 3, 4, 0]
    found = fluid(cost, np.ones(2) / 2, placement)
    assert found.share.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert found.flow[0, 1] == found.flow[1, 2] == 1.0
    assert 0 < found.sessions <= found.room * (1 + 1e-3)


def test_no_chain_is_no_rate(tiny: Problem) -> None:
    cost = CostModel.of(batched(tiny))
    found = fluid(cost, np.ones(2) / 2, cost.placed([(0, 3), (0, 0), (4, 6), (0, 0)]))
    assert found.rate_per_s == 0.0
    assert not found.share.any()


@given(seed=st.integers(0, 10**6), factor=st.floats(1.5, 4.0))
def test_faster_blocks_and_more_memory_never_make_it_slower(
    tiny: Problem, seed: int, factor: float
) -> None:
    problem = batched(tiny)
    spans = [(0, 3), (3, 5), (3, 5), (5, 6)]
    slow = CostModel.of(problem)
    wide = replace(
        problem,
        servers=tuple(
            replace(s, memory_bytes=int(s.memory_bytes * factor)) for s in problem.servers
        ),
    )
    wider = CostModel.of(wide)
    rates = [fluid(cost, np.ones(2) / 2, cost.placed(spans)).rate_per_s for cost in (slow, wider)]
    assert rates[1] >= rates[0] * (1 - 1e-3)


def prompts_alone(problem: Problem, prompt_s: list[float]) -> Stages:
    """Stages where a token waits for prompts and for nothing else."""
    g = stages_of(CostModel.of(batched(problem)), np.ones(2) / 2)
    none, pairs = np.zeros(len(prompt_s)), np.zeros((len(prompt_s), len(prompt_s)))
    return g._replace(
        prompt_s=np.array(prompt_s), step_s=none, row_s=none, step_more_s=none, in_s=none,
        out_s=none, way_s=pairs, prompt_send_s=pairs, step_send_s=pairs,
    )  # fmt: skip


@pytest.mark.slow
@given(prompt_s=st.lists(st.floats(0.01, 2.0), min_size=3, max_size=3), rate=st.floats(0.01, 2.0))
def test_in_one_pipeline_nothing_overtakes_a_prompt(
    tiny: Problem, prompt_s: list[float], rate: float
) -> None:
    g = prompts_alone(tiny, [*prompt_s, 1.0])
    start, end = np.array([0, 2, 4, 0]), np.array([2, 4, 6, 0])
    figures = np.zeros(FIGURES)
    in_flight(g, start, end, dealt_by_speed(g, start, end), rate, figures)
    whole = 2 * sum(prompt_s)  # who comes this long after a prompt or later never meets it
    assert figures[CYCLE_S] == pytest.approx(whole - (1 - math.exp(-rate * whole)) / rate)


def test_who_follows_a_prompt_leaves_it_where_ways_part(tiny: Problem) -> None:
    g = prompts_alone(tiny, [0.5, 0.5, 0.5, 0.5])
    figures = np.zeros(FIGURES)
    waits = []
    for last in ((0, 0), (4, 6)):  # one server in the end, and two abreast
        start, end = np.array([0, 2, 4, last[0]]), np.array([2, 4, 6, last[1]])
        in_flight(g, start, end, dealt_by_speed(g, start, end), 1.0, figures)
        waits.append(float(figures[CYCLE_S]))
    caught = 1 - math.exp(-2.0)  # of the tokens at the end of two stages, one second each
    alone = 1.0 - (1 - math.exp(-0.5)) / 0.5  # of half of the prompts
    apart = 0.5 * caught * 1.0 + (1 - 0.5 * caught) * alone
    assert waits[1] == pytest.approx(2.0 - caught + apart)
    assert waits[1] < waits[0]


def test_room_is_what_the_fullest_of_like_servers_leaves(tiny: Problem) -> None:
    g = stages_of(CostModel.of(batched(tiny)), np.ones(2) / 2)
    slots, prompt_s = np.array(g.slots), np.array(g.prompt_s)
    slots[:, 1:] = 100.0
    slots[2:, 3] = 10.0
    prompt_s[3] = 3.0 * prompt_s[2]
    g = g._replace(slots=slots, prompt_s=prompt_s, rated=np.ones_like(g.rated))
    start, end = np.array([0, 0, 3, 3]), np.array([3, 3, 6, 6])
    dealt, figures = dealt_by_speed(g, start, end), np.zeros(FIGURES)
    measure(g, start, end, dealt, figures, 0.0)
    busiest = float(dealt.share[2:].max())
    assert 0.5 < busiest < 1.0
    assert figures[4] == pytest.approx(min(20.0, ELSEWHERE * 10.0 / busiest))
    assert room_of(g, start, end) == pytest.approx(20.0)


@given(seed=st.integers(0, 10**6))
def test_rated_layouts_are_taken_at_the_worse_of_two_ways(make_problem: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g = stages_of(CostModel.of(batched(make_problem(rng, servers=6))), np.ones(2) / 2)
    spans, figures = layout(g, rng), np.zeros(FIGURES)
    ways = [measure(g, *spans, d, figures, 0.0) for d in (dealt_by_speed(g, *spans),
            dealt_by_ratings(g, *spans))]  # fmt: skip
    assert sustains(g, *spans, True, figures, 0.0) == pytest.approx(min(ways), rel=1e-3)


def pipeline(tiny: Problem, *uplinks: Uplink) -> CostModel:
    """Four stages that batch, with much room, and links that only uplinks limit."""
    servers = tuple(
        replace(s, sharing="batched", memory_bytes=10**7, timing=tiny.servers[0].timing)
        for s in tiny.servers
    )
    network = replace(tiny.network, relay="pipeline", uplinks=uplinks)
    return CostModel.of(replace(tiny, servers=servers, network=network))


def test_stages_that_share_an_uplink_send_no_more_than_it_carries(tiny: Problem) -> None:
    half = np.ones(2) / 2
    spans = [(0, 3), (0, 3), (3, 6), (3, 6)]
    # 11 + 10 hidden states of 128 bytes a request: 100 ms of the uplink, whoever sends them.
    site = Uplink(name="site", servers=(0, 1), up_bytes_per_s=26_880.0)
    cost = pipeline(tiny, site)
    found = fluid(cost, half, cost.placed(spans))
    assert found.rate_per_s == pytest.approx(9.5, rel=0.02)
    free = pipeline(tiny, replace(site, up_bytes_per_s=math.inf))
    plain = pipeline(tiny)
    apart, none = (fluid(c, half, c.placed(spans)) for c in (free, plain))
    assert apart.rate_per_s == pytest.approx(none.rate_per_s)
    assert none.rate_per_s > 12.0
    # What stays behind an uplink does not cross it.
    other = pipeline(tiny, Uplink(name="pair", servers=(0, 2), up_bytes_per_s=1.0))
    inside = fluid(other, half, other.placed([(0, 3), (0, 0), (3, 6), (0, 0)]))
    assert inside.rate_per_s > 9.5


def test_requests_go_round_an_uplink_that_is_thin(tiny: Problem) -> None:
    # Two pairs of stages, each with its own uplink between the halves; one carries much less.
    thin = Uplink(name="thin", servers=(0, 2), down_bytes_per_s=1e9, up_bytes_per_s=1e9)
    cost = pipeline(tiny, thin, Uplink(name="way", servers=(0,), up_bytes_per_s=2_000.0))
    found = fluid(cost, np.ones(2) / 2, cost.placed([(0, 3), (0, 3), (3, 6), (3, 6)]))
    assert 0.0 < found.share[0] < 0.1
    assert found.share[1] > 0.9


def test_alone_a_session_is_as_fast_as_its_transfers(tiny: Problem) -> None:
    site = Uplink(name="site", servers=(0, 1), up_bytes_per_s=26_880.0)
    found, free = (
        fluid(c, np.ones(2) / 2, c.placed([(0, 3), (0, 0), (3, 6), (0, 0)]))
        for c in (pipeline(tiny, site), pipeline(tiny))
    )
    assert found.token_s > free.token_s + 128 / 26_880.0 - 1e-9


def test_chunks_shorten_what_steps_wait_behind_prompts(tiny: Problem) -> None:
    # Slow prompts, so that waiting behind them is most of a step.
    timing = tiny.servers[0].timing
    assert isinstance(timing, Timing)
    slow = replace(timing, prefill_base_s=0.0, prefill_per_token_s=0.01)
    found = []
    for chunk in (0, 11, 4):
        problem = pipeline(tiny).problem
        servers = tuple(replace(s, timing=slow, chunk_tokens=chunk) for s in problem.servers)
        cost = CostModel.of(replace(problem, servers=servers))
        found.append(fluid(cost, np.ones(2) / 2, cost.placed([(0, 3), (0, 3), (3, 6), (3, 6)])))
    whole, same, parts = found
    assert same == whole
    assert parts.rate_per_s == pytest.approx(whole.rate_per_s, rel=0.02)
    assert parts.token_s < 0.8 * whole.token_s
