"""Chains under prices, by brute force: with ranges of ends, and in the order that is cheapest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.floor import cheapest_chains_s
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.exact.bag import Bag
from swarmplan.placement.exact.branch import Tree
from swarmplan.placement.exact.gaps import GappedChains, narrowed
from swarmplan.placement.exact.instance import Data, data_of
from swarmplan.placement.exact.legs import cheapest_ways
from swarmplan.placement.exact.limits import Chained, Limits, Range
from swarmplan.placement.exact.master import Master
from swarmplan.placement.exact.pricing import Price, every_price, ordered, through_costs
from swarmplan.placement.exact.relaxed import carried, mean_levels
from swarmplan.placement.exact.splits import BY_ENDS, BY_GAPS, Split
from swarmplan.placement.exact.windows import WindowedChains
from swarmplan.tests.placement.exact.test_solve import drawn, relayed
from swarmplan.tests.placement.offline import best_plan_s, task_for

Visits = tuple[tuple[int, int], ...]


def arrays(problem: Problem, demand: Sequence[Demand]) -> Data:
    """The arrays in milliseconds."""
    return data_of(task_for(problem, demand), 1e-3)


def every_bag(data: Data, prices: Sequence[Price]) -> Iterator[Visits]:
    """All orders of servers and all blocks that they can run which make a chain."""
    widths = {p.server: p.extra.shape[1] for p in prices}
    for count in range(1, len(prices) + 1):
        for servers in itertools.permutations(sorted(widths), count):
            for runs in itertools.product(*(range(1, widths[j] + 1) for j in servers)):
                if sum(runs) == data.length:
                    yield tuple(zip(servers, runs, strict=True))


def paid(data: Data, prices: Sequence[Price], row: int, visits: Visits) -> float:
    """A chain's visits with their prices, the way between them apart."""
    extra = {p.server: p.extra for p in prices}
    return sum(float(data.visits(j, k)[row, -1] + extra[j][row, k - 1]) for j, k in visits) + float(
        data.base[row]
    )


def priced(data: Data, rng: np.random.Generator) -> list[Price]:
    """Random prices of all usable servers."""
    return [Price(j, extra + rng.uniform(0, 30, extra.shape)) for j, extra in every_price(data, {})]


@pytest.mark.parametrize("seed", range(12))
def test_the_cheapest_chain_within_ranges_is_that_of_all_orders(seed: int) -> None:
    problem, demand = drawn(seed, servers=4, blocks=5)
    data, rng = arrays(problem, demand), np.random.default_rng(seed)
    if not data.top.any():
        return
    prices = priced(data, rng)
    ends: dict[int, Range] = {}
    for j, _ in prices:
        if rng.random() < 0.7:
            first = int(rng.integers(1, data.length + 1))
            ends[j] = first, int(rng.integers(first, data.length + 1))

    def within(visits: Visits) -> bool:
        at = np.cumsum([k for _, k in visits]).tolist()
        limits = [ends.get(j, (1, data.length)) for j, _ in visits]
        return all(first <= e <= last for e, (first, last) in zip(at, limits, strict=True))

    chains = [v for v in every_bag(data, prices) if within(v)]
    found = WindowedChains(data, prices, ends)
    for row in range(len(demand)):
        least = min((paid(data, prices, row, v) for v in chains), default=np.inf)
        assert found.cost[row] == pytest.approx(least, rel=1e-12)
        if np.isfinite(least):
            visits = found.chain(row)
            assert paid(data, prices, row, visits) == pytest.approx(least, rel=1e-12)
            assert visits[::-1] in chains
    # A bag is allowed where one of its orders is, and where each visit may end is counted.
    bags = sorted({tuple(sorted(v)) for v in every_bag(data, prices)})
    orders = {v: [w for w in chains if tuple(sorted(w)) == v] for v in bags}
    limits = Limits(ends=ends)
    assert limits.allow(Chained.of(bags)).tolist() == [bool(orders[v]) for v in bags]
    for v in bags:
        shares = np.zeros((len(v), data.length + 1))
        for w in orders[v]:
            at = dict(zip((j for j, _ in w), np.cumsum([k for _, k in w]).tolist(), strict=True))
            for i, (j, _) in enumerate(v):
                shares[i, at[j]] += 1 / len(orders[v])
        assert limits.orders(v, data.length) == pytest.approx(shares)


@pytest.mark.parametrize("seed", range(12))
def test_chains_that_do_not_pass_the_last_server_may_end_anywhere(seed: int) -> None:
    problem, demand = drawn(seed, servers=4, blocks=5)
    data, rng = arrays(problem, demand), np.random.default_rng(seed)
    if not data.top.any():
        return
    prices = priced(data, rng)
    other, last = (int(j) for j in rng.permutation([j for j, _ in prices])[:2])
    ends = {last: (data.length, data.length), other: (2, 3)}

    def within(visits: Visits) -> bool:
        at = dict(zip((j for j, _ in visits), np.cumsum([k for _, k in visits]), strict=True))
        passes = last not in at or (at[last] == data.length and 2 <= at.get(other, 2) <= 3)
        return bool(passes)

    chains = [v for v in every_bag(data, prices) if within(v)]
    found = WindowedChains(data, prices, ends, last)
    for row in range(len(demand)):
        least = min((paid(data, prices, row, v) for v in chains), default=np.inf)
        assert found.cost[row] == pytest.approx(least, rel=1e-12)
        if np.isfinite(least):
            assert paid(data, prices, row, found.chain(row)) == pytest.approx(least, rel=1e-12)
    bags = sorted({tuple(sorted(v)) for v in every_bag(data, prices)})
    allowed = {tuple(sorted(v)) for v in chains}
    limits = Limits(ends=ends, last=last)
    assert limits.allow(Chained.of(bags)).tolist() == [v in allowed for v in bags]
    for v in bags:
        passes = last in dict(v)
        assert limits.orders(v, data.length).any() == (passes and v in allowed)


@pytest.mark.parametrize("seed", range(12))
def test_the_cheapest_chain_with_gaps_is_that_of_all_that_can_run_what_they_leave_out(
    seed: int,
) -> None:
    problem, demand = drawn(seed, servers=4, blocks=5)
    data, rng = arrays(problem, demand), np.random.default_rng(seed)
    if not data.top.any():
        return
    prices = priced(data, rng)
    least = {j: int(rng.integers(0, 4)) for j, _ in prices if rng.random() < 0.7}
    limits = Limits(gaps={j: (low, 5) for j, low in least.items()})

    def runs_all(visits: Visits) -> bool:
        spare = max(k - least.get(j, 0) for j, k in visits)
        passed = {j for j, _ in visits}
        return all(k >= least.get(j, 0) for j, k in visits) and all(
            low <= spare for j, low in least.items() if j not in passed
        )

    bags = sorted({tuple(sorted(v)) for v in every_bag(data, prices)})
    chains = [v for v in bags if runs_all(v)]
    assert limits.allow(Chained.of(bags)).tolist() == [v in chains for v in bags]
    found = GappedChains(data, every_price(data, {}, limits), limits.gaps)
    free = every_price(data, {})
    for row in range(len(demand)):
        able = [v for v in chains if all(k <= data.most[row, j] for j, k in v)]
        cheapest = min((paid(data, free, row, v) for v in able), default=np.inf)
        assert found.cost[row] == pytest.approx(cheapest, rel=1e-12)
        if able:
            best = tuple(sorted(found.chain(row)))
            assert best in able
            assert paid(data, free, row, best) == pytest.approx(cheapest, rel=1e-12)


@given(seed=st.integers(0, 5_000), servers=st.integers(1, 6), length=st.integers(1, 9))
def test_chains_of_a_placement_run_the_gaps_between_its_ends(
    seed: int, servers: int, length: int
) -> None:
    rng = np.random.default_rng(seed)
    ends = rng.integers(1, length + 1, servers)
    ends[rng.integers(servers)] = length
    by_end = np.argsort(ends, kind="stable")
    gaps = np.empty(servers, dtype=np.int64)
    gaps[by_end] = np.diff(ends[by_end], prepend=0)
    assert gaps.sum() == length
    chains = []
    for passed in itertools.product((False, True), repeat=servers):
        chain, at = [], 0
        for j in by_end.tolist():
            if passed[j] and ends[j] > at:
                chain.append((j, int(ends[j]) - at))
                at = int(ends[j])
        if at == length:
            chains.append(chain)
    top = np.maximum(gaps, [max((k for c in chains for i, k in c if i == j), default=0)
                            for j in range(servers)])  # fmt: skip
    around = {
        j: (int(rng.integers(0, gap + 1)), gap + int(rng.integers(0, 3)))
        for j, gap in enumerate(gaps.tolist())
    }
    ranges = narrowed(around, top, length)
    assert ranges is not None
    for j, (low, high) in ranges.items():
        assert around[j][0] <= low <= gaps[j] <= high <= around[j][1]
    assert Limits(gaps=ranges).allow(Chained.of(chains)).all()


def test_gaps_that_cannot_make_up_the_model_are_no_gaps() -> None:
    top = np.array([4, 3, 0])
    assert narrowed({}, top, 7) == {0: (4, 4), 1: (3, 3)}
    assert narrowed({}, top, 8) is None
    assert narrowed({0: (0, 2)}, top, 6) is None
    assert narrowed({0: (4, 4), 1: (2, 3)}, top, 5) is None
    assert narrowed({0: (1, 4)}, top, 5) == {0: (2, 4), 1: (1, 3)}


@pytest.mark.parametrize("seed", range(600, 608))
def test_under_server_relay_the_cheapest_chain_and_those_through_a_visit_are_of_all_orders(
    seed: int,
) -> None:
    problem, demand = relayed(seed)
    data, rng = arrays(problem, demand), np.random.default_rng(seed)
    if not data.top.any():
        return
    assert data.legs is not None
    prices = priced(data, rng)
    cost, scale = CostModel.of(problem), [d.sessions * d.weight_tokens * 1e3 for d in demand]

    def way(row: int, visits: Visits) -> float:
        client = cost.planned(demand[row].client)
        total, before = 0.0, -1
        for j, _ in visits:
            total += float(cost.relaying.into_s(client, before)[j])
            before = j
        back = cost.relaying.back_s(client)
        assert back is not None
        return scale[row] * (total + float(back[before]))

    chains = ordered(data, data.legs, prices)
    through = through_costs(data, prices)
    for row in range(len(demand)):
        costs = [(paid(data, prices, row, v) + way(row, v), v) for v in every_bag(data, prices)]
        cheapest = min((c for c, _ in costs), default=np.inf)
        assert chains.cost[row] == pytest.approx(cheapest, rel=1e-12)
        if not costs:
            continue
        best = chains.chain(row)
        assert data.chain_cost(row, best) <= chains.cost[row] * (1 + 1e-12)
        for i, (j, _) in enumerate(prices):
            for k in range(1, through[i].shape[1] + 1):
                least = min((c for c, v in costs if (j, k) in v), default=np.inf)
                assert through[i][row, k - 1] == pytest.approx(least, rel=1e-12)


@given(st.integers(1, 4), st.integers(0, 10_000))
def test_the_cheapest_way_through_a_set_is_that_of_its_orders(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    into, back = rng.uniform(0, 9, (2, count + 1, count)), rng.uniform(0, 9, (2, count))
    found = cheapest_ways(into, back)
    for chosen in range(1, 1 << count):
        members = [j for j in range(count) if chosen >> j & 1]
        for c in range(2):
            ways = [
                into[c, count, order[0]]
                + sum(into[c, i, j] for i, j in itertools.pairwise(order))
                + back[c, order[-1]]
                for order in itertools.permutations(members)
            ]
            assert found[c, chosen] == pytest.approx(min(ways), rel=1e-12)
    assert np.isinf(found[:, 0]).all()


@given(
    seed=st.integers(0, 5_000),
    rounds=st.integers(1, 12),
    relay=st.booleans(),
    splits=st.sampled_from((BY_ENDS, BY_GAPS)),
    apart=st.booleans(),
)
def test_bounds_of_the_tree_are_below_the_optimum_whenever_it_stops(
    seed: int, rounds: int, relay: bool, splits: tuple[Split, ...], apart: bool
) -> None:
    problem, demand = relayed(seed) if relay else drawn(seed, servers=3, blocks=4)
    if problem.num_servers > 2 and problem.model.num_blocks > 3:
        return  # exhaustive search would take long
    best = best_plan_s(problem, demand)
    alone = cheapest_chains_s(CostModel.of(problem), demand)
    if not np.isfinite(alone).all():
        assert np.isinf(best)
        return
    data = data_of(task_for(problem, demand), float(alone.sum()) / 1000)
    bag = Bag(
        data=data,
        master=Master(data, np.full(len(demand), 1e4)),
        target=lambda: np.inf,
        deadline_s=np.inf,
        most_iterations=rounds,
    )
    found, _ = bag.solve()
    tree = Tree(bag=bag, bound=found, splits=splits, apart=apart)
    assert found * data.unit_s <= best * (1 + 1e-9)
    tree.plant()
    bag.most_iterations = 4 * rounds
    tree.grow()
    assert tree.bound * data.unit_s <= best * (1 + 1e-9)


@pytest.mark.parametrize(("splits", "apart"), [(BY_ENDS, False), (BY_ENDS, True), (BY_GAPS, False)])
@pytest.mark.parametrize("seed", range(12))
def test_a_tree_that_forgets_chains_stays_below_the_optimum(
    seed: int, splits: tuple[Split, ...], apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmplan.placement.exact.bag.MOST_CHAINS", 2)
    problem, demand = drawn(seed, servers=3, blocks=4)
    best = best_plan_s(problem, demand)
    if not np.isfinite(best):
        return
    alone = cheapest_chains_s(CostModel.of(problem), demand)
    data = data_of(task_for(problem, demand), float(alone.sum()) / 1000)
    master = Master(data, np.full(len(demand), 1e4))
    bag = Bag(data=data, master=master, target=lambda: 1.001 * data.dearest, deadline_s=np.inf)
    tree = Tree(bag=bag, bound=bag.solve()[0], splits=splits, apart=apart)
    tree.plant()
    tree.grow()
    assert tree.exhausted
    assert tree.bound * data.unit_s <= best * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(40, 46))
def test_chains_that_are_kept_cost_what_they_did_when_others_are_forgotten(seed: int) -> None:
    problem, demand = drawn(seed, servers=4, blocks=5)
    alone = cheapest_chains_s(CostModel.of(problem), demand)
    if not np.isfinite(alone).all():
        return
    data = data_of(task_for(problem, demand), float(alone.sum()) / 1000)
    master = Master(data, np.full(len(demand), 1e4))
    bag = Bag(data=data, master=master, target=lambda: np.inf, deadline_s=np.inf)
    bag.solve()
    assert master.solve(60.0)
    value, levels, count = master.value, mean_levels(master), len(master.columns)
    before = carried(master)
    master.forget(1)
    assert len(master.columns) <= count
    assert mean_levels(master) == levels
    assert carried(master) == before
    assert master.solve(60.0)
    assert master.value == pytest.approx(value, rel=1e-9)
