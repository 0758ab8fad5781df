"""Budgeted: as ``overlap``, and what a chain spends of long-term budgets costs time too.

Drift plus penalty over slots of time (docs/model.md 13): a chain costs ``V time + sum of backlog x
spent``, time in slots and money or energy in what a slot allows, so that V and backlogs have no
unit. What a request spends is its work at each server times what a second of it takes there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..chains.graph import Graph
from ..core.allowance import Allowance
from ..core.content import FloatArray, IntArray
from ..core.errors import ScenarioError
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.expense import price_per_s, work_w
from .api import Decision, SwarmView
from .budget import Budget
from .overlap import Overlap

#: Requests whose charge is remembered, so that asking again takes its place.
MOST_CHARGES = 4_096


@dataclass(slots=True, kw_only=True)
class Account:
    """A budget kept by the clock (mutable: what a router remembers).

    Attributes
    ----------
    name : what it is of.
    per_work : (n,) what a second of work at each server spends, in what a slot allows; 0 where
        nobody said.
    budget : after the slots that are over; its unit is what a slot allows.
    """

    name: str
    per_work: FloatArray
    budget: Budget = field(default_factory=lambda: Budget(allowed=1.0))
    _slot: int = field(default=0, init=False)
    _spent: float = field(default=0.0, init=False)

    def charge(self, spent: float) -> None:
        """Spend something in this slot; less than 0 gives back."""
        self._spent += spent

    def close(self, slot: int) -> None:
        """End the slots before this one."""
        if slot <= self._slot:
            return
        empty = slot - self._slot - 1  # each of them allowed as much again
        self.budget = self.budget.after(self._spent).after(self.budget.allowed * (1 - empty))
        self._slot, self._spent = slot, 0.0


class OnBudget:
    """Router: least time of a request and of those that it meets, within long-term budgets.

    Nobody is refused or made to wait: where every chain spends more than is allowed budgets are
    overdrawn ever further, and the chain that spends least is taken.

    Parameters
    ----------
    allowance : the budgets; those of the problem unless given.

    Attributes
    ----------
    accounts : how each budget stands.

    Raises
    ------
    ScenarioError
        If there is no budget.
    """

    def __init__(
        self, cost: CostModel, placement: Placement, *, allowance: Allowance | None = None
    ) -> None:
        asked = allowance or cost.problem.planning.allowance
        if asked is None:
            message = "is missing: router budgeted needs energy_watts or money_per_hour in it"
            raise ScenarioError.single("planning.budget", message)
        self.accounts = tuple(accounts_of(cost.problem, asked))
        self._cost, self._slot_s = cost, asked.slot_s
        self._pay_s = asked.slot_s / asked.weight
        self._overlap = Overlap(cost, placement, surcharge=self._surcharge_s)
        self._charged: dict[int, list[float]] = {}

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain to take, and its time; errors as every router."""
        for account in self.accounts:
            account.close(math.floor(now_s / self._slot_s))
        found = self._overlap(request, view, now_s, start_block=start_block, exclude=exclude)
        runs = np.array([(h.server, h.start, h.end) for h in found.route.hops]).T
        work = self._work_s(request, *runs)
        paid_s = float((self._prices_s()[runs[0]] * work).sum())
        self._charge(request, runs[0], work, again=start_block == 0)
        return replace(found, cost_s=found.cost_s - paid_s)

    def _surcharge_s(self, request: Request, graph: Graph) -> FloatArray:
        """(E,) what each link spends at the present prices."""
        prices = self._prices_s()
        if not prices.any():
            return np.zeros(len(graph.server))
        work = self._work_s(request, graph.server, graph.origin, graph.end)
        surcharge: FloatArray = prices[graph.server] * work
        return surcharge

    def _prices_s(self) -> FloatArray:
        """(n,) seconds of time that a second of work at each server counts as."""
        total = np.zeros(self._cost.problem.num_servers)
        for account in self.accounts:
            total += self._pay_s * account.budget.backlog * account.per_work
        return total

    def _work_s(
        self, request: Request, server: IntArray, start: IntArray, end: IntArray
    ) -> FloatArray:
        shape = self._cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
        return self._cost.request_work_s(shape, request.prompt_tokens, server, start, end)

    def _charge(
        self, request: Request, servers: IntArray, work_s: FloatArray, *, again: bool
    ) -> None:
        """Spend what a chain takes; who only asks again has not spent twice."""
        before = self._charged.pop(request.id, None)
        spent = [float((a.per_work[servers] * work_s).sum()) for a in self.accounts]
        for i, account in enumerate(self.accounts):
            account.charge(spent[i] - (before[i] if before and again else 0.0))
        self._charged[request.id] = spent
        if len(self._charged) > MOST_CHARGES:
            del self._charged[next(iter(self._charged))]


def accounts_of(problem: Problem, asked: Allowance) -> Iterator[Account]:
    """The budgets that were asked for, in what a slot allows."""
    figures = (
        ("energy", work_w(problem), asked.energy_w),
        ("money", price_per_s(problem), asked.money_per_s),
    )
    for name, each, allowed_per_s in figures:
        if allowed_per_s is not None:
            yield Account(name=name, per_work=np.nan_to_num(each) / allowed_per_s / asked.slot_s)
