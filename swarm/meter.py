"""What a server's own clock says of its work: how busy it is, and what a step takes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

#: Work of so many seconds counts, and of so many tasks at most.
WINDOW_S, MOST_TASKS = 60.0, 4_096


class Meter:
    """Times every inference task and pass of this process; read from other threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._begun_s = clock()
        #: (end, seconds, blocks of a step of one token or 0)
        self._tasks: deque[tuple[float, float, int]] = deque(maxlen=MOST_TASKS)
        self._lock = threading.Lock()

    def around(self, work: Callable[[], Any], position: int, tokens: int, blocks: int) -> Any:
        """Do a task and note it (``clock.Around``)."""
        return self._timed(work, blocks if position > 0 and tokens == 1 else 0)

    def around_pass(self, work: Callable[[], Any], members: Sequence[Any]) -> Any:
        """Do a pass of several sessions and note it (``clock.AroundPass``)."""
        return self._timed(work, 0)

    def _timed(self, work: Callable[[], Any], step: int) -> Any:
        began_s = self._clock()
        answer = work()
        end_s = self._clock()
        with self._lock:
            self._tasks.append((end_s, end_s - began_s, step))
        return answer

    def figures(self, blocks: int) -> tuple[float, float | None]:
        """Share of the last minute at work, and median seconds of a step over so many blocks."""
        now_s = self._clock()
        with self._lock:
            while self._tasks and self._tasks[0][0] < now_s - WINDOW_S:
                self._tasks.popleft()
            tasks = list(self._tasks)
        full = len(tasks) == MOST_TASKS
        since_s = tasks[0][0] if full else max(self._begun_s, now_s - WINDOW_S)
        busy = sum(seconds for _, seconds, _ in tasks) / max(now_s - since_s, 1e-3)
        steps = [blocks * seconds / of for _, seconds, of in tasks if of]
        return min(1.0, busy), median(steps) if steps else None
