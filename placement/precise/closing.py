"""The closing programme: sessions on whole chains, spans and precisions of servers.

Variables: x[r] sessions on chain r of its class; z[v, a, e] variant v hosts blocks [a, e).

1. ``sum over the chains of c: x = R_c``
2. ``sum over the variants of j and their spans: z <= 1``
3. ``sum over chains of c that visit v from p or before to e: x <= R_c sum_{a <= p} z[v, a, e]``
4. ``sum over chains that visit (v, p, e): cache_c(p, e) x <= sum_a room(v, a, e) z[v, a, e]``

Chains that break a budget are not among them, so each session keeps its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ...core.content import FloatArray
from ...core.plan import Hop, PlannedRoute, Route
from ...solve.deadline import Deadline
from ...solve.mip import solve_programme
from ...solve.outcome import Outcome
from ...solve.programme import Builder
from .menu import Menu, Variant
from .routes import Chain


class Closing:
    """The programme over some chains of every class."""

    def __init__(self, menu: Menu, chains: Sequence[Sequence[Chain]], unit_s: float) -> None:
        self._menu, self._chains, self._unit_s = menu, chains, unit_s
        self._written = Builder()
        self._x: list[list[int]] = []
        for c, (own, d) in enumerate(zip(chains, menu.demand, strict=True)):
            each = float(menu.weight[c]) / d.sessions / unit_s
            top = float(d.sessions)
            self._x.append([self._variable(r.cost_s * each, top) for r in own])
            self._written.row(dict.fromkeys(self._x[-1], 1.0), lower=top, upper=top)
        self._z: dict[tuple[int, int, int], int] = {}
        self._host()

    def _variable(self, cost: float, most: float) -> int:
        return self._written.variable(cost, upper=most, integer=True)

    def _host(self) -> None:
        """(2) to (4)"""
        menu, row = self._menu, self._written.row
        visits: dict[tuple[int, int], dict[int, list[tuple[int, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for c, own in enumerate(self._chains):
            for r, chain in enumerate(own):
                for v, p, e in chain.hops:
                    visits[v, e][p].append((c, self._x[c][r]))
        by_server: dict[int, dict[int, float]] = defaultdict(dict)
        for (v, e), starts in visits.items():
            variant = menu.every[v]
            for a in starts:
                z = self._z[v, a, e] = self._variable(0.0, 1.0)
                by_server[variant.server][z] = 1.0
            memory: dict[int, float] = {}
            scale = max(1.0, *(float(variant.room(a, e)) for a in starts))
            for p, users in starts.items():
                for c, x in users:
                    memory[x] = float(menu.cache[c, e] - menu.cache[c, p]) / scale
            for a in starts:
                memory[self._z[v, a, e]] = -variant.room(a, e) / scale
            row(memory, upper=0.0)
            for c, d in enumerate(menu.demand):
                early: dict[int, float] = {}
                for p in sorted(starts):
                    early |= {x: 1.0 for own, x in starts[p] if own == c}
                    early[self._z[v, p, e]] = -float(d.sessions)
                    if any(own == c for own, _ in starts[p]):
                        row(early, upper=0.0)
        for members in by_server.values():
            row(members, upper=1.0)

    def solve(self, deadline: Deadline, gap: float, seed: int) -> Outcome:
        """Its optimum, or what was found until the deadline; figures in the unit."""
        return solve_programme(self._written.programme(), deadline=deadline, gap=gap, seed=seed)

    def plan(
        self, values: FloatArray
    ) -> tuple[list[tuple[Variant, int, int]], tuple[PlannedRoute, ...]]:
        """Spans of the servers in use, each no longer than its visits, and the routes."""
        menu = self._menu
        spans: dict[int, tuple[int, int]] = {}
        routes = []
        for c, own in enumerate(self._chains):
            for chain, x in zip(own, self._x[c], strict=True):
                sessions = round(values[x])
                if not sessions:
                    continue
                hops = []
                for v, p, e in chain.hops:
                    spans[v] = min(p, spans[v][0]) if v in spans else p, e
                    hops.append(Hop(server=menu.every[v].server, start=p, end=e))
                client = menu.demand[c].client
                route = Route(hops=tuple(hops))
                routes.append(PlannedRoute(client=client, sessions=sessions, route=route))
        return [(menu.every[v], a, e) for v, (a, e) in spans.items()], tuple(routes)
