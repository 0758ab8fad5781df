"""Where pins and bans leave room for the span of a server."""

from __future__ import annotations

import numpy as np

from ..core.constraints import Constraints
from ..core.content import IntArray


def reach_of(asked: Constraints, most: IntArray, length: int) -> IntArray:
    """(n, L + 1) most blocks of a span that ends at each block; 0 = none may end there.

    Parameters
    ----------
    most : (n,) blocks that each server can host at all.
    """
    reach = np.minimum(np.arange(length + 1), most[:, None])
    allowed = np.ones((len(most), length), dtype=bool)
    for ban in asked.forbidden:
        allowed[ban.server, ban.start : ban.end] = False
    for j in np.flatnonzero(~allowed.all(axis=1)).tolist():
        run = 0
        for end in range(1, length + 1):
            run = run + 1 if allowed[j, end - 1] else 0
            reach[j, end] = min(int(reach[j, end]), run)
    for pin in asked.pinned:
        blocks = min(pin.end - pin.start, int(reach[pin.server, pin.end]))
        reach[pin.server] = 0
        reach[pin.server, pin.end] = max(blocks, 0)
    return reach


def pins_of(asked: Constraints) -> dict[int, tuple[int, int]]:
    """Start and end of the span of every pinned server; equal where it idles."""
    return {pin.server: (pin.start, pin.end) for pin in asked.pinned}


def pinned_spans(asked: Constraints) -> dict[int, tuple[int, int]]:
    """The same without servers that idle."""
    return {server: span for server, span in pins_of(asked).items() if span[1] > span[0]}
