"""The process that solves, seen from outside: used again and again, ended when it is late.

It is started as a module, not forked and not by ``multiprocessing``: the caller's main module is
never imported again, and neither threads nor locks of the caller come along.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from .deadline import Deadline
from .messages import Failure, News, Task
from .outcome import Outcome

Message = News | Outcome | Failure
#: The longest wait in one piece: where waits cannot be interrupted, Ctrl-C is heard after it.
WAIT_S = 0.2

_idle: list[Worker] = []


@contextlib.contextmanager
def worker() -> Iterator[Worker]:
    """A process of one's own; kept for the next one if its last task is done, ended otherwise."""
    try:
        mine = _idle.pop()
    except IndexError:
        mine = Worker()
    if not mine.alive:
        mine.kill()
        mine = Worker()
    try:
        yield mine
    finally:
        if mine.free and not _idle:
            _idle.append(mine)
        else:
            mine.kill()


def release() -> None:
    """End the process that waits for work, if there is one."""
    while _idle:
        _idle.pop().kill()


atexit.register(release)


class Worker:
    """One process, and what it has said that nobody has heard yet."""

    def __init__(self) -> None:
        path = os.pathsep.join(str(p) or os.getcwd() for p in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._talk: threading.Thread | None = None
        self._ready = False
        self.free = True

    @property
    def alive(self) -> bool:
        """Whether the process runs and is a child of this one, not of one that has forked it."""
        return self._process.poll() is None

    def begin(self, task: Task, deadline: Deadline) -> None:
        """Hand over a task; returns at once."""
        self.free = False
        self._talk = threading.Thread(target=self._converse, args=(task, deadline), daemon=True)
        self._talk.start()

    def _converse(self, task: Task, deadline: Deadline) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not self._ready:
                self._ready = pickle.load(process.stdout) == "ready"
            pickle.dump((task, deadline.left_s()), process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            message = None
            while not isinstance(message, Outcome | Failure):
                message = pickle.load(process.stdout)
                self._inbox.put(message)
        except (EOFError, OSError, pickle.UnpicklingError):
            self._inbox.put(Failure(self._epitaph()))

    def hear(self, until: Deadline) -> Message | None:
        """The next message, None when it does not come in time."""
        while True:
            with contextlib.suppress(Empty):
                message = self._inbox.get(timeout=min(max(until.left_s(), 0.0), WAIT_S))
                self.free = not isinstance(message, News)
                return message
            if until.passed:
                return None

    def _epitaph(self) -> str:
        """How the process ended of itself."""
        code = self._process.wait()
        if code < 0:
            return f"the process of HiGHS was ended by signal {-code}: perhaps memory ran out"
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="replace").strip()
        return f"the process of HiGHS ended with code {code}: {said.rpartition(chr(10))[2]}"

    def kill(self) -> None:
        """End the process, whatever it is doing, and leave nothing of it."""
        self._process.kill()
        self._process.wait()
        if self._talk is not None:
            self._talk.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what could not be written any more
                pipe.close()
