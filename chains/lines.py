"""What a placement serves when everything is full and sessions stand in lines: a prediction.

The flows of ``chains.sustain`` know how long sessions last alone; in lines they last longer, and
hold their caches for as long. docs/model.md 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..core.content import FloatArray
from ..core.plan import Placement
from ..core.workload import Mix
from ..perfmodel.cost import CostModel
from ..solve.deadline import NEVER
from ..solve.lp import Lp
from .compose import gca
from .graph import build_graph
from .sustain import ChainUse, Use, sustained

#: Flows are solved for again so often; a change below this share of the rate is none.
ROUNDS, STEADY = 8, 1e-3
#: Rounds of the fixed point of how long a session lasts, and of each bisection.
TIMES, HALVES = 40, 20
#: Of a server at least so much is not taken by others.
LEAST_FREE = 1e-3
#: Steps towards new flows that are tried.
STRIDES = (1.0, 0.5, 0.25)


def queued_per_s(cost: CostModel, placement: Placement, mix: Mix) -> float:
    """Requests per second that a placement serves with as many sessions as its caches hold.

    Who comes to a server that works on one task at a time meets the others' work there, not its
    own: with U and R the work and the half squares of all tasks per second, u and r those of the
    session itself, a task waits for ``(R - r) / (1 - U + u)``. Flows are the most that fit the
    caches held for so long: solved for, timed, and solved for again; where clients differ in the
    chains that they may use, slowed down alike.
    """
    found = sustained(cost, placement, mix)
    rates = {flow.route: flow.rate_per_s for flow in found.flows}
    if not rates or not cost.serial.any():
        return found.rate_per_s
    graph = build_graph(cost, placement, pairs=False)
    use = Use(cost, placement, mix, graph)
    apart = cost.budgeted or cost.adapted  # then clients have chains of their own
    if not apart:
        rates |= {c.route: 0.0 for c in gca(cost, placement) if c.route not in rates}
    swarm = _Lines(cost, mix, [use.chain(use.links(route)) for route in rates])
    best = swarm.within(np.array(list(rates.values())))
    for _ in range(0 if apart else ROUNDS):
        target = swarm.most(swarm.lasts_s(best))
        tried = (swarm.within((1.0 - part) * best + part * target) for part in STRIDES)
        better = next((x for x in tried if x.sum() > (1.0 + STEADY) * best.sum()), None)
        if better is None:
            break
        best = better
    return float(best.sum())


class _Lines:
    """Sessions on chains, and what comes of rates at which they are served; (chains,) each.

    Visits of all chains stand one after the other, (visits,): whose they are, the server, work of
    a step and of all tasks, half of the tasks' squares, cache.
    """

    def __init__(self, cost: CostModel, mix: Mix, uses: Sequence[ChainUse]) -> None:
        self._servers = cost.problem.num_servers
        counts = [len(use.server) for use in uses]
        self._of = np.repeat(np.arange(len(uses)), counts)
        self._at = np.cumsum([0, *counts[:-1]])
        self._alone_s = np.array([use.time_s for use in uses])
        self._server, compute = (
            np.concatenate([getattr(use, name) for use in uses]) for name in ("server", "compute")
        )
        self._cache = np.concatenate([use.cache / use.time_s for use in uses])
        self._compute = compute
        # What the mean request does there.
        hops = [h for use in uses for h in use.route.hops]
        start, end = (np.array([getattr(h, name) for h in hops]) for name in ("start", "end"))
        prompt, output = (float(mix.share @ n) for n in (mix.prompt_tokens, mix.output_tokens))
        whole = float(mix.share.sum())
        steps = max(output / whole - 1.0, 0.0)
        paid, rows = cost.planned(int(mix.client[0])), self._server
        step_s = np.where(cost.serial[rows], cost.pass_work_s(paid, rows, start, end), 0.0)
        prompt_s = np.maximum(compute - steps * step_s, 0.0)
        pieces = np.where(prompt / whole > cost.task_tokens[rows], end - start, 1).astype(float)
        self._work_s = steps * step_s + prompt_s
        self._half_s = (steps * step_s**2 + prompt_s**2 / pieces) / 2
        self._tasks = steps + pieces

    def _by_server(self, figures: FloatArray) -> FloatArray:
        """(servers,) sums of what (visits,) take."""
        found: FloatArray = np.bincount(self._server, figures, self._servers).astype(np.float64)
        return found

    def lasts_s(self, rates: FloatArray) -> FloatArray:
        """How long a session on each chain lasts among the others.

        A fixed point: the longer it lasts, the less of the work it meets is its own.
        """
        busy = self._by_server(rates[self._of] * self._work_s)[self._server]
        remaining = self._by_server(rates[self._of] * self._half_s)[self._server]
        lasts_s, going = self._alone_s.copy(), np.ones(len(rates), bool)
        for _ in range(TIMES):
            long_s = lasts_s[self._of]
            others = np.maximum(remaining - self._half_s / long_s, 0.0)
            free = np.maximum(1.0 - busy + self._work_s / long_s, LEAST_FREE)
            again = self._alone_s + np.add.reduceat(self._tasks * others / free, self._at)
            going &= np.abs(again - lasts_s) > 1e-6 * lasts_s
            if not going.any():
                break
            lasts_s = np.where(going, 0.5 * (lasts_s + again), lasts_s)
        return lasts_s

    def within(self, rates: FloatArray) -> FloatArray:
        """The same flows, all slowed down alike until the caches hold their sessions."""
        low, high = 0.0, 1.0
        if self._fits(rates):
            return rates
        for _ in range(HALVES):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._fits(middle * rates) else (low, middle)
        return low * rates

    def _fits(self, rates: FloatArray) -> bool:
        held = self._by_server((rates * self.lasts_s(rates))[self._of] * self._cache)
        return bool(held.max(initial=0.0) <= 1.0)

    def most(self, lasts_s: FloatArray) -> FloatArray:
        """The flows that fit compute and caches when sessions last so long."""
        lp = Lp()
        for _ in range(2 * self._servers):  # compute of every server, then cache
            lp.add_row({}, -np.inf, 1.0)
        held = self._cache * lasts_s[self._of]
        for first, last in pairwise([*self._at.tolist(), len(self._of)]):
            rows = self._server[first:last]
            both = np.concatenate([rows, self._servers + rows]).tolist()
            takes = np.concatenate([self._compute[first:last], held[first:last]]).tolist()
            lp.add_column(-1.0, dict(zip(both, takes, strict=True)))
        solution = lp.solve(NEVER)
        assert solution is not None
        return np.array(solution.values)
