"""Requests drawn by seed from a problem's workload."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.problem import Problem
from ..core.workload import Lengths, LengthUse, Request, RequestClass, Workload
from ..perfmodel.length.distribution import LEVELS
from .lengths import Knowledge, known_of, provided


def draw_requests(
    problem: Problem, seed: int, *, num_requests: int | None = None
) -> tuple[Request, ...]:
    """Requests of the problem's workload, sorted by arrival.

    Parameters
    ----------
    num_requests : how many; the workload's own number when left out; a trace ends where it ends.

    Notes
    -----
    At different loads (``at_load``) the same seed draws the same lengths and the same gaps, scaled:
    common random numbers. What policies know of the lengths (``workload.lengths``) does not change
    what is drawn.
    """
    load = problem.workload
    if load.trace:
        first = load.trace[0].arrival_s
        chosen = load.trace[: num_requests or load.num_requests]
        moved = [replace(r, arrival_s=r.arrival_s - first) for r in chosen]
        return provided(moved, load.lengths, _known_of_trace(load, len(moved)))
    total = num_requests or load.num_requests
    parts = []
    streams = np.random.SeedSequence(seed).spawn(len(load.classes))
    for i, (stream, sequence) in enumerate(zip(load.classes, streams, strict=True)):
        if stream.rate_per_s > 0:
            parts.append(_draw(i, stream, np.random.default_rng(sequence), total))
    rows = np.concatenate(parts)
    rows = rows[np.argsort(rows[:, 0], kind="stable")][:total]
    requests = tuple(
        Request(
            id=i,
            client=int(client),
            arrival_s=float(at),
            prompt_tokens=int(prompt),
            output_tokens=int(output),
            reserved_tokens=int(prompt + output),
            acceptance=load.classes[int(stream)].acceptance,
        )
        for i, (at, client, prompt, output, stream) in enumerate(rows[:, :5])
    )
    if load.lengths == LengthUse():
        return requests
    return provided(requests, load.lengths, _known_of_streams(load, rows[:, 4:].astype(np.int64)))


def _known_of_trace(load: Workload, count: int) -> Knowledge:
    lengths = Lengths(
        values=tuple(r.output_tokens for r in load.trace), predicted=load.trace_predicted
    )
    return known_of(lengths, np.arange(count))


def _known_of_streams(load: Workload, drawn: IntArray) -> Knowledge:
    """The knowledge of requests given as (stream, row of its output lengths)."""
    width = len(LEVELS)
    constant = np.zeros((len(drawn), width))
    longest = np.zeros(len(drawn), dtype=np.int64)
    predicted = np.zeros((len(drawn), width))
    complete = True
    for i, stream in enumerate(load.classes):
        own = np.flatnonzero(drawn[:, 0] == i)
        known = known_of(stream.output_tokens, drawn[own, 1])
        constant[own], longest[own] = known.constant, known.longest
        if known.predicted is not None:
            predicted[own] = known.predicted
        elif len(stream.output_tokens.values) == 1:
            predicted[own] = known.constant  # a constant needs no prediction
        elif len(own):
            complete = False
    return Knowledge(predicted=predicted if complete else None, constant=constant, longest=longest)


def _draw(number: int, stream: RequestClass, rng: np.random.Generator, count: int) -> FloatArray:
    """(count, 6) arrival, client, prompt, output, stream, row of the output of one stream."""
    if stream.gap_cv == 0:
        gaps = np.ones(count)
    else:
        shape = 1.0 / stream.gap_cv**2
        gaps = rng.gamma(shape, 1.0 / shape, count)
    arrivals = np.cumsum(gaps) / stream.rate_per_s
    prompts, rows = (
        stream.prompt_tokens.draw(rng, count),
        stream.output_tokens.draw_rows(rng, count),
    )
    outputs = np.asarray(stream.output_tokens.values, dtype=np.int64)[rows]
    client, own = np.full(count, stream.client), np.full(count, number)
    return np.column_stack([arrivals, client, prompts, outputs, own, rows])
