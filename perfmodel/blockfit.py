"""The timing of one block from its measurements: alone, or near what its kernels let expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..core.blocks import Block
from ..core.content import FloatArray
from ..core.problem import Timing
from .fitting import fit_curve, fit_floored
from .kernelfit import SHORTEST_PROMPT
from .kernels import DataSheet, Kernels, block_timing
from .measurements import Measurement
from .near import fit_near
from .timing import prefill_s, step_s

Rows = Sequence[Measurement]
#: (rows of one style, rows of all styles) -> timing.
Fit = Callable[[Rows, Rows], Timing]
#: A term of one model may well differ from its estimate by this factor, as a logarithm.
SPREAD = 0.5
#: Repeats of one row differ by as much.
NOISE = 0.05
#: Share of the bandwidth at which fused attention reads the cache.
FUSED_READ = 0.9
_TERMS = (
    "decode_floor_s",
    "decode_base_s",
    "decode_per_context_token_s",
    "prefill_floor_s",
    "prefill_base_s",
    "prefill_per_token_s",
    "prefill_per_token2_s",
)
_FOLDS = 10


def expected_timing(
    shape: Block, precision: str, sheet: DataSheet, kernels: Kernels, style: str
) -> Timing:
    """What a block's kernels let expect; fused attention reads the cache once, scores nowhere."""
    timing = block_timing(shape, precision, sheet, kernels)
    if style in ("", "petals"):
        return timing
    per_token_s = shape.cache_bytes / (FUSED_READ * sheet.bandwidth_bytes_per_s)
    return replace(timing, decode_per_context_token_s=per_token_s, prefill_per_token2_s=0.0)


def fit_alone(main: Rows, rows: Rows) -> Timing:
    """All terms from the rows themselves."""
    prompts, steps = _prompts(main), _steps(main)
    tokens, measured = _columns(prompts)
    degree = 2 if len(set(tokens.tolist())) > 3 else 1
    floor, base, per_token, *per_token2 = fit_floored(tokens, measured, degree).tolist()
    least, step, per_context = fit_floored(*_columns(steps)).tolist()
    timing = Timing(
        decode_base_s=step,
        decode_per_context_token_s=per_context,
        decode_floor_s=least,
        prefill_floor_s=floor,
        prefill_base_s=base,
        prefill_per_token_s=per_token,
        prefill_per_token2_s=per_token2[0] if per_token2 else 0.0,
    )
    return _with_curve(timing, main, rows)


def fit_near_expected(expected: Timing) -> Fit:
    """A fit that keeps to what is expected where rows say nothing."""
    names = [name for name in _TERMS if getattr(expected, name) > 0]

    def made(figures: FloatArray) -> Timing:
        return replace(expected, **dict(zip(names, figures.tolist(), strict=True)))

    def fit(main: Rows, rows: Rows) -> Timing:
        prompts = [m for m in _prompts(main) if m.tokens >= SHORTEST_PROMPT]
        known = [*prompts, *_steps(main)]
        if not known:
            return _with_curve(expected, main, rows)

        def predict(figures: FloatArray) -> FloatArray:
            timing = made(figures)
            return np.array([_one_row_s(timing, m) for m in known])

        measured = np.array([m.seconds for m in known])
        centre = np.array([getattr(expected, name) for name in names])
        return _with_curve(made(fit_near(predict, measured, centre, SPREAD, NOISE)), main, rows)

    return fit


def held_out(fit: Fit, main: Rows, rows: Rows) -> Iterator[tuple[Measurement, Timing]]:
    """Every measurement with a fit without it; repeats of one setting are left out together."""
    settings = sorted({_setting(m) for m in main})
    fold = {setting: i % _FOLDS for i, setting in enumerate(settings)}
    without = {}
    for k in sorted(set(fold.values())):
        rest = [m for m in main if fold[_setting(m)] != k]
        without[k] = fit(rest, [m for m in rows if fold.get(_setting(m)) != k or m not in main])
    for m in main:
        yield m, without[fold[_setting(m)]]


def _setting(m: Measurement) -> tuple[str, int, int, int]:
    return (m.phase, m.tokens, m.batch, m.new_tokens)


def _prompts(rows: Rows) -> list[Measurement]:
    return [m for m in rows if m.phase == "prefill" and m.batch == 1]


def _steps(rows: Rows) -> list[Measurement]:
    return [m for m in rows if m.phase == "decode" and m.rows == 1]


def _columns(rows: Rows) -> tuple[FloatArray, FloatArray]:
    tokens, measured = np.array([(m.tokens, m.seconds) for m in rows], np.float64).T
    return tokens, measured


def _one_row_s(timing: Timing, m: Measurement) -> float:
    return float((prefill_s if m.phase == "prefill" else step_s)(timing, m.tokens))


def _with_curve(timing: Timing, main: Rows, rows: Rows) -> Timing:
    """What more rows cost: from this style's steps, else from those of others, else as it was."""
    found = _more(main, lambda m: float(step_s(timing, m.tokens)))
    for style in sorted({m.style for m in rows}) if not found else ():
        mine = [m for m in rows if m.style == style]
        single = {m.tokens: m.seconds for m in reversed(_steps(mine))}
        if single:
            found = found or _more(mine, partial(_nearest, single))
    if not found:
        return timing
    count, more = np.array(found, np.float64).T
    curve = fit_curve(count, more)
    last, last_s = curve[-1]
    # One knot is the line through it; between two of them the slope may be noise.
    beyond_s = last_s / (last - 1.0)
    curve = curve if len(curve) > 1 else ()
    return replace(timing, step_curve=curve, decode_per_sequence_s=beyond_s)


def _more(rows: Rows, single_s: Callable[[Measurement], float]) -> list[tuple[int, float]]:
    """(rows, seconds more than a step of one row) of every larger step."""
    larger = [m for m in rows if m.phase != "prefill" and m.rows > 1]
    return [(m.rows, m.seconds - single_s(m)) for m in larger]


def _nearest(single: dict[int, float], m: Measurement) -> float:
    """The step of one row whose context is nearest."""
    return single[min(single, key=lambda known: abs(known - m.tokens))]
