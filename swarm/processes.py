"""Child processes that never outlive their parent's interest in them."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import SwarmUnreachableError

#: Time for a clean stop before the group is killed.
STOP_S = 8.0
_POLL_S = 0.05


class _Guard:
    """The helper that cleans up after this process should it be killed; started when needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def tell(self, line: str) -> None:
        """Let it know of a group or a folder."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                script = Path(__file__).with_name("guard.py")
                self._process = subprocess.Popen(
                    [sys.executable, "-I", str(script)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                atexit.register(self._process.communicate)
            assert self._process.stdin is not None
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


_guard = _Guard()


@contextmanager
def passing_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder that goes with this process, even when it is killed."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        _guard.tell(f"folder {name}")
        yield Path(name)


@dataclass(kw_only=True)
class Child:
    """A process in a session of its own, writing to a log file; it ends with this process.

    Its temporary files go to a folder of its own, removed when it is stopped: hivemind leaves
    sockets and multiprocessing folders behind.

    Attributes
    ----------
    log : standard output and error; a file, because a forked grandchild would keep a pipe open.
        A log of an earlier process is replaced.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _scratch: str = ""
    _asked: bool = False

    def start(self) -> None:
        """Start it; its children share its process group."""
        self._asked, self._scratch = False, tempfile.mkdtemp(prefix="sp-")
        self.log.unlink(missing_ok=True)
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": self._scratch, **self.environment},
                start_new_session=True,
                # A background job starts with SIGINT ignored; PETALS stops cleanly on it.
                preexec_fn=_default_interrupt,
            )
        _guard.tell(f"start {self.pid} {self._scratch}")

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
        """Ask the main process for a clean stop; once, for a second time would break it off."""
        if self.is_running and not self._asked:
            os.kill(self.pid, signal.SIGINT)
            self._asked = True

    def kill(self) -> None:
        """End the group at once, as a crash or a power cut would."""
        self.send(signal.SIGKILL)
        self._reap(STOP_S)
        self._forget()

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
        self._forget()

    def _forget(self) -> None:
        _guard.tell(f"stop {self.pid}")
        shutil.rmtree(self._scratch, ignore_errors=True)

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
