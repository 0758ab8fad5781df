"""A slot: which of several requests starts on which chain, decided for all of them at once.

docs/model.md 13. What an assignment is worth is up to a ``Value``; whether it fits is memory, and
hard. The solver needs nothing of a value but that the same one accepts and rejects.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray

#: The choice of a request that does not start yet.
WAIT = -1
#: A change must lower the value by more than this, seconds: so many of them end.
LEAST_GAIN_S = 1e-6
#: Share of those who would move that move in a round, before halving.
DAMPING = 0.5
#: Requests, by their place in line, among which exchanges are tried.
WINDOW = 16
#: Exchanges that are tried after one another; each costs many values.
MOST_EXCHANGES = 10_000
#: Rounds at most; a slot of 20 requests takes about five.
MOST_ROUNDS = 64


class Value(Protocol):
    """What an assignment costs everybody, in seconds."""

    def __call__(self, choice: IntArray) -> float:
        """(R,) chain of each request, ``WAIT`` = none, to the cost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot(ByContent):
    """Requests in the order of their line, and what their chains take of what is free.

    Attributes
    ----------
    uses : (R, P, J) of each server's memory by each request on each chain; infinite where there is
        no such chain.
    free : (J,) never negative.
    """

    uses: FloatArray
    free: FloatArray

    @property
    def requests(self) -> int:
        """How many there are, R."""
        return len(self.uses)

    def left(self, choice: IntArray) -> FloatArray:
        """(J,) what an assignment leaves free."""
        on = np.flatnonzero(choice != WAIT)
        left: FloatArray = self.free - self.uses[on, choice[on]].sum(axis=0)
        return left

    def fits(self, choice: IntArray) -> bool:
        """Whether all of it can be held."""
        return bool((self.left(choice) >= 0.0).all())

    def open(self, choice: IntArray, request: int) -> list[int]:
        """Chains that a request may take while all others keep theirs."""
        room = (self.uses[request] <= self.left(put(choice, request, WAIT))).all(axis=1)
        return list(np.flatnonzero(room).tolist())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignment(ByContent):
    """What was decided.

    Attributes
    ----------
    choice : (R,) chain of each request, ``WAIT`` = none.
    value_s : what it costs.
    values : the cost at the start and after each round; it never rises.
    """

    choice: IntArray
    value_s: float
    values: tuple[float, ...]

    @property
    def rounds(self) -> int:
        """Rounds, the last of which found nothing better."""
        return len(self.values) - 1


#: A choice and what it costs.
_Found = tuple[IntArray, float]


def remembered(value: Value, known: Mapping[bytes, float] = MappingProxyType({})) -> Value:
    """The same value, worked out once for each assignment: rounds come back to the same ones.

    Parameters
    ----------
    known : what assignments cost that were looked at before, by their bytes.
    """
    known = dict(known)

    def found(choice: IntArray) -> float:
        key = choice.tobytes()
        if key not in known:
            known[key] = value(choice)
        return known[key]

    return found


def put(choice: IntArray, request: int, option: int) -> IntArray:
    """The same choice but for one request."""
    other = choice.copy()
    other[request] = option
    return other


def marginal(slot: Slot, value: Value, choice: IntArray, request: int) -> Iterator[_Found]:
    """Every choice that one request has while the others keep theirs: waiting, then its chains."""
    for option in (WAIT, *slot.open(choice, request)):
        other = put(choice, request, option)
        yield other, value(other)


def _best(slot: Slot, value: Value, choice: IntArray, request: int) -> _Found:
    """The cheapest of them; among equals the first."""
    least = choice, math.inf
    for found in marginal(slot, value, choice, request):
        if found[1] < least[1] - LEAST_GAIN_S:
            least = found
    return least


def one_by_one(slot: Slot, value: Value, *, overtake: bool = True) -> Assignment:
    """Each request in the order of the line takes what costs all of those before it the least.

    Without ``overtake`` nobody starts behind one who waits.
    """
    choice: IntArray = np.full(slot.requests, WAIT, dtype=np.int64)
    total = value(choice)
    for request in range(slot.requests):
        choice, total = _best(slot, value, choice, request)
        if choice[request] == WAIT and not overtake:
            break
    return Assignment(choice=choice, value_s=total, values=(total,))


def iterate(
    slot: Slot,
    value: Value,
    start: IntArray | None = None,
    *,
    exchanges: int = MOST_EXCHANGES,
) -> Assignment:
    """Improve an assignment in rounds; it ends because every round lowers a bounded value.

    In a round all requests name their best change while the others stay; half of those who gain
    move at once, the largest gains first, and half of these again until the value of all falls:
    one alone always does. Where nobody gains alone, exchanges are tried.

    Parameters
    ----------
    start : an assignment that fits; ``one_by_one`` by default.
    exchanges : so many are tried at most where nobody gains alone; 0 = none.
    """
    choice = one_by_one(slot, value).choice if start is None else start
    total = value(choice)
    values = [total]
    for _ in range(MOST_ROUNDS):
        found = _moved(slot, value, choice, total)
        if found is None:
            found = _exchanged(slot, value, choice, total, exchanges)
        if found is None:
            values.append(total)
            break
        choice, total = found
        values.append(total)
    return Assignment(choice=choice, value_s=total, values=tuple(values))


def _moved(slot: Slot, value: Value, choice: IntArray, total: float) -> _Found | None:
    """Damping: as many of those who gain by moving as lower the value together."""
    gains = []
    for request in range(slot.requests):
        other, least = _best(slot, value, choice, request)
        if least < total - LEAST_GAIN_S:
            gains.append((least, request, int(other[request])))
    gains.sort()
    count = math.ceil(DAMPING * len(gains))
    while count:
        other = choice.copy()
        for _, request, option in gains[:count]:
            other[request] = option
        if slot.fits(other) and (found := value(other)) < total - LEAST_GAIN_S:
            return other, found
        count //= 2
    return None


def _exchanged(
    slot: Slot, value: Value, choice: IntArray, total: float, most: int
) -> _Found | None:
    """The first exchange that lowers the value: some give way to another, and who fits starts."""
    if slot.requests < 2:
        return None
    for taker, option, givers in _in_the_way(slot, choice):
        other = put(choice, taker, option)
        other[list(givers)] = WAIT
        if slot.fits(other):
            if most == 0:
                return None
            most -= 1
            found = _filled(slot, value, (other, value(other)))
            if found[1] < total - LEAST_GAIN_S:
                return found
    return None


def _in_the_way(slot: Slot, choice: IntArray) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """(who wants in, on which chain, who could give way): one of those in the way, two, or all."""
    window = min(WINDOW, slot.requests)
    starts = [r for r in range(window) if choice[r] != WAIT]
    for taker, option in itertools.product(range(window), range(slot.uses.shape[1])):
        need = slot.uses[taker, option]
        if option == choice[taker] or not np.isfinite(need).all():
            continue
        short = need > slot.left(put(choice, taker, WAIT))
        way = [r for r in starts if r != taker and (slot.uses[r, choice[r]][short] > 0).any()]
        yield from ((taker, option, (one,)) for one in way)
        yield from ((taker, option, two) for two in itertools.combinations(way, 2))
        if len(way) > 2:
            yield taker, option, tuple(way)


def _filled(slot: Slot, value: Value, found: _Found) -> _Found:
    """Let those who wait start, the largest gain first, until nobody gains by it."""
    while True:
        choice, total = found
        for request in np.flatnonzero(choice == WAIT).tolist():
            better = _best(slot, value, choice, request)
            if better[1] < found[1] - LEAST_GAIN_S:
                found = better
        if found[1] == total:
            return found
