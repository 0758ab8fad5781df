"""JFFC in the simulator against the bounds on its mean response (docs/model.md 10.5)."""

import numpy as np
import pytest

from swarmplan.chains.bounds import response_bounds
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Lengths, Request, RequestClass, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.jffc import Jffc
from swarmplan.simulator.engine import simulate

MEAN_TOKENS = 10_000


def whole_model_servers(seconds: list[float], capacity: list[int]) -> tuple[Problem, Placement]:
    """Servers that hold the model of one block; a mean request takes ``seconds`` there.

    Only prompt tokens cost time, so exponential prompts make exponential service.
    """
    n = len(seconds)
    prompts, outputs = Lengths(values=(MEAN_TOKENS,)), Lengths(values=(1,))
    stream = RequestClass(client=0, rate_per_s=1.0, prompt_tokens=prompts, output_tokens=outputs)
    problem = Problem(
        model=ModelSpec(
            name="toy",
            num_blocks=1,
            hidden_size=8,
            block_bytes=1_000,
            cache_bytes_per_token=1,
            activation_bytes_per_token=16,
        ),
        servers=tuple(
            Server(
                id=f"s{j}",
                memory_bytes=1_000 + capacity[j] * 10,
                block_bytes=1_000,
                timing=Timing(decode_base_s=0.0, prefill_per_token_s=seconds[j] / MEAN_TOKENS),
                sharing="independent",
            )
            for j in range(n)
        ),
        clients=(Client(id="c"),),
        network=Network(client_rtt_s=np.zeros((1, n)), server_rtt_s=np.zeros((n, n))),
        workload=Workload(classes=(stream,)),
        planning=Planning(prompt_tokens=MEAN_TOKENS, output_tokens=1, session_tokens=10),
    )
    return problem, CostModel.of(problem).placed([(0, 1)] * n)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "seconds", "capacity"),
    [
        (2.0, [1.0, 2.0], [2, 3]),
        (1.0, [5.0, 10.0, 20.0], [5, 5, 10]),
        (3.0, [1.0, 2.0], [2, 3]),
    ],
)
def test_the_simulated_mean_response_lies_between_the_bounds(
    rate: float, seconds: list[float], capacity: list[int]
) -> None:
    problem, placement = whole_model_servers(seconds, capacity)
    rng = np.random.default_rng(1)
    count = 6_000
    arrivals = np.cumsum(rng.exponential(1 / rate, count))
    prompts = np.maximum(1, np.round(rng.exponential(MEAN_TOKENS, count)).astype(int))
    requests = [
        Request(
            id=i,
            client=0,
            arrival_s=float(arrivals[i]),
            prompt_tokens=int(prompts[i]),
            output_tokens=1,
            reserved_tokens=10,
        )
        for i in range(count)
    ]
    router = Jffc(CostModel.of(problem), placement)
    assert [c.capacity for c in router.chains] == capacity
    result = simulate(problem, placement, router, requests, admission="queue")
    batches = result.response_s[count // 10 :].reshape(20, -1).mean(axis=1)
    error = float(batches.std(ddof=1) / np.sqrt(len(batches)))
    lower, upper = response_bounds([1 / s for s in seconds], capacity, rate)
    assert lower - 2 * error <= batches.mean() <= upper + 2 * error
