"""The restricted master programme in HiGHS: shares of chains, shares of levels, lazy rows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray
from ...core.needs import Need
from ...solve.deadline import Deadline
from ...solve.lp import Lp
from .instance import Data
from .levels import Duals, Levels, Row
from .limits import Chained, Limits

#: A hop of a column: server, blocks, level it counts at (-1 while the server is not watched).
Hop = tuple[int, int, int]
#: Shares below this are none.
EPS = 1e-7


@dataclass(frozen=True, slots=True)
class Column:
    """Share of a class on one chain."""

    row: int
    hops: tuple[Hop, ...]
    cost: float


class Master:
    """Columns and rows grow; branching closes columns, and forgets those long out of use.

    Attributes
    ----------
    columns : by LP column; ``levels`` : watched servers.
    shares, reduced : values and reduced costs of the last solution.
    value : of the last solution, artificial columns included.
    rows : LP row of each constraint of a level; ``closed`` : LP columns out of limits.
    """

    def __init__(self, data: Data, artificial: FloatArray) -> None:
        self.data = data
        self.levels: dict[int, Levels] = {}
        self.columns: dict[int, Column] = {}
        self.shares: FloatArray = np.zeros(0)
        self.reduced: FloatArray = np.zeros(0)
        self.value = np.inf
        self._known: set[tuple[int, tuple[Hop, ...]]] = set()
        self.rows: dict[Row, int] = {}
        self._of_level: dict[tuple[int, int], list[tuple[Row, int]]] = defaultdict(list)
        self._sum: dict[int, int] = {}  # server -> row "shares of levels <= 1"
        self._z: dict[tuple[int, int], int] = {}
        self._uses: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
        self._row_dual: FloatArray = np.zeros(0)
        self.closed: set[int] = set()
        self._every = Chained.of(())
        self._last_used: dict[int, int] = {}
        self._solved = 0
        self._lp = Lp()
        for c in range(len(data.sessions)):
            self._lp.add_row({}, 1.0, 1.0)
            self._lp.add_column(float(artificial[c]), {c: 1.0})
        self._needs = [self._need(need, float(artificial.sum())) for need in data.needs]

    def _need(self, need: Need, artificial: float) -> int:
        """The row ``- sum of hosted blocks <= - (hosts wanted) L`` over the servers that count,
        with an artificial column."""
        entries = {}
        for j in np.flatnonzero((need.group >= 0) & (self.data.top > 0)).tolist():
            if j not in self.levels:
                self.watch(j)
            for i, blocks in enumerate(self.levels[j].blocks.tolist()):
                entries[self._z[j, i]] = -float(blocks)
        total = float(need.count * self.data.length)
        row = self._lp.add_row(entries, -np.inf, -total)
        self._lp.add_column(artificial, {row: -total})
        return row

    def hosting(self, prices: FloatArray) -> float:
        """What servers earn at least, all together, for the hosts that are wanted."""
        return float(
            sum(
                max(float(prices[row]), 0.0) * need.count * self.data.length
                for row, need in zip(self._needs, self.data.needs, strict=True)
            )
        )

    def charge_artificial(self, costs: FloatArray) -> None:
        """Set what it costs not to carry a class."""
        for c, cost in enumerate(costs.tolist()):
            self._lp.set_cost(c, cost)

    @property
    def infeasibility(self) -> float:
        """Share of the classes that no chain carries."""
        return float(self.shares[: len(self.data.sessions)].max(initial=0.0))

    @property
    def num_rows(self) -> int:
        """Rows so far."""
        return self._lp.num_rows

    def watch(self, server: int) -> None:
        """Give a server its levels; columns that use it count at the lowest level that allows."""
        levels = self.levels[server] = Levels(self.data, server)
        for i in range(len(levels.blocks)):
            self._z[server, i] = self._lp.add_column(0.0, {})
        members = {self._z[server, i]: 1.0 for i in range(len(levels.blocks))}
        self._sum[server] = self._lp.add_row(members, -np.inf, 1.0)
        for number, column in list(self.columns.items()):
            hops = []
            for j, k, level in column.hops:
                if j == server:
                    level = int(levels.allowed[:, column.row, k - 1].argmax())
                    self._uses[server, level].append((number, column.row, k))
                hops.append((j, k, level))
            if tuple(hops) != column.hops:
                self._known.discard((column.row, column.hops))
                self.columns[number] = Column(column.row, tuple(hops), column.cost)
                self._known.add((column.row, tuple(hops)))
        for i in range(len(levels.blocks)):
            if levels.blocks[i] > self.data.free[server]:
                self.add_row(Row(server, i, "memory", 0))

    def add_row(self, row: Row) -> None:
        """Add a constraint of a level."""
        if row in self.rows:
            return
        entries = {self._z[row.server, row.level]: -1.0}
        for number, c, k in self._uses[row.server, row.level]:
            value = self._coefficient(row, c, k)
            if value:
                entries[number] = value
        self.rows[row] = self._lp.add_row(entries, -np.inf, 0.0)
        self._of_level[row.server, row.level].append((row, self.rows[row]))

    def _coefficient(self, row: Row, c: int, k: int) -> float:
        levels = self.levels[row.server]
        if row.kind == "memory":
            return float(levels.memory[row.level, c, k - 1])
        if row.kind == "class":
            return 1.0 if row.which == c else 0.0
        return float(levels.rounding(row.level, row.which)[c, k - 1])

    def add_chain(self, c: int, hops: tuple[Hop, ...], cost: float) -> bool:
        """Add a column unless it is there."""
        if (c, hops) in self._known:
            return False
        entries = {c: 1.0}
        for j, k, level in hops:
            if level < 0:
                continue
            for row, index in self._of_level[j, level]:
                value = self._coefficient(row, c, k)
                if value:
                    entries[index] = value
        number = self._lp.add_column(cost, entries)
        self.columns[number] = Column(c, hops, cost)
        self._last_used[number] = self._solved
        self._known.add((c, hops))
        for j, k, level in hops:
            if level >= 0:
                self._uses[j, level].append((number, c, k))
        return True

    def restrict(self, limits: Limits) -> None:
        """Allow only levels and chains within the limits (branching)."""
        for (server, i), z in self._z.items():
            low, high = limits.hosted(server, self.data.length)
            self._set_open(z, is_open=low <= self.levels[server].blocks[i] <= high)
        numbers = np.fromiter(self.columns, dtype=np.int64, count=len(self.columns))
        allowed = limits.allow(self._chained())
        shut = np.zeros(self._lp.num_columns, dtype=bool)
        shut[[*self.closed]] = True
        for number in numbers[allowed == shut[numbers]].tolist():
            self._set_open(number, is_open=bool(shut[number]))

    def _chained(self) -> Chained:
        """All chains; those before are kept until some are forgotten."""
        new = list(itertools.islice(self.columns.values(), len(self._every.first) - 1, None))
        if new:
            more, old = (
                Chained.of([(j, k) for j, k, _ in column.hops] for column in new),
                self._every,
            )
            self._every = Chained(
                np.append(old.first, old.first[-1] + more.first[1:]),
                np.append(old.servers, more.servers),
                np.append(old.blocks, more.blocks),
            )
        return self._every

    def forget(self, most: int) -> None:
        """Where there are more than ``most`` chains, keep the half that was used last."""
        if len(self.columns) <= most:
            return
        # None of the basis, whose reduced costs are 0.
        settled = [i for i in self.columns if i < len(self.reduced) and abs(self.reduced[i]) > EPS]
        oldest = sorted(settled, key=lambda i: self._last_used[i])
        gone = np.array(sorted(oldest[: len(self.columns) - most // 2]), dtype=np.int64)
        self._lp.remove_columns(gone)
        kept = np.delete(np.arange(self._lp.num_columns + len(gone)), gone)
        at = {int(old): new for new, old in enumerate(kept)}
        for number in gone.tolist():
            column = self.columns.pop(number)
            self._known.discard((column.row, column.hops))
        self._every = Chained.of(())
        self.columns = {at[i]: column for i, column in self.columns.items()}
        self._last_used = {at[i]: used for i, used in self._last_used.items() if i in at}
        self._z = {key: at[i] for key, i in self._z.items()}
        self.closed = {at[i] for i in self.closed if i in at}
        for key, uses in self._uses.items():
            self._uses[key] = [(at[i], c, k) for i, c, k in uses if i in at]
        solved = kept[kept < len(self.shares)]
        self.shares, self.reduced = self.shares[solved], self.reduced[solved]

    def _set_open(self, column: int, *, is_open: bool) -> None:
        if is_open == (column in self.closed):
            self._lp.set_open(column, is_open=is_open)
            (self.closed.discard if is_open else self.closed.add)(column)

    def used(self) -> list[tuple[Column, float]]:
        """Columns of chains in the last solution, and their shares."""
        numbers = np.flatnonzero(self.shares > EPS).tolist()
        return [(self.columns[i], float(self.shares[i])) for i in numbers if i in self.columns]

    def solve(self, limit_s: float) -> bool:
        """Solve; False when the limit came first (the old solution stays)."""
        found = self._lp.solve(Deadline.after(limit_s))
        if found is None:
            return False
        self.shares, self.reduced, self._row_dual = found.values, found.reduced, found.dual
        self.value = found.objective
        self._solved += 1
        for i in np.flatnonzero(self.shares > EPS).tolist():
            self._last_used[i] = self._solved
        return True

    def prices(self) -> FloatArray:
        """(rows,) prices of all rows in the last solution, >= 0 where they are constraints."""
        prices = np.zeros(self.num_rows)
        prices[: len(self._row_dual)] = -self._row_dual
        return prices

    def carry_prices(self) -> FloatArray:
        """(C,) what carrying each class costs in the last solution."""
        return self._row_dual[: len(self.data.sessions)]

    def duals(self, prices: FloatArray) -> dict[int, Duals]:
        """The prices by watched server."""
        found: dict[int, Duals] = {j: Duals(levels) for j, levels in self.levels.items()}
        for row, i in self.rows.items():
            price = float(prices[i])
            if price <= 1e-12:
                continue
            duals = found[row.server]
            if row.kind == "memory":
                duals.memory[row.level] = price
            elif row.kind == "class":
                duals.row[row.level, row.which] = price
            else:
                duals.cuts.append((row.level, row.which, price))
        for index, need in zip(self._needs, self.data.needs, strict=True):
            for j in np.flatnonzero((need.group >= 0) & (self.data.top > 0)).tolist():
                found[j].hosting += max(float(prices[index]), 0.0)
        return found

    def level_shares(self, server: int) -> FloatArray:
        """(q,) shares of a server's levels in the last solution; none if it was not watched yet."""
        numbers = [self._z[server, i] for i in range(len(self.levels[server].blocks))]
        return self.shares[numbers] if numbers[-1] < len(self.shares) else np.zeros(len(numbers))
