"""Child processes that never outlive their parent's interest in them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import SwarmUnreachableError

#: Time for a clean stop before the group is killed.
STOP_S = 8.0
_POLL_S = 0.05


@dataclass(kw_only=True)
class Child:
    """A process in a session of its own, writing to a log file.

    Attributes
    ----------
    log : standard output and error; a file, because a forked grandchild would keep a pipe open.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its children share its process group."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
                # A background job starts with SIGINT ignored; PETALS stops cleanly on it.
                preexec_fn=_default_interrupt,
            )

    @property
    def pid(self) -> int:
        """Process id, also of the group."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the main process lives."""
        return self._process is not None and self._process.poll() is None

    def text(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, words: str, *, limit_s: float) -> str:
        """The first complete line that contains ``words``.

        Raises
        ------
        SwarmUnreachableError
            When the process ends or the limit passes first; with the end of its log.
        """
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            alive = self.is_running
            for line in self.text().split("\n")[:-1]:
                if words in line:
                    return line
            if not alive:
                break
            time.sleep(_POLL_S)
        state = f"did not say {words!r} within {limit_s:.0f} s" if self.is_running else "ended"
        tail = "\n".join(self.text().splitlines()[-15:])
        raise SwarmUnreachableError(f"{self.name} {state}; its last lines:\n{tail}")

    def wait(self, limit_s: float) -> int:
        """The exit code of a process that ends by itself.

        Raises
        ------
        SwarmUnreachableError
            When the limit passes first.
        """
        assert self._process is not None, f"{self.name} was not started"
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            tail = "\n".join(self.text().splitlines()[-15:])
            message = f"{self.name} did not end within {limit_s:.0f} s; its last lines:\n{tail}"
            raise SwarmUnreachableError(message) from error

    def send(self, number: signal.Signals) -> None:
        """Signal the whole group; a group that is gone is fine."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def interrupt(self) -> None:
        """Ask the main process for a clean stop."""
        if self.is_running:
            os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the group at once, as a crash or a power cut would."""
        self.send(signal.SIGKILL)
        self._reap(STOP_S)

    def stop(self, *, limit_s: float = STOP_S) -> None:
        """Clean stop, then SIGTERM, then SIGKILL to the whole group."""
        if self._process is None:
            return
        self.interrupt()
        if not self._reap(limit_s):
            self.send(signal.SIGTERM)
            self._reap(1.0)
        self.send(signal.SIGKILL)
        self._reap(1.0)

    def _reap(self, limit_s: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback interface that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process that has ended: its exit code, and what it wrote."""

    code: int
    text: str


def run_to_end(
    command: Sequence[str], log: Path, *, limit_s: float, environment: Mapping[str, str]
) -> Ended:
    """Run a command with its output in a file, and leave none of its children behind.

    Raises
    ------
    SwarmUnreachableError
        If it takes longer than the limit.
    """
    child = Child(name=log.stem, command=command, log=log, environment=environment)
    child.start()
    try:
        code = child.wait(limit_s)
    finally:
        child.stop()
    return Ended(code=code, text=child.text())
