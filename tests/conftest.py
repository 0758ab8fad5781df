"""Shared fixtures: a four-server problem small enough to check by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Lengths, RequestClass, Workload

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")

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
