"""Request-seconds of loads on placements."""

import math
from dataclasses import replace

import pytest

from swarmplan.chains.compose import gca, total_service_rate
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.moves.service import Service, draining_s, remembering, request_seconds


def test_overload_queues_as_a_fluid() -> None:
    nothing = Service(chains=(), rate_per_s=0.0)
    total, backlog = request_seconds([(10.0, nothing, 2.0)])
    assert (total, backlog) == (100.0, 20.0)
    assert draining_s(backlog, nothing) == math.inf
    assert draining_s(backlog, Service(chains=(), rate_per_s=4.0)) == 50.0


def test_a_placement_sustains_no_more_than_its_servers_compute(tiny: Problem) -> None:
    roomy = replace(tiny, servers=tuple(replace(s, memory_bytes=10**6) for s in tiny.servers))
    cost = CostModel.of(roomy)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)])
    service, caches = remembering(cost)(placement), gca(cost, placement)
    planning = roomy.planning
    work = cost.work_s(planning.prompt_tokens, planning.output_tokens)(0, 0, 6)
    assert service.rate_per_s == pytest.approx(1 / work)
    assert service.rate_per_s < total_service_rate(caches)
    # All chains busy, a request still takes its own time where nobody is in its way.
    assert service.mean_service_s == pytest.approx(caches[0].service_time_s)
