"""Figures of a run and intervals over runs, computed once more by hand."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem
from swarmplan.core.uplinks import Uplink
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.distribution import Distribution
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.figures import COMPARED, EXPENSES, compared
from swarmplan.simulator.metrics import T_95, Interval, summarise
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.perfmodel.test_expense import powered


def run(tiny: Problem, count: int) -> SimulationResult:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (3, 6), (0, 3), (4, 6)])
    requests = [
        Request(
            id=i,
            client=i % 2,
            arrival_s=0.1 * i,
            prompt_tokens=11,
            output_tokens=11 if i else 1,
            reserved_tokens=22,
        )
        for i in range(count)
    ]
    return simulate(tiny, placement, WsRr(cost, placement), requests)


def test_a_summary_is_the_mean_over_the_rows_of_the_table(tiny: Problem) -> None:
    result = run(tiny, 40)
    summary = summarise(result)
    rows = [r for r in result.rows() if r["status"] == "completed"]
    assert summary.requests == 40
    assert summary.completed == len(rows)
    for name in ("response_s", "ttft_s", "wait_s"):
        figure = getattr(summary, name)
        values = [r[name] for r in rows]
        assert figure.mean == pytest.approx(statistics.mean(values))
        assert figure.p50 == pytest.approx(np.quantile(values, 0.5))
        assert figure.p99 == pytest.approx(np.quantile(values, 0.99))
    tokens = sum(r["output_tokens"] for r in rows)
    span = max(r["finish_s"] for r in rows) - min(r["arrival_s"] for r in rows)
    assert summary.tokens_per_s == pytest.approx(tokens / span)
    assert summary.requests_per_s == pytest.approx(len(rows) / span)
    assert summary.per_token_s == pytest.approx(sum(r["response_s"] for r in rows) / tokens)
    # One token has no time between tokens.
    steps = [r["tpot_s"] for r in rows if r["output_tokens"] > 1]
    assert summary.tpot_s.mean == pytest.approx(statistics.mean(steps))


def test_energy_and_money_are_those_of_the_whole_run(tiny: Problem) -> None:
    assert summarise(run(tiny, 40)).kwh_per_million_tokens is None
    result = run(powered(tiny), 40)
    work_s = float(result.compute_busy_frac.sum()) * result.end_s
    energy_j, money = 4 * 50 * result.end_s + 250 * work_s, 4 * 0.001 * result.end_s
    assert (result.energy_j, result.money) == pytest.approx((energy_j, money))
    for summary in (summarise(result), summarise(result, warm_up=0.25)):
        millions = (39 * 11 + 1) / 1e6
        assert summary.kwh_per_million_tokens == pytest.approx(energy_j / 3.6e6 / millions)
        assert summary.money_per_million_tokens == pytest.approx(money / millions)


def test_figures_of_energy_and_money_are_shown_where_they_are_known(tiny: Problem) -> None:
    plain, taken = summarise(run(tiny, 4)), summarise(run(powered(tiny), 4))
    assert compared([plain]) == COMPARED
    kwh, money, egress = EXPENSES
    assert compared([plain, taken]) == (*COMPARED, kwh, money)
    priced = Uplink(name="cloud", servers=(0,), egress_price_per_byte=1e-6)
    network = replace(tiny.network, uplinks=(priced,))
    told = run(replace(powered(tiny), network=network), 4)
    metered = summarise(told)
    assert compared([plain, metered]) == (*COMPARED, *EXPENSES)
    assert egress.of(metered) == pytest.approx(told.uplink_bytes[0, 0] / told.tokens)
    assert math.isnan(kwh.of(plain))
    assert kwh.of(taken) == taken.kwh_per_million_tokens
    assert math.isnan(kwh.stored({"completed": 4}))  # by an older version


def test_the_warm_up_leaves_out_the_first_arrivals(tiny: Problem) -> None:
    result = run(tiny, 40)
    summary = summarise(result, warm_up=0.25)
    assert summary.requests == 30
    assert summary.response_s.mean == pytest.approx(float(result.response_s[10:].mean()))


def test_a_run_in_which_nothing_completes_has_no_figures(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (0, 3), (0, 3), (0, 3)])
    asked = Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=1,
        output_tokens=1,
        reserved_tokens=2,
    )
    summary = summarise(simulate(tiny, placement, WsRr(cost, placement), [asked]))
    assert (summary.completed, summary.rejected) == (0, 1)
    assert math.isnan(summary.response_s.mean)
    assert math.isnan(summary.tokens_per_s)


def test_quantiles_ignore_what_is_not_known() -> None:
    given = np.array([3.0, 1.0, 2.0])
    assert Distribution.of(given) == Distribution.of(given.copy(), spent=True)
    assert given.tolist() == [3.0, 1.0, 2.0]
    found = Distribution.of(np.array([1.0, math.nan, 3.0]))
    assert (found.mean, found.p50) == (2.0, 2.0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_an_interval_is_students(values: list[float]) -> None:
    found = Interval.of([*values, math.nan])
    spread = statistics.stdev(values) / math.sqrt(len(values))
    t = T_95[len(values) - 2] if len(values) - 2 < len(T_95) else 1.96
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.half_width == pytest.approx(t * spread, rel=1e-9, abs=1e-9)


def test_one_run_has_no_interval_and_none_has_no_mean() -> None:
    assert Interval.of([2.0]).mean == 2.0
    assert math.isnan(Interval.of([2.0]).half_width)
    assert math.isnan(Interval.of([]).mean)


def test_19_of_20_draws_of_students_t_are_within_its_quantiles() -> None:
    assert len(T_95) == 30
    for freedom, t in enumerate(T_95, start=1):
        x = np.linspace(-t, t, 20_001)
        density = (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
        whole = math.sqrt(freedom * math.pi) * math.gamma(freedom / 2)
        density *= math.gamma((freedom + 1) / 2) / whole
        within = (density[1:] + density[:-1]).sum() / 2 * (x[1] - x[0])
        assert within == pytest.approx(0.95, abs=1e-4)
