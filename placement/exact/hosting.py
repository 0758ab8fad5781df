"""Hosts that an operator asks for, in programmes with positions (docs/exact.md).

With ``end[j, e]`` and ``level[j, m]`` of the programme, hosted[j, e, m] says that server j's span
ends at e and has the level m: sums over m are ``end``, sums over e are ``level``. A need is met
where at every block enough groups of servers have a span over it that leaves room for one session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...core.content import FloatArray
from ...core.needs import Need
from ...solve.programme import Builder
from .instance import Data

#: Server and position, server and blocks.
Key = tuple[int, int]


@dataclass(slots=True)
class Hosting:
    """The variables hosted[j, e, m], and by need, block and group who covers it."""

    data: Data
    hosted: dict[tuple[int, int, int], int] = field(default_factory=dict)
    groups: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def ends(self, server: int) -> range | list[int]:
        """Where the span of a server may end."""
        return [e for e in range(1, self.data.length + 1) if self.data.reach[server, e]]

    def span(self, server: int, end: int, level: int) -> tuple[int, int]:
        """What a server hosts with this end and level."""
        return end - min(level, int(self.data.reach[server, end])), end

    def write(
        self,
        written: Builder,
        end: Mapping[Key, int],
        level: Mapping[Key, int],
        levels: Mapping[int, Sequence[int]],
    ) -> None:
        """Variables and rows."""
        for j, blocks in levels.items():
            by_end: dict[int, dict[int, float]] = defaultdict(dict)
            by_level: dict[int, dict[int, float]] = defaultdict(dict)
            for e in self.ends(j):
                for m in blocks:
                    column = self.hosted[j, e, m] = written.variable(upper=1.0)
                    by_end[e][column] = by_level[m][column] = 1.0
            for e, entries in by_end.items():
                written.row({**entries, end[j, e]: -1.0}, lower=0.0, upper=0.0)
            for m, entries in by_level.items():
                written.row({**entries, level[j, m]: -1.0}, lower=0.0, upper=0.0)
        for number, need in enumerate(self.data.needs):
            self._need(written, number, need)

    def _need(self, written: Builder, number: int, need: Need) -> None:
        covers: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        for (j, e, m), column in self.hosted.items():
            start, _ = self.span(j, e, m)
            if need.group[j] >= 0 and e - start <= self.data.serves[j]:
                for block in range(start, e):
                    covers[block, int(need.group[j])][column] = -1.0
        by_block: dict[int, dict[int, float]] = {b: {} for b in range(self.data.length)}
        for (block, group), entries in covers.items():
            one = self.groups[number, block, group] = written.variable(upper=1.0)
            written.row({one: 1.0, **entries}, upper=0.0)
            by_block[block][one] = 1.0
        for entries in by_block.values():
            written.row(entries, lower=float(need.count))

    def begin(self, values: FloatArray, chosen: Mapping[int, tuple[int, int]]) -> None:
        """Values of spans (end and level by server)."""
        covered = set()
        for j, (e, m) in chosen.items():
            values[self.hosted[j, e, m]] = 1.0
            start, _ = self.span(j, e, m)
            for number, need in enumerate(self.data.needs):
                if need.group[j] >= 0 and e - start <= self.data.serves[j]:
                    covered |= {(number, b, int(need.group[j])) for b in range(start, e)}
        for key in covered:
            values[self.groups[key]] = 1.0

    def spans(self, values: FloatArray) -> dict[int, tuple[int, int]]:
        """What every server hosts in a solution."""
        return {j: self.span(j, e, m) for (j, e, m), i in self.hosted.items() if values[i] > 0.5}
