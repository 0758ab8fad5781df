"""Requests drawn by seed."""

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request, Workload
from swarmplan.workload.draw import draw_requests


def test_the_same_seed_draws_the_same_requests(tiny: Problem) -> None:
    assert draw_requests(tiny, 7) == draw_requests(tiny, 7)
    assert draw_requests(tiny, 7) != draw_requests(tiny, 8)


def test_the_mean_rate_is_the_sum_of_the_streams(tiny: Problem) -> None:
    drawn = draw_requests(tiny, 1, num_requests=4_000)
    rate = (len(drawn) - 1) / (drawn[-1].arrival_s - drawn[0].arrival_s)
    # Standard error of a Poisson rate over 4000 arrivals is 1.6 %.
    assert rate == pytest.approx(tiny.workload.rate_per_s, rel=0.07)


def test_requests_come_in_order_of_arrival_and_are_numbered_so(tiny: Problem) -> None:
    drawn = draw_requests(tiny, 1)
    assert len(drawn) == 100
    assert [r.id for r in drawn] == list(range(100))
    assert [r.arrival_s for r in drawn] == sorted(r.arrival_s for r in drawn)
    assert {r.client for r in drawn} == {0, 1}


def test_a_stream_without_variation_is_a_metronome(tiny: Problem) -> None:
    only = replace(tiny.workload.classes[0], gap_cv=0.0, rate_per_s=4.0)
    load = replace(tiny.workload, classes=(only,))
    drawn = draw_requests(replace(tiny, workload=load), 5, num_requests=8)
    np.testing.assert_allclose(np.diff([r.arrival_s for r in drawn]), 0.25)


def test_a_trace_begins_at_zero_and_ends_where_it_ends(tiny: Problem) -> None:
    trace = tuple(
        Request(
            id=i,
            client=0,
            arrival_s=10.0 + i,
            prompt_tokens=1 + i,
            output_tokens=1,
            reserved_tokens=2 + i,
        )
        for i in range(5)
    )
    problem = replace(tiny, workload=Workload(trace=trace, num_requests=4))
    assert [r.arrival_s for r in draw_requests(problem, 0)] == [0.0, 1.0, 2.0, 3.0]
    assert [r.prompt_tokens for r in draw_requests(problem, 9, num_requests=9)] == [1, 2, 3, 4, 5]
