"""Request-seconds of loads on placements."""

import math

from swarmplan.placement.moves.service import Service, draining_s, request_seconds


def test_overload_queues_as_a_fluid() -> None:
    nothing = Service(chains=(), rate_per_s=0.0)
    total, backlog = request_seconds([(10.0, nothing, 2.0)])
    assert (total, backlog) == (100.0, 20.0)
    assert draining_s(backlog, nothing) == math.inf
    assert draining_s(backlog, Service(chains=(), rate_per_s=4.0)) == 50.0
