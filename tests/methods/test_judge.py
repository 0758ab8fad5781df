"""Judges: the same requests for everybody, rehearsed where that is possible."""

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.chains.capacity import most_planned_per_s
from swarmplan.core.names import Admission
from swarmplan.core.objective import MEAN_RESPONSE, P95_RESPONSE
from swarmplan.core.problem import Problem
from swarmplan.methods.judge import Judge, judged, requests_needed
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import WARM_UP, summarise
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load


def judge_of(problem: Problem, *, admission: Admission = "retry", short: int = 0) -> Judge:
    """A judge by 100 requests, whose reservations lack some tokens."""
    cost = CostModel.of(problem)
    requests = [
        replace(r, reserved_tokens=r.reserved_tokens - short)
        for r in draw_requests(problem, 1, num_requests=100)
    ]
    return Judge(
        cost,
        requests,
        admission=admission,
        goal=MEAN_RESPONSE,
    )


@pytest.mark.parametrize("router", ["overlap", "ws-rr"])
@pytest.mark.parametrize("admission", ["retry", "queue"])
def test_it_says_what_a_summary_of_the_simulation_says(
    tiny: Problem, router: str, admission: Admission
) -> None:
    cost = CostModel.of(tiny)
    placement = place_blocks(cost, 1)
    found = judge_of(tiny, admission=admission)(placement, router)
    known = summarise(
        simulate(
            tiny,
            placement,
            router_named(router)(cost, placement),
            draw_requests(tiny, 1, num_requests=100),
            admission=admission,
        ),
        warm_up=WARM_UP,
    )
    assert found.figure_s == pytest.approx(known.response_s.mean, rel=1e-12)
    assert found.unserved == known.requests - known.completed


def test_requests_that_outgrow_their_reservation_are_simulated(tiny: Problem) -> None:
    judge = judge_of(tiny, short=3)
    assert judge.rehearsal is None
    assert judge(place_blocks(CostModel.of(tiny), 1), "overlap").unserved == 0


def test_requests_that_found_an_empty_swarm_do_not_count_and_unserved_ones_are_told() -> None:
    response = np.array([99.0, *range(1, 20)])
    response[[4, 9]] = np.nan
    found = judged(response, MEAN_RESPONSE)
    counted = [float(r) for r in range(2, 20) if r not in (4, 9)]
    assert found.unserved == 2
    assert found.figure_s == pytest.approx(np.mean(counted))
    assert judged(response, P95_RESPONSE).figure_s == pytest.approx(np.quantile(counted, 0.95))
    nobody = judged(np.full(20, np.nan), MEAN_RESPONSE)
    assert nobody.unserved == 18
    assert np.isnan(nobody.figure_s)


def test_near_what_all_servers_compute_more_requests_are_needed(tiny: Problem) -> None:
    most = most_planned_per_s(CostModel.of(tiny))

    def at(share: float) -> int:
        loaded = at_load(tiny, share * most / tiny.workload.rate_per_s)
        return requests_needed(CostModel.of(loaded))

    assert at(0.80) == at(1.20) == 1 < at(0.90)
