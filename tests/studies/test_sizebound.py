"""The bound on sizes against sums by hand: how many requests count, and what each needs."""

from __future__ import annotations

import pytest

from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.studies.sizebound import size_bound
from swarmplan.studies.target import parse_target
from swarmplan.tests.placement.offline import jobs, offline


def arrivals(*clients: int, tokens: int = 1) -> list[Request]:
    """Requests of these clients, all at once, each with cache for so many tokens."""
    return [
        Request(
            id=i,
            client=c,
            arrival_s=0.0,
            prompt_tokens=1,
            output_tokens=1,
            reserved_tokens=tokens,
        )
        for i, c in enumerate(clients)
    ]


def test_memory_holds_the_byte_seconds_of_just_the_requests_that_must_be_done() -> None:
    # A request holds 1 GB for 3 s. A 95th percentile of at most 3.2 s asks for 20 of 21: for
    # 60 GB s within 3.2 s, 18.75 GB beside the block of 1 MB. 18 servers of 1.01 GB are too few.
    servers = 25
    problem = jobs(
        blocks=1,
        memory=[1_010.0] * servers,
        comm_s=[1.0] * servers,
        block_s=[2.0] * servers,
        cache=100.0,
    )
    found = size_bound(
        CostModel.of(problem),
        offer_of=[0] * servers,
        available=[servers],
        weights=[1.0],
        requests=arrivals(*[0] * 21, tokens=10),
        targets=[parse_target("p95_response_s=3.2")],
    )
    assert found.value == 19
    assert found.counts == (19,)


@pytest.mark.parametrize(("far", "least"), [(1, 1.0), (2, 3.0)])
def test_latency_binds_just_the_requests_that_the_share_asks_for(far: int, least: float) -> None:
    # The far client is within 100 ms at the dear server only. Of 21 requests one may be late.
    problem = offline(
        blocks=1,
        tau_ms=[1.0, 1.0],
        memory=[5_000.0, 5_000.0],
        cache=0.1,
        hop_ms=[[10.0, 10.0], [500.0, 10.0]],
    )
    found = size_bound(
        CostModel.of(problem),
        offer_of=[0, 1],
        available=[1, 1],
        weights=[1.0, 3.0],
        requests=arrivals(*[0] * (21 - far), *[1] * far),
        targets=[parse_target("p95_ttft_s=0.1")],
    )
    assert found.value == least
