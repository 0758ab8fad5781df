"""Problem data: shapes are checked, arrays cannot be written."""

import dataclasses

import numpy as np
import pytest

from swarmplan.core.problem import Network, Problem, Span, Timing


def test_arrays_of_a_problem_are_read_only(tiny: Problem) -> None:
    with pytest.raises(ValueError, match="read-only"):
        tiny.network.client_rtt_s[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        tiny.memory_bytes[0] = 1


def test_a_matrix_of_the_wrong_shape_is_refused(tiny: Problem) -> None:
    network = Network(client_rtt_s=np.zeros((1, 4)), server_rtt_s=np.zeros((4, 4)))
    with pytest.raises(ValueError, match="client_rtt_s must have shape"):
        dataclasses.replace(tiny, network=network)


def test_max_blocks_never_exceeds_the_model(tiny: Problem) -> None:
    server = dataclasses.replace(tiny.servers[0], max_blocks=99)
    changed = dataclasses.replace(tiny, servers=(server, *tiny.servers[1:]))
    assert changed.max_blocks.tolist() == [6, 6, 6, 6]


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 2), (3, 1)])
def test_an_empty_or_negative_span_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="0 <= start < end"):
        Span(start=start, end=end)


def test_a_negative_time_is_refused() -> None:
    with pytest.raises(ValueError, match="decode_base_s"):
        Timing(decode_base_s=-1.0)
