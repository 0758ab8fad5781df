"""Signals during a call of a library that calls back: raised after it, never inside a callback.

Python runs its signal handlers, Ctrl-C's included, before any line of a callback; what they raise
there goes through the library, and HiGHS takes it for an error of its own.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

Caught = list[tuple[int, FrameType | None]]


@contextlib.contextmanager
def held_back(caught: Caught) -> Iterator[None]:
    """Gather signals in ``caught`` instead; their handlers are called at the end.

    In other threads than the main one no handler ever runs, and nothing has to be done.
    """
    caught.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {s: signal.getsignal(s) for s in signal.valid_signals()}
    handlers = {s: handler for s, handler in found.items() if callable(handler)}
    try:
        for s in handlers:
            signal.signal(s, lambda *what: caught.append(what))
        yield
    finally:
        for s, handler in handlers.items():
            signal.signal(s, handler)
    for number, frame in caught:
        handlers[signal.Signals(number)](number, frame)
