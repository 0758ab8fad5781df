"""What policies know of output lengths: predictions of a workload, reservations made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.errors import ScenarioError
from ..core.workload import Lengths, LengthUse, Request
from ..perfmodel.length.distribution import LEVELS, LengthQuantiles, safe_quantiles

#: Quantiles that a reservation grows through before it reaches the limit.
STEPS = (0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What is known of the output lengths of N requests beside the true ones.

    Attributes
    ----------
    predicted : (N, levels) of a predictor, or None.
    constant : (N, levels) quantiles over all requests of the same stream.
    longest : (N,) the most tokens that the stream ever makes.
    """

    predicted: FloatArray | None
    constant: FloatArray
    longest: IntArray


def known_of(lengths: Lengths, rows: IntArray) -> Knowledge:
    """The knowledge of requests whose output lengths are those ``rows`` of a stream."""
    values = np.asarray(lengths.values, dtype=np.float64)
    levels = safe_quantiles(values)
    return Knowledge(
        predicted=None if lengths.predicted is None else lengths.predicted[rows],
        constant=np.broadcast_to(levels, (len(rows), len(LEVELS))),
        longest=np.full(len(rows), int(values.max()), dtype=np.int64),
    )


def provided(
    requests: Sequence[Request], use: LengthUse, knowledge: Knowledge
) -> tuple[Request, ...]:
    """The requests with what a policy may know of their lengths.

    A client allows ``use.limit_tokens`` output tokens: longer answers end there.

    Raises
    ------
    ScenarioError
        Mode ``predictor`` without predictions.
    """
    if use.mode == "oracle" and use.limit_tokens is None:
        return tuple(requests)
    limit = knowledge.longest if use.limit_tokens is None else use.limit_tokens
    limits = np.broadcast_to(np.asarray(limit, dtype=np.int64), (len(requests),))
    cut = [
        replace(r, output_tokens=min(r.output_tokens, most), reserved_tokens=r.prompt_tokens + most)
        for r, most in zip(requests, limits.tolist(), strict=True)
    ]
    if use.mode == "maximum":
        return tuple(cut)
    if use.mode == "oracle":
        return tuple(replace(r, reserved_tokens=r.prompt_tokens + r.output_tokens) for r in cut)
    table = knowledge.constant if use.mode == "model-constant" else knowledge.predicted
    if table is None:
        raise ScenarioError.single(
            "workload.lengths.mode",
            "is predictor, but no output lengths come with predictions: give predicted_class "
            "or predictor, or use oracle, model-constant or maximum",
        )
    return _by_quantile(cut, LengthQuantiles(tokens=table), limits, use.quantile)


def _by_quantile(
    requests: Sequence[Request], said: LengthQuantiles, limits: IntArray, quantile: float
) -> tuple[Request, ...]:
    """Reserve a quantile, expect the mean, grow through higher quantiles up to the limit."""
    first = np.minimum(said.whole(quantile), limits)
    mean = np.clip(np.rint(said.mean()).astype(np.int64), 1, first)
    steps = [np.minimum(said.whole(q), limits) for q in STEPS if q > quantile] + [limits]
    return tuple(
        replace(
            r,
            reserved_tokens=r.prompt_tokens + own,
            expected_tokens=expected,
            ladder_tokens=tuple(sorted({r.prompt_tokens + t for t in row if t > own})),
        )
        for r, own, expected, row in zip(
            requests, first.tolist(), mean.tolist(), np.transpose(steps).tolist(), strict=True
        )
    )


def predicted_by_class(tokens: IntArray, classes: Sequence[str]) -> FloatArray:
    """(N, levels) quantiles per predicted class, each half of the rows fitted on the other.

    So a row's own length is never part of its prediction.
    """
    names = np.unique(np.asarray(classes), return_inverse=True)[1]
    return crossed(len(tokens), lambda fit, use: _class_table(tokens, names, fit, use))


def _class_table(tokens: IntArray, names: IntArray, fit: IntArray, use: IntArray) -> FloatArray:
    values = tokens.astype(np.float64)
    table = np.tile(safe_quantiles(values[fit]), (int(names.max()) + 1, 1))
    for name in np.unique(names[fit]).tolist():
        table[name] = safe_quantiles(values[fit[names[fit] == name]])
    found: FloatArray = table[names[use]]
    return found


def crossed(size: int, predict: Callable[[IntArray, IntArray], FloatArray]) -> FloatArray:
    """(size, levels) predictions for each half of the rows by what the other half teaches."""
    order = np.random.default_rng(0).permutation(size)
    halves = order[: size // 2], order[size // 2 :]
    found = np.zeros((size, len(LEVELS)))
    if size == 1:
        return predict(order, order)
    for fit, use in (halves, halves[::-1]):
        found[use] = predict(fit, use)
    return found
