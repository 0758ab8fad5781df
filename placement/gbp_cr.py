"""GBP-CR: disjoint chains with reserved capacity (arXiv 2604.14993; docs/model.md 10.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import HeuristicFailedError
from ..core.plan import Placement
from ..core.problem import Problem
from ..perfmodel.chains import job_costs
from ..perfmodel.memory import blocks_that_fit

TARGET_LOAD = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class DisjointChains:
    """Result of GBP-CR.

    Attributes
    ----------
    chains : server rows of each complete chain, in the order built.
    rate_per_s : sum of 1 / T over the chains, T counting all blocks of every server.
    """

    placement: Placement
    chains: tuple[tuple[int, ...], ...]
    rate_per_s: float


def disjoint_chains(
    problem: Problem, capacity: int, *, load: float | None = TARGET_LOAD
) -> DisjointChains:
    """GBP-CR(c): servers by increasing time per block, filled chain after chain.

    Parameters
    ----------
    problem : costs are those of the representative request from the mean client.
    capacity : sessions c for which every server keeps cache on all of its blocks.
    load : stop once the chains serve the workload at this load; the servers left over stay idle.
        None = place all servers.

    Raises
    ------
    HeuristicFailedError
        If the servers together hold less than one model at this capacity.
    """
    length = problem.model.num_blocks
    blocks = blocks_that_fit(problem, capacity)
    costs = job_costs(problem)
    seconds = costs.hop_s + costs.block_s * blocks
    per_block = np.where(blocks > 0, seconds / np.maximum(blocks, 1), np.inf)
    order = [int(j) for j in np.argsort(per_block, kind="stable") if blocks[j] > 0]
    enough = np.inf if load is None else problem.workload.rate_per_s / (load * capacity)
    spans = [(0, 0)] * problem.num_servers
    done: list[tuple[int, ...]] = []
    chain: list[int] = []
    reached, total_s, rate = 0, 0.0, 0.0
    for j in order:
        first = min(reached, length - int(blocks[j]))
        spans[j] = (first, first + int(blocks[j]))
        chain.append(j)
        total_s += float(seconds[j])
        reached = min(reached + int(blocks[j]), length)
        if reached < length:
            continue
        rate += 1.0 / total_s
        done.append(tuple(chain))
        chain, reached, total_s = [], 0, 0.0
        if rate >= enough:
            break
    if not done:
        raise HeuristicFailedError(
            f"GBP-CR with room for {capacity} sessions fits {int(blocks.sum())} blocks in all, "
            f"the model has {length}; reserve fewer sessions or shorter ones"
        )
    used = [j for j in order if spans[j] != (0, 0)]
    placement = Placement.of(problem, spans, order=used)
    return DisjointChains(placement=placement, chains=tuple(done), rate_per_s=rate)


def gbp_cr(problem: Problem, capacity: int, *, load: float | None = TARGET_LOAD) -> Placement:
    """Placement of GBP-CR(c); see ``disjoint_chains``."""
    return disjoint_chains(problem, capacity, load=load).placement


def max_capacity(problem: Problem) -> int:
    """Largest c worth trying; 0 when not even one session fits.

    Not above the sessions that fit beside one block on the roomiest server, and such that the
    servers together still hold the model.
    """
    spare = problem.memory_bytes - problem.block_bytes
    low, high = 0, max(0, int(spare.max()) // problem.session_bytes)
    while low < high:
        middle = (low + high + 1) // 2
        if int(blocks_that_fit(problem, middle).sum()) >= problem.model.num_blocks:
            low = middle
        else:
            high = middle - 1
    return low
