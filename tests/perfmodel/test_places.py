"""Round trips worked out when they are asked for, against the matrix of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.between import PairTimes, nearest_s
from swarmplan.core.content import FloatArray
from swarmplan.perfmodel.network import rtt_from_coordinates_s
from swarmplan.perfmodel.places import ByPlace


def machines(seed: int, count: int = 6) -> ByPlace:
    """Some at nodes of a graph, some at places of their own."""
    rng = np.random.default_rng(seed)
    return ByPlace(
        lat_lon=rng.uniform(-60, 60, (count, 2)),
        mode=rng.choice(["fibre", "internet"]),
        last_s=rng.uniform(0, 0.01, count),
        node=rng.integers(-1, 3, count),
        graph_s=rng.uniform(0, 0.1, (3, 3)),
    )


def matrix(by: ByPlace) -> FloatArray:
    """All pairs, one by one."""
    n = len(by)
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                a, b = by.node[i], by.node[j]
                if a >= 0 and b >= 0:
                    way = by.graph_s[a, b]
                else:
                    way = rtt_from_coordinates_s(by.lat_lon[[i, j]], by.mode)[0, 1]
                found[i, j] = way + (by.last_s[i] + by.last_s[j])
    return found


@given(st.integers(0, 10**6))
def test_every_way_of_asking_gives_what_the_matrix_has(seed: int) -> None:
    by = machines(seed)
    held = matrix(by)
    some, others = np.array([4, 0, 2]), np.array([1, 2, 5])
    for at in (
        (3, 1),
        (2, 2),
        3,
        -1,
        some,
        (some, others),
        (some, 2),
        np.ix_(some, others),
        (slice(None), slice(None)),
        (slice(1, 4), others),
        (2, slice(None)),
        (-1, others),
    ):
        assert np.array_equal(by[at], held[at])
        assert np.array_equal((by * 3.0)[at], 3.0 * held[at])
    rows = np.array([5, 1, 3])
    assert np.array_equal(by.part(rows)[:, :], held[np.ix_(rows, rows)])
    assert (by.shape, len(by)) == (held.shape, len(held))
    assert np.array_equal(nearest_s(by), nearest_s(held))
    away = np.where(np.eye(6, dtype=bool), np.inf, held)
    assert np.array_equal(nearest_s(by), away.min(axis=0))


def test_times_are_equal_when_their_content_is() -> None:
    assert machines(1) == machines(1)
    assert hash(machines(1)) == hash(machines(1))
    assert machines(1) != machines(2)
    assert machines(1) != machines(1) * 2.0
    assert isinstance(machines(1), PairTimes)
    assert not isinstance(np.zeros((2, 2)), PairTimes)


def test_the_nearest_of_a_single_machine_is_nowhere() -> None:
    assert nearest_s(np.zeros((1, 1))) == pytest.approx([np.inf])
    assert nearest_s(np.array([[0.0, 3.0], [2.0, 0.0]])).tolist() == [2.0, 3.0]
