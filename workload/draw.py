"""Requests drawn by seed from a problem's workload."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.problem import Problem
from ..core.requests import Requests, compact
from ..core.workload import Lengths, LengthUse, Request, RequestClass, Workload
from ..perfmodel.length.distribution import LEVELS
from .lengths import Knowledge, known_of, provided

#: Requests that are drawn beyond those expected until the last, in roots of their number.
SLACK = 10.0


def draw_requests(
    problem: Problem, seed: int, *, num_requests: int | None = None
) -> Sequence[Request]:
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
    drawn = _drawn(load, seed, total)
    names = ("client", "prompt_tokens", "output_tokens")
    drafted = any(c.acceptance for c in load.classes)
    requests = Requests(
        counts={
            "id": np.arange(total, dtype=np.int32),
            **{name: compact(drawn[name]) for name in names},
            "reserved_tokens": compact(drawn["prompt_tokens"] + drawn["output_tokens"]),
        },
        arrival_s=drawn["arrival_s"],
        acceptance=[c.acceptance for c in load.classes] if drafted else [()],
        kind=drawn["stream"] if drafted else None,
    )
    if load.lengths == LengthUse():
        return requests
    return provided(requests, load.lengths, _known_of_streams(load, drawn))


#: Columns of requests as they are drawn; ``row``: which of its stream's output lengths one has.
Drawn = dict[str, NDArray[Any]]


def _drawn(load: Workload, seed: int, total: int) -> Drawn:
    """The first ``total`` requests of all streams together, by arrival.

    A stream draws as many, of which few come before the last of all: the others are not kept.
    """
    streams = [(i, c) for i, c in enumerate(load.classes) if c.rate_per_s > 0]
    until_s = (total + SLACK * math.sqrt(total) + SLACK) / sum(c.rate_per_s for _, c in streams)
    seeds = np.random.SeedSequence(seed).spawn(len(load.classes))
    while True:
        parts = [_draw(i, c, np.random.default_rng(seeds[i]), total, until_s) for i, c in streams]
        if sum(len(part["arrival_s"]) for part in parts) >= total:
            break
        until_s *= 2.0
    drawn = {name: _joined(parts, name) for name in tuple(parts[0])}
    order = np.argsort(drawn["arrival_s"], kind="stable")[:total]
    for name, column in drawn.items():
        drawn[name] = column[order]
    return drawn


def _joined(parts: Sequence[Drawn], name: str) -> NDArray[Any]:
    """One column of all streams, taken out of the parts."""
    return np.concatenate([part.pop(name) for part in parts])


def _known_of_trace(load: Workload, count: int) -> Knowledge:
    lengths = Lengths(
        values=tuple(r.output_tokens for r in load.trace), predicted=load.trace_predicted
    )
    return known_of(lengths, np.arange(count))


def _known_of_streams(load: Workload, drawn: Drawn) -> Knowledge:
    """The knowledge of requests as they were drawn."""
    width = len(LEVELS)
    count = len(drawn["row"])
    constant = np.zeros((count, width))
    longest = np.zeros(count, dtype=np.int64)
    predicted = np.zeros((count, width))
    complete = True
    for i, stream in enumerate(load.classes):
        own = np.flatnonzero(drawn["stream"] == i)
        known = known_of(stream.output_tokens, drawn["row"][own].astype(np.int64))
        constant[own], longest[own] = known.constant, known.longest
        if known.predicted is not None:
            predicted[own] = known.predicted
        elif len(stream.output_tokens.values) == 1:
            predicted[own] = known.constant  # a constant needs no prediction
        elif len(own):
            complete = False
    return Knowledge(predicted=predicted if complete else None, constant=constant, longest=longest)


def _draw(
    number: int, stream: RequestClass, rng: np.random.Generator, count: int, until_s: float
) -> Drawn:
    """Those of ``count`` requests of one stream that come until an instant."""
    if stream.gap_cv == 0:
        arrival_s = np.ones(count)
    else:
        shape = 1.0 / stream.gap_cv**2
        arrival_s = rng.gamma(shape, 1.0 / shape, count)
    np.cumsum(arrival_s, out=arrival_s)
    arrival_s /= stream.rate_per_s
    kept = int(np.searchsorted(arrival_s, until_s, side="right"))
    arrival_s = arrival_s[:kept].copy()
    prompts = stream.prompt_tokens.draw(rng, count)[:kept].astype(np.int32)
    rows = stream.output_tokens.draw_rows(rng, count)[:kept].astype(np.int32)
    return {
        "arrival_s": arrival_s,
        "client": np.full(kept, stream.client, dtype=np.int32),
        "prompt_tokens": prompts,
        "output_tokens": np.asarray(stream.output_tokens.values, dtype=np.int32)[rows],
        "stream": np.full(kept, number, dtype=np.int32),
        "row": rows,
    }
