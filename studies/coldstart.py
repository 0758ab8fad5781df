"""Servers that have to load blocks before they serve: when the first token comes through them.

After arXiv 2508.11287 a start has parts that follow one another: the process, the reading of
weights over the link or from the disk, quantising, and the first prompt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.content import IntArray
from ..core.plan import Placement
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import sessions_on
from ..perfmodel.reload import Reload, adapters_of
from ..routing.alternatives import first_tokens_s

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """A server that loads blocks.

    Attributes
    ----------
    span : the blocks that it serves afterwards.
    load_s : until it serves them.
    first_token_s : until the first token of a request that waits for it; nan where no chain passes
        through it.
    """

    server: str
    span: Span
    load_s: float
    first_token_s: float


def cold_starts(
    problem: Problem, old: Placement, new: Placement, reload: Reload | None = None
) -> tuple[ColdStart, ...]:
    """The servers that a change of placements makes load blocks, slowest first.

    Parameters
    ----------
    problem : at the precisions and adapters of the new placement; rows as of both.
    """
    away = (reload or Reload()).away_s(problem, old, new)
    first = first_tokens_s(CostModel.of(problem), new)
    found = [
        ColdStart(
            server=problem.servers[j].id,
            span=(int(new.start[j]), int(new.end[j])),
            load_s=float(away[j]),
            first_token_s=float(away[j]) + first.get(j, math.nan),
        )
        for j in np.flatnonzero(away > 0).tolist()
    ]
    return tuple(sorted(found, key=lambda c: -c.load_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What becomes of the swarm when a server is lost.

    Attributes
    ----------
    dark : how many blocks nobody else hosts.
    spares : the servers that load them, with their spans; empty where nothing is dark, or nobody
        can.
    seconds : until every block is served again; 0 where nothing is dark, inf where nobody can.
    """

    lost: str
    dark: int
    spares: tuple[tuple[str, Span], ...]
    seconds: float


def recoveries(
    cost: CostModel, placement: Placement, *, stored: bool = False, reload: Reload | None = None
) -> tuple[Recovery, ...]:
    """How long blocks are dark after the loss of each server that hosts some, the longest first.

    Spares are servers that idle, and those that host nothing which is not hosted elsewhere too;
    each loads at once what it can of what is dark, the quickest first. Two may share the blocks.

    Parameters
    ----------
    stored : whether spares have the weights on their disks.
    """
    asked, found = reload or Reload(), []
    for lost in np.flatnonzero(placement.num_blocks).tolist():
        coverage = placement.coverage(cost.num_blocks)
        coverage[placement.start[lost] : placement.end[lost]] -= 1
        dark = coverage <= 0
        spares, seconds = _covered(cost, placement, coverage, lost, asked, stored)
        names = tuple((cost.problem.servers[j].id, span) for j, span in spares)
        found.append(
            Recovery(
                lost=cost.problem.servers[lost].id,
                dark=int(dark.sum()),
                spares=names,
                seconds=seconds,
            )
        )
    return tuple(sorted(found, key=lambda r: (-r.seconds, -r.dark)))


def _covered(
    cost: CostModel,
    placement: Placement,
    coverage: IntArray,
    lost: int,
    reload: Reload,
    stored: bool,
) -> tuple[list[tuple[int, Span]], float]:
    """Spares that host what is dark after a loss, and when the last of them serves."""
    coverage = coverage.copy()
    dark = coverage <= 0
    free = [j for j in range(cost.problem.num_servers) if j != lost]
    spares: list[tuple[int, Span]] = []
    seconds = 0.0
    while dark.any():
        start = int(np.argmax(dark))
        end = int(cost.num_blocks - np.argmax(dark[::-1]))
        options = []
        for j in free:
            if not _dispensable(placement, coverage, j):
                continue
            stop = _furthest(cost, j, start, end)
            if stop > start:
                server = cost.problem.servers[j]
                took = reload.start_s(
                    server,
                    (start, stop),
                    stored=stored,
                    adapters=adapters_of(cost.problem, server),
                )
                options.append((-stop, took, j))
        if not options:
            return [], math.inf
        stop, took, j = min(options)
        coverage[placement.start[j] : placement.end[j]] -= 1
        spares.append((j, (start, -stop)))
        coverage[start:-stop] += 1
        dark = coverage <= 0
        seconds = max(seconds, took)
        free.remove(j)
    return spares, seconds


def _dispensable(placement: Placement, coverage: IntArray, server: int) -> bool:
    """Whether nothing that is served goes dark while a server loads other blocks."""
    own = coverage[placement.start[server] : placement.end[server]]
    return bool((own != 1).all())


def _furthest(cost: CostModel, server: int, start: int, end: int) -> int:
    """The furthest block up to which a server hosts from ``start`` beside one planned session."""
    most = min(end, start + int(cost.problem.max_blocks[server]))
    stops = range(most, start, -1)
    return next((s for s in stops if sessions_on(cost, server, start, s) >= 1), start)


def in_words(recovery: Recovery) -> str:
    """The longest darkness after a loss, in a line."""
    if not recovery.dark:
        return "no block goes dark whichever server is lost"
    lost = f"without {recovery.lost} {recovery.dark} blocks are dark"
    if math.isinf(recovery.seconds):
        return f"{lost}, and no spare can load them"
    names = ", ".join(name for name, _ in recovery.spares)
    return f"{lost} for {recovery.seconds:.4g} s, until {names} has loaded them"
