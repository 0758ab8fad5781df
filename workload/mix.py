"""What a workload's requests are like: every shape with its share, without drawing any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.problem import Problem
from ..core.workload import Mix, Request, RequestClass, Workload
from .draw import draw_requests
from .lengths import known_of, provided

#: Of a stream's prompts, and of its outputs, so many are told apart.
MOST_LENGTHS = 24


def mix_of(problem: Problem) -> Mix:
    """The requests that the workload is made of.

    Where a stream has many lengths they are rounded down to the least of some like ones: what
    requests cost at least stays a bound.
    """
    load = problem.workload
    if load.trace:
        rows = _rows(draw_requests(problem, 0, num_requests=len(load.trace)))
        return Mix.of(rows, np.ones(len(rows)))
    parts = [_stream(load, stream) for stream in load.classes if stream.rate_per_s > 0]
    return Mix.of(np.concatenate([p for p, _ in parts]), np.concatenate([s for _, s in parts]))


def _stream(load: Workload, stream: RequestClass) -> tuple[IntArray, FloatArray]:
    """(N, 4) client, prompt, output, reserved of a stream's requests, and (N,) their rates."""
    count = len(stream.output_tokens.values)
    drawn = [
        Request(
            id=i,
            client=stream.client,
            arrival_s=0.0,
            prompt_tokens=1,
            output_tokens=tokens,
            reserved_tokens=1 + tokens,
        )
        for i, tokens in enumerate(stream.output_tokens.values)
    ]
    knowledge = known_of(stream.output_tokens, np.arange(count))
    if count == 1 and knowledge.predicted is None:  # a constant needs no prediction
        knowledge = replace(knowledge, predicted=knowledge.constant)
    known = _rows(provided(drawn, load.lengths, knowledge))
    prompts, often = _coarse(np.array(stream.prompt_tokens.values, np.int64)[:, None])
    outputs, frequent = _coarse(np.column_stack([known[:, 2], known[:, 3] - 1]))
    prompt, output = np.repeat(prompts, len(outputs), axis=0), np.tile(outputs, (len(prompts), 1))
    rows = np.column_stack(
        [np.full(len(prompt), stream.client), prompt, output[:, 0], prompt[:, 0] + output[:, 1]]
    )
    return rows, stream.rate_per_s * np.outer(often, frequent).ravel()


def _rows(requests: Sequence[Request]) -> IntArray:
    columns = ("client", "prompt_tokens", "output_tokens", "reserved_tokens")
    return np.array([[getattr(r, c) for c in columns] for r in requests], dtype=np.int64)


def _coarse(rows: IntArray) -> tuple[IntArray, FloatArray]:
    """Distinct rows, like ones rounded down to the least of each column, and their shares."""
    ordered = rows[np.lexsort(rows.T[::-1])]
    if len(np.unique(ordered, axis=0)) > MOST_LENGTHS:
        bins = np.arange(len(ordered)) * MOST_LENGTHS // len(ordered)
        first = np.flatnonzero(np.diff(bins, prepend=-1))
        ordered = np.minimum.reduceat(ordered, first, axis=0)[bins]
    distinct, count = np.unique(ordered, axis=0, return_counts=True)
    return distinct, count / len(rows)
