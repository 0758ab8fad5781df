"""All chains of a class that cost at most so much within its budget, block by block."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from ...chains.within import undominated
from ...core.accuracy import SAME_HARM
from ...core.content import FloatArray
from ...solve.deadline import Deadline
from .menu import Menu


class Arc(NamedTuple):
    """Blocks from a position to ``end`` at a variant (row of ``Menu.every``)."""

    variant: int
    server: int
    end: int
    cost_s: float
    harm: float


class Chain(NamedTuple):
    """(variant row, start, end) of every hop, and what one session's step costs and harms."""

    hops: tuple[tuple[int, int, int], ...]
    cost_s: float
    harm: float


@dataclass(slots=True)
class Onward:
    """(least cost, harm) from a position to the end, servers used again at will: harm falls."""

    cost_s: list[float]
    lenience: list[float]

    def least_s(self, budget: float) -> float:
        """The least cost within what is left of a budget."""
        i = bisect_left(self.lenience, -budget - SAME_HARM)
        return self.cost_s[i] if i < len(self.cost_s) else inf


class Routes:
    """Chains of a class, in order of the walk; made once for every class."""

    def __init__(self, menu: Menu, row: int) -> None:
        self._menu, self._row = menu, row
        self._budget = float(menu.budgets[row])
        self._arcs = self._all_arcs()
        self._onward = self._all_onward()

    @property
    def least_s(self) -> float:
        """No chain costs less; inf = there is none."""
        return self._onward[0].least_s(self._budget)

    def within(self, most_s: float, limit: int, deadline: Deadline) -> list[Chain] | None:
        """All chains of at most such a cost; None where there are more than the limit."""
        found: list[Chain] = []
        hops: list[tuple[int, int, int]] = []
        used: set[int] = set()
        length, most = self._menu.length, most_s * (1 + 1e-12)

        def walk(at: int, cost_s: float, harm: float) -> bool:
            if at == length:
                found.append(Chain(tuple(hops), cost_s, harm))
                return len(found) <= limit and not deadline.passed
            for arc in self._arcs[at]:
                paid, hurt = cost_s + arc.cost_s, harm + arc.harm
                if paid > most or arc.server in used:
                    continue
                left_s = self._onward[arc.end].least_s(self._budget - hurt)
                if left_s == inf or paid + left_s > most:
                    continue
                used.add(arc.server)
                hops.append((arc.variant, at, arc.end))
                going = walk(arc.end, paid, hurt)
                hops.pop()
                used.discard(arc.server)
                if not going:
                    return False
            return True

        return found if walk(0, float(self._menu.base_s[self._row]), 0.0) else None

    def _all_arcs(self) -> list[list[Arc]]:
        menu, row = self._menu, self._row
        arcs: list[list[Arc]] = [[] for _ in range(menu.length + 1)]
        for number, variant in enumerate(menu.every):
            run_s, hop_s = variant.run_s[row], float(variant.hop_s[row])
            for p, e in zip(*np.nonzero(variant.fits(menu.cache[row])), strict=True):
                cost_s, harm = hop_s + float(run_s[e] - run_s[p]), float(variant.harmed(p, e))
                arcs[p].append(Arc(number, variant.server, int(e), cost_s, harm))
        return arcs

    def _all_onward(self) -> list[Onward]:
        length = self._menu.length
        tables: list[tuple[FloatArray, FloatArray]] = [(np.zeros(0), np.zeros(0))] * length
        tables.append((np.zeros(1), np.zeros(1)))
        for p in reversed(range(length)):
            parts = [(a.cost_s + tables[a.end][0], a.harm + tables[a.end][1])
                     for a in self._arcs[p]]  # fmt: skip
            cost = np.concatenate([np.zeros(0), *(c for c, _ in parts)])
            harm = np.concatenate([np.zeros(0), *(h for _, h in parts)])
            at = np.flatnonzero(harm <= self._budget + SAME_HARM)
            at = at[undominated(np.zeros(len(at), dtype=np.int64), cost[at], harm[at])]
            tables[p] = cost[at], harm[at]
        return [Onward(c.tolist(), (-h).tolist()) for c, h in tables]


def num_arcs(menu: Menu) -> int:
    """Visits of a session that all servers could make, at most."""
    return sum(int(v.fits(menu.cache.min(axis=0)).sum()) for v in menu.every)
