"""Shared fixtures: a four-server problem small enough to check by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Lengths, RequestClass, Workload
from swarmplan.methods import improving, runoff
from swarmplan.perfmodel.cost import CostModel

#: Examples of a property; fewer where the same tests run a second time with other libraries.
EXAMPLES = int(os.environ.get("SWARMPLAN_EXAMPLES", "60"))
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")

#: Of the limit of a plan, what `auto` spends on its last search and on routers here: how good the
#: outcome of more is, is a matter of benchmarks, and what either does is tested with more.
improving.WORK_SHARE, improving.SERVER_MOVES = 0.02, 1
runoff.WORK_SHARE, runoff.UNLIMITED_S = 0.03, 1.0

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The reference data beside the checkout; tests that need it skip where it is absent."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"reference data not found at {data}")
    return data


@pytest.fixture(scope="session")
def tiny() -> Problem:
    """Six blocks over one fast and three slow servers, two clients, times in whole ms."""
    slow = Timing(decode_base_s=0.010, prefill_base_s=0.020, prefill_per_token_s=0.001)
    fast = Timing(decode_base_s=0.002, prefill_base_s=0.004, prefill_per_token_s=0.0002)
    servers = tuple(
        Server(
            id=name,
            memory_bytes=memory,
            block_bytes=1_000,
            timing=timing,
            forward_rps=1_000.0,
            network_rps=5_000.0,
        )
        for name, memory, timing in (
            ("fast", 6_000, fast),
            ("slow-0", 4_000, slow),
            ("slow-1", 4_000, slow),
            ("slow-2", 3_000, slow),
        )
    )
    lengths = Lengths(values=(11,))
    return Problem(
        model=ModelSpec(
            name="toy",
            num_blocks=6,
            hidden_size=64,
            block_bytes=1_000,
            cache_bytes_per_token=10,
            activation_bytes_per_token=128,
        ),
        servers=servers,
        clients=(Client(id="near"), Client(id="far")),
        network=Network(
            client_rtt_s=np.array([[0.020, 0.010, 0.030, 0.020], [0.120, 0.150, 0.140, 0.110]]),
            server_rtt_s=np.array(
                [
                    [0.000, 0.015, 0.025, 0.020],
                    [0.015, 0.000, 0.020, 0.030],
                    [0.025, 0.020, 0.000, 0.010],
                    [0.020, 0.030, 0.010, 0.000],
                ]
            ),
            step_overhead_s=0.001,
            prefill_overhead_s=0.002,
        ),
        workload=Workload(
            classes=tuple(
                RequestClass(client=c, rate_per_s=0.5, prompt_tokens=lengths, output_tokens=lengths)
                for c in range(2)
            ),
            num_requests=100,
        ),
        planning=Planning(prompt_tokens=11, output_tokens=11, session_tokens=22, sessions=2),
    )


#: Times of random problems are multiples of this power of two: sums are exact, ties are real.
TICK_S = 2.0**-10


def random_problem(
    rng: np.random.Generator,
    *,
    servers: int = 5,
    clients: int = 2,
    length: int = 6,
    relay: Relay = "client",
) -> Problem:
    """A small problem with whole-tick times, so that equal sums are equal floats."""

    def ticks(low: int, high: int, *shape: int) -> Any:
        return TICK_S * rng.integers(low, high, size=shape or None)

    def server(j: int) -> Server:
        return Server(
            id=f"s{j}",
            memory_bytes=int(rng.integers(1_500, 9_000)),
            block_bytes=1_000,
            timing=Timing(decode_base_s=float(ticks(1, 6)), prefill_base_s=float(ticks(1, 20))),
            forward_rps=float(rng.integers(100, 2_000)),
            inference_rps=float(rng.integers(50, 500)),
            network_rps=float(rng.integers(100, 2_000)),
        )

    between = 2 * np.triu(ticks(1, 20, servers, servers), 1)
    return Problem(
        model=ModelSpec(
            name="random",
            num_blocks=length,
            hidden_size=64,
            block_bytes=1_000,
            cache_bytes_per_token=10,
            activation_bytes_per_token=128,
        ),
        servers=tuple(server(j) for j in range(servers)),
        clients=tuple(Client(id=f"c{c}") for c in range(clients)),
        network=Network(
            client_rtt_s=2 * ticks(1, 20, clients, servers),
            server_rtt_s=between + between.T,
            step_overhead_s=float(ticks(0, 4)),
            prefill_overhead_s=float(ticks(0, 8)),
            relay=relay,
        ),
        workload=Workload(
            classes=tuple(
                RequestClass(
                    client=c,
                    rate_per_s=0.5,
                    prompt_tokens=Lengths(values=(10,)),
                    output_tokens=Lengths(values=(9,)),
                )
                for c in range(clients)
            )
        ),
        planning=Planning(prompt_tokens=10, output_tokens=9, session_tokens=20),
        session_setup_s=float(ticks(0, 8)),
    )


def random_placement(rng: np.random.Generator, problem: Problem) -> Placement:
    """Random spans within every server's memory; they need not cover the model."""
    cost, length = CostModel.of(problem), problem.model.num_blocks
    spans = []
    weights = cost.weights_bytes.dearest_block()
    for memory, weight in zip(problem.memory_bytes, weights, strict=True):
        most = min(length, int(memory // weight))
        size = int(rng.integers(max(0, most - 3), most + 1))
        begin = int(rng.integers(0, length - size + 1))
        spans.append((begin, begin + size))
    return cost.placed(spans)


@pytest.fixture(scope="session")
def make_problem() -> Callable[..., Problem]:
    """``random_problem(rng, servers=, clients=, length=, relay=)``."""
    return random_problem


@pytest.fixture(scope="session")
def make_placement() -> Callable[[np.random.Generator, Problem], Placement]:
    """``random_placement(rng, problem)``."""
    return random_placement
