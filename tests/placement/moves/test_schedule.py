"""Schedules of migrations: coverage at every instant, darkness against enumeration."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.reload import Reload
from swarmplan.placement.moves import schedule as schedule_module
from swarmplan.placement.moves.schedule import Schedule, phases, schedule
from swarmplan.tests.placement.offline import bare

LENGTH = 6


SPAN = st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).map(sorted).map(tuple)
CASE = st.lists(st.tuples(SPAN, SPAN, st.integers(1, 5)), min_size=1, max_size=6)
Case = list[tuple[tuple[int, int], tuple[int, int], int]]


def dark_s_of_order(
    old: Placement, new: Placement, order: Sequence[int], away: list[float]
) -> float:
    """Seconds with a dark block when one server after the other moves; independent account."""
    now = [set(range(s, e)) for s, e in zip(old.start, old.end, strict=True)]
    total = 0.0
    for j in order:
        now[j] = set()
        target = set(range(int(new.start[j]), int(new.end[j])))
        if target and len(set().union(*now)) < LENGTH:
            total += away[j]
        now[j] = target
    return total


def dark_s_of(made: Schedule, old: Placement, new: Placement) -> float:
    """Seconds with a dark block, sampled in the middle of every interval between two instants."""
    edges = sorted({0.0, *(t for s in made.steps for t in (s.begin_s, s.end_s))})
    total = 0.0
    for begin, end in itertools.pairwise(edges):
        middle, served = 0.5 * (begin + end), set[int]()
        steps = {s.server: s for s in made.steps}
        for j in range(len(old.start)):
            step = steps.get(j)
            if step is None or middle < step.begin_s:
                served |= set(range(int(old.start[j]), int(old.end[j])))
            elif middle > step.end_s:
                served |= set(range(int(new.start[j]), int(new.end[j])))
        total += (end - begin) * (len(served) < LENGTH)
    return total


@given(case=CASE)
def test_no_order_of_single_moves_is_dark_for_less_time(tiny: Problem, case: Case) -> None:
    old, new = bare([c[0] for c in case]), bare([c[1] for c in case])
    away = [float(c[2]) if c[1][1] > c[1][0] else 0.0 for c in case]
    made = schedule(tiny, old, new, away)
    moving = [s.server for s in made.steps]
    assert sorted(moving) == [j for j, c in enumerate(case) if _span(c[0]) != _span(c[1])]
    least = min(
        (dark_s_of_order(old, new, p, away) for p in itertools.permutations(moving)), default=0.0
    )
    assert made.dark_s <= least + 1e-9
    assert made.dark_s == pytest.approx(dark_s_of(made, old, new))
    assert made.proven


@given(case=CASE)
def test_a_long_schedule_is_dark_only_when_every_order_is(tiny: Problem, case: Case) -> None:
    old, new = bare([c[0] for c in case]), bare([c[1] for c in case])
    away = [float(c[2]) if c[1][1] > c[1][0] else 0.0 for c in case]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule_module, "EXACT_MOVES", -1)
        made = schedule(tiny, old, new, away)
    moving = [s.server for s in made.steps]
    orders = (dark_s_of_order(old, new, p, away) for p in itertools.permutations(moving))
    if min(orders, default=0.0) == 0.0:
        assert made.dark_s == 0.0
    assert made.dark_s == pytest.approx(dark_s_of(made, old, new))
    assert not made.proven


def _span(span: tuple[int, int]) -> tuple[int, int]:
    return span if span[1] > span[0] else (0, 0)


def test_safe_moves_run_at_the_same_time(tiny: Problem) -> None:
    old = bare([(0, 6), (0, 3), (3, 6)])
    new = bare([(0, 6), (3, 6), (0, 3)])
    made = schedule(tiny, old, new, [0.0, 4.0, 5.0])
    assert [s.begin_s for s in made.steps] == [0.0, 0.0]
    assert made.duration_s == 5.0
    assert not made.dark
    single = schedule(tiny, old, new, [0.0, 4.0, 5.0], parallel=1)
    assert single.duration_s == 9.0


def test_a_swap_without_help_is_dark_once_and_says_which_blocks(tiny: Problem) -> None:
    made = schedule(tiny, bare([(0, 3), (3, 6)]), bare([(3, 6), (0, 3)]), [2.0, 5.0])
    assert [s.begin_s for s in made.steps] == [0.0, 0.0]
    assert made.dark_s == 5.0
    assert made.dark[0].blocks == (0, 1, 2, 3, 4, 5)
    assert made.dark[1].blocks == (0, 1, 2)
    assert (made.dark[1].begin_s, made.dark[1].end_s) == (2.0, 5.0)


def test_a_server_that_gives_up_its_blocks_does_so_last(tiny: Problem) -> None:
    made = schedule(tiny, bare([(0, 6), (0, 0)]), bare([(0, 0), (0, 6)]), [0.0, 7.0])
    assert [(s.server, s.begin_s) for s in made.steps] == [(1, 0.0), (0, 7.0)]
    assert not made.dark


def test_many_moves_overlap_and_stay_served(tiny: Problem) -> None:
    rng = np.random.default_rng(5)
    starts = rng.integers(0, 4, size=(2, 30))
    old = bare([(int(s), int(s) + 3) for s in starts[0]])
    new = bare([(int(s), int(s) + 3) for s in starts[1]])
    assert old.coverage(LENGTH).all()
    assert new.coverage(LENGTH).all()
    away = rng.uniform(1, 5, size=30)
    made = schedule(tiny, old, new, away)
    assert not made.dark
    assert made.duration_s < sum(s.end_s - s.begin_s for s in made.steps) / 3
    few = schedule(tiny, old, new, away, parallel=2)
    for begin, end, _ in phases(few, old, new):
        assert sum(s.begin_s <= begin and s.end_s >= end for s in few.steps) <= 2


def test_a_server_reloads_its_whole_span_unless_told_otherwise(tiny: Problem) -> None:
    server = tiny.servers[0]  # 1000 bytes a block
    petals = Reload(restart_s=2.0)
    fast = Reload(restart_s=2.0, what="new blocks")
    known = replace(server, download_bytes_per_s=100.0, disk_bytes_per_s=1_000.0)
    assert petals.move_s(known, (0, 3), (1, 4)) == 2.0 + 10.0 + 2.0
    assert fast.move_s(known, (0, 3), (1, 4)) == 2.0 + 10.0
    # Nothing is kept of a span that lies elsewhere.
    assert petals.move_s(known, (0, 2), (4, 6)) == fast.move_s(known, (4, 6), (0, 2)) == 2.0 + 20.0
    assert petals.move_s(replace(known, load_block_bytes=3_000), (0, 0), (0, 2)) == 2.0 + 60.0
    default = Reload(restart_s=0.0)
    assert default.move_s(server, (0, 0), (0, 1)) == pytest.approx(1_000 / 12.5e6)
    away = petals.away_s(tiny, bare([(0, 3)] * 4), bare([(0, 3), (0, 0), (3, 6), (0, 3)]))
    assert away[0] == away[1] == away[3] == 0.0
    assert away[2] > 2.0


def test_blocks_that_differ_are_read_one_by_one(tiny: Problem) -> None:
    sizes = (1_000, 2_000, 3_000, 4_000, 5_000, 6_000)
    server = replace(
        tiny.servers[0],
        block_bytes=sizes,
        download_bytes_per_s=100.0,
        disk_bytes_per_s=1_000.0,
    )
    petals = Reload(restart_s=2.0)
    assert petals.move_s(server, (0, 3), (1, 4)) == 2.0 + 40.0 + 5.0
    assert petals.move_s(server, (0, 0), (4, 6)) == 2.0 + 110.0
