"""The calendar of a run: a heap with four children, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.jit import compiled

#: What happens when: a session's next task (its key) or the end of a batch (-1 - server).
EVENT = np.dtype([("time_s", np.float64), ("key", np.int64)])


@compiled
def push(s: Any, when_s: float, key: int) -> None:
    """Put an event on the calendar."""
    i = s.size[0]
    s.size[0] = i + 1
    while i > 0:
        up = (i - 1) >> 2
        above = s.events[up]
        if above["time_s"] < when_s or (above["time_s"] == when_s and above["key"] < key):
            break
        s.events[i] = above
        i = up
    s.events[i]["time_s"], s.events[i]["key"] = when_s, key


@compiled
def pop(s: Any) -> None:
    """Take the first event off the calendar."""
    size = s.size[0] - 1
    s.size[0] = size
    if size > 0:
        down(s.events, size, s.events[size]["time_s"], s.events[size]["key"])


@compiled
def _first(events: Any, one: int, other: int) -> int:
    """Which of two events comes first."""
    if events[one]["time_s"] == events[other]["time_s"]:
        return one if events[one]["key"] < events[other]["key"] else other
    return other if events[other]["time_s"] < events[one]["time_s"] else one


@compiled
def down(events: Any, size: int, when_s: float, key: int) -> None:
    """Put an event in the place of the first one and let it sink."""
    i, child = 0, 1
    while child < size:
        if child + 3 < size:
            low = _first(events, child, child + 1)
            high = _first(events, child + 2, child + 3)
            least = _first(events, low, high)
        else:
            least = child
            for other in range(child + 1, size):
                least = _first(events, least, other)
        next_s = events[least]["time_s"]
        if when_s < next_s or (when_s == next_s and key < events[least]["key"]):
            break
        events[i] = events[least]
        i, child = least, 4 * least + 1
    events[i]["time_s"], events[i]["key"] = when_s, key
