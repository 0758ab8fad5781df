"""The compiled insertion against every chain there is."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.content import IntArray
from swarmplan.perfmodel.plain import Plain
from swarmplan.placement.search.layers import Visiting, cheapest, nearest, visit_s

LENGTH, SERVERS = 6, 5
Chain = tuple[tuple[int, int, int], ...]


def drawn(rng: np.random.Generator, *, alike: bool) -> Visiting:
    """Hops, runs and reaches at random."""
    blocks = rng.integers(1, 9, (SERVERS, LENGTH)).astype(float)
    sums = np.concatenate([np.zeros((SERVERS, 1)), blocks.cumsum(axis=1)], axis=1)
    reach = np.minimum(rng.integers(1, LENGTH + 1, (SERVERS, 1)), np.arange(LENGTH + 1))
    return Visiting(
        hop=rng.integers(1, 9, SERVERS).astype(float),
        run=Plain(
            each=blocks[:, 0].copy() if alike else np.zeros(0),
            sums=np.zeros((0, 0)) if alike else sums,
        ),
        reach=reach,
    )


def chains(visiting: Visiting, end: IntArray, most: IntArray, free: list[int]) -> Iterator[Chain]:
    """Chains that pass free servers in this order, and servers in use up to their ends."""

    def on(at: int, left: list[int]) -> Iterator[Chain]:
        if at == LENGTH:
            yield ()
        for j in np.flatnonzero(end > at).tolist():
            if end[j] - at <= most[j]:
                yield from (((j, at, int(end[j])), *rest) for rest in on(int(end[j]), left))
        for place, j in enumerate(left):
            for stop in range(at + 1, min(at + int(most[j]), LENGTH) + 1):
                if stop - at <= visiting.reach[j, stop]:
                    yield from (((j, at, stop), *rest) for rest in on(stop, left[place + 1 :]))

    return on(0, free)


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "uneven"])
@given(seed=st.integers(0, 2**32 - 1))
def test_no_chain_in_the_given_order_is_cheaper(seed: int, alike: bool) -> None:
    rng = np.random.default_rng(seed)
    visiting = drawn(rng, alike=alike)
    most = rng.integers(0, LENGTH + 1, SERVERS)
    end = np.where(rng.random(SERVERS) < 0.4, rng.integers(1, LENGTH + 1, SERVERS), 0)
    free = rng.permutation(np.flatnonzero((end == 0) & (most > 0)))
    found = cheapest(visiting, end, most, free)[::-1].tolist()
    costs = [
        sum(visit_s(visiting, *visit) for visit in chain)
        for chain in chains(visiting, end, most, free.tolist())
    ]
    if not costs:
        assert not found
        return
    assert sum(visit_s(visiting, *visit) for visit in found) == min(costs)
    assert [b for _, b, _ in found] == [0, *(e for _, _, e in found[:-1])]
    assert found[-1][2] == LENGTH
    assert len({j for j, _, _ in found}) == len(found)


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 4))
def test_the_nearest_are_the_cheapest_that_can_run_so_much(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    ranking = np.array([rng.permutation(SERVERS) for _ in range(LENGTH)])
    most = rng.integers(0, LENGTH + 1, SERVERS)
    end = np.where(rng.random(SERVERS) < 0.3, 1, 0)
    free = [j for j in range(SERVERS) if most[j] and not end[j]]
    found, complete = nearest(ranking, end, most, width)
    able = [[j for j in ranking[k - 1].tolist() if j in free and most[j] >= k]
            for k in range(1, LENGTH + 1)]  # fmt: skip
    wanted = set(itertools.chain.from_iterable(able[k][:width] for k in range(LENGTH)))
    assert complete == (len(free) <= width)
    assert found.tolist() == sorted(free if complete else wanted)
