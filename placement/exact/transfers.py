"""Who hands sessions on to whom, in programmes with positions under server relay.

``y[c, q, i, j]`` sessions of class c leave server i at block q and enter server j there, for blocks
within the model; the way from the client is paid by visits that begin at block 0, the way back by
visits that end at block L.

1. at (c, q, i): as many leave i as its visits end there
2. at (c, q, j): as many enter j as its visits begin there
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...solve.programme import Builder
from .instance import Data
from .legs import Legs

#: Class, server, block at which a visit ends, blocks.
Visit = tuple[int, int, int, int]
#: Class, block, server before, server after.
Step = tuple[int, int, int, int]


@dataclass(slots=True)
class Transfers:
    """The variables y by (c, q, i, j) and their rows."""

    data: Data
    legs: Legs
    y: dict[Step, int] = field(default_factory=dict)

    def outer_cost(self, visit: Visit) -> float:
        """What a session pays with a visit for the way from the client and the way back to it."""
        c, j, e, k = visit
        bit, cost = self._bit(j), 0.0
        if e == k:
            cost += self.legs.into[c, -1, bit]
        if e == self.data.length:
            cost += self.legs.back[c, bit]
        return float(cost / self.data.sessions[c])

    def write(self, written: Builder, visits: Mapping[Visit, int]) -> None:
        """Variables and rows between the visits of a programme."""
        ending: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)
        beginning: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)
        for (c, j, e, k), column in visits.items():
            if e < self.data.length:
                ending[c, e].setdefault(j, []).append(column)
            if e > k:
                beginning[c, e - k].setdefault(j, []).append(column)
        for c, q in sorted(ending.keys() | beginning.keys()):
            self._at(written, c, q, ending[c, q], beginning[c, q])

    def _at(
        self,
        written: Builder,
        c: int,
        q: int,
        ending: dict[int, list[int]],
        beginning: dict[int, list[int]],
    ) -> None:
        sessions = float(self.data.sessions[c])
        leaving: dict[int, dict[int, float]] = {i: {} for i in ending}
        entering: dict[int, dict[int, float]] = {j: {} for j in beginning}
        for i in ending:
            for j in beginning:
                if i != j:
                    cost = float(self.legs.into[c, self._bit(i), self._bit(j)]) / sessions
                    column = written.variable(cost, upper=sessions, integer=True)
                    self.y[c, q, i, j] = column
                    leaving[i][column] = entering[j][column] = -1.0
        for visits, steps in ((ending, leaving), (beginning, entering)):
            for server, columns in visits.items():
                entries = {**dict.fromkeys(columns, 1.0), **steps[server]}
                written.row(entries, lower=0.0, upper=0.0)

    def _bit(self, server: int) -> int:
        return int(self.legs.servers.searchsorted(server))
