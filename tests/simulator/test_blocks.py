"""Runs on models whose blocks differ, attend to windows or keep states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.names import Admission, CacheKept, Sharing
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Client, Network, Planning, Problem, Server
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.routing.petals import PetalsRouting
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate
from swarmplan.tests.perfmodel.test_steps import random_timings
from swarmplan.tests.simulator.test_engine import assert_accounted, assert_never_over_committed

SHAPES = ("DeepSeek-V3", "gpt-oss-120b", "Gemma-3-27B", "Qwen3-Next-80B-A3B")


def shaped(rng: np.random.Generator, name: str, kept: CacheKept, sharing: Sharing) -> Problem:
    """A few servers that together hold a model and some sessions of long prompts."""
    model = model_spec(name, "nf4", kept)
    each = model.each_block()
    kinds = list(dict.fromkeys(each))
    servers = []
    for j in range(6):
        timing = random_timings(rng, len(kinds))
        by_block = tuple(timing[kinds.index(one)] for one in each)
        memory = int(model.whole_bytes * rng.uniform(0.3, 0.7))
        servers.append(
            Server(
                id=f"s{j}",
                memory_bytes=memory,
                block_bytes=model.block_bytes,
                timing=by_block,
                sharing=sharing,
            )
        )
    return Problem(
        model=model,
        servers=tuple(servers),
        clients=(Client(id="me"),),
        network=Network(
            client_rtt_s=rng.uniform(0.01, 0.1, (1, 6)), server_rtt_s=np.full((6, 6), 0.02)
        ),
        workload=Workload(),
        planning=Planning(prompt_tokens=4_000, output_tokens=40, session_tokens=9_000, sessions=2),
    )


def requests_of(rng: np.random.Generator, *, exact: bool) -> tuple[Request, ...]:
    found = []
    for i in range(25):
        prompt, output = int(rng.integers(1, 20_000)), int(rng.integers(1, 60))
        reserved = prompt + output if exact else int(rng.integers(1, 20_000))
        found.append(
            Request(
                id=i,
                client=0,
                arrival_s=float(rng.uniform(0, 3)),
                prompt_tokens=prompt,
                output_tokens=output,
                reserved_tokens=reserved,
            )
        )
    return tuple(found)


def crowded(rng: np.random.Generator, cost: CostModel) -> Placement:
    """What CG-BP places, with pools for one to three of the longest sessions."""
    made = place_blocks(cost, 2)
    spans = list(zip(made.start.tolist(), made.end.tolist(), strict=True))
    longest = cost.cache_bytes(20_060, made.start, made.end)
    pools = np.minimum(made.cache_bytes, rng.integers(1, 4, len(spans)) * longest)
    return cost.placed(spans, cache_bytes=pools.tolist())


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    kept=st.sampled_from(("windowed", "full", "expanded")),
    exact=st.booleans(),
    rule=st.sampled_from(("retry", "queue", "reserve")),
    sharing=st.sampled_from(("serial", "batched", "independent")),
)
def test_no_server_ever_holds_more_than_its_memory(
    name: str, seed: int, kept: CacheKept, exact: bool, rule: Admission, sharing: Sharing
) -> None:
    rng = np.random.default_rng(seed)
    cost = CostModel.of(shaped(rng, name, kept, sharing))
    placement, requests = crowded(rng, cost), requests_of(rng, exact=exact)
    router = (WsRr if seed % 2 else PetalsRouting())(cost, placement)
    result = simulate(cost.problem, placement, router, requests, admission=rule)
    assert_accounted(result, requests)
    assert "completed" in result.status
    assert (result.peak_cache_bytes <= placement.cache_bytes).all()
    assert (result.peak_memory_bytes <= result.memory_bytes).all()
    if exact:
        assert_never_over_committed(cost, placement, result)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), kept=st.sampled_from(("windowed", "full")))
def test_a_session_alone_takes_the_sum_of_its_steps(seed: int, kept: CacheKept) -> None:
    rng = np.random.default_rng(seed)
    cost = CostModel.of(shaped(rng, str(rng.choice(SHAPES)), kept, "serial"))
    placement = place_blocks(cost, 2)
    (one, *_) = requests_of(rng, exact=True)
    one = replace(one, arrival_s=0.0)
    result = simulate(cost.problem, placement, WsRr(cost, placement), [one])
    (route,) = result.routes
    assert route is not None
    tasks = cost.tasks(route, 0, one.prompt_tokens)
    steps = sum(
        float(tasks.step_s(one.prompt_tokens + made).sum()) for made in range(1, one.output_tokens)
    )
    hops = (one.output_tokens - 1) * float(cost.step_hop_s[0, list(route.servers)].sum())
    taken = result.finish_s[0] - result.first_token_s[0]
    assert taken == pytest.approx(hops + steps, rel=1e-9)


def test_more_tokens_within_a_full_window_take_no_more_cache() -> None:
    rng = np.random.default_rng(0)
    cost = CostModel.of(shaped(rng, "gpt-oss-120b", "windowed", "serial"))
    windows, whole = 18 * 128 * 2_048, 18 * 2_048
    assert cost.cache_bytes(1_000, 0, 36) == windows + 1_000 * whole
    assert cost.cache_bytes(1_001, 0, 36) - cost.cache_bytes(1_000, 0, 36) == whole
