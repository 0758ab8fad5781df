"""Cheapest chains within a budget, and the whole frontier: a knapsack with labels (cost, harm).

Servers come one after another; each is left out or takes one visit. A state, blocks done of each
kind, keeps the labels that no other one beats in both. The chains that are cheapest for some price
on harm, which a knapsack without labels finds, lie on the frontier's lower hull; a label is kept
only if, by the same price, it may yet lead below the two chains between which it would lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...chains.within import undominated
from ...core.accuracy import SAME_HARM
from ...core.content import FloatArray, IntArray
from .kinds import Grid, Shapes
from .menu import Variant

#: Visits of a chain, in no particular order: (variant, blocks of each kind).
Visits = tuple[tuple[Variant, tuple[int, ...]], ...]
#: Sums in another order differ by this much, relative.
ROUNDING = 1e-10
#: Chains of the hull beyond which it is not looked at more closely.
MOST_HULL = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The visits that one server offers; figures as of ``Shapes``, ``of`` the row of a variant."""

    variants: tuple[Variant, ...]
    of: IntArray
    vector: IntArray
    cost_s: FloatArray
    harm: FloatArray

    @classmethod
    def among(cls, offered: Sequence[Shapes]) -> Choice:
        """All shapes of a server's variants but those that another precision beats in both."""
        of = np.repeat(np.arange(len(offered)), [len(s.cost_s) for s in offered])
        vector = np.concatenate([s.vector for s in offered])
        cost_s = np.concatenate([s.cost_s for s in offered])
        harm = np.concatenate([s.harm for s in offered])
        _, which = np.unique(vector, axis=0, return_inverse=True)
        keep = undominated(which.reshape(-1), cost_s, harm)
        return cls(
            variants=tuple(s.variant for s in offered),
            of=of[keep],
            vector=vector[keep],
            cost_s=cost_s[keep],
            harm=harm[keep],
        )


class Point(NamedTuple):
    """A chain: what it costs, how much it harms, how it is made."""

    cost_s: float
    harm: float
    visits: Visits


class Cut(NamedTuple):
    """A label is kept where ``cost + price x harm``, with the least of what is left, is at most so
    much; of several cuts one has to keep it."""

    price: float
    most: float


class Knapsack:
    """Chains over the servers' choices."""

    def __init__(self, grid: Grid, choices: Sequence[Choice]) -> None:
        self._grid, self._choices = grid, [c for c in choices if len(c.cost_s)]
        whole, states = grid.done[-1], len(grid.done)
        self._steps: list[IntArray] = []
        self._possible: list[NDArray[np.bool_]] = []
        for choice in self._choices:
            after = grid.done[None] + choice.vector[:, None]
            self._steps.append(choice.vector @ grid.stride)
            self._possible.append((after <= whole).all(axis=2))
        self._states = states

    def priced(self, price: float) -> Point | None:
        """A chain of least ``cost + price x harm``, None where there is none at all."""
        onward = self._onward(price)
        if not np.isfinite(onward[0][0]):
            return None
        state, visits, cost, harm = 0, [], 0.0, 0.0
        for i, choice in enumerate(self._choices):
            left = onward[i][state]
            if onward[i + 1][state] <= left:
                continue
            able = np.flatnonzero(self._possible[i][:, state])
            to = state + self._steps[i][able]
            paid = choice.cost_s[able] + price * choice.harm[able] + onward[i + 1][to]
            m = int(able[paid.argmin()])
            visits.append(self._visit(i, m))
            cost, harm = cost + choice.cost_s[m], harm + choice.harm[m]
            state += int(self._steps[i][m])
        return Point(float(cost), float(harm), tuple(visits))

    def least_harm(self) -> float:
        """Of any chain; inf where there is none."""
        return float(self._onward(1.0, times=0.0)[0][0])

    def frontier(self, budget: float = np.inf) -> list[Point]:
        """Every chain within the budget that no other one beats in cost and harm, cheapest first.

        Where nothing harms that is one chain.
        """
        hull = self._hull(budget)
        cuts = [
            Cut(price, b.cost_s + price * a.harm)
            for a, b in pairwise(hull)
            if (price := (b.cost_s - a.cost_s) / (a.harm - b.harm)) >= 0
        ]
        found = self._labelled(min(budget, max((p.harm for p in hull), default=0.0)), cuts)
        known = {(p.cost_s, p.harm): p for p in [*found, *hull] if p.harm <= budget + SAME_HARM}
        points = list(known.values())
        cost, harm = (np.array([getattr(p, n) for p in points]) for n in ("cost_s", "harm"))
        keep = undominated(np.zeros(len(points), dtype=np.int64), cost, harm)
        return [points[i] for i in keep]

    def cheapest(self, budget: float) -> Point | None:
        """The cheapest chain within a budget, None where there is none."""
        free = self.priced(0.0)
        if free is None or free.harm <= budget + SAME_HARM:
            return free
        gentle = self._gentlest()
        if gentle.harm > budget + SAME_HARM:
            return None
        # Between a chain that harms too much and one that does not, the price that tells them apart
        over, within, price = free, gentle, 0.0
        while over.harm > within.harm:
            price = (within.cost_s - over.cost_s) / (over.harm - within.harm)
            found = self.priced(price)
            assert found is not None
            paid, before = (p.cost_s + price * p.harm for p in (found, over))
            if paid >= before * (1 - ROUNDING):
                break
            if found.harm <= budget + SAME_HARM:
                within = found
            else:
                over = found
        best = within
        for point in self._labelled(budget, [Cut(price, within.cost_s + price * budget)]):
            if point.cost_s < best.cost_s:
                best = point
        return best

    def _gentlest(self) -> Point:
        """The cheapest of those that harm least."""
        least = self.least_harm()
        high = self._labelled(least, [Cut(0.0, np.inf)])
        return high[0]

    def _hull(self, budget: float) -> list[Point]:
        """Chains on the lower hull, cheapest first, at most some; all of them within or around the
        budget."""
        first = self.priced(0.0)
        if first is None or self.least_harm() > budget + SAME_HARM:
            return []
        hull = [first, self._gentlest()]
        done: set[tuple[float, float]] = set()
        while len(hull) < MOST_HULL:
            gaps = [
                ((a.harm - b.harm) * (b.cost_s - a.cost_s), i)
                for i, (a, b) in enumerate(pairwise(hull))
                if a.harm > b.harm + SAME_HARM and (a.harm, b.harm) not in done
            ]
            if not gaps:
                break
            _, i = max(gaps)
            a, b = hull[i], hull[i + 1]
            price = (b.cost_s - a.cost_s) / (a.harm - b.harm)
            found = self.priced(price)
            done.add((a.harm, b.harm))
            if found is not None and found.cost_s + price * found.harm < (
                (a.cost_s + price * a.harm) * (1 - ROUNDING)
            ):
                hull.insert(i + 1, found)
        return [p for i, p in enumerate(hull) if i == 0 or p.harm < hull[i - 1].harm - SAME_HARM]

    def _onward(self, price: float, *, times: float = 1.0) -> list[FloatArray]:
        """(S,) after each server: the least ``times x cost + price x harm`` of what is left."""
        onward = np.full(self._states, np.inf)
        onward[-1] = 0.0
        found = [onward]
        for i in reversed(range(len(self._choices))):
            choice = self._choices[i]
            to = np.minimum(np.arange(self._states) + self._steps[i][:, None], self._states - 1)
            paid = (times * choice.cost_s + price * choice.harm)[:, None] + onward[to]
            paid[~self._possible[i]] = np.inf
            onward = np.minimum(onward, paid.min(axis=0))
            found.append(onward)
        return found[::-1]

    def _labelled(self, budget: float, cuts: Sequence[Cut]) -> list[Point]:
        """Every chain within the budget that no other one beats, of those that the cuts keep."""
        harm_left = self._onward(1.0, times=0.0)
        tests = [(cut, self._onward(cut.price)) for cut in cuts]
        state, cost, harm = np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1)
        layers: list[tuple[IntArray, IntArray]] = []
        for i, choice in enumerate(self._choices):
            move, before = np.nonzero(self._possible[i][:, state])
            state = np.concatenate((state, state[before] + self._steps[i][move]))
            cost = np.concatenate((cost, cost[before] + choice.cost_s[move]))
            harm = np.concatenate((harm, harm[before] + choice.harm[move]))
            parent = np.concatenate((np.arange(len(state) - len(move)), before))
            move = np.concatenate((np.full(len(state) - len(move), -1), move))
            keep = harm + harm_left[i + 1][state] <= budget + SAME_HARM
            useful = np.zeros(len(state), dtype=bool)
            for cut, left in tests:
                paid = cost + cut.price * harm + left[i + 1][state]
                useful |= paid <= cut.most + ROUNDING * abs(cut.most)
            at = np.flatnonzero(keep & useful)
            at = at[undominated(state[at], cost[at], harm[at])]
            state, cost, harm = state[at], cost[at], harm[at]
            layers.append((parent[at], move[at]))
        whole = np.flatnonzero(state == self._states - 1)
        ranked = whole[np.lexsort((harm[whole], cost[whole]))].tolist()
        return [
            Point(float(cost[i]), float(harm[i]), tuple(self._walked(layers, i))) for i in ranked
        ]

    def _walked(
        self, layers: Sequence[tuple[IntArray, IntArray]], label: int
    ) -> Iterator[tuple[Variant, tuple[int, ...]]]:
        """The visits that lead to a label of the last layer."""
        for i in reversed(range(len(layers))):
            parent, move = layers[i]
            if move[label] >= 0:
                yield self._visit(i, int(move[label]))
            label = int(parent[label])

    def _visit(self, i: int, move: int) -> tuple[Variant, tuple[int, ...]]:
        choice = self._choices[i]
        return choice.variants[choice.of[move]], tuple(choice.vector[move].tolist())
