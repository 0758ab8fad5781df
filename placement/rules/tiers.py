"""GBP-CR in two tiers: fast servers with room for many sessions, the rest with room for fewer.

GBP-CR keeps the same number of sessions free on every server. Where servers differ much, what
suits the large ones leaves the small ones too few blocks to make a chain at all. So the first
chains are composed for one capacity and the servers left over for another. swarmplan's own;
docs/model.md 10.6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ...chains.bounds import response_bounds
from ...chains.compose import job_costs
from ...core.plan import Placement
from ...perfmodel.cost import CostModel
from ...solve.deadline import NEVER, Deadline
from .gbp_cr import Filled, Queue, filled, max_capacity

#: Capacities tried in each tier, and numbers of chains in the first, on small swarms.
CAPACITIES, FIRST_CHAINS = 24, 12
#: Servers x combinations that are looked at: above, fewer capacities are tried.
MOST_WORK = 400_000
#: Bursts are short times of more load: the best plans for these multiples of it are kept too.
SURGES = (1.4, 2.0, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """Disjoint chains of two capacities.

    Attributes
    ----------
    rates_per_s, capacities : of every complete chain; T counts all blocks of every server.
    """

    name: str
    chains: tuple[Filled, ...]
    rates_per_s: tuple[float, ...]
    capacities: tuple[int, ...]

    @property
    def rate_per_s(self) -> float:
        """Highest load that the chains sustain."""
        return sum(r * c for r, c in zip(self.rates_per_s, self.capacities, strict=True))

    def badness(self, load_per_s: float) -> tuple[float, float]:
        """Lower bound on the mean response at a load, then the load sustained."""
        lower, _ = response_bounds(self.rates_per_s, self.capacities, load_per_s)
        return lower, -self.rate_per_s

    def placement(self, cost: CostModel) -> Placement:
        """All servers of all chains at their spans."""
        spans = [(0, 0)] * cost.problem.num_servers
        for chain in self.chains:
            for j, span in zip(chain.servers, chain.spans, strict=True):
                spans[j] = span
        return cost.placed(spans)


def best_tiers(
    cost: CostModel, *, also: Sequence[int] = (), deadline: Deadline = NEVER
) -> tuple[Tiers, ...]:
    """The best two tiers at the load, at bursts of it, and for the load sustained; distinct.

    Chains are judged as they are composed, before spare cache is given away (GCA).

    Parameters
    ----------
    also : capacities to try beside those of the grid.
    deadline : when the search ends with what it has.
    """
    found = list(_every(cost, sorted({*_grid(cost), *also}), deadline))
    if not found:
        return ()
    load = cost.problem.workload.rate_per_s
    # What sustains little is never best; the bound takes longer than composing the chains.
    found = sorted(found, key=lambda t: -t.rate_per_s)[:200]
    chosen = [min(found, key=lambda t: t.badness(surge * load)) for surge in (1.0, *SURGES)]
    return tuple({t.name: t for t in (*chosen, found[0])}.values())


def _every(cost: CostModel, capacities: Sequence[int], deadline: Deadline) -> Iterator[Tiers]:
    length, jobs = cost.num_blocks, job_costs(cost)
    queues = {c: Queue.of(cost, jobs, c) for c in capacities}
    for many, first in queues.items():
        head = list(islice(filled(first, length), FIRST_CHAINS))
        head = [chain for chain in head if chain.complete]
        for count in range(1, len(head) + 1):
            taken = frozenset(j for chain in head[:count] for j in chain.servers)
            for few, second in queues.items():
                if few >= many:
                    continue
                if deadline.passed:
                    return
                tail = list(filled(second, length, without=taken))
                if tail and tail[0].complete:
                    yield _tiers(head[:count], many, tail, few)


def _tiers(head: Sequence[Filled], many: int, tail: Sequence[Filled], few: int) -> Tiers:
    whole = [(chain, many) for chain in head] + [(chain, few) for chain in tail if chain.complete]
    return Tiers(
        name=f"tiers c={many} x{len(head)}, c={few}",
        chains=(*head, *tail),
        rates_per_s=tuple(1.0 / chain.time_s for chain, _ in whole),
        capacities=tuple(capacity for _, capacity in whole),
    )


def _grid(cost: CostModel) -> list[int]:
    """Capacities to try: all, or a geometric grid that is thinner on large swarms."""
    most = max_capacity(cost)
    each = math.isqrt(max(9, MOST_WORK // (cost.problem.num_servers * FIRST_CHAINS)))
    steps = min(CAPACITIES, each)
    if most <= steps:
        return list(range(1, most + 1))
    return sorted({round(c) for c in np.geomspace(1, most, steps)})
