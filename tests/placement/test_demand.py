"""Sessions per client."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.compose import client_shares
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.latency import hop_cost
from swarmplan.placement.demand import demand_of, step_costs


def with_rates(problem: Problem, rates: tuple[float, float]) -> Problem:
    classes = tuple(
        dataclasses.replace(c, rate_per_s=rate)
        for c, rate in zip(problem.workload.classes, rates, strict=True)
    )
    return dataclasses.replace(problem, workload=Workload(classes=classes))


@given(
    sessions=st.integers(1, 60),
    rates=st.tuples(st.floats(0.0, 9.0), st.floats(0.01, 9.0)),
)
def test_all_sessions_are_shared_out_within_one_of_the_exact_share(
    tiny: Problem, sessions: int, rates: tuple[float, float]
) -> None:
    demand = demand_of(with_rates(tiny, rates), sessions)
    got = {d.client: d.sessions for d in demand}
    assert sum(got.values()) == sessions
    for client, rate in enumerate(rates):
        assert abs(got.get(client, 0) - sessions * rate / sum(rates)) < 1 + 1e-6


def test_the_planning_figures_give_the_number_of_sessions(tiny: Problem) -> None:
    assert [(d.client, d.sessions, d.cache_bytes) for d in demand_of(tiny)] == [
        (0, 1, 220),
        (1, 1, 220),
    ]


def test_a_missing_or_empty_number_of_sessions_is_refused(tiny: Problem) -> None:
    planning = dataclasses.replace(tiny.planning, sessions=None)
    with pytest.raises(ValueError, match="not set"):
        demand_of(dataclasses.replace(tiny, planning=planning))
    with pytest.raises(ValueError, match="at least 1"):
        demand_of(tiny, 0)


def test_a_client_without_load_gets_no_session(tiny: Problem) -> None:
    assert [(d.client, d.sessions) for d in demand_of(with_rates(tiny, (0.0, 1.0)))] == [(1, 2)]


def test_no_load_at_all_means_equal_shares(tiny: Problem) -> None:
    assert client_shares(with_rates(tiny, (0.0, 0.0))).tolist() == [0.5, 0.5]


def test_a_trace_is_counted_by_client(tiny: Problem) -> None:
    trace = tuple(
        Request(
            id=i,
            client=int(i == 3),
            arrival_s=2.0 * i,
            prompt_tokens=5,
            output_tokens=5,
            reserved_tokens=10,
        )
        for i in range(4)
    )
    problem = dataclasses.replace(tiny, workload=Workload(trace=trace))
    assert client_shares(problem).tolist() == [0.75, 0.25]


def test_the_step_costs_are_those_of_the_shared_cost_model(tiny: Problem) -> None:
    costs = step_costs(tiny)
    for client in range(2):
        shared = hop_cost(tiny, client, tiny.planning.prompt_tokens, tiny.planning.output_tokens)
        assert costs.hop_s[client].tolist() == shared.step_hop_s.tolist()
        assert costs.block_s.tolist() == shared.step_block_s.tolist()
