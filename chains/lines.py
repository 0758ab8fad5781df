"""What a placement serves when everything is full and sessions stand in lines: a prediction.

The flows of ``chains.sustain`` know how long sessions last alone; in lines they last longer, and
hold their caches for as long. docs/model.md 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Session:
    """A session on a chain, (hops,) each: work of a step and of its prompt, in so many tasks."""

    use: ChainUse
    steps: float
    step_s: FloatArray
    prompt_s: FloatArray
    pieces: FloatArray

    @property
    def work_s(self) -> FloatArray:
        """Of the whole session."""
        work: FloatArray = self.steps * self.step_s + self.prompt_s
        return work

    @property
    def remaining_s(self) -> FloatArray:
        """Of a task that somebody meets, times how often: half of the squares."""
        squares: FloatArray = self.steps * self.step_s**2 + self.prompt_s**2 / self.pieces
        return squares / 2


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
    sessions = [_session(cost, mix, use.chain(use.links(route))) for route in rates]
    swarm = _Lines(sessions, cost.problem.num_servers)
    best = swarm.within(np.array(list(rates.values())))
    for _ in range(0 if apart else ROUNDS):
        target = swarm.most(swarm.lasts_s(best))
        tried = (swarm.within((1.0 - part) * best + part * target) for part in STRIDES)
        better = next((x for x in tried if x.sum() > (1.0 + STEADY) * best.sum()), None)
        if better is None:
            break
        best = better
    return float(best.sum())


def _session(cost: CostModel, mix: Mix, use: ChainUse) -> _Session:
    """What the mean request does on a chain."""
    rows = use.server
    steps = max(float(mix.share @ mix.output_tokens) / float(mix.share.sum()) - 1.0, 0.0)
    prompt = float(mix.share @ mix.prompt_tokens) / float(mix.share.sum())
    visits = [(h.server, h.start, h.end) for h in use.route.hops]
    paid = cost.planned(int(mix.client[0]))
    each = np.array([float(cost.pass_work_s(paid, *visit)) for visit in visits])
    step_s = np.where(cost.serial[rows], each, 0.0)
    blocks = np.array([len(h) for h in use.route.hops])
    return _Session(
        use=use,
        steps=steps,
        step_s=step_s,
        prompt_s=np.maximum(use.compute - steps * step_s, 0.0),
        pieces=np.where(prompt > cost.task_tokens[rows], blocks, 1).astype(np.float64),
    )


class _Lines:
    """Sessions on chains, and what comes of rates at which they are served; (chains,) each."""

    def __init__(self, sessions: Sequence[_Session], servers: int) -> None:
        self._sessions, self._servers = sessions, servers

    def lasts_s(self, rates: FloatArray) -> FloatArray:
        """How long a session on each chain lasts among the others."""
        busy, remaining = np.zeros((2, self._servers))
        for rate, session in zip(rates, self._sessions, strict=True):
            np.add.at(busy, session.use.server, rate * session.work_s)
            np.add.at(remaining, session.use.server, rate * session.remaining_s)
        return np.array([_lasts_s(s, busy, remaining) for s in self._sessions])

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
        held = np.zeros(self._servers)
        longer = self.lasts_s(rates)
        for rate, session, lasts_s in zip(rates, self._sessions, longer, strict=True):
            cache = session.use.cache / session.use.time_s * lasts_s
            np.add.at(held, session.use.server, rate * cache)
        return bool(held.max(initial=0.0) <= 1.0)

    def most(self, lasts_s: FloatArray) -> FloatArray:
        """The flows that fit compute and caches when sessions last so long."""
        lp = Lp()
        for _ in range(2 * self._servers):  # compute of every server, then cache
            lp.add_row({}, -np.inf, 1.0)
        for session, long_s in zip(self._sessions, lasts_s, strict=True):
            use = session.use
            rows = np.concatenate([use.server, self._servers + use.server]).tolist()
            takes = np.concatenate([use.compute, use.cache / use.time_s * long_s]).tolist()
            lp.add_column(-1.0, dict(zip(rows, takes, strict=True)))
        solution = lp.solve(NEVER)
        assert solution is not None
        return np.array(solution.values)


def _lasts_s(session: _Session, busy: FloatArray, remaining: FloatArray) -> float:
    """A fixed point: the longer it lasts, the less of the work it meets is its own."""
    rows, alone_s = session.use.server, session.use.time_s
    work_s, half_s, lasts_s = session.work_s, session.remaining_s, alone_s
    tasks = session.steps + session.pieces
    for _ in range(TIMES):
        others = np.maximum(remaining[rows] - half_s / lasts_s, 0.0)
        free = np.maximum(1.0 - busy[rows] + work_s / lasts_s, LEAST_FREE)
        again = alone_s + float((tasks * others / free).sum())
        if abs(again - lasts_s) <= 1e-6 * lasts_s:
            break
        lasts_s = 0.5 * (lasts_s + again)
    return lasts_s
