"""The work of steps as their context grows, where blocks differ or attend to windows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem, Timing
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.timing import Timings, decode_s, picked, seen_tokens, step_s


def random_timings(rng: np.random.Generator, length: int) -> tuple[Timing, ...]:
    kinds = [
        Timing(
            decode_base_s=float(rng.uniform(0, 0.01)),
            decode_per_context_token_s=float(rng.uniform(0, 1e-4)),
            decode_floor_s=float(rng.choice([0.0, 0.004, 0.012])),
            window_tokens=float(rng.choice([np.inf, 20.0, 90.0])),
        )
        for _ in range(3)
    ]
    return tuple(kinds[i] for i in rng.integers(0, 3, length))


@given(seed=st.integers(0, 10**6), context=st.integers(0, 200))
def test_a_hops_work_is_the_sum_over_its_blocks(tiny: Problem, seed: int, context: int) -> None:
    rng = np.random.default_rng(seed)
    servers = tuple(
        replace(s, timing=random_timings(rng, 6) if rng.random() < 0.8 else s.timing)
        for s in tiny.servers
    )
    cost = CostModel.of(replace(tiny, servers=servers))
    cut = int(rng.integers(1, 6))
    route = Route(hops=(Hop(server=1, start=0, end=cut), Hop(server=3, start=cut, end=6)))
    found = cost.tasks(route, 0, 7).step_s(context)
    for work, hop in zip(found, route.hops, strict=True):
        timing = servers[hop.server].timing
        each = timing if isinstance(timing, tuple) else (timing,) * 6
        wanted = sum(decode_s(t, context) for t in each[hop.start : hop.end])
        assert work == pytest.approx(wanted, rel=1e-12)
        run = cost.step_run_s(context)(hop.server, hop.start, hop.end)
        assert run == pytest.approx(wanted, rel=1e-12)


@given(window=st.floats(1, 300), first=st.integers(1, 200), spread=st.integers(1, 200))
def test_the_mean_of_what_is_seen_is_that_of_all_contexts(
    window: float, first: int, spread: int
) -> None:
    contexts = first + (np.arange(20_000) + 0.5) / 20_000 * spread
    wanted = np.minimum(contexts, window).mean()
    found = seen_tokens(np.array(window), first + spread / 2, spread)
    assert found == pytest.approx(wanted, rel=1e-6)
    assert seen_tokens(np.inf, 7.5, 3) == 7.5
    assert seen_tokens(5.0, 7.5, 0) == 5.0


@given(seed=st.integers(0, 10**6), prompt=st.integers(1, 100), output=st.integers(2, 100))
def test_the_mean_step_takes_no_longer_than_steps_do_on_average(
    seed: int, prompt: int, output: int
) -> None:
    """So bounds that are made of mean steps hold."""
    (timing,) = random_timings(np.random.default_rng(seed), 1)
    steps = np.mean([decode_s(timing, prompt + i) for i in range(1, output)])
    mean = float(step_s(timing, prompt + output / 2, output))
    assert mean <= steps * (1 + 1e-12)
    column = Timings.of([timing, Timing(decode_base_s=1.0)])
    assert step_s(column, prompt + output / 2, output)[0] == pytest.approx(mean, rel=1e-12)


def test_the_slowest_of_some_blocks_sees_most() -> None:
    near, far = Timing(decode_base_s=1.0, window_tokens=5.0), Timing(decode_base_s=2.0)
    assert picked((near, far), max).window_tokens == np.inf
    assert picked((near, far), min).window_tokens == 5.0
    with pytest.raises(ValueError, match="window_tokens"):
        Timing(decode_base_s=1.0, window_tokens=0.0)
