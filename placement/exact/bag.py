"""Bag column generation: the best order-free lower bound, at any instant (docs/exact.md).

For any prices >= 0 of the levels' constraints, with p[c, j, k] the least charge of a visit over
the levels that allow it,

    ``sum_c (cheapest chain of c with p added) - sum_j (most that one level of j can earn from p)``

is at most the cost of every plan: chains pay p on top of their cost, and what a server receives
for the visits of a plan is at most what its level can earn. Where more hosts than one are wanted
for every block, servers earn a price for every block that they host as well, and the bound is
raised by that price for all blocks that are wanted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.content import FloatArray, IntArray
from .gaps import GappedChains
from .instance import Data
from .legs import OrderedChains
from .levels import Charge
from .limits import NO_LIMITS, Limits
from .master import Hop, Master
from .pricing import Chains, Price, Visits, every_price, ordered, prefix_tables
from .separation import separate
from .windows import WindowedChains

#: Relative rounding of the figures that a bound is the difference of, generously.
SAFETY = 1e-9
#: A restricted master this near to its bound, relative, has converged.
CONVERGED = 1e-8
#: The same of a node of the branching, which is split anyhow; and as a share of what is missing.
SETTLED, WORTHLESS = 1e-6, 0.1
#: That share where nodes raise the bound by little each, or are chosen by what they cost.
FINE = 0.01
#: Chains that the nodes of the branching keep on few servers.
MOST_CHAINS = 1500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """A bound under some limits, with the prices that gave it.

    Attributes
    ----------
    cheapest : (C,) what the chains of every class cost under them.
    """

    limits: Limits = NO_LIMITS
    bound: float = -np.inf
    prices: FloatArray = field(default_factory=lambda: np.zeros(0))
    cheapest: FloatArray = field(default_factory=lambda: np.zeros(0))


@dataclass(slots=True)
class Bag:
    """The relaxation with its columns, to be solved under one set of limits after another.

    Attributes
    ----------
    target : (no arguments) -> the bound that is good enough, in the data's unit.
    deadline_s : monotonic clock at which to stop.
    iterations : pricing rounds so far; ``most_iterations`` ends the work like the clock.
    on_bound : told every new bound on the whole problem.
    root : the best bound without limits on levels; ``last`` : that of the last limits.
    """

    data: Data
    master: Master
    target: Callable[[], float]
    deadline_s: float
    most_iterations: int | None = None
    iterations: int = 0
    on_bound: Callable[[float], None] = lambda _: None
    root: Priced = field(default_factory=Priced)
    last: Priced = field(default_factory=Priced)
    _prefix: tuple[IntArray, FloatArray] | None = None

    def stopped(self) -> bool:
        """Whether a limit has passed."""
        out = self.most_iterations is not None and self.iterations >= self.most_iterations
        return out or time.monotonic() >= self.deadline_s

    def seed(self, chains: Sequence[tuple[int, Visits]]) -> None:
        """Chains to begin with: (class, visits)."""
        for c, visits in chains:
            self._add(c, visits, {})

    def solve(
        self,
        limits: Limits = NO_LIMITS,
        known: Priced | None = None,
        *,
        worth: float = WORTHLESS,
        until: float = np.inf,
    ) -> tuple[float, bool]:
        """The best bound under ``limits`` on the servers, and whether it converged.

        Stops at the target, at a bound of ``until``, at a limit, or when no chain improves the
        restricted master.
        ``known`` are prices to begin with, and the bound that they give under wider limits.
        Limits are solved to within what a node that is split needs, a share ``worth`` of what is
        missing.
        """
        master = self.master
        if not limits.none and self.data.splits_ends:
            master.forget(MOST_CHAINS)
        master.restrict(limits)
        self.last = Priced(limits=limits)
        best, inner = -np.inf, 0.5
        centre: FloatArray | None = None
        if known is not None:
            best, centre = known.bound, known.prices
            self.last = replace(known, limits=limits)
        while not self.stopped():
            if not master.solve(self.deadline_s - time.monotonic()):
                break
            cuts = separate(master)
            if not cuts and master.value - best <= self._enough(limits, worth):
                return best, True
            out = master.prices()
            if centre is not None:
                centre = np.pad(centre, (0, len(out) - len(centre)))
            point = out if centre is None else inner * centre + (1.0 - inner) * out
            bound, added = self._price(point, limits)
            if bound > best:
                best, centre = bound, point
                if limits.none:
                    self.on_bound(best)
            if best >= min(self.target(), until):
                break
            if not cuts and master.value - best <= self._enough(limits, worth):
                return best, True
            if not added and not cuts:
                if inner == 0.0:
                    return best, True
                inner = 0.0
            else:
                inner = 0.5
        return best, False

    def _enough(self, limits: Limits, worth: float) -> float:
        """How near the restricted master must be to its bound."""
        value = self.master.value
        if limits.none:
            return CONVERGED * abs(value)
        return max(SETTLED * abs(value), worth * (self.target() - value))

    def charges(self, prices: FloatArray, limits: Limits) -> dict[int, Charge]:
        """What the visits of every watched server pay under some prices."""
        duals = self.master.duals(self._padded(prices))
        return {
            j: priced.charge(*limits.hosted(j, self.data.length)) for j, priced in duals.items()
        }

    def _padded(self, prices: FloatArray) -> FloatArray:
        """Prices of the rows of an earlier time as prices of all rows."""
        return np.pad(prices, (0, self.master.num_rows - len(prices)))

    def _price(self, prices: FloatArray, limits: Limits) -> tuple[float, int]:
        """The bound of some prices, and how many new chains they gave."""
        self.iterations += 1
        charges = self.charges(prices, limits)
        chains = self._cheapest(charges, limits)
        paid = float(chains.cost.sum())
        if paid == np.inf:
            return np.inf, 0  # some class has no chain within the limits
        earned = sum(charge.most for charge in charges.values())
        owed = self.master.hosting(self._padded(prices))
        bound = paid + owed - earned - SAFETY * (abs(paid) + owed + earned)
        if bound > self.last.bound:
            self.last = Priced(limits=limits, bound=bound, prices=prices, cheapest=chains.cost)
            if limits.none and bound > self.root.bound:
                self.root = self.last
        added = 0
        for c in range(len(chains.cost)):
            visits = chains.chain(c)
            if len({j for j, _ in visits}) == len(visits):
                added += self._add(c, visits, charges)
                if limits.ends or limits.gaps:  # elsewhere a class more often has chains of its own
                    self._share(c, visits, charges)
        return bound, added

    def _share(self, c: int, visits: Visits, charges: dict[int, Charge]) -> None:
        """Give a chain of a class to all others that it would help."""
        carry = self.master.carry_prices()
        for other in range(len(carry)):
            if other == c or any(k > self.data.most[other, j] for j, k in visits):
                continue
            paid = sum(charges[j].least[other, k - 1] for j, k in visits if j in charges)
            if self.data.chain_cost(other, visits) + paid < carry[other]:
                self._add(other, visits, charges)

    def _cheapest(
        self, charges: dict[int, Charge], limits: Limits
    ) -> Chains | GappedChains | OrderedChains | WindowedChains:
        """The cheapest chains when the visits of watched servers are charged."""
        data = self.data
        if limits.ends:
            return WindowedChains(
                data, every_price(data, charges, limits), limits.ends, limits.last
            )
        if limits.gaps:
            return GappedChains(data, every_price(data, charges, limits), limits.gaps)
        if data.legs is None:
            priced = [Price(j, charge.least) for j, charge in charges.items()]
            return Chains(data, priced, self._start())
        return ordered(data, data.legs, every_price(data, charges))

    def _start(self) -> tuple[IntArray, FloatArray]:
        """Tables of the servers that are not watched."""
        watched = self.master.levels
        rest = np.array(
            [j for j in np.flatnonzero(self.data.top) if int(j) not in watched], dtype=np.int64
        )
        if self._prefix is None or len(self._prefix[0]) != len(rest):
            self._prefix = prefix_tables(self.data, rest)
        return self._prefix

    def _add(self, c: int, visits: Visits, charges: dict[int, Charge]) -> bool:
        hops: list[Hop] = [
            (j, k, int(charges[j].level[c, k - 1]) if j in charges else -1)
            for j, k in sorted(visits)
        ]
        return self.master.add_chain(c, tuple(hops), self.data.chain_cost(c, visits))
