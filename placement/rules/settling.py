"""PETALS' rule P4 for many servers, compiled: the same as ``petals`` does for few.

Imported only where swarms are large: numba takes a while to load.
"""

from __future__ import annotations

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled
from .filling import thinnest


@compiled
def settled(
    load: FloatArray,
    start: IntArray,
    blocks: IntArray,
    rates: FloatArray,
    order: IntArray,
    factor: float,
) -> bool:
    """One after the other the servers of ``order`` take their best blocks; whether all stay.

    Parameters
    ----------
    load, start : (L,) throughput of each block, (n,) of each server's first one; both change.
    factor : what a server that looks takes of its own throughput out, and puts in again.
    """
    stay = True
    for j in order:
        own = factor * rates[j]
        for block in range(start[j], start[j] + blocks[j]):
            load[block] -= own
        best = thinnest(load, blocks[j])
        stay = stay and best == start[j]
        start[j] = best
        for block in range(best, best + blocks[j]):
            load[block] += own
    return stay
