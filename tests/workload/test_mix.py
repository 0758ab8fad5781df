"""What a workload's requests are like, against what is drawn of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swarmplan.core.problem import Problem
from swarmplan.core.workload import Lengths, LengthUse, Request, RequestClass, Workload
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.mix import MOST_LENGTHS, mix_of


def of(tiny: Problem, **fields: Any) -> Problem:
    return replace(tiny, workload=replace(tiny.workload, **fields))


def test_every_shape_has_its_share(tiny: Problem) -> None:
    streams = (
        RequestClass(
            client=1,
            rate_per_s=3.0,
            prompt_tokens=Lengths(values=(5, 5, 7)),
            output_tokens=Lengths(values=(2, 4)),
        ),
        RequestClass(
            client=0,
            rate_per_s=1.0,
            prompt_tokens=Lengths(values=(9,)),
            output_tokens=Lengths(values=(1,)),
        ),
    )
    mix = mix_of(of(tiny, classes=streams))
    columns = (mix.client, mix.prompt_tokens, mix.output_tokens, mix.reserved_tokens)
    assert np.column_stack(columns).tolist() == [
        [0, 9, 1, 10],
        [1, 5, 2, 7],
        [1, 5, 4, 9],
        [1, 7, 2, 9],
        [1, 7, 4, 11],
    ]
    assert mix.share == pytest.approx([0.25, 0.25, 0.25, 0.125, 0.125])
    assert mix.of_client(0).share == pytest.approx([0.25])


def test_many_lengths_are_rounded_down(tiny: Problem) -> None:
    rng = np.random.default_rng(3)
    prompt, output = (tuple(rng.integers(1, 900, size=500).tolist()) for _ in range(2))
    stream = RequestClass(
        client=0,
        rate_per_s=1.0,
        prompt_tokens=Lengths(values=prompt),
        output_tokens=Lengths(values=output),
    )
    mix = mix_of(of(tiny, classes=(stream,)))
    assert len(mix.share) <= MOST_LENGTHS**2
    assert mix.share.sum() == pytest.approx(1.0)
    for column, values in ((mix.prompt_tokens, prompt), (mix.output_tokens, output)):
        assert 0.93 * np.mean(values) < mix.share @ column <= np.mean(values)
        # As many are at least as long as before, or fewer.
        for tokens in (100, 450, 800):
            assert mix.share[column >= tokens].sum() <= np.mean(np.array(values) >= tokens) + 1e-9


@pytest.mark.parametrize("mode", ["oracle", "model-constant", "maximum"])
def test_reservations_are_those_of_drawn_requests(tiny: Problem, mode: str) -> None:
    stream = RequestClass(
        client=0,
        rate_per_s=1.0,
        prompt_tokens=Lengths(values=(5, 8)),
        output_tokens=Lengths(values=(3, 6, 20)),
    )
    problem = of(tiny, classes=(stream,), lengths=LengthUse(mode=mode, limit_tokens=12))  # type: ignore[arg-type]
    names = ("prompt_tokens", "output_tokens", "reserved_tokens")
    drawn = {tuple(getattr(r, n) for n in names) for r in draw_requests(problem, 0)}
    mix = mix_of(problem)
    assert set(zip(*(getattr(mix, n).tolist() for n in names), strict=True)) == drawn


def test_a_trace_counts_whole(tiny: Problem) -> None:
    trace = tuple(
        Request(
            id=i,
            client=i % 2,
            arrival_s=float(i),
            prompt_tokens=4 + i // 3,
            output_tokens=6,
            reserved_tokens=10 + i // 3,
        )
        for i in range(4)
    )
    mix = mix_of(replace(tiny, workload=Workload(trace=trace, num_requests=2)))
    assert mix.prompt_tokens.tolist() == [4, 4, 5]
    assert mix.share == pytest.approx([0.5, 0.25, 0.25])
