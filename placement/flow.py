"""The largest flow that servers can carry, over all layouts at once: a programme over positions.

Positions between blocks are the vertices, kinds of like servers are counted instead of named, so
the programme stays small whatever the number of links. docs/model.md 16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..core.content import FloatArray
from ..core.errors import HeuristicFailedError, InfeasibleError
from ..solve.deadline import Deadline
from ..solve.mip import solve_programme
from ..solve.programme import Builder

#: Flows this near, relative, are equal: what a solver may be off by.
EQUAL = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Servers that are alike.

    Attributes
    ----------
    count : how many there are. place : their region.
    rate_per_s : (K,) what one serves with 1 .. K blocks; 0 = it cannot host so many.
    onward_per_s : (places,) the most that one can send to each other place; inf = no limit.
    in_per_s, out_per_s : the most that one can be sent and can send on; inf = no limit.
    """

    count: int
    rate_per_s: tuple[float, ...]
    place: int = 0
    onward_per_s: tuple[float, ...] = ()
    in_per_s: float = math.inf
    out_per_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What lets only so much out of some places together, and into them; inf = no limit."""

    places: frozenset[int]
    out_per_s: float = math.inf
    in_per_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLayout:
    """Spans of each kind and what they carry.

    Attributes
    ----------
    spans : for each kind, (start, end) of those of its servers that are used.
    rate_per_s : flow of the layout by the programme.
    bound_per_s : what no layout and no routing exceeds, of servers with these rates.
    proven : whether the programme was solved to the end.
    interrupted : whether Ctrl-C ended it: whoever wanted more than this layout ends too.
    """

    spans: tuple[tuple[tuple[int, int], ...], ...]
    rate_per_s: float
    bound_per_s: float
    proven: bool
    interrupted: bool = False


def most_flow_per_s(kinds: Sequence[Kind], length: int) -> float:
    """What no layout and no routing exceeds: the largest F with ``sum of max_k k min(rate(k), F) >=
    L F``, since a server passes at most ``k min(rate(k), F)`` blocks a second.
    """
    rates = [np.array(kind.rate_per_s) for kind in kinds]

    def passed(flow: float) -> float:
        return sum(
            kind.count * float((np.arange(1, len(r) + 1) * np.minimum(r, flow)).max(initial=0.0))
            for kind, r in zip(kinds, rates, strict=True)
        )

    low = 0.0
    high = sum(k.count * float(r.max(initial=0.0)) for k, r in zip(kinds, rates, strict=True))
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if passed(middle) >= length * middle else (low, middle)
    # Where the bound is a server's own rate it is reached exactly.
    near = [x for r in rates for x in r.tolist() if abs(x - high) <= EQUAL * high]
    return min(near, default=high)


def largest_flow(
    kinds: Sequence[Kind],
    length: int,
    *,
    deadline: Deadline,
    gates: Sequence[Gate] = (),
    gap: float = 1e-4,
    seed: int = 0,
) -> FlowLayout:
    """The layout of largest flow from block 0 to the last one.

    With ``n`` servers of a kind on ``[s, s + k)`` and their flow x: ``x <= n min(rate(k), bound)``,
    the counts of a kind add up to at most its servers, at every position of every place what comes
    goes on. To another place goes at most what the servers that end there can send, and through
    gates what they let.

    Raises
    ------
    InfeasibleError
        When the servers together cannot hold the model.
    HeuristicFailedError
        When no layout was found in time.
    """
    bound = most_flow_per_s(kinds, length)
    if bound <= EQUAL * max(max(kind.rate_per_s, default=0.0) for kind in kinds):
        raise InfeasibleError("flow: all servers together do not hold the model once")
    model = _Model(kinds, length, bound, gates)
    found = solve_programme(model.builder.programme(), deadline=deadline, gap=gap, seed=seed)
    if found.interrupted and found.values is None:
        raise KeyboardInterrupt
    if found.values is None:
        raise HeuristicFailedError("flow: no layout was found in time")
    rate = bound * float(found.values[model.whole])
    if rate <= EQUAL * bound:  # where it was cut off that proves nothing
        if found.state == "optimal":
            raise InfeasibleError("flow: no chain of servers holds the model")
        raise HeuristicFailedError("flow: no layout was found in time")
    limit = bound if found.bound is None else min(bound, -found.bound * bound)
    exact = abs(rate - limit) <= max(gap, EQUAL) * limit
    return FlowLayout(
        spans=model.spans(found.values),
        rate_per_s=min(rate, limit),
        bound_per_s=max(limit, min(rate, bound)),
        proven=exact,
        interrupted=found.interrupted,
    )


class _Model:
    """The programme; flows are shares of the bound.

    Attributes
    ----------
    whole : column of the flow from block 0 to the last one.
    """

    def __init__(
        self, kinds: Sequence[Kind], length: int, bound: float, gates: Sequence[Gate]
    ) -> None:
        self.builder = Builder()
        self._kinds, self._length = kinds, length
        self._columns: dict[tuple[int, int, int], tuple[int, int]] = {}
        places = range(1 + max(kind.place for kind in kinds))
        self.whole = self.builder.variable(-1.0, upper=1.0)
        balance: dict[tuple[int, int], dict[int, float]] = {
            (p, at): {} for p, at in product(places, range(length + 1))
        }
        for g, kind in enumerate(kinds):
            for s, k in self._runs(kind):
                most = min(kind.rate_per_s[k - 1] / bound, 1.0)
                most = min(most, kind.in_per_s / bound if s > 0 else 1.0)
                most = min(most, kind.out_per_s / bound if s + k < length else 1.0)
                count = self.builder.variable(upper=kind.count, integer=True)
                flow = self.builder.variable()
                self._columns[g, s, k] = count, flow
                self.builder.row({flow: 1.0, count: -most}, upper=0.0)
                balance[kind.place, s][flow] = -1.0
                balance[kind.place, s + k][flow] = 1.0
            counts = {n: 1.0 for (h, _, _), (n, _) in self._columns.items() if h == g}
            self.builder.row(counts, upper=kind.count)
        self._cross(places, balance, bound, gates)
        first = {c: x for p in places for c, x in balance[p, 0].items()}
        self.builder.row({**first, self.whole: 1.0}, lower=0.0, upper=0.0)
        for p, at in product(places, range(1, length)):
            if balance[p, at]:
                self.builder.row(balance[p, at], lower=0.0, upper=0.0)

    def _runs(self, kind: Kind) -> Iterator[tuple[int, int]]:
        """(start, blocks) of the spans that a server of a kind may hold."""
        for k, rate in enumerate(kind.rate_per_s, start=1):
            if rate > 0.0:
                yield from ((s, k) for s in range(self._length - k + 1))

    def _cross(
        self,
        places: range,
        balance: dict[tuple[int, int], dict[int, float]],
        bound: float,
        gates: Sequence[Gate],
    ) -> None:
        """Flow from place to place, at most what the servers that end there send."""
        if len(places) < 2:
            return
        out: list[dict[int, float]] = [{} for _ in gates]
        into: list[dict[int, float]] = [{} for _ in gates]
        for at, p, q in product(range(1, self._length), places, places):
            if p == q:
                continue
            crossing = self.builder.variable()
            balance[p, at][crossing] = -1.0
            balance[q, at][crossing] = 1.0
            for gate, leave, enter in zip(gates, out, into, strict=True):
                if p in gate.places and q not in gate.places:
                    leave[crossing] = 1.0
                elif q in gate.places and p not in gate.places:
                    enter[crossing] = 1.0
            limit = {crossing: 1.0}
            for (g, s, k), (count, _) in self._columns.items():
                kind = self._kinds[g]
                if kind.place == p and s + k == at and kind.onward_per_s:
                    limit[count] = -min(kind.onward_per_s[q] / bound, 1.0)
            if len(limit) > 1:
                self.builder.row(limit, upper=0.0)
        for gate, leave, enter in zip(gates, out, into, strict=True):
            for crossings, rate in ((leave, gate.out_per_s), (enter, gate.in_per_s)):
                if crossings and math.isfinite(rate):
                    self.builder.row(crossings, upper=rate / bound)

    def spans(self, values: FloatArray) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The spans of a solution; servers without flow are none."""
        found: list[list[tuple[int, int]]] = [[] for _ in self._kinds]
        for (g, s, k), (count, flow) in self._columns.items():
            if values[flow] > EQUAL:
                found[g] += [(s, s + k)] * round(float(values[count]))
        return tuple(tuple(spans) for spans in found)
