"""Placement, precision and routes together: a plan, a bound that always holds, the gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from ...chains.knapsack import ROUNDING
from ...chains.soundness import unsound
from ...core.content import FloatArray, IntArray
from ...core.errors import InfeasibleError, NoSolutionInTimeError
from ...core.objective import Objective
from ...core.plan import Certificate, Hop, Placement, PlannedRoute, Route
from ...perfmodel.predict import step_goal, step_objective_s
from ...solve.progress import Progress
from ..api import Solution
from ..task import Task
from .closing import Closing
from .kinds import Grid, shapes_of
from .labels import Choice, Knapsack, Point
from .layout import Spans, laid_out
from .menu import Menu, Variant
from .routes import Chain, Routes, num_arcs

#: What may give the bound.
LABELS = "knapsack with labels of harm over servers and precisions"
CHAINS = "programme over all chains that could be part of a better plan"
#: HiGHS accepts values and rows that are off by about this much; the bound gives way, relative.
TOLERANCE = 1e-9
#: Visits of all classes beyond which single chains are not looked at.
MOST_ARCS = 12_000
#: Chains of all classes beyond which the programme is not tried.
MOST_CHAINS = 30_000
#: The first programme looks at chains this much dearer than the cheapest ones, relative.
FIRST_SLACK = 0.05
#: Chains of a frontier that are tried to be laid out.
MOST_TRIED = 12


def solve_precise(task: Task, *, warm_start: Placement | None = None) -> Solution:
    """Place blocks, choose how servers host and route sessions at least step time within budgets.

    In turn, until plan and bound meet within the task's gap: the cheapest chain of every class
    within its budget with the swarm for itself, which bounds every plan; one chain for all sessions
    together; a programme over all chains that cost so little that a better plan may use them.

    Parameters
    ----------
    warm_start : a placement; its precisions are one choice among all, it is not looked at.

    Raises
    ------
    InfeasibleError
        When it is proven that no plan exists.
    NoSolutionInTimeError
        When no plan was found, which proves nothing; it carries the bound.
    """
    work = Work(Menu.of(task))
    try:
        work.run()
    except KeyboardInterrupt:
        work.interrupted = True
    return work.solution()


def alone_bound_s(task: Task) -> float:
    """What no plan's step time of all sessions is below, whatever precisions are chosen.

    Raises
    ------
    InfeasibleError
        When not even one session of a client can be served.
    """
    work = Work(Menu.of(task))
    work.bound_alone(Grid.of(work.menu))
    return work.bound_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """A chain for all sessions of a task together, laid out.

    Attributes
    ----------
    cost_s : step time of all sessions; ``harm`` of the chain.
    """

    spans: Spans
    cost_s: float
    harm: float

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The chain."""
        return tuple(Hop(server=v.server, start=a, end=e) for v, a, e in self.spans)


def frontier(task: Task) -> list[Tradeoff]:
    """Chains for all sessions of the task together that no other one beats in time and harm.

    Cheapest first, each laid out in the model; those that cannot be are left out. Under server
    relay times are those of the cheapest legs.
    """
    menu, grid = Menu.of(task), Grid.of(Menu.of(task))
    times, cache = menu.weight, menu.everyone
    found: list[Tradeoff] = []
    for point in reversed(knapsack_of(menu, grid, times, cache).frontier()):
        spans = _laid_out(menu, point, point.harm, cache, times)
        if spans is None:
            continue
        cost_s, harm = menu.paid(spans)
        if not found or cost_s < found[-1].cost_s * (1 - ROUNDING):
            found.append(Tradeoff(spans=spans, cost_s=cost_s, harm=harm))
    return found[::-1]


def knapsack_of(menu: Menu, grid: Grid, times: FloatArray, cache: IntArray) -> Knapsack:
    """Chains of so many sessions of each class that leave room for so much cache."""
    return Knapsack(
        grid,
        [Choice.among([shapes_of(grid, v, times, cache) for v in own])
         for own in menu.variants],
    )  # fmt: skip


def _laid_out(
    menu: Menu, point: Point, budget: float, cache: IntArray, times: FloatArray
) -> Spans | None:
    return laid_out(menu, [v for v, _ in point.visits], budget, cache, times)


@dataclass(slots=True)
class Work:
    """One run: the best plan and the best bound so far."""

    menu: Menu
    plan: tuple[Placement, tuple[PlannedRoute, ...]] | None = None
    objective_s: float = math.inf
    bound_s: float = 0.0
    source: str = LABELS
    interrupted: bool = False
    _alone_s: list[float] = field(default_factory=list)

    @property
    def task(self) -> Task:
        """What is asked for."""
        return self.menu.task

    def run(self) -> None:
        """All stages in turn."""
        grid = Grid.of(self.menu)
        self.bound_alone(grid)
        self._together(grid)
        if not self._done():
            self._close()

    def bound_alone(self, grid: Grid) -> None:
        """The cheapest chain of every class with the swarm for itself."""
        menu = self.menu
        for c in range(len(menu.demand)):
            one = np.eye(len(menu.demand))[c]
            found = knapsack_of(menu, grid, one, menu.cache[c]).cheapest(float(menu.budgets[c]))
            if found is None:
                self._refuse(c)
            self._alone_s.append((found.cost_s + float(menu.base_s[c])) * (1.0 - ROUNDING))
        self._raise(float(menu.weight @ np.array(self._alone_s)), LABELS)

    def _raise(self, bound_s: float, source: str) -> None:
        if bound_s > self.bound_s:
            self.bound_s, self.source = bound_s, source
        self._tell()

    def _tell(self) -> None:
        if self.task.on_progress is not None:
            elapsed_s = self.task.deadline.limit_s - self.task.deadline.left_s()
            elapsed_s = elapsed_s if math.isfinite(elapsed_s) else 0.0
            self.task.on_progress(Progress(elapsed_s=elapsed_s, objective=self._objective()))

    def _done(self) -> bool:
        met = self.objective_s - self.bound_s <= (self.task.gap + 1e-9) * self.objective_s
        return (self.plan is not None and met) or self.task.deadline.passed

    def _offer(
        self, spans: Sequence[tuple[Variant, int, int]], routes: Sequence[PlannedRoute]
    ) -> bool:
        """Take a plan if it is sound and better."""
        settled, placement = self.menu.placed(spans)
        reached = step_objective_s(settled.cost, routes, self.menu.demand)
        if reached >= self.objective_s:
            return False
        if unsound(settled.cost, placement, routes, self.menu.demand):
            return False
        self.plan, self.objective_s = (placement, tuple(routes)), reached
        self._tell()
        return True

    def _together(self, grid: Grid) -> None:
        """One chain for all sessions, by the smallest budget of any class."""
        menu = self.menu
        budget, cache = float(menu.budgets.min()), menu.everyone
        knapsack = knapsack_of(menu, grid, menu.weight, cache)
        first = knapsack.cheapest(budget)
        if first is None:
            return
        self._offer_chain(_laid_out(menu, first, budget, cache, menu.weight))
        if first.cost_s + float(menu.weight @ menu.base_s) >= self.objective_s * (1 - 1e-9):
            return
        for point in knapsack.frontier(budget)[:MOST_TRIED]:
            if point.cost_s >= self.objective_s or self.task.deadline.passed:
                return
            self._offer_chain(_laid_out(menu, point, budget, cache, menu.weight))

    def _offer_chain(self, spans: Spans | None) -> bool:
        if spans is None:
            return False
        route = Route(hops=tuple(Hop(server=v.server, start=a, end=e) for v, a, e in spans))
        routes = [
            PlannedRoute(client=d.client, sessions=d.sessions, route=route)
            for d in self.menu.demand
        ]
        return self._offer(spans, routes)

    def _close(self) -> None:
        """Programmes over more and more chains, until none that is left can be part of a better
        plan."""
        menu = self.menu
        if len(menu.demand) * num_arcs(menu) > MOST_ARCS:
            return
        ways = [Routes(menu, c) for c in range(len(menu.demand))]
        for c, way in enumerate(ways):
            if math.isinf(way.least_s):
                self._refuse(c)
        least_s = float(menu.weight @ np.array(self._alone_s))
        slack_s = FIRST_SLACK * least_s
        while not self._done():
            slack_s = min(slack_s, (self.objective_s - least_s) * (1 + 1e-9))
            chains = self._chains(ways, slack_s)
            best_s = None if chains is None else self._programme(chains)
            if best_s is None:
                return
            # Who uses any other chain pays more than the slack for it.
            bound_s = min(best_s, least_s + slack_s)
            if math.isinf(bound_s):
                self._refuse(None)
            self._raise(bound_s, CHAINS)
            if slack_s >= self.objective_s - least_s:
                return
            slack_s *= 4.0 if self.plan or slack_s < 8.0 * least_s else math.inf

    def _chains(self, ways: Sequence[Routes], slack_s: float) -> list[list[Chain]] | None:
        """All chains of every class that are dearer than its cheapest by so much at most."""
        found: list[list[Chain]] = []
        for way, alone_s, weight, d in zip(
            ways, self._alone_s, self.menu.weight.tolist(), self.menu.demand, strict=True
        ):
            each = weight / d.sessions
            limit = MOST_CHAINS - sum(len(own) for own in found)
            own = way.within(alone_s + slack_s / each, limit, self.task.deadline)
            if own is None:
                return None
            found.append(own)
        return found

    def _programme(self, chains: Sequence[Sequence[Chain]]) -> float | None:
        """The least cost of a plan over these chains, inf without any; None if not known."""
        unit_s = max(self.bound_s, 1e-9) / 1000.0
        closing = Closing(self.menu, chains, unit_s)
        found = closing.solve(self.task.deadline, 0.5 * self.task.gap, self.task.seed)
        if found.values is not None:
            self._offer(*closing.plan(found.values))
        if found.interrupted:
            raise KeyboardInterrupt
        if found.state == "infeasible":
            return math.inf
        if found.state != "optimal" or found.bound is None:
            return None
        return found.bound * unit_s * (1.0 - TOLERANCE)

    def _objective(self) -> Objective:
        value = self.objective_s if math.isfinite(self.objective_s) else None
        return Objective(
            goal=step_goal(self.menu.demand),
            value=value,
            bound=min(self.bound_s, self.objective_s),
        )

    def _refuse(self, row: int | None) -> NoReturn:
        problem, who = self.task.problem, "all sessions together"
        if row is not None:
            d = self.menu.demand[row]
            who = f"a session of client {problem.clients[d.client].id!r}"
        raise InfeasibleError(
            f"proven infeasible: no choice of blocks and precisions serves {who} within memory and "
            "the accuracy budget; raise the budget, add servers, or plan for fewer or shorter "
            "sessions"
        )

    def solution(self) -> Solution:
        """The best plan and what is proven about it."""
        if self.plan is None:
            if self.interrupted:
                raise KeyboardInterrupt
            raise NoSolutionInTimeError(
                "no plan within memory and the accuracy budget was found, which proves nothing; no "
                f"plan is better than {self.bound_s:.6g} s ({self.source}); give more time or plan "
                "for fewer sessions",
                bound=self.bound_s,
            )
        placement, routes = self.plan
        certificate = Certificate(
            objective=self._objective(), proof=self.source, interrupted=self.interrupted
        )
        return Solution(placement, routes, certificate)
