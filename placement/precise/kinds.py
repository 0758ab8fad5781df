"""Kinds of blocks, and visits without positions: how many blocks of each kind they run.

Blocks are of one kind when they are alike for every variant and class. What a visit costs, holds
and harms follows from its *shape*, the number of blocks of each kind, so that a chain of shapes is
a knapsack over blocks done of each kind: it forgets positions, hence a lower bound, and exact where
all blocks are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from .menu import Menu, Variant

#: States of a knapsack beyond which blocks count as of one kind, each run as cheap as the cheapest
#: of its length.
MOST_STATES = 5_000
#: Figures are alike when equal in so many digits.
DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """States of the knapsack: blocks done of each kind, in one number.

    Attributes
    ----------
    kind : (L,) of each block; all 0 where kinds are not told apart.
    done : (S, K) blocks done of each kind in each state; the last one is the whole model.
    stride : (K,) what a block of each kind adds to a state's number.
    told : whether kinds are told apart, so that shapes are exact.
    """

    kind: IntArray
    done: IntArray
    stride: IntArray
    told: bool

    @classmethod
    def of(cls, menu: Menu) -> Grid:
        """The kinds of a menu's blocks."""
        kind = _kinds(menu)
        told = bool(np.prod(np.bincount(kind) + 1.0) <= MOST_STATES)
        if not told:
            kind = np.zeros_like(kind)
        counts = np.bincount(kind)
        done = np.indices(tuple(int(c) + 1 for c in counts)).reshape(len(counts), -1).T
        stride = np.cumprod([1, *(counts[:0:-1] + 1)])[::-1]
        return cls(kind=kind, done=done, stride=stride, told=told)

    def counts(self) -> IntArray:
        """(K, L + 1) blocks of each kind among the first 0..L."""
        kinds = np.arange(len(self.stride))
        among = np.cumsum(self.kind == kinds[:, None], axis=1)
        return np.pad(among, ((0, 0), (1, 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Visits of a class at one variant, one for each shape.

    Attributes
    ----------
    vector : (M, K) blocks of each kind; cost_s, harm : (M,) the least of such a visit.
    """

    variant: Variant
    vector: IntArray
    cost_s: FloatArray
    harm: FloatArray


def shapes_of(grid: Grid, variant: Variant, times: FloatArray, cache: IntArray) -> Shapes:
    """Shapes of the visits that leave room for so much cache.

    Parameters
    ----------
    times : (C,) sessions of each class that make the visit: the cost is theirs together.
    cache : (L + 1,) bytes on the first 0..L blocks.
    """
    start, end = np.nonzero(variant.fits(cache))
    counts = grid.counts()
    vector = (counts[:, end] - counts[:, start]).T
    cost_s, harm = variant.visit(start, end, times)
    shape, which = np.unique(vector @ grid.stride, return_inverse=True)
    first = np.full(len(shape), len(which))
    np.minimum.at(first, which.reshape(-1), np.arange(len(which)))
    least_s, least_harm = np.full((2, len(shape)), np.inf)
    np.minimum.at(least_s, which.reshape(-1), cost_s)
    np.minimum.at(least_harm, which.reshape(-1), harm)
    return Shapes(variant=variant, vector=vector[first], cost_s=least_s, harm=least_harm)


def _kinds(menu: Menu) -> IntArray:
    """(L,) the kind of each block, numbered as they come."""
    figures = [np.diff(menu.cache, axis=1)]
    for variant in menu.every:
        each = (variant.weights, variant.harm, *variant.run_s)
        figures.append(np.array([np.diff(ramp) for ramp in each]))
    table = np.concatenate(figures).astype(float)
    top = table.max(axis=1, keepdims=True)
    level = np.round(table / np.where(top > 0, top, 1.0), DIGITS)
    _, first, which = np.unique(level, axis=1, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    found: IntArray = number[which.reshape(-1)]
    return found
