"""The closing mixed-integer programme: interval flow with positions (docs/exact.md).

Variables, for what survives reduced-cost fixing: x[c, j, e, k] sessions of class c that server j
takes from block e - k to e; end[j, e] and level[j, m] choose the server's span [e - m, e).

1. flow of every class at every position: R_c leave 0, R_c reach L
2. ``sum_e end[j, e] = sum_m level[j, m] <= 1``
3. ``sum_k x[c, j, e, k] <= R_c end[j, e]``
4. ``sum_{e, c, k} s_c k x <= sum_m room(j, m) level[j, m]``, where cache can bind
5. ``sum_{e, k >= k0} x[c, j, e, k] <= R_c sum_{m >= k0} level[j, m]``
6. under server relay, who hands on to whom (``transfers``)
7. who hosts what, where an operator wants more hosts than one for every block (``hosting``)

Everything integral, so the optimum is that of the problem among what survived.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from ...core.content import FloatArray
from ...core.plan import Hop, Placement, PlannedRoute, Route
from ...solve.programme import Builder, Programme
from .fixing import Survivors
from .hosting import Hosting
from .incumbent import Plan
from .instance import Data
from .transfers import Step, Transfers, Visit


@dataclass(slots=True)
class Flow:
    """The programme; ``size`` counts its session variables."""

    data: Data
    survivors: Survivors
    x: dict[Visit, int] = field(default_factory=dict)
    end: dict[tuple[int, int], int] = field(default_factory=dict)
    level: dict[tuple[int, int], int] = field(default_factory=dict)
    written: Builder = field(default_factory=Builder)
    transfers: Transfers | None = field(init=False)
    hosting: Hosting | None = field(init=False)

    def __post_init__(self) -> None:
        legs = self.data.legs
        self.hosting = Hosting(self.data) if self.data.needs else None
        self.transfers = None if legs is None else Transfers(self.data, legs)

    def build(self) -> None:
        """All variables and rows."""
        data, length = self.data, self.data.length
        for j, levels in self.survivors.levels.items():
            for m in levels:
                self.level[j, m] = self._variable(0.0, 1.0)
        ways = [self._reachable(c) for c in range(len(data.sessions))]
        for (c, j), runs in self.survivors.visits.items():
            visits = data.visits(j, runs[-1])[c]
            per = visits[np.array(runs) - 1] / data.sessions[c]
            for k, cost in zip(runs, per.tolist(), strict=True):
                for e in self.survivors.positions(j, k, length):
                    if k <= data.reach[j, e] and ways[c][e - k] and ways[c][e]:
                        each = cost + self._outer_cost((c, j, e, k))
                        self.x[c, j, e, k] = self._variable(each, float(data.sessions[c]))
                        if (j, e) not in self.end:
                            self.end[j, e] = self._variable(0.0, 1.0)
        self._conserve()
        if self.transfers is not None:
            self.transfers.write(self.written, self.x)
        if self.hosting is not None:
            for j in self.survivors.levels:
                for e in self.hosting.ends(j):
                    if (j, e) not in self.end:
                        self.end[j, e] = self._variable(0.0, 1.0)
        for j in self.survivors.levels:
            self._span(j)
        if self.hosting is not None:
            self.hosting.write(self.written, self.end, self.level, self.survivors.levels)

    def _outer_cost(self, visit: Visit) -> float:
        return 0.0 if self.transfers is None else self.transfers.outer_cost(visit)

    def _reachable(self, c: int) -> list[bool]:
        """(L + 1,) whether a chain of the class can pass each position."""
        length = self.data.length
        runs = {k for (row, _), ks in self.survivors.visits.items() if row == c for k in ks}
        ahead, back = [False] * (length + 1), [False] * (length + 1)
        ahead[0] = back[length] = True
        for q in range(1, length + 1):
            ahead[q] = any(k <= q and ahead[q - k] for k in runs)
            back[length - q] = any(k <= q and back[length - q + k] for k in runs)
        return [a and b for a, b in zip(ahead, back, strict=True)]

    def _variable(self, cost: float, most: float) -> int:
        return self.written.variable(cost, upper=most, integer=True)

    def _conserve(self) -> None:
        """(1)"""
        data, length = self.data, self.data.length
        at: dict[tuple[int, int], dict[int, float]] = {
            (c, q): {} for c in range(len(data.sessions)) for q in range(length + 1)
        }
        for (c, _, e, k), column in self.x.items():
            at[c, e][column] = 1.0
            at[c, e - k][column] = -1.0
        for (c, q), entries in at.items():
            net = float(data.sessions[c]) * (1 if q == length else -1 if q == 0 else 0)
            self.written.row(entries, lower=net, upper=net)

    def _span(self, j: int) -> None:
        """(2) to (5) of one server."""
        data, row = self.data, self.written.row
        levels = self.survivors.levels[j]
        classes = [c for c in range(len(data.sessions)) if (c, j) in self.survivors.visits]
        chosen = {self.level[j, m]: 1.0 for m in levels}
        row(chosen, upper=1.0)
        ends = [e for e in range(1, data.length + 1) if (j, e) in self.end]
        row({**chosen, **{self.end[j, e]: -1.0 for e in ends}}, lower=0.0, upper=0.0)
        memory: dict[int, float] = {}
        for c in classes:
            each = float(data.sessions[c])
            runs = self.survivors.visits[c, j]
            column = {
                (e, k): self.x[c, j, e, k] for e in ends for k in runs if (c, j, e, k) in self.x
            }
            for e in ends:
                entries = {column[e, k]: 1.0 for k in runs if (e, k) in column}
                if entries:
                    row({**entries, self.end[j, e]: -each}, upper=0.0)
            for least in runs:
                if least > levels[0]:
                    entries = {i: 1.0 for (_, k), i in column.items() if k >= least}
                    high = {self.level[j, m]: -each for m in levels if m >= least}
                    row({**entries, **high}, upper=0.0)
            memory |= {i: float(data.slots[c] * k) for (_, k), i in column.items()}
        if memory and levels[-1] > data.free[j]:
            room = {self.level[j, m]: -float(data.room(j, m)) for m in levels}
            scale = max(abs(v) for v in room.values())
            entries = {**memory, **room}
            row({i: v / scale for i, v in entries.items()}, upper=0.0)

    def start(self, plan: Plan) -> FloatArray | None:
        """Values of a plan, None if it uses what was fixed."""
        placement, routes = plan
        rows = {d.client: c for c, d in enumerate(self.data.demand)}
        values = np.zeros(self.written.num_variables)
        longest: dict[int, int] = {}
        for planned in routes:
            columns = self._columns(rows[planned.client], planned.route)
            if columns is None:
                return None
            values[columns] += planned.sessions
            for hop in planned.route.hops:
                longest[hop.server] = max(longest.get(hop.server, 0), len(hop))
        if self.hosting is not None:  # spans without sessions count
            longest = {j: e - s for j, (s, e) in _spans(placement).items()}
        chosen: dict[int, tuple[int, int]] = {}
        for j, used in longest.items():
            fits = [m for m in self.survivors.levels.get(j, ()) if m >= used]
            if not fits:
                return None
            chosen[j] = end, level = int(placement.end[j]), fits[0]
            values[self.end[j, end]] = values[self.level[j, level]] = 1.0
        if self.hosting is not None:
            self.hosting.begin(values, chosen)
        return values

    def _columns(self, c: int, route: Route) -> list[int] | None:
        """The session variables of a chain, None if it uses what was fixed."""
        hops = route.hops
        found = [self.x.get((c, h.server, h.end, len(h))) for h in hops]
        if self.transfers is not None:
            found += [
                self.transfers.y.get((c, h.end, h.server, after.server))
                for h, after in itertools.pairwise(hops)
            ]
        columns = [column for column in found if column is not None]
        return columns if len(columns) == len(found) else None

    def plan(self, values: FloatArray) -> Plan:
        """Placement and routes of a solution."""
        data = self.data
        left = {key: round(values[i]) for key, i in self.x.items() if values[i] > 0.5}
        spans = [(0, 0)] * data.cost.problem.num_servers
        for _, j, e, k in left:
            spans[j] = (min(e - k, spans[j][0]) if spans[j][1] else e - k, e)
        for j, span in data.pinned.items():
            spans[j] = span
        if self.hosting is not None:
            for j, span in self.hosting.spans(values).items():
                spans[j] = span
        steps = {} if self.transfers is None else {
            key: round(values[i]) for key, i in self.transfers.y.items() if values[i] > 0.5
        }  # fmt: skip
        routes = []
        while left:
            chain = self._chain(left, steps)
            between = (
                [(a[0], a[2], a[1], b[1]) for a, b in itertools.pairwise(chain)] if steps else []
            )
            taken = min([left[key] for key in chain] + [steps[key] for key in between])
            _take(left, chain, taken)
            _take(steps, between, taken)
            hops = tuple(Hop(server=j, start=e - k, end=e) for _, j, e, k in chain)
            client = data.demand[chain[0][0]].client
            routes.append(PlannedRoute(client=client, sessions=taken, route=Route(hops=hops)))
        return data.cost.placed(spans), tuple(routes)

    def _chain(self, left: dict[Visit, int], steps: dict[Step, int]) -> list[Visit]:
        """Visits of one chain of a flow, where handed on along ``steps``."""
        row = min(left)[0]
        chain = [min(key for key in left if key[0] == row and key[2] == key[3])]
        while (at := chain[-1][2]) < self.data.length:
            after = [key for key in left if key[0] == row and key[2] - key[3] == at]
            if self.transfers is not None:
                after = [key for key in after if (row, at, chain[-1][1], key[1]) in steps]
            chain.append(min(after))
        return chain

    def programme(self) -> Programme:
        """The programme as it stands."""
        return self.written.programme()


def _spans(placement: Placement) -> dict[int, tuple[int, int]]:
    """Start and end of every server that hosts anything."""
    spans = zip(placement.start.tolist(), placement.end.tolist(), strict=True)
    return {j: (start, end) for j, (start, end) in enumerate(spans) if end > start}


def _take(counts: dict[tuple[int, int, int, int], int], keys: list[Visit], taken: int) -> None:
    """Count down, and forget what is used up."""
    for key in keys:
        counts[key] -= taken
        if not counts[key]:
            del counts[key]
