"""One server under prices: its levels, what they charge a visit, what they can earn.

A *level* m of server j hosts m blocks and leaves ``room(j, m)`` slots of cache. With shares x of
the classes' sessions on visits (c, k), k <= m, the level obeys, scaled to the share z of the level,

* memory: ``sum R_c s_c k / room x <= z``
* one class: ``sum_k x <= z`` for every class (all sessions of c at most once)
* rounding: ``sum over visits of at least w slots of R_c / floor(room / w) x <= z``, w = s_c k

and the levels' shares sum to at most 1. Levels up to ``Data.free`` cannot lack memory: they are
one level. Where an operator wants more hosts than one for every block (``Data.needs``), the levels
of all servers that count have so many blocks together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...core.content import FloatArray, IntArray
from .instance import Data


class Row(NamedTuple):
    """A constraint of a level: ``kind`` memory (which 0), class (its row) or rounding (w)."""

    server: int
    level: int
    kind: str
    which: int


class Levels:
    """The levels of one server, lowest first, and the coefficients of their constraints.

    Attributes
    ----------
    blocks : (q,) blocks of each level.
    memory : (q, C, K) share of the level's memory that a whole class takes with visits of 1..K
        blocks; 0 at a level where memory cannot bind.
    allowed : (q, C, K) whether the visit is possible at the level.
    """

    def __init__(self, data: Data, server: int) -> None:
        low, top = int(data.free[server]), int(data.top[server])
        self.server = server
        self.blocks = levels_of(data, server)
        self.rooms = [data.room(server, int(m)) for m in self.blocks]
        run = np.arange(1, top + 1)
        self.weight: IntArray = data.slots[:, None] * run  # slots of one session
        self.sessions = data.sessions
        self._rounding: dict[tuple[int, int], FloatArray] = {}
        full = self.weight * data.sessions[:, None]
        room = np.array(self.rooms, dtype=float)[:, None, None]
        bound = self.blocks > low
        self.memory: FloatArray = np.where(bound[:, None, None], full / np.maximum(room, 1), 0.0)
        self.allowed = (run <= self.blocks[:, None])[:, None, :] & (
            run <= data.most[:, server, None]
        )

    def rounding(self, level: int, weight: int) -> FloatArray:
        """(C, K) coefficients of the rounding constraint for visits of at least ``weight``."""
        found = self._rounding.get((level, weight))
        if found is None:
            most = max(self.rooms[level] // weight, 1)
            found = np.where(self.weight >= weight, self.sessions[:, None] / most, 0.0)
            self._rounding[level, weight] = found
        return found


def levels_of(data: Data, server: int) -> IntArray:
    """(q,) blocks of every level of a server, lowest first."""
    low, top = int(data.free[server]), int(data.top[server])
    return np.array([*([low] if low else []), *range(low + 1, top + 1)], dtype=np.int64)


class Charge(NamedTuple):
    """What a server's visits pay under some prices.

    Attributes
    ----------
    least : (C, K) charge of a visit: the least over the levels that allow it, inf where none does.
    level : (C, K) index of that level.
    earned : (q,) the most that each level can earn from these charges, whatever visits it gets.
    """

    least: FloatArray
    level: IntArray
    earned: FloatArray

    @property
    def most(self) -> float:
        """The most that any level can earn."""
        return float(self.earned.max(initial=0.0))


class Duals:
    """Prices of one server's constraints: all >= 0, any values give a valid bound."""

    def __init__(self, levels: Levels) -> None:
        q, classes = len(levels.blocks), len(levels.sessions)
        self.levels = levels
        self.memory = np.zeros(q)
        self.row = np.zeros((q, classes))
        self.cuts: list[tuple[int, int, float]] = []  # level, weight, price
        self.hosting = 0.0  # of every block that the server hosts (needs)

    def charge(self, low: int, high: int) -> Charge:
        """What visits pay when the server must be at a level of ``low`` to ``high`` blocks."""
        levels = self.levels
        keep = (levels.blocks >= low) & (levels.blocks <= high)
        base = self.memory[:, None, None] * levels.memory
        earned = self.memory + self.hosting * levels.blocks
        for level, weight, price in self.cuts:
            base[level] += price * levels.rounding(level, weight)
            earned[level] += price
        allowed = levels.allowed & keep[:, None, None]
        charges = np.where(allowed, base + self.row[:, :, None], np.inf)
        level = charges.argmin(axis=0)
        least = np.take_along_axis(charges, level[None], axis=0)[0]
        finite = np.where(np.isfinite(least), least, 0.0)
        spare = np.where(allowed, finite - base, 0.0).max(axis=2, initial=0.0).sum(axis=1)
        return Charge(least, level, np.where(keep, earned + spare, 0.0))
