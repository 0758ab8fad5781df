"""Fitting what kernels and their host take to measurements of blocks whose shape is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..core.blocks import Block
from ..core.content import FloatArray
from ..core.problem import Timing
from .kernels import DataSheet, Kernels, block_timing
from .near import fit_near
from .timing import prefill_s, step_s

_NAMES = tuple(f.name for f in fields(Kernels))
#: Shorter prompts are steps of few rows, with kernels of their own.
SHORTEST_PROMPT = 128
#: Launches may well differ by this factor, as a logarithm, between hosts; where constants are
#: fitted anew little is assumed. Shares of a data sheet differ half as much.
OTHER_HOST, ANEW = 0.4, 0.7
_SHARES = np.array([1.0 if name.endswith("launch_s") else 0.5 for name in _NAMES])
#: Blocks of several models are met within such an error by one set of constants.
ACROSS_MODELS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured time of a block: a prompt, or a step of one row after ``tokens``."""

    shape: Block
    precision: str
    prompt: bool
    tokens: int
    seconds: float


def fit_kernels(
    points: Sequence[Point], sheet: DataSheet, prior: Kernels, spread: float = OTHER_HOST
) -> Kernels:
    """Constants by which the points are predicted, near others: one host and GPU at a time."""

    def predict(figures: FloatArray) -> FloatArray:
        timings = timings_of(points, sheet, _kernels(figures))
        return np.array([point_s(timings[p.shape, p.precision], p) for p in points])

    measured = np.array([p.seconds for p in points])
    expected = np.array([getattr(prior, name) for name in _NAMES])
    return _kernels(fit_near(predict, measured, expected, spread * _SHARES, ACROSS_MODELS))


def timings_of(
    points: Sequence[Point], sheet: DataSheet, kernels: Kernels
) -> Mapping[tuple[Block, str], Timing]:
    """Timing of every kind of block among the points."""
    kinds = dict.fromkeys((p.shape, p.precision) for p in points)
    return {kind: block_timing(*kind, sheet, kernels) for kind in kinds}


def point_s(timing: Timing, point: Point) -> float:
    """What a timing says of a point."""
    return float((prefill_s if point.prompt else step_s)(timing, point.tokens))


def _kernels(figures: FloatArray) -> Kernels:
    return Kernels(**dict(zip(_NAMES, figures.tolist(), strict=True)))
