from __future__ import annotations

import numpy as np
import pytest

from swarmplan.core import requests as module
from swarmplan.core.requests import (
    COUNTS,
    Requests,
    by_arrival,
    column,
    compact,
    distinct,
    positions,
    taken,
)
from swarmplan.core.workload import Request

PLAIN = tuple(
    Request(
        id=i,
        client=i % 2,
        arrival_s=0.5 * i,
        prompt_tokens=10 + i,
        output_tokens=3,
        reserved_tokens=13 + i,
        acceptance=((), (0.5,))[i % 2],
    )
    for i in range(5)
)


def columns() -> Requests:
    return Requests(
        counts={n: np.array([getattr(r, n) for r in PLAIN], dtype=np.int32) for n in COUNTS},
        arrival_s=np.array([r.arrival_s for r in PLAIN]),
        acceptance=[(), (0.5,)],
        kind=np.array([r.client for r in PLAIN], dtype=np.int32),
    )


def test_columns_are_the_sequence_of_their_requests() -> None:
    requests = columns()
    assert requests == PLAIN
    assert hash(requests) == hash(PLAIN)
    assert (len(requests), requests[2], requests[-1]) == (5, PLAIN[2], PLAIN[-1])
    assert requests[1:4] == PLAIN[1:4]
    assert requests != PLAIN[:4]
    assert list(requests) == list(PLAIN)
    assert {type(requests[0].id), type(requests[0].reserved_tokens)} == {int}
    assert isinstance(requests[0].arrival_s, float)


@pytest.mark.parametrize("name", [*COUNTS, "arrival_s"])
def test_a_column_is_there_whatever_holds_the_requests(name: str) -> None:
    requests = columns()
    assert column(requests, name).tolist() == column(PLAIN, name).tolist()
    assert column(requests, name) is column(requests, name)
    with pytest.raises(ValueError, match="read-only"):
        column(requests, name)[0] = 7


def test_requests_are_taken_from_any_sequence_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOGETHER", 2)
    rows = np.array([3, 0, 3])
    assert taken(columns(), rows) == taken(PLAIN, rows) == [PLAIN[3], PLAIN[0], PLAIN[3]]
    assert list(columns()) == list(PLAIN)


def test_a_column_of_one_number_takes_no_memory() -> None:
    same = compact(np.full(1_000, 7, dtype=np.int32))
    assert (same.strides, same.tolist()) == ((0,), [7] * 1_000)
    with pytest.raises(ValueError, match="read-only"):
        same[0] = 8
    different = np.array([7, 8], dtype=np.int32)
    assert compact(different) is different
    assert len(compact(np.zeros(0, dtype=np.int32))) == 0


def test_distinct_rows_are_found_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 7)
    rng = np.random.default_rng(0)
    table = rng.integers(0, 4, (50, 2)).astype(np.int32)
    columns = list(table.T)
    rows, counts = distinct(columns)
    expected = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    assert (rows.tolist(), counts.tolist()) == (expected[0].tolist(), expected[2].tolist())
    assert positions(columns, rows).tolist() == expected[1].reshape(-1).tolist()
    empty = [c[:0] for c in columns]
    assert [len(found) for found in (*distinct(empty), positions(empty, rows))] == [0, 0, 0]


def test_equal_arrivals_stay_in_their_order() -> None:
    assert list(by_arrival(np.array([0.0, 1.0, 1.0]))) == [0, 1, 2]
    assert list(by_arrival(np.array([1.0, 0.0, 1.0, 0.0]))) == [1, 3, 0, 2]
    assert list(by_arrival(np.zeros(0))) == []
