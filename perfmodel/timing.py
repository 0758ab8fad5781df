"""The two formulas of a block's compute time, for one timing or for columns of many.

``decode = max(floor, base + per_context_token min(context, window)) + more(rows)``, where a step of
one token of each of b sequences, or of b tokens of one, has b rows;
``prefill = max(floor, base + per_token tokens + per_token2 tokens^2)``, but a prompt within the
curve of steps is no slower than a step of as many rows. docs/perfmodel.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.problem import COEFFICIENTS, Timing

#: The best or the worst of some figures.
Pick = Callable[..., float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timings:
    """Columns of many timings, field by field, (m,) each.

    Attributes
    ----------
    window_tokens : of its context a step attends to so many at most.
    kinds, kind : the timings among them that differ, and (m,) which of these each one is.
    windowed : whether any of them attends to a window.
    """

    decode_base_s: FloatArray
    decode_per_context_token_s: FloatArray
    decode_per_sequence_s: FloatArray
    decode_floor_s: FloatArray
    prefill_floor_s: FloatArray
    prefill_base_s: FloatArray
    prefill_per_token_s: FloatArray
    prefill_per_token2_s: FloatArray
    window_tokens: FloatArray
    windowed: bool
    kinds: tuple[Timing, ...]
    kind: IntArray

    @classmethod
    def of(cls, timings: Sequence[Timing]) -> Timings:
        """The columns, in the order given."""
        columns = {n: np.array([getattr(t, n) for t in timings], np.float64) for n in COEFFICIENTS}
        row = {t: i for i, t in enumerate(dict.fromkeys(timings))}
        kind = np.array([row[t] for t in timings], np.int64)
        windows = np.array([t.window_tokens for t in timings], np.float64)
        windowed = bool(np.isfinite(windows).any())
        return cls(**columns, window_tokens=windows, windowed=windowed, kinds=tuple(row), kind=kind)

    def each(self, seconds: Callable[[Timing], float]) -> FloatArray:
        """(m,) what no column tells, asked for once for each kind."""
        found: FloatArray = np.array([seconds(t) for t in self.kinds], np.float64)[self.kind]
        return found


def step_s(timing: Timing | Timings, context_tokens: float, spread_tokens: float = 0.0) -> Any:
    """Seconds for one block to process one new token.

    Parameters
    ----------
    context_tokens, spread_tokens : of steps whose contexts lie evenly around ``context_tokens``,
        the first and the last so far apart: never more than they take on average.
    """
    seen: Any = context_tokens
    if timing.windowed if isinstance(timing, Timings) else timing.window_tokens < math.inf:
        seen = seen_tokens(timing.window_tokens, context_tokens, spread_tokens)
    line_s = timing.decode_base_s + timing.decode_per_context_token_s * seen
    return np.maximum(timing.decode_floor_s, line_s)


def seen_tokens(window_tokens: Any, context_tokens: float, spread_tokens: float) -> FloatArray:
    """Mean of ``min(context, window)`` over contexts that lie evenly in an interval."""
    half = 0.5 * spread_tokens
    first, last = context_tokens - half, context_tokens + half
    rest = np.maximum(last - np.maximum(window_tokens, first), 0.0)  # contexts beyond the window
    if spread_tokens <= 0:
        whole: FloatArray = np.minimum(np.asarray(window_tokens), context_tokens)
        return whole
    # Those beyond it exceed it by half of their range on average, or by more where all of them do.
    beyond = np.where(np.asarray(window_tokens) > first, 0.5 * rest, context_tokens - window_tokens)
    seen: FloatArray = context_tokens - rest / spread_tokens * np.where(rest > 0, beyond, 0.0)
    return seen


def decode_s(timing: Timing, context_tokens: float, batch: float = 1.0, new: float = 1.0) -> float:
    """Seconds for one block to process ``new`` tokens of each sequence of a batch."""
    return float(step_s(timing, context_tokens)) + more_s(timing, batch * new)


def more_s(timing: Timing, rows: float) -> float:
    """Seconds that a step of so many rows takes one block beyond a step of one row."""
    knots = knots_of((timing,))
    return extra_s(knots[0], knots[1], len(knots[0]), timing.decode_per_sequence_s, rows)


def extra_s(knot_rows: Any, knot_s: Any, count: int, beyond_s: float, rows: float) -> float:
    """The piecewise linear curve through ``count`` knots; plain enough for numba.

    Parameters
    ----------
    knot_rows, knot_s : rows and seconds of the knots, the first of them (1, 0).
    beyond_s : seconds per row beyond the last knot.
    """
    for i in range(1, count):
        if rows <= knot_rows[i]:
            rise_s = (knot_s[i] - knot_s[i - 1]) / (knot_rows[i] - knot_rows[i - 1])
            between: float = knot_s[i - 1] + rise_s * (rows - knot_rows[i - 1])
            return between
    last = count - 1
    beyond: float = knot_s[last] + beyond_s * (rows - knot_rows[last])
    return beyond


def knots_of(timings: Sequence[Timing], pick: Pick = max) -> tuple[list[float], list[float]]:
    """Rows and seconds of a curve that is everywhere the most (or least) of some curves' knots."""
    if len(timings) == 1:
        curve = timings[0].step_curve
        return [1.0, *(r for r, _ in curve)], [0.0, *(s for _, s in curve)]
    rows = sorted({1.0, *(r for t in timings for r, _ in t.step_curve)})
    return rows, [pick(more_s(t, r) for t in timings) for r in rows]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepCurves:
    """What more rows cost at each of n servers, on one block at most.

    Attributes
    ----------
    knots : (n,) number of knots. rows, more_s : (n, most knots) of them, padded with 0.
    beyond_s : (n,) seconds per row beyond the last knot.
    """

    knots: IntArray
    rows: FloatArray
    more_s: FloatArray
    beyond_s: FloatArray

    @classmethod
    def of(cls, timings: Sequence[Timing | tuple[Timing, ...]]) -> StepCurves:
        """The curves of servers whose blocks are alike, or have a timing each."""
        each = [tuple(dict.fromkeys(t)) if isinstance(t, tuple) else (t,) for t in timings]
        curves = [knots_of(distinct) for distinct in each]
        knots = np.array([len(rows) for rows, _ in curves], np.int64)
        rows, more_s = np.zeros((2, len(curves), int(knots.max(initial=1))))
        for j, (at, seconds) in enumerate(curves):
            rows[j, : knots[j]], more_s[j, : knots[j]] = at, seconds
        beyond_s = [max(t.decode_per_sequence_s for t in distinct) for distinct in each]
        return cls(knots=knots, rows=rows, more_s=more_s, beyond_s=np.array(beyond_s))


def least_row_s(timings: Timings, context_tokens: float) -> FloatArray:
    """(m,) the least that a step takes per row of any batch, after so many tokens or more.

    A batch of b rows takes ``step + more(b)``; per row that is least at a knot, or in the limit.
    """

    def least_s(timing: Timing) -> float:
        single_s = float(step_s(timing, context_tokens))
        at_knots = ((single_s + more_s) / rows for rows, more_s in timing.step_curve)
        return min(single_s, timing.decode_per_sequence_s, *at_knots)

    return timings.each(least_s)


def picked(timings: Sequence[Timing], pick: Pick) -> Timing:
    """A timing of which every figure is the most (or least) of some timings' figures."""
    rows, seconds = knots_of(timings, pick)
    return Timing(
        **{name: pick(getattr(t, name) for t in timings) for name in COEFFICIENTS},
        step_curve=tuple(zip(rows, seconds, strict=True))[1:],
        window_tokens=pick(t.window_tokens for t in timings),
    )


def prefill_s(timing: Timing | Timings, tokens: float) -> Any:
    """Seconds for one block to process a prompt of ``tokens``."""
    sloped = timing.prefill_per_token_s + timing.prefill_per_token2_s * tokens
    long_s = np.maximum(timing.prefill_floor_s, timing.prefill_base_s + sloped * tokens)
    if isinstance(timing, Timing):
        return np.minimum(long_s, _few_rows_s(timing, tokens))
    return np.minimum(long_s, timing.each(lambda t: _few_rows_s(t, tokens)))


def _few_rows_s(timing: Timing, rows: float) -> float:
    """A step of so many rows on an empty cache, inf beyond the curve."""
    if not timing.step_curve or rows > timing.step_curve[-1][0]:
        return math.inf
    return decode_s(timing, 0, rows)


def timing_ms(timing: Timing) -> dict[str, Any]:
    """A timing as files keep it, in milliseconds."""
    plain = {name.removesuffix("_s"): getattr(timing, name) * 1e3 for name in COEFFICIENTS}
    curve = [[rows, more_s * 1e3] for rows, more_s in timing.step_curve]
    return plain | ({"step_curve": curve} if curve else {})


def timing_of(given: Mapping[str, Any]) -> Timing:
    """The timing of what ``timing_ms`` returns.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a figure none.
    """
    rest = {f"{name}_s": figure(ms) / 1e3 for name, ms in given.items() if name != "step_curve"}
    curve = tuple((figure(r), figure(ms) / 1e3) for r, ms in given.get("step_curve", ()))
    return Timing(**rest, step_curve=curve)


def figure(value: object) -> float:
    """A plain number within reason."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e9:
        raise ValueError(f"{value!r:.40} is not a number from 0 to 1e9")
    return float(value)
