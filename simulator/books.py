"""Who holds cache, and when that is expected to end: arrays for compiled runs.

What ``routing.state.SwarmState`` is to the engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.jit import compiled
from ..core.plan import Placement
from ..perfmodel.cost import CostModel

#: What is held at a server. pool, free : bytes. held : sessions.
SEAT = np.dtype([(name, np.int64) for name in ("pool", "free", "held")])
#: A session at a server. end_s, step_s : expected end, and time per token. row : its request.
END = np.dtype(
    [("end_s", np.float64), ("step_s", np.float64), ("row", np.int64), ("bytes", np.int64)]
)


def seats_of(cost: CostModel, placement: Placement) -> NDArray[np.void]:
    """(n,) of SEAT: nobody is there."""
    seat = np.zeros(cost.problem.num_servers, SEAT)
    seat["pool"] = seat["free"] = placement.cache_bytes
    return seat


@compiled
def ready_s(seat: Any, end: Any, need: int, now_s: float) -> float:
    """Seconds until so much is expected to be free at a server, as ``SwarmState.ready_s``.

    ``seat`` and ``end`` are the rows of the server.
    """
    free = seat["free"]
    if need <= free:
        return 0.0
    if need > seat["pool"]:
        return np.inf
    for i in range(seat["held"]):
        free += end[i]["bytes"]
        if free >= need:
            left_s: float = end[i]["end_s"] - now_s
            late_s: float = end[i]["step_s"]
            return left_s if left_s > 0 else late_s
    return np.inf


@compiled
def hold(seat: Any, end: Any, row: int, size: int, end_s: float, step_s: float) -> None:
    """Enter a request among the ends of a server."""
    i = seat["held"]
    seat["held"] += 1
    seat["free"] -= size
    while i > 0 and (
        end_s < end[i - 1]["end_s"] or (end_s == end[i - 1]["end_s"] and row < end[i - 1]["row"])
    ):
        _copy(end, i, i - 1)
        i -= 1
    end[i]["end_s"], end[i]["step_s"] = end_s, step_s
    end[i]["row"], end[i]["bytes"] = row, size


@compiled
def drop(seat: Any, end: Any, row: int) -> int:
    """Take a request from among the ends of a server; the bytes that it held."""
    i = 0
    while end[i]["row"] != row:
        i += 1
    size: int = end[i]["bytes"]
    seat["held"] -= 1
    seat["free"] += size
    for k in range(i, seat["held"]):
        _copy(end, k, k + 1)
    return size


@compiled
def _copy(end: Any, to: int, of: int) -> None:
    end[to]["end_s"], end[to]["step_s"] = end[of]["end_s"], end[of]["step_s"]
    end[to]["row"], end[to]["bytes"] = end[of]["row"], end[of]["bytes"]
