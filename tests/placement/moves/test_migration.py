"""Migration orders against every permutation on small cases."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.placement.moves import migration
from swarmplan.placement.moves.migration import order_moves
from swarmplan.tests.placement.offline import bare

LENGTH = 6


def dark_block_s(
    old: Placement, new: Placement, order: Sequence[int], load_s: list[float]
) -> float:
    """Independent account: block by block, move by move."""
    now = [(int(s), int(e)) for s, e in zip(old.start, old.end, strict=True)]
    total = 0.0
    for j in order:
        now[j] = (0, 0)
        served = {b for s, e in now for b in range(s, e)}
        target = (int(new.start[j]), int(new.end[j]))
        total += (LENGTH - len(served)) * (load_s[j] if target[1] > target[0] else 0.0)
        now[j] = target
    return total


SPAN = st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).map(sorted).map(tuple)
CASE = st.lists(st.tuples(SPAN, SPAN, st.integers(1, 5)), min_size=1, max_size=6)


@given(case=CASE)
def test_no_permutation_leaves_fewer_dark_block_seconds(
    tiny: Problem, case: list[tuple[tuple[int, int], tuple[int, int], int]]
) -> None:
    old, new = bare([c[0] for c in case]), bare([c[1] for c in case])
    load_s = [float(c[2]) for c in case]
    found = order_moves(tiny, old, new, load_s)
    moving = [m.server for m in found.moves]
    assert sorted(moving) == [
        j for j in range(len(case)) if (old.start[j], old.end[j]) != (new.start[j], new.end[j])
    ]
    least = min(
        (dark_block_s(old, new, p, load_s) for p in itertools.permutations(moving)), default=0.0
    )
    assert found.dark_block_s == pytest.approx(dark_block_s(old, new, moving, load_s))
    assert found.dark_block_s == pytest.approx(least)
    assert found.proven


def test_make_before_break_when_two_servers_swap_beside_a_third(tiny: Problem) -> None:
    old = bare([(0, 3), (3, 6), (0, 0)])
    new = bare([(3, 6), (0, 3), (0, 6)])
    found = order_moves(tiny, old, new, [1.0, 1.0, 9.0])
    assert found.dark_block_s == 0
    assert found.moves[0].server == 2


def test_an_unavoidable_gap_names_the_blocks_and_the_seconds(tiny: Problem) -> None:
    found = order_moves(tiny, bare([(0, 3), (3, 6)]), bare([(3, 6), (0, 3)]), [2.0, 5.0])
    assert [m.dark for m in found.moves] in ([(0, 1, 2), (0, 1, 2)], [(3, 4, 5), (3, 4, 5)])
    assert found.dark_block_s == pytest.approx(3 * 7.0)


def test_many_moves_keep_every_block_served(tiny: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    starts = rng.integers(0, 4, size=(2, 40))
    old = bare([(int(s), int(s) + 3) for s in starts[0]])
    new = bare([(int(s), int(s) + 3) for s in starts[1]])
    monkeypatch.setattr(migration, "EXHAUSTIVE_MOVES", 5)
    found = order_moves(tiny, old, new, [1.0] * 40)
    assert found.dark_block_s == 0
    assert found.proven
