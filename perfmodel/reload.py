"""How long a server is out of service when it loads blocks: over its link, from its disk.

PETALS stops its module container and makes a new one with all blocks of the new span, also those
it hosted before; weights come from its disk cache where it has them, else over the link, and are
quantised once they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.content import FloatArray, frozen_array
from ..core.plan import Placement
from ..core.problem import Problem, Server, per_block

Kept = Literal["span", "new blocks"]
Span = tuple[int, int]

#: Download rate where none is given: what PETALS assumes when its speed test fails, 100 Mbit/s.
DEFAULT_DOWNLOAD_BYTES_PER_S = 100e6 / 8
#: Disk rate where none is given: a SATA drive (SATA 3 carries at most 0.6e9 bytes/s).
DEFAULT_DISK_BYTES_PER_S = 0.5e9
#: Stopping and remaking PETALS' container with blocks of next to no size: measured 1.6-1.8 s.
RESTART_S = 1.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """What a move of a server costs in time.

    Attributes
    ----------
    what : ``span`` = every block of the new span is loaded again, as PETALS does; ``new blocks``
        = blocks kept stay in memory.
    restart_s : seconds out of service beside the reading of weights.
    """

    what: Kept = "span"
    restart_s: float = RESTART_S

    def away_s(self, problem: Problem, old: Placement, new: Placement) -> FloatArray:
        """(n,) seconds that each server is out of service; 0 for those that keep their span.

        A server that becomes idle is away for no time: nothing waits for it.
        """
        away = np.zeros(problem.num_servers)
        for j in np.flatnonzero((old.start != new.start) | (old.end != new.end)).tolist():
            span = (int(new.start[j]), int(new.end[j]))
            if span[1] > span[0]:
                had = (int(old.start[j]), int(old.end[j]))
                server = problem.servers[j]
                away[j] = self.move_s(server, had, span, adapters=adapters_of(problem, server))
        return frozen_array(away, np.float64)

    def move_s(
        self, server: Server, old: Span, new: Span, *, adapters: tuple[int, ...] = ()
    ) -> float:
        """Seconds that one server needs from ``old`` to ``new`` (half-open spans).

        Parameters
        ----------
        adapters : (L,) bytes of those that it loads on each block; empty = none.
        """
        kept = (max(old[0], new[0]), min(old[1], new[1]))
        kept_bytes = _read_bytes(server, kept, adapters)
        new_bytes = _read_bytes(server, new, adapters) - kept_bytes
        seconds = self.restart_s + new_bytes / _download(server) + _quantise_s(server, new)
        if self.what == "span":
            return seconds + kept_bytes / _disk(server)
        return seconds - _quantise_s(server, kept)

    def start_s(
        self, server: Server, span: Span, *, stored: bool, adapters: tuple[int, ...] = ()
    ) -> float:
        """Seconds until a server that hosts nothing serves a span.

        Parameters
        ----------
        stored : whether the weights are on its disk.
        """
        rate = _disk(server) if stored else _download(server)
        read_s = _read_bytes(server, span, adapters) / rate
        return self.restart_s + read_s + _quantise_s(server, span)


def adapters_of(problem: Problem, server: Server) -> tuple[int, ...]:
    """(L,) bytes of the adapters that a server loads on each block; empty where it loads none."""
    sizes = {a.id: a.block_bytes for a in problem.adapters}
    own = [per_block(sizes[name], problem.model.num_blocks) for name in server.adapters or ()]
    return tuple(sum(block) for block in zip(*own, strict=True))


def _download(server: Server) -> float:
    return server.download_bytes_per_s or DEFAULT_DOWNLOAD_BYTES_PER_S


def _disk(server: Server) -> float:
    return server.disk_bytes_per_s or DEFAULT_DISK_BYTES_PER_S


def _quantise_s(server: Server, span: Span) -> float:
    """What quantising takes beside the reading; adapters stay as they are."""
    if server.quantise_bytes_per_s is None or server.precision not in ("int8", "nf4"):
        return 0.0
    return _read_bytes(server, span, ()) / server.quantise_bytes_per_s


def _read_bytes(server: Server, span: Span, adapters: tuple[int, ...]) -> int:
    """Bytes that are read for blocks ``[start, end)``."""
    start, end = span
    each = server.block_bytes if server.load_block_bytes is None else server.load_block_bytes
    more = sum(adapters[start:end])
    if isinstance(each, tuple):
        return sum(each[start:end]) + more
    return each * max(0, end - start) + more
