from __future__ import annotations

import numpy as np
import pytest

from swarmplan.core.requests import COUNTS, Requests, column
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
