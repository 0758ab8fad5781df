"""Runs of blocks, alike and different, against sums block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swarmplan.core.errors import SwarmplanError
from swarmplan.perfmodel.runs import Runs

Table = NDArray[np.int64]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """(n, L) whole costs; of one table in two all blocks of a server are alike."""
    servers, length = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    table = rng.integers(0, 50, (servers, length))
    return np.repeat(table[:, :1], length, axis=1) if draw(st.booleans()) else table


def runs_of(table: Table) -> Runs:
    return Runs.of(table, np.int64)


def windows(row: Table, count: int) -> list[int]:
    """Sums of so many consecutive blocks, wherever they lie."""
    return [int(row[i : i + count].sum()) for i in range(len(row) - count + 1)]


@given(tables())
def test_a_run_costs_the_sum_of_its_blocks(table: Table) -> None:
    runs = runs_of(table)
    servers, length = table.shape
    for j in range(servers):
        assert runs.ramp(j).tolist() == [table[j, :q].sum() for q in range(length + 1)]
        for start in range(length + 1):
            for end in range(start, length + 1):
                assert runs(j, start, end) == table[j, start:end].sum()
    assert runs.ramp(slice(None)).tolist() == [runs.ramp(j).tolist() for j in range(servers)]


@given(tables(), st.integers(0, 10**6))
def test_servers_and_spans_are_broadcast(table: Table, seed: int) -> None:
    rng = np.random.default_rng(seed)
    servers, length = table.shape
    rows = rng.integers(0, servers, 5)
    spans = np.sort(rng.integers(0, length + 1, (2, 5)), axis=0)
    expected = [table[j, s:e].sum() for j, s, e in zip(rows, *spans, strict=True)]
    assert runs_of(table)(rows, *spans).tolist() == expected
    starts = np.arange(length)
    grid = runs_of(table)(rows[:, None], starts, length)
    assert grid.tolist() == [[table[j, s:].sum() for s in starts] for j in rows]


@given(tables())
def test_blocks_are_alike_when_every_server_has_one_figure(table: Table) -> None:
    assert runs_of(table).alike == all(len(set(row)) == 1 for row in table.tolist())


@given(tables())
def test_the_heaviest_lightest_and_mean_run_are_those_of_all_places(table: Table) -> None:
    runs = runs_of(table)
    for j, row in enumerate(table):
        for count in range(1, table.shape[1] + 1):
            sums = windows(row, count)
            assert runs.heaviest()[j, count] == max(sums)
            assert runs.lightest()[j, count] == min(sums)
            assert runs.typical(j, count) == pytest.approx(sum(sums) / len(sums))
        assert runs.heaviest()[j, 0] == runs.lightest()[j, 0] == 0
    assert runs.dearest_block().tolist() == table.max(axis=1).tolist()
    assert runs.cheapest_block().tolist() == table.min(axis=1).tolist()


@given(tables(), tables(), st.integers(0, 10**6))
def test_sums_multiples_rows_and_stacks_are_those_of_the_tables(
    table: Table, other: Table, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    runs = runs_of(table)
    fitted = np.resize(other, table.shape)
    factor = rng.integers(0, 5, 3)
    rows = rng.integers(0, len(table), 2)
    ramp = runs_of(table + 3 * fitted).ramp(slice(None))
    assert runs.plus(runs_of(fitted), 3).ramp(slice(None)).tolist() == ramp.tolist()
    assert runs.at(rows).ramp(slice(None)).tolist() == runs.ramp(rows).tolist()
    scaled = runs.scaled(factor)
    both = Runs.stacked([runs, runs_of(fitted)])
    pair = np.stack([table, fitted])
    assert both.dearest_block().tolist() == pair.max(axis=-1).tolist()
    assert both.cheapest_block().tolist() == pair.min(axis=-1).tolist()
    assert both.heaviest()[..., -1].tolist() == pair.sum(axis=-1).tolist()
    for j in range(len(table)):
        whole = [int(f * table[j].sum()) for f in factor]
        assert scaled(j, 0, runs.length).tolist() == whole
        assert both(j, 0, runs.length).tolist() == [table[j].sum(), fitted[j].sum()]


@given(tables(), st.integers(0, 10**6))
def test_the_least_share_of_a_block_is_never_above_what_a_chain_pays_for_one(
    table: Table, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    length = table.shape[1]
    hop, most = rng.uniform(0, 9, len(table)), rng.integers(0, length + 1, len(table))
    least = runs_of(table).least_share(np.arange(len(table)), hop, most)
    for j, row in enumerate(table):
        if not most[j]:
            assert least[j] == np.inf
        for count in range(1, int(most[j]) + 1):
            cheapest = (hop[j] + min(windows(row, count))) / count
            assert least[j] <= cheapest * (1 + 1e-12)


@given(tables(), st.integers(0, 10**6))
def test_no_choice_of_usable_servers_costs_more_than_each_block_at_its_dearest(
    table: Table, seed: int
) -> None:
    usable = np.random.default_rng(seed).random(len(table)) < 0.7
    dearest = [max((row[b] for row in table[usable]), default=0) for b in range(table.shape[1])]
    assert runs_of(table).at_most(usable) == sum(dearest)


def test_one_figure_a_block_can_enter_a_linear_programme() -> None:
    assert runs_of(np.array([[3, 3], [5, 5]])).linear(1, 4) == 20


def test_blocks_that_differ_cannot_enter_a_linear_programme() -> None:
    with pytest.raises(SwarmplanError, match="use method exact or search"):
        runs_of(np.array([[3, 3], [5, 6]])).linear(0, 4)


@given(tables())
def test_runs_are_equal_when_their_costs_are(table: Table) -> None:
    changed: Any = table.copy()
    changed[-1, -1] += 1
    assert runs_of(table) == runs_of(table.copy())
    assert runs_of(table) != runs_of(changed)


def test_servers_are_of_one_kind_where_every_run_costs_the_same() -> None:
    alike = Runs(length=3, each=np.array([[1.0, 2.0, 1.0], [3.0, 4.0, 3.0]]))
    differ = Runs.of([[1, 2, 3], [1, 2, 4], [1, 2, 3]], np.float64)
    for runs in (alike, differ):
        one, other, again = runs.kinds(np.arange(3))
        assert one == again != other
