"""The planner's process, seen from outside: one job at a time, stopped, ended and begun again.

The process that serves the page never plans: a search that hangs or dies takes nothing with it. It
is started as a module, not by ``multiprocessing``: the caller's main module is not imported again.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Literal

What = Literal["ready", "found", "progress", "done", "stopped", "failed", "died"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is asked; ``values`` go to the function of that name."""

    number: int
    name: Literal["judge", "measure", "improve", "replay", "report"]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a job said: its number, what it is, and the answer, if any."""

    number: int
    what: What
    value: Any = None


class Worker:
    """One process, begun when it is needed.

    Parameters
    ----------
    on_told : is called for everything that a job says, in a thread of its own.
    niceness : of the process, above that of the caller's.
    """

    def __init__(self, on_told: Callable[[Told], None], *, niceness: int = 0) -> None:
        self._on_told, self._niceness = on_told, niceness
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._running: Job | None = None
        self._ready = False
        self._count = 0

    @property
    def pid(self) -> int | None:
        """The number of the process, None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> int | None:
        """The number of the job that was asked for last and has not ended."""
        return None if self._running is None else self._running.number

    def ask(self, name: Any, *values: Any) -> int:
        """Hand over a job; one that runs is stopped. Its number."""
        self._count += 1
        job = Job(number=self._count, name=name, values=values)
        self.stop()
        with self._lock:
            self._running = job
            if self._process is None or self._process.poll() is not None:
                self._begin()
            try:
                self._send(job)
            except OSError:  # it died just now, and who listened to its pipe may be gone
                self._begin()
                with suppress(OSError):  # again: who listens to the new pipe tells
                    self._send(job)
        return job.number

    def _send(self, job: Job) -> None:
        assert self._pipe is not None
        self._pipe.send(job)

    def stop(self) -> None:
        """Ask the job that runs to end; a search then tells the best until then."""
        with self._lock:
            if self._running is not None and self._process is not None and self._ready:
                with suppress(OSError):
                    self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the process; whoever waits for its job is told that it died."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait(5)

    def close(self) -> None:
        """End the process and tell nobody."""
        self._running = None
        self.kill()

    def _begin(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
        mine, theirs = Pipe()
        module = f"{__package__}.process"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), str(self._niceness)],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C is for the server; it ends the planners
        )
        theirs.close()
        self._pipe, self._ready = mine, False
        threading.Thread(target=self._listen, args=(mine,), daemon=True).start()

    def _listen(self, pipe: Connection) -> None:
        while True:
            try:
                told: Told = pipe.recv()
            except (EOFError, OSError):
                break
            if told.what == "ready":  # from here on it knows what a signal means
                self._ready = pipe is self._pipe
            else:
                self._tell(told)
        with self._lock:  # not while a job is handed over, which may be to a new process
            lost = self._running if pipe is self._pipe else None
        if lost is not None:
            self._tell(Told(number=lost.number, what="died"))

    def _tell(self, told: Told) -> None:
        if told.what not in ("found", "progress") and told.number == self.running:
            self._running = None
        self._on_told(told)
