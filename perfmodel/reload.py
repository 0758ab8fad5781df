"""How long a server is out of service when it loads other blocks.

PETALS stops its module container and makes a new one with all blocks of the new span, also those
it hosted before; weights come from its disk cache where it has them, else over the link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.content import FloatArray, frozen_array
from ..core.plan import Placement
from ..core.problem import Problem, Server

Kept = Literal["span", "new blocks"]

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
                away[j] = self.move_s(problem.servers[j], had, span)
        return frozen_array(away, np.float64)

    def move_s(self, server: Server, old: tuple[int, int], new: tuple[int, int]) -> float:
        """Seconds that one server needs from ``old`` to ``new`` (half-open spans)."""
        kept = (max(old[0], new[0]), min(old[1], new[1]))
        kept_bytes = _file_bytes(server, *kept)
        download = server.download_bytes_per_s or DEFAULT_DOWNLOAD_BYTES_PER_S
        seconds = self.restart_s + (_file_bytes(server, *new) - kept_bytes) / download
        if self.what == "span":
            seconds += kept_bytes / (server.disk_bytes_per_s or DEFAULT_DISK_BYTES_PER_S)
        return seconds


def _file_bytes(server: Server, start: int, end: int) -> int:
    """Bytes that are read for blocks ``[start, end)``."""
    each = server.block_bytes if server.load_block_bytes is None else server.load_block_bytes
    if isinstance(each, tuple):
        return sum(each[start:end])
    return each * max(0, end - start)
