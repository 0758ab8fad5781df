"""A remedy of the pipe through which hivemind gives commands to the process of its table."""

from __future__ import annotations

import multiprocessing
import os
from importlib import import_module
from typing import Any


def pipe_loses_large_commands() -> bool:
    """Whether the reading end does not wait: the event loop that watches it makes it so."""
    from hivemind.dht import DHT

    if hasattr(DHT, "_swarmplan_pipe"):
        return False
    reading, writing = multiprocessing.Pipe(duplex=False)
    loop = import_module("uvloop").new_event_loop()
    try:
        loop.add_reader(reading.fileno(), lambda: None)
        return not os.get_blocking(reading.fileno())
    finally:
        loop.remove_reader(reading.fileno())
        loop.close()
        reading.close()
        writing.close()


def wait_for_commands() -> None:
    """Read each command to its end."""
    from hivemind.dht import DHT

    run = DHT.run

    def waiting_run(self: Any) -> None:
        self._inner_pipe = _Waiting(self._inner_pipe)
        run(self)

    DHT.run = waiting_run
    DHT._swarmplan_pipe = True


class _Waiting:
    """A reading end that waits for the rest of a message whose beginning is there."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def recv(self) -> Any:
        # The event loop has set it otherwise meanwhile.
        os.set_blocking(self._pipe.fileno(), True)
        return self._pipe.recv()
