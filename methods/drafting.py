"""How many tokens clients had better draft: alone, under the load of all, and all together.

Everybody who minimises his own time is wrong for all where passes keep servers busy; and a pass
that is cut into tasks, as on nf4, waits in line for every block. docs/model.md 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..chains.compose import client_shares
from ..core.content import FloatArray
from ..core.drafting import MOST_DRAFTS, NO_USE, Chain, Drafting, Use
from ..core.plan import PlannedRoute
from ..core.problem import Problem
from ..perfmodel.passcurve import FULL, PassCurve, PassCurves

#: The price of a busy server's time at most, in multiples of the time itself.
DEAREST = 20.0
#: Rounds of the fixed point of batches, and passes in one at most.
ROUNDS, MOST_BESIDE = 20, 10_000.0
#: Where passes are cut the formula for all together is wrong by up to 1.16: it has to promise this.
CUT_GAIN = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The requests of one client on one of its chains.

    Attributes
    ----------
    rate_per_s : of them; ``prompt_s`` (H,) work of the prompt at each hop.
    steps : tokens after the first one.
    curves : by its draft models; one that never drafts where there is none.
    free : whether its drafts are to be chosen; ``use`` what is in force where not.
    goes_back : whether sessions can take tokens back all along the chain.
    """

    client: int
    chain: Chain
    rate_per_s: float
    prompt_s: FloatArray
    steps: int
    curves: tuple[PassCurve, ...]
    free: bool
    use: Use
    goes_back: bool

    def at(self, uses: Sequence[Use]) -> tuple[PassCurve, int]:
        """Its passes, and how many drafts they have, where clients draft so."""
        use = uses[self.client]
        return self.curves[use.model], use.on(self.chain) if self.goes_back else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the work of a pass costs a client where others are at work.

    Attributes
    ----------
    more : (n,) times a server's time counts where a pass is one task: it delays others.
    waits_s : (n,) what each task waits where it is cut into several.
    """

    more: FloatArray
    waits_s: FloatArray

    def of(self, curve: PassCurve) -> tuple[FloatArray, FloatArray]:
        """(H,) both at the hops of a chain, as its curve takes them."""
        cut = curve.tasks[2] > 1
        more = np.where(cut, 1.0, self.more[curve.server])
        return more, np.where(cut, self.waits_s[curve.server], 0.0)


class DraftChoice:
    """What clients of a problem draft best on planned routes."""

    def __init__(self, problem: Problem, routes: Sequence[PlannedRoute]) -> None:
        self._problem = problem
        self._curves = PassCurves(problem)
        self._traffic = tuple(_traffic(problem, self._curves, routes))
        self._plain = (NO_USE,) * len(problem.clients)

    def busy(self, uses: Sequence[Use]) -> FloatArray:
        """(n,) share of the time that each server works, by the rates of the workload."""
        busy = np.zeros(self._problem.num_servers)
        for t in self._traffic:
            curve, k = t.at(uses)
            work_s = t.prompt_s + t.steps * curve.work_s[k] / curve.tokens[k]
            np.add.at(busy, curve.server, t.rate_per_s * work_s * curve.serial)
        return busy

    def alone(self) -> tuple[Use, ...]:
        """Each client as if nobody else were there: the least seconds per token."""
        servers = self._problem.num_servers
        return self._each(Price(more=np.ones(servers), waits_s=np.zeros(servers)))

    def priced(self) -> tuple[Use, ...]:
        """Each client by itself, the time of busy servers being dear.

        A pass that is one task costs what it delays others too. One that is cut waits for others in
        every task, and pays for nothing else: so a client drafts where all others do not only if
        that is to its own good.
        """
        return self._each(self.price())

    def price(self) -> Price:
        """What the servers' time costs where nobody drafts."""
        near = np.minimum(self.busy(self._plain), FULL)
        more = 1.0 + np.minimum(near / (1 - near), DEAREST)
        return Price(more=more, waits_s=self._waits_s())

    def together(self) -> tuple[tuple[Use, ...], float]:
        """One number of drafts for all who may choose, and the time per token over that of none."""
        all_uses = [self._uses(k) for k in range(MOST_DRAFTS + 1)]
        token_s = np.array([self._mean_s(uses) for uses in all_uses])
        best = int(np.argmin(token_s))
        return all_uses[best], float(token_s[best] / token_s[0])

    def chosen(self) -> tuple[Use, ...]:
        """All together where the gain is sure, else each by itself."""
        uses, share = self.together()
        sure = 1.0 if not self._cuts(uses) else CUT_GAIN
        return uses if share <= sure else self.priced()

    def by_route(self, uses: Sequence[Use]) -> tuple[Use, ...]:
        """On each chain as many times more or fewer drafts as its own best number is, at the price,
        of the best one for all chains of the client."""
        price = self.price()
        token_s: dict[int, dict[Chain, FloatArray]] = {}
        for t in self._traffic:
            if t.free and t.goes_back and uses[t.client].tokens:
                curve = t.curves[uses[t.client].model]
                known = token_s.setdefault(t.client, {})
                told_s = t.rate_per_s * curve.token_s(*price.of(curve))
                known[t.chain] = known.get(t.chain, 0.0) + told_s
        found = list(uses)
        for client, rows in token_s.items():
            use, best = uses[client], int(np.argmin(sum(rows.values())))
            own = {c: round(use.tokens * int(np.argmin(s)) / max(best, 1)) for c, s in rows.items()}
            other = [(c, min(k, MOST_DRAFTS)) for c, k in own.items() if best and k != use.tokens]
            found[client] = Use(use.tokens, use.model, tuple(sorted(other)))
        return tuple(found)

    def share(self, uses: Sequence[Use]) -> float:
        """The time per token with such drafts over that of none, by what holds all together."""
        return self._mean_s(uses) / self._mean_s(self._fixed())

    def _cuts(self, uses: Sequence[Use]) -> bool:
        """Whether some pass goes block by block where tasks stand in line."""
        return any((c.tasks[k] > 1).any() for c, k in (t.at(uses) for t in self._traffic))

    def _uses(self, drafts: int) -> tuple[Use, ...]:
        """So many drafts for all who may choose, each with the model that is best then."""
        uses = list(self._fixed())
        for t in self._traffic:
            if t.free and drafts:
                alone_s = [float(c.token_s(*_nobody(c))[drafts]) for c in t.curves]
                uses[t.client] = Use(drafts, int(np.argmin(alone_s)))
        return tuple(uses)

    def _fixed(self) -> tuple[Use, ...]:
        """What is in force where it is not to be chosen."""
        uses = list(self._plain)
        for t in self._traffic:
            uses[t.client] = NO_USE if t.free else t.use
        return tuple(uses)

    def _mean_s(self, uses: Sequence[Use]) -> float:
        """Seconds per token, mean over all tokens, with what waits the load makes."""
        busy = self.busy(uses)
        near = np.minimum(busy, FULL)
        # Who is too much makes lines without end: the busier, the worse.
        line = 1.0 + near / (2 * (1 - near)) + 1e3 * np.maximum(busy - FULL, 0.0)
        in_all = 1.0 / (1 - near) + 1e3 * np.maximum(busy - FULL, 0.0)
        beside = self._beside(uses)
        total = weight = 0.0
        for t in self._traffic:
            curve, k = t.at(uses)
            cut = curve.tasks > 1
            more = np.where(cut, in_all[curve.server], line[curve.server])
            if curve.batched.any():
                batch_s = self._batch_s(curve, k, beside)
                # Who comes finds a batch at work, half of it on average, the surer the more share.
                wait = np.minimum(beside[curve.server], 1.0) / 2
                more = np.where(curve.batched > 0, batch_s / curve.work_s[k] * (1 + wait), more)
            total += t.rate_per_s * t.steps * float(curve.token_s(more, _nobody(curve)[1])[k])
            weight += t.rate_per_s * t.steps
        return total / weight if weight else 0.0

    def _beside(self, uses: Sequence[Use]) -> FloatArray:
        """(n,) passes at work at once at each server that batches; 0 at others.

        More in a batch make it longer, and more come meanwhile: a few rounds settle that.
        """
        beside = np.zeros(self._problem.num_servers)
        for _ in range(ROUNDS if any(t.curves[0].batched.any() for t in self._traffic) else 0):
            now = np.zeros_like(beside)
            for t in self._traffic:
                curve, k = t.at(uses)
                per_s = t.rate_per_s * t.steps / curve.tokens[k]
                np.add.at(
                    now, curve.server, per_s * self._batch_s(curve, k, beside) * curve.batched
                )
            beside = np.minimum(now, MOST_BESIDE)
        return beside

    def _batch_s(self, curve: PassCurve, drafts: int, beside: FloatArray) -> FloatArray:
        """(H,) work of a pass where others are in its batch: a step of all their rows."""
        rows = curve.positions[drafts] * np.maximum(beside[curve.server], 1.0)
        more = [self._curves.rows_s(int(j), float(r))
                for j, r in zip(curve.server, rows, strict=True)]  # fmt: skip
        work: FloatArray = curve.work_s[0] + curve.blocks * np.array(more)
        return work

    def _each(self, price: Price) -> tuple[Use, ...]:
        """For each client the use with the least seconds per token, mean over its chains."""
        uses = list(self._fixed())
        token_s: dict[int, list[FloatArray]] = {}
        for t in self._traffic:
            if not (t.free and t.goes_back):
                continue
            known = token_s.setdefault(t.client, [np.zeros(MOST_DRAFTS + 1) for _ in t.curves])
            for total, curve in zip(known, t.curves, strict=True):
                total += t.rate_per_s * curve.token_s(*price.of(curve))
        for client, rows in token_s.items():
            model = int(np.argmin([row.min() for row in rows]))
            k = int(np.argmin(rows[model]))
            uses[client] = Use(k, model) if k else NO_USE
        return tuple(uses)

    def _waits_s(self) -> FloatArray:
        """(n,) what a task waits where nobody drafts, as ``perfmodel.contention`` has it."""
        half_s, busy = np.zeros((2, self._problem.num_servers))
        for t in self._traffic:
            curve = t.curves[0]
            task_s, work_s = curve.work_s[0], t.steps * curve.work_s[0]
            at_work = t.rate_per_s * work_s * curve.serial
            np.add.at(half_s, curve.server, at_work * task_s / 2)
            np.add.at(busy, curve.server, at_work)
        waits: FloatArray = half_s / (1 - np.minimum(busy, FULL))
        return waits


def drafted(problem: Problem) -> bool:
    """Whether somebody drafts."""
    return any(use.tokens for use in problem.drafts)


def _nobody(curve: PassCurve) -> tuple[FloatArray, FloatArray]:
    """(H,) times its work that a hop takes, and what a task waits, where nobody else is there."""
    return np.ones(len(curve.server)), np.zeros(len(curve.server))


def _traffic(problem: Problem, curves: PassCurves, routes: Sequence[PlannedRoute]) -> list[Traffic]:
    shares = client_shares(problem) * problem.workload.rate_per_s
    sessions = np.zeros(len(problem.clients))
    for r in routes:
        sessions[r.client] += r.sessions
    plan, found = problem.planning, []
    for r in routes:
        own = problem.drafting[r.client] if problem.drafting else Drafting()
        server, start, end = np.array([(h.server, h.start, h.end) for h in r.route.hops]).T
        models = own.models or (own.model,)
        found.append(
            Traffic(
                client=r.client,
                chain=r.route.servers,
                rate_per_s=float(shares[r.client]) * r.sessions / float(sessions[r.client]),
                prompt_s=curves.cost.prompt_work_s(plan.prompt_tokens, server, start, end),
                steps=max(1, plan.output_tokens - 1),
                curves=tuple(
                    curves.curve(r.client, r.route, m, own.semantics, ahead=own.ahead)
                    for m in models
                ),
                free=own.free and bool(own.models),
                use=own.use,
                goes_back=problem.forward_only.isdisjoint(r.route.servers),
            )
        )
    return found
