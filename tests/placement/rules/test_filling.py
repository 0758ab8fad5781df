"""CG-BP's compiled choices: the spans that the plain ones give, ties included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules import cg_bp
from swarmplan.placement.rules.filling import thinnest


def placed(cost: CostModel, sessions: int) -> Placement | str:
    try:
        return cg_bp.place_blocks(cost, sessions)
    except HeuristicFailedError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore:.*too small for one block")
@given(seed=st.integers(0, 10_000), servers=st.integers(1, 12), sessions=st.integers(1, 12))
def test_compiled_choices_are_the_plain_ones(
    make_problem: Callable[..., Problem], seed: int, servers: int, sessions: int
) -> None:
    cost = CostModel.of(make_problem(np.random.default_rng(seed), servers=servers, length=7))
    plain = placed(cost, sessions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cg_bp, "MANY", 1)
        assert placed(cost, sessions) == plain


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 12))
def test_the_thinnest_window_is_the_same_compiled(values: list[int], width: int) -> None:
    width = min(width, len(values))
    expected = cg_bp.thinnest_window(np.array(values), width)
    assert thinnest(np.array(values), width) == expected
