"""Destroying and repairing plans: which sessions to take out, and how to put them back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .insert import Ask, cheapest_chain
from .relay import cheapest_chain_relayed
from .state import State

Destroy = Callable[[State, int, np.random.Generator], dict[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How sessions are put back.

    Attributes
    ----------
    whole : first look for a chain that takes all sessions of a class together; otherwise for the
        fastest chain of one session, which then takes as many as fit.
    head : sessions for which a free server leaves room, at least those to be inserted.
    width : cheapest free servers considered for every number of blocks.
    fixed : use only the spans that the state has.
    cut : see ``Ask``.
    """

    whole: bool = True
    head: int = 1
    width: int = 4
    fixed: bool = False
    cut: float = 0.0


def repair(state: State, manner: Manner, rng: np.random.Generator) -> None:
    """Put pending sessions on chains, in their order; those that find none stay pending."""
    waiting, state.pending = state.pending, []
    for row, count in waiting:
        _insert(state, row, count, manner, rng)


def _insert(state: State, row: int, count: int, manner: Manner, rng: np.random.Generator) -> None:
    """Put sessions of one class on as few chains as it takes."""
    pairs = state.instance.cost.relaying.pairs
    search = cheapest_chain_relayed if pairs else cheapest_chain
    while count:
        together = count if manner.whole else 1
        chain = None
        while chain is None and together:
            for head in sorted({together, max(together, manner.head)}, reverse=True):
                ask = Ask(row, together, head, manner.width, manner.fixed, manner.cut)
                chain = search(state, ask, rng)
                if chain is not None:
                    break
            else:
                together //= 2
        if chain is None:
            state.pending.append((row, count))
            return
        taken = min(count, state.room(row, chain))
        state.add(state.instance.batch(row, taken, chain))
        count -= taken


def at_random(state: State, size: int, rng: np.random.Generator) -> dict[int, int]:
    """Batches at random, sometimes only some of their sessions."""
    picked = rng.permutation(len(state.batches))[:size]
    out = {}
    for i in picked.tolist():
        sessions = state.batches[i].sessions
        out[i] = int(rng.integers(1, sessions + 1)) if rng.random() < 0.2 else sessions
    return out


def of_servers(state: State, size: int, rng: np.random.Generator) -> dict[int, int]:
    """All batches of a server and of servers that share batches with it."""
    used = np.flatnonzero(state.end)
    out: dict[int, int] = {}
    server = int(rng.choice(used))
    for _ in range(4):
        here = [i for i, b in enumerate(state.batches) if any(j == server for j, _, _ in b.chain)]
        out |= {i: state.batches[i].sessions for i in here}
        if len(out) >= size:
            break
        # A pinned server may be on nobody's chain.
        chain = state.batches[int(rng.choice(list(out) or len(state.batches)))].chain
        server = chain[int(rng.integers(len(chain)))][0]
    return out


def of_classes(state: State, size: int, rng: np.random.Generator) -> dict[int, int]:
    """All batches of some classes."""
    rows = rng.permutation(len(state.instance.demand))[: max(1, size // 3)].tolist()
    return {i: b.sessions for i, b in enumerate(state.batches) if b.row in rows}


def of_the_worst(state: State, size: int, rng: np.random.Generator) -> dict[int, int]:
    """Batches far above their class's bound, and who stands on the servers they would like."""
    instance = state.instance
    excess = np.array(
        [
            b.cost_s - b.sessions * instance.weight[b.row] * instance.alone_s[b.row]
            for b in state.batches
        ]
    )
    weights = np.maximum(excess, 1e-9 * max(float(excess.max()), 1e-9))
    worst = int(rng.choice(len(excess), p=weights / weights.sum()))
    row = state.batches[worst].row
    every = np.arange(instance.hop_s.shape[1])
    ranks = instance.hop_s[row] + instance.run_s[row].typical(every, max(1, instance.length // 4))
    liked = set(np.argsort(ranks, kind="stable")[: 2 * size].tolist())
    around = [
        i
        for i, b in enumerate(state.batches)
        if i != worst and any(j in liked for j, _, _ in b.chain)
    ]
    picked = rng.permutation(np.array(around, dtype=np.int64))[: size - 1].tolist()
    return {i: state.batches[i].sessions for i in [worst, *picked]}


DESTROY: tuple[Destroy, ...] = (at_random, of_servers, of_servers, of_classes, of_the_worst)


def reorder(state: State, rng: np.random.Generator) -> None:
    """Order of the pending sessions: at random, longest first or most sessions first."""
    gathered: dict[int, int] = {}
    for row, count in state.pending:
        gathered[row] = gathered.get(row, 0) + count
    items = [list(gathered.items())[i] for i in rng.permutation(len(gathered))]
    kind = rng.integers(3)
    if kind == 1:
        items.sort(key=lambda item: -float(state.instance.alone_s[item[0]]))
    elif kind == 2:
        items.sort(key=lambda item: -item[1])
    state.pending = items
