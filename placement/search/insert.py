"""The cheapest chain for some sessions beside all others: client relay.

A dynamic programme over (free servers considered, blocks done). Free servers come in one order,
each at most once and with any interval; between them a chain may pass servers in use, which keep
their end and may grow downwards while memory allows. Only a few free servers are considered: for
every number of blocks the cheapest ones (docs/exact.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...core.content import IntArray
from .layers import cheapest, nearest
from .state import Instance, State, Visit

#: Free servers ranked for each number of blocks; beyond these all free ones are tried.
RANKED = 160
#: No free servers.
NOBODY: IntArray = np.zeros(0, dtype=np.int64)


class Ask(NamedTuple):
    """What to insert.

    Attributes
    ----------
    sessions : that must fit at once.
    head : sessions of this class for which a free server leaves room (>= ``sessions``).
    width : cheapest free servers considered for every number of blocks.
    fixed : use only the spans that the state has, as they are.
    cut : share of the servers that may run only a random part of what memory allows: other chains
        than the cheapest come up, where the cheapest ones block each other.
    """

    row: int
    sessions: int
    head: int
    width: int
    fixed: bool = False
    cut: float = 0.0


def most_blocks(state: State, ask: Ask) -> IntArray:
    """(n,) most blocks that the sessions asked for can run at each server, 0 = none."""
    fits, tokens = state.instance.fits, state.instance.tokens[ask.row]
    if ask.fixed:
        return fits.blocks_hosted(state.used, tokens, ask.sessions)
    return fits.blocks(state.used, tokens, ask.sessions, ask.head)


def cheapest_chain(state: State, ask: Ask, rng: np.random.Generator) -> tuple[Visit, ...] | None:
    """The chain for the sessions asked for, None when nothing fits."""
    most = shortened(most_blocks(state, ask), ask, rng)
    instance = state.instance
    visiting = instance.visiting[ask.row]
    if ask.fixed:
        return _chain(cheapest(visiting, state.end, most, NOBODY))
    chosen, complete = nearest(_ranking(instance, ask.row), state.end, most, ask.width)
    found = _chain(cheapest(visiting, state.end, most, rng.permutation(chosen)))
    if found is None and not complete:
        every = np.flatnonzero((state.end == 0) & (most > 0))
        found = _chain(cheapest(visiting, state.end, most, every))
    return found


def _chain(visits: IntArray) -> tuple[Visit, ...] | None:
    """Visits from the first to the last; None where there are none."""
    return tuple((j, b, e) for j, b, e in visits[::-1].tolist()) or None


def shortened(most: IntArray, ask: Ask, rng: np.random.Generator) -> IntArray:
    """``most`` with some entries cut to a random part, at least one block."""
    if not ask.cut:
        return most
    part = np.ceil(most * rng.random(len(most))).astype(np.int64)
    return np.where(rng.random(len(most)) < ask.cut, part, most)


def _ranking(instance: Instance, row: int) -> IntArray:
    """(L, RANKED) the cheapest servers for a visit of 1, 2 ... L blocks."""
    known = instance.ranked.get(row)
    if known is None:
        every = np.arange(instance.hop_s.shape[1])
        blocks = np.arange(1, instance.length + 1)[:, None]
        cost = instance.hop_s[row] + instance.run_s[row].typical(every, blocks)
        known = np.argsort(cost, axis=1, kind="stable")[:, :RANKED].copy()
        instance.ranked[row] = known
    return known
