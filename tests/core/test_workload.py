"""Length distributions and arrival rates."""

import numpy as np
import pytest

from swarmplan.core.workload import Lengths, Request, Workload


def test_a_quantile_is_a_value_of_the_distribution() -> None:
    lengths = Lengths(values=(10, 20, 30, 40))
    assert lengths.quantile(0.5) == 20
    assert lengths.quantile(0.95) == 40
    assert lengths.mean == 25


def test_a_constant_length_draws_itself() -> None:
    drawn = Lengths(values=(7,)).draw(np.random.default_rng(0), 5)
    assert drawn.tolist() == [7] * 5


def test_lengths_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        Lengths(values=(0, 3))


def test_the_rate_of_a_trace_is_requests_over_its_span() -> None:
    trace = tuple(
        Request(
            id=i,
            client=0,
            arrival_s=5.0 + i,
            prompt_tokens=1,
            output_tokens=1,
            reserved_tokens=2,
        )
        for i in range(11)
    )
    assert Workload(trace=trace).rate_per_s == pytest.approx(1.0)
    assert Workload(trace=trace[:1]).rate_per_s == 0.0
    assert Workload(trace=trace[:1] * 3).rate_per_s == 0.0  # all at once: no rate can be told
