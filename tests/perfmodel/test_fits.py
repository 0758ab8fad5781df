"""What fits beside all others, against the memory rules of the shared cost model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.fits import Fits, Used
from swarmplan.perfmodel.memory import blocks_within
from swarmplan.placement.allowed import reach_of
from swarmplan.tests.conftest import random_problem
from swarmplan.tests.placement.offline import uneven

TOKENS = 20


def cost_of(rng: np.random.Generator, kind: str) -> CostModel:
    problem = random_problem(rng)
    return CostModel.of(uneven(problem, rng) if kind == "uneven" else problem)


def fits_of(cost: CostModel) -> Fits:
    asked = cost.problem.planning.constraints
    most = np.minimum(cost.problem.max_blocks, cost.num_blocks)
    return Fits(cost, reach_of(asked, most, cost.num_blocks))


def drawn(rng: np.random.Generator, cost: CostModel) -> Used:
    """Spans and caches at random, some servers free; not all of it need fit."""
    n, length = cost.problem.num_servers, cost.num_blocks
    end = np.where(rng.random(n) < 0.6, rng.integers(1, length + 1, n), 0)
    hosted = rng.integers(0, length, n) % np.maximum(end, 1) + (end > 0)
    held = np.where(end > 0, (rng.random(n) * 0.3 * cost.problem.memory_bytes).astype(int), 0)
    return Used(end, hosted, held)


@pytest.mark.parametrize("kind", ["alike", "uneven"])
@given(seed=st.integers(0, 2**32 - 1), sessions=st.integers(1, 4))
def test_free_servers_have_room_as_for_planned_sessions(
    seed: int, sessions: int, kind: str
) -> None:
    cost = cost_of(np.random.default_rng(seed), kind)
    none = np.zeros(cost.problem.num_servers, dtype=np.int64)
    found = fits_of(cost).blocks(Used(none, none, none), TOKENS, 1, sessions)
    held = ((sessions, TOKENS),)
    assert found.tolist() == blocks_within(cost, cost.problem.memory_bytes, held).tolist()


@pytest.mark.parametrize("kind", ["alike", "uneven"])
@given(seed=st.integers(0, 2**32 - 1), sessions=st.integers(1, 4))
def test_servers_in_use_have_room_for_what_is_said_and_where_blocks_are_alike_for_no_more(
    seed: int, sessions: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    cost = cost_of(rng, kind)
    used, fits = drawn(rng, cost), fits_of(cost)
    grown = fits.blocks(used, TOKENS, sessions, 1)
    inside = fits.blocks_hosted(used, TOKENS, sessions)
    for j in np.flatnonzero(used.end).tolist():
        end, hosted, held = (int(a[j]) for a in used)
        spare = int(cost.problem.memory_bytes[j]) - held

        def fit(run: int, *, j: int = j, end: int = end, hosted: int = hosted,
                spare: int = spare) -> bool:  # fmt: skip
            """Whether so many blocks before the end fit beside the caches of others."""
            start = end - max(run, hosted)
            cache = int(cost.cache_bytes(TOKENS, end - run, end)) * sessions
            return int(cost.weights_bytes(j, start, end)) + cache <= spare

        limit = min(int(cost.problem.max_blocks[j]), end)
        for most, upper in ((int(grown[j]), limit), (int(inside[j]), hosted)):
            assert 0 <= most <= upper
            assert most == 0 or fit(most)
            if kind == "alike" and most < upper:
                assert not fit(most + 1)


@pytest.mark.parametrize("kind", ["alike", "uneven"])
@given(seed=st.integers(0, 2**32 - 1))
def test_so_many_sessions_fit_on_a_chain_and_no_more(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    cost = cost_of(rng, kind)
    used = drawn(rng, cost)
    chain = tuple(
        (j, int(rng.integers(0, used.end[j])), int(used.end[j]))
        for j in np.flatnonzero(used.end).tolist()
    )
    if not chain:
        return
    found = fits_of(cost).sessions(used, TOKENS, chain)

    def fit(count: int) -> bool:
        return all(
            int(cost.weights_bytes(j, min(b, e - int(used.hosted[j])), e))
            + int(used.held[j])
            + count * int(cost.cache_bytes(TOKENS, b, e))
            <= int(cost.problem.memory_bytes[j])
            for j, b, e in chain
        )

    assert fit(found)
    assert not fit(found + 1)
