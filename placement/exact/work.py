"""One run of the exact method: its stages in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.plan import Placement, PlannedRoute
from ...solve.deadline import Deadline
from ..task import Task
from .bag import Bag
from .branch import Node, Tree, passed_by_all
from .closing import Closed, close
from .dive import Dives, common_first
from .fixing import among, survivors
from .flow import Flow
from .instance import Data, data_of
from .master import Master
from .pricing import Visits
from .relaxed import best_chains, servers_in_use
from .splits import BY_ENDS, BY_GAPS
from .standing import SAME, Standing

#: What may give the bound.
BAG = "bag column generation"
LEVELS = "branching on levels"
FLOW = "interval-flow programme"
#: LB0 in the unit of the programmes: keeps coefficients within what HiGHS' tolerances suit.
SCALE = 1000.0
#: Session variables beyond which a programme is not tried: to close (larger ones did not end
#: within minutes), to compose.
MOST_CLOSING = 40_000
MOST_COMPOSED = 120_000
#: What is missing, relative, beyond which the first of them never ended.
CLOSABLE = 0.02
#: Seconds of a node's first closing programme; every further try has twice as long.
FIRST_TRY_S = 1.0
#: Of what is missing, a plan that is better by this much is worth more search.
WORTHWHILE = 0.1
#: Rounds without a much better plan as which it counts that branching has raised the bound.
PROVING = 3
#: Chains of a class that a plan near a settled node is made of.
LEAF_CHAINS = 6
#: Of the time for branching, what shows which tree does best, and the rest.
TRIED = (0.3, 0.7)
#: Open nodes for one that is solved below which a tree comes to an end, whatever its bound is yet.
CLOSING = 0.5
#: Of the whole time, the most that the plan of a placement at the end of a dive may take.
PLAN_SHARE = 0.04


@dataclass(slots=True, kw_only=True)
class Work:
    """One run: its stages, and where they have brought it.

    Attributes
    ----------
    rounds : of search and restarts so far.
    """

    task: Task
    max_iterations: int | None
    rounds: int = 0
    standing: Standing = field(init=False)

    def __post_init__(self) -> None:
        self.standing = Standing(task=self.task)

    def search(
        self, deadline: Deadline, *, max_steps: int | None = None, bag: Bag | None = None
    ) -> None:
        """One round of search; with a bag, among the servers that it uses."""
        self.rounds += 1
        interrupted = self.standing.incumbent.search(
            deadline=deadline,
            target_s=self.standing.target_s,
            floor_s=self.standing.floor_s,
            seed=self.round_seed,
            max_steps=max_steps,
            servers=None if bag is None else self._used(bag),
        )
        self.standing.went_on(interrupted)

    @property
    def round_seed(self) -> int:
        """Of the present round of search."""
        return self.task.seed + 7919 * (self.rounds - 1)

    def guided(self, bag: Bag, deadline: Deadline) -> None:
        """Restarts near the relaxation's levels."""
        if self.standing.done() or not bag.master.levels:
            return
        self.rounds += 1
        interrupted = self.standing.incumbent.guided(
            bag,
            deadline=deadline,
            target_s=self.standing.target_s,
            seed=self.round_seed,
            servers=self._used(bag),
        )
        self.standing.went_on(interrupted)

    def _used(self, bag: Bag) -> list[int]:
        """Servers on chains of the relaxation or of the incumbent."""
        plan = self.standing.incumbent.plan
        own = () if plan is None else (h.server for r in plan[1] for h in r.route.hops)
        used = servers_in_use(bag.master).union(own)
        return sorted(used) or list(range(self.task.problem.num_servers))

    def run(
        self, warm_start: Placement | None = None, warm_routes: Sequence[PlannedRoute] = ()
    ) -> None:
        """All stages in turn."""
        if warm_start is not None:
            self.standing.incumbent.start = warm_start
            self.standing.incumbent.offer((warm_start, tuple(warm_routes)))
        self.search(Deadline.after(max(1.0, self.standing.left_s(0.05))), max_steps=100)
        if self.standing.done():
            return
        data = data_of(self.task, self.standing.bound_s / SCALE)
        if data.legs is not None:
            self.standing.assumed = ""
        bag = self._bag(data)
        found, converged = bag.solve()
        if found > data.dearest:
            self.standing.refuse(BAG)
        if converged and self.standing.incumbent.plan is None and bag.master.infeasibility > SAME:
            found, converged = self._prove_infeasible(bag, data)
        self.standing.raise_bound(found * data.unit_s, BAG)
        if self.standing.done():
            return
        share = 0.05 if data.is_small else 0.1
        for chains in (3, 8):
            self.search(self.standing.part(share), max_steps=300, bag=bag)
            self._compose(bag, data, chains, self.standing.left_s(0.5 * share))
            if self.standing.done():
                return
        if data.is_small:
            self.guided(bag, self.standing.part(0.08))
        if not converged:
            self._improve(bag, data, [])
            return
        first, trees = common_first(bag.master), self._trees(bag, data, found)
        if data.splits_ends:  # a proof that is easy needs no better plan first
            self._branch(trees, data, self.standing.left_s(0.03))
        dives = None
        if data.is_small and data.is_free and not self.standing.done():
            dives = Dives(bag, first)
        self._dive(dives, 0.2)
        self._branch(trees, data, self.standing.left_s(0.4 if data.splits_ends else 0.2))
        if not self.standing.done() and data.positional:
            self._close(bag, data)
        self._improve(bag, data, trees, dives)

    def _trees(self, bag: Bag, data: Data, bound: float) -> list[Tree]:
        """The trees, split at the root that the bag has just solved."""
        trees = [
            Tree(
                bag=bag,
                bound=bound,
                splits=splits,
                close=lambda node: self._close_node(bag, data, node),
                on_leaf=lambda: self._compose_leaf(bag, data),
            )
            for splits in ((BY_ENDS, BY_GAPS) if data.splits_ends else (BY_ENDS,))
        ]
        if data.splits_ends and data.is_free and passed_by_all(data) is None:
            trees[0].after = Tree(bag=bag, bound=bound, splits=BY_ENDS, apart=True)
            trees.append(trees[0].after)
        for tree in trees:
            tree.plant()
        return trees

    def _improve(
        self, bag: Bag, data: Data, trees: Sequence[Tree], dives: Dives | None = None
    ) -> None:
        """Search, composition of chains, and on few servers restarts and branching by turns until
        the end; on many these cost more than they bring."""
        chains, small, proving = 8, data.is_small, data.splits_ends
        # Where branching has raised the bound, it is to go on.
        idle = PROVING if proving and any(tree.raised for tree in trees) else 1
        while not self.standing.done():
            before = self.standing.incumbent.objective_s
            self.search(self.standing.part(0.06 / idle), bag=bag if self.rounds % 2 else None)
            if small:
                chains = min(chains + 4, 40)
                self._compose(bag, data, chains, self.standing.left_s(0.05 / idle))
                self.guided(bag, self.standing.part(0.05 / idle))
                self._dive(dives, 0.08 / idle)
            else:
                if self._compose(bag, data, chains, self.standing.left_s(0.15)):
                    chains += max(4, chains // 3)
            if any(not tree.exhausted for tree in trees) and not self.standing.done():
                self._branch(trees, data, self.standing.left_s(0.1 * idle))
                # As long as no much better plan turns up, the proof has more and more of the time.
                now = self.standing.incumbent.objective_s
                better = before - now > WORTHWHILE * (now - self.standing.bound_s)
                idle = 1 if better or not proving else idle + 1

    def _bag(self, data: Data) -> Bag:
        """The relaxation, with the incumbent's chains."""
        share = data.sessions / data.sessions.sum()
        bag = Bag(
            data=data,
            master=Master(data, 10.0 * SCALE * share),
            target=lambda: min(
                self.standing.incumbent.objective_s / data.unit_s * (1.0 - 0.5 * self.task.gap),
                1.001 * data.dearest,
            ),
            deadline_s=time.monotonic() + self.standing.left_s(0.6),
            most_iterations=self.max_iterations,
            on_bound=lambda b: self.standing.raise_bound(b * data.unit_s, BAG),
        )
        bag.seed(self._chains(data))
        return bag

    def _branch(self, trees: Sequence[Tree], data: Data, limit_s: float) -> None:
        """Some time of branching in two parts, for all trees with the best bound in turn; or for
        those of them alone that close most of their nodes."""
        for share in TRIED:
            left = [tree for tree in trees if not tree.exhausted and not tree.waits]
            best = max((tree.bound for tree in left), default=0.0)
            ahead = [tree for tree in left if tree.bound >= (1.0 - SAME) * best]
            ahead = [tree for tree in ahead if tree.open_share < CLOSING] or ahead
            for tree in ahead:
                tree.bag.deadline_s = time.monotonic() + share * limit_s / len(ahead)
                tree.grow()
                if tree.bound > data.dearest:
                    self.standing.refuse(LEVELS)
                self.standing.raise_bound(tree.bound * data.unit_s, LEVELS)
                if self.standing.done():
                    return

    def _dive(self, dives: Dives | None, share: float) -> None:
        """The best plans of placements at the end of dives, for a share of the time."""
        if dives is None:
            return
        bag, until = dives.bag, self.standing.part(share)
        while not (self.standing.done() or until.passed or dives.exhausted):
            bag.deadline_s = time.monotonic() + until.left_s()
            left = dives.dive()
            if left is not None and left.size(bag.data.length) <= MOST_COMPOSED:
                self._run(Flow(data=bag.data, survivors=left), self.standing.left_s(PLAN_SHARE))

    def _compose_leaf(self, bag: Bag, data: Data) -> None:
        """A plan of the chains of a node that has just been solved and is split no more."""
        if data.positional:
            self._compose(bag, data, LEAF_CHAINS, min(FIRST_TRY_S, self.standing.left_s()))

    def _compose(self, bag: Bag, data: Data, most: int, limit_s: float) -> bool:
        """The best plan made of the relaxation's best chains and the incumbent's; whether it is
        sure that there is no better one."""
        if self.standing.done() or not data.positional or limit_s <= 0:
            return False
        chains = [*best_chains(bag.master, most), *self._chains(data)]
        flow = Flow(data=data, survivors=among(data, chains))
        if flow.survivors.size(data.length) > MOST_COMPOSED:
            return False
        return self._run(flow, limit_s).settled

    def _run(self, flow: Flow, limit_s: float) -> Closed:
        """Solve an interval-flow programme and take its plan."""
        flow.build()
        closed = close(
            flow,
            self.standing.incumbent.plan,
            limit_s=max(limit_s, 0.05),
            gap=0.5 * self.task.gap,
            seed=self.task.seed,
            enough=self.standing.bound_s / flow.data.unit_s * (1.0 + 0.5 * self.task.gap),
        )
        if closed.plan is not None:
            self.standing.incumbent.offer(closed.plan)
        self.standing.went_on(closed.interrupted)
        return closed

    def _chains(self, data: Data) -> list[tuple[int, Visits]]:
        """The incumbent's chains, each visit with the blocks that count."""
        rows = {d.client: c for c, d in enumerate(self.task.demand)}
        _, routes = self.standing.incumbent.plan or (None, ())
        found = []
        for r in routes:
            runs = [(h.server, int(data.counts[h.start : h.end].sum())) for h in r.route.hops]
            found.append((rows[r.client], tuple(run for run in runs if run[1])))
        return found

    def _close(self, bag: Bag, data: Data) -> None:
        """The closing programme, if what survives is small enough."""
        reached = self.standing.incumbent.objective_s
        if self.standing.bound_s < (1.0 - CLOSABLE) * reached:
            return
        left = survivors(bag, min(reached / data.unit_s, data.dearest))
        if left.size(data.length) > MOST_CLOSING:
            return
        closed = self._run(Flow(data=data, survivors=left), self.standing.left_s(0.08))
        if closed.bound == np.inf and self.standing.incumbent.plan is None:
            self.standing.refuse(FLOW)
        bound = min(closed.bound * data.unit_s, self.standing.incumbent.objective_s, reached)
        self.standing.raise_bound(bound, FLOW)

    def _close_node(self, bag: Bag, data: Data, node: Node) -> tuple[float, bool]:
        """A bound on the plans of a node by its closing programme, and whether it can get no
        better: where it is solved, or too large."""
        cutoff = min(self.standing.incumbent.objective_s / data.unit_s, data.dearest)
        left = survivors(bag, cutoff, node.priced)
        if not data.positional or left.size(data.length) > MOST_CLOSING:
            return node.bound, True
        limit_s = min(FIRST_TRY_S * 2.0**node.tries, bag.deadline_s - time.monotonic())
        closed = self._run(Flow(data=data, survivors=left), limit_s)
        most = 1.001 * cutoff if cutoff == data.dearest else cutoff
        return min(closed.bound, most), closed.settled

    def _prove_infeasible(self, bag: Bag, data: Data) -> tuple[float, bool]:
        """Make the sessions that found no chain so dear that the bound passes any plan's cost."""
        share = data.sessions / data.sessions.sum()
        bag.master.charge_artificial(3.0 * data.dearest / bag.master.infeasibility * share)
        found, converged = bag.solve()
        if found > data.dearest:
            self.standing.refuse(BAG)
        return found, converged
