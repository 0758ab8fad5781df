"""A problem cut to some of its blocks costs what those blocks cost in the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem, Span
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.piece import piece
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]


@given(seed=st.integers(0, 10**6), unequal=st.booleans())
def test_blocks_of_a_piece_cost_what_they_cost_in_the_whole(
    make_problem: Make, seed: int, unequal: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    if unequal:
        problem = uneven(problem, rng)
    start, end = sorted(rng.choice(7, 2, replace=False).tolist())
    whole, part = CostModel.of(problem), CostModel.of(piece(problem, start, end))
    assert part.num_blocks == end - start
    here, there = whole.shape(1, 10, 9), part.shape(1, 10, 9)
    for j in range(problem.num_servers):
        a, b = sorted(rng.choice(end - start + 1, 2).tolist())
        span, moved = (start + a, start + b), (a, b)
        assert part.weights_bytes(j, *moved) == whole.weights_bytes(j, *span)
        assert part.session_bytes(*moved) == whole.session_bytes(*span)
        assert there.run_s(j, *moved) == pytest.approx(here.run_s(j, *span), rel=1e-9, abs=1e-15)
    assert there.hop_s.tolist() == here.hop_s.tolist()


def test_the_whole_is_a_piece_of_itself_but_for_pins(tiny: Problem) -> None:
    pinned = replace(tiny.servers[0], pinned=Span(start=0, end=2))
    problem = replace(tiny, servers=(pinned, *tiny.servers[1:]))
    assert piece(problem, 0, 6) == tiny
    assert piece(problem, 2, 5).servers[0].pinned is None
