"""GBP-CR: disjoint chains with reserved capacity (arXiv 2604.14993; docs/model.md 10.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...chains.compose import JobCosts, job_costs
from ...core.content import FloatArray, IntArray
from ...core.errors import HeuristicFailedError
from ...core.plan import Placement
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import blocks_that_fit, most_sessions_beside_a_block

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Servers in the order in which chains take them.

    Attributes
    ----------
    order : rows by increasing time per block; servers without room for a block are left out.
    blocks, seconds : (n,) blocks of each server at this capacity, m_j, and its time for them.
    """

    order: tuple[int, ...]
    blocks: IntArray
    seconds: FloatArray

    @classmethod
    def of(cls, cost: CostModel, jobs: JobCosts, capacity: int) -> Queue:
        """The order of GBP-CR(c); ties by row."""
        blocks = blocks_that_fit(cost, capacity)
        seconds = jobs.hop_s + jobs.run_s.typical(np.arange(len(blocks)), blocks)
        per_block = np.where(blocks > 0, seconds / np.maximum(blocks, 1), np.inf)
        order = np.argsort(per_block, kind="stable")
        return cls(order=tuple(order[blocks[order] > 0].tolist()), blocks=blocks, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One chain: its servers and their spans; ``time_s`` counts all blocks of every server."""

    servers: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    time_s: float
    complete: bool


def filled(queue: Queue, length: int, *, without: frozenset[int] = frozenset()) -> Iterator[Filled]:
    """Chains filled one after the other; the last one may be incomplete.

    Parameters
    ----------
    without : rows that are taken already.
    """
    chain: list[int] = []
    spans: list[tuple[int, int]] = []
    reached, total_s = 0, 0.0
    for j in queue.order:
        if j in without:
            continue
        size = int(queue.blocks[j])
        first = min(reached, length - size)
        chain.append(j)
        spans.append((first, first + size))
        total_s += float(queue.seconds[j])
        reached = min(reached + size, length)
        if reached == length:
            yield Filled(servers=tuple(chain), spans=tuple(spans), time_s=total_s, complete=True)
            chain, spans, reached, total_s = [], [], 0, 0.0
    if chain:
        yield Filled(servers=tuple(chain), spans=tuple(spans), time_s=total_s, complete=False)


def disjoint_chains(
    cost: CostModel, capacity: int, *, load: float | None = TARGET_LOAD
) -> DisjointChains:
    """GBP-CR(c): servers by increasing time per block, filled chain after chain.

    Parameters
    ----------
    cost : jobs are the representative request from the mean client.
    capacity : sessions c for which every server keeps cache on all of its blocks.
    load : stop once the chains serve the workload at this load; the servers left over stay idle.
        None = place all servers.

    Raises
    ------
    HeuristicFailedError
        If the servers together hold less than one model at this capacity.
    """
    problem, length = cost.problem, cost.num_blocks
    queue = Queue.of(cost, job_costs(cost), capacity)
    enough = np.inf if load is None else problem.workload.rate_per_s / (load * capacity)
    spans = [(0, 0)] * problem.num_servers
    done: list[tuple[int, ...]] = []
    rate = 0.0
    for chain in filled(queue, length):
        for j, span in zip(chain.servers, chain.spans, strict=True):
            spans[j] = span
        if not chain.complete:
            break
        rate += 1.0 / chain.time_s
        done.append(chain.servers)
        if rate >= enough:
            break
    if not done:
        raise HeuristicFailedError(
            f"GBP-CR with room for {capacity} sessions fits {int(queue.blocks.sum())} blocks in "
            f"all, the model has {length}; reserve fewer sessions or shorter ones"
        )
    used = [j for j in queue.order if spans[j] != (0, 0)]
    placement = cost.placed(spans, order=used)
    return DisjointChains(placement=placement, chains=tuple(done), rate_per_s=rate)


def gbp_cr(cost: CostModel, capacity: int, *, load: float | None = TARGET_LOAD) -> Placement:
    """Placement of GBP-CR(c); see ``disjoint_chains``."""
    return disjoint_chains(cost, capacity, load=load).placement


def max_capacity(cost: CostModel) -> int:
    """Largest c worth trying; 0 when not even one session fits.

    Not above the sessions that fit beside one block on the roomiest server, and such that the
    servers together still hold the model.
    """
    low, high = 0, most_sessions_beside_a_block(cost)
    while low < high:
        middle = (low + high + 1) // 2
        if int(blocks_that_fit(cost, middle).sum()) >= cost.num_blocks:
            low = middle
        else:
            high = middle - 1
    return low
