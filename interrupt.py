"""Ctrl-C on the command line, from the first line on: exit 130 within a second, no traceback.

Only signals, and only what Python has at hand: this is imported before anything else.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType

CODE = 130
#: Whoever has not ended by itself so long after Ctrl-C is ended.
PATIENCE_S = 0.6
#: Until Ctrl-C is tried again that came while something was compiled, or a compiled module loaded.
AGAIN_S = 0.02
#: Part of the paths of numba's own code, and of the names of what loads compiled modules.
_COMPILER, _LOADER = f"{os.sep}numba{os.sep}", "ExtensionFileLoader."


class StoppedError(BaseException):
    """Ctrl-C where nothing is worth keeping: no search takes it for a wish to stop early."""


def from_now_on() -> None:
    """While nothing has begun, Ctrl-C ends the process on the spot."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: _end())


@contextmanager
def heard(*, keeps: bool) -> Iterator[None]:
    """Ctrl-C while a command works.

    Parameters
    ----------
    keeps : the command tells what was found until then, so that searches end and give it; else
        everything is unwound at once, and what does not give way within ``PATIENCE_S``, such as
        compiled code, is ended with the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if keeps:
        wish = _Wish()
        signal.signal(signal.SIGINT, wish.stop)
        try:
            yield
        except Exception:
            if wish.stopped:  # compilers make other errors of it
                raise KeyboardInterrupt from None
            raise
        finally:
            signal.signal(signal.SIGINT, before)
        return
    watch = _Watch()
    signal.signal(signal.SIGINT, watch.stop)
    try:
        yield
    except Exception:
        if watch.stopped:  # compiled modules make other errors of it while they are loaded
            raise StoppedError from None
        raise
    finally:
        watch.close()
        signal.signal(signal.SIGINT, before)


def over() -> None:
    """All is said and written: while Python goes, Ctrl-C changes nothing any more."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end() -> None:
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(CODE)


class _Wish:
    """Ctrl-C while searches listen: raised where it is neither lost nor breaks what compiles."""

    def __init__(self) -> None:
        self.stopped = False
        self._since_s = 0.0

    def stop(self, _number: int, frame: FrameType | None) -> None:
        """The handler: in the middle of compiling it comes again a little later."""
        now_s = time.monotonic()
        self._since_s = self._since_s if self.stopped else now_s
        self.stopped = True
        whole = now_s - self._since_s < PATIENCE_S
        if _compiles(frame, whole=whole) or (whole and _loads(frame)):
            _again()
            return
        raise KeyboardInterrupt


def _again() -> None:
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()


def _loads(frame: FrameType | None) -> bool:
    """Whether a compiled module is being loaded, which may print what is raised there."""
    return any(code.co_qualname.startswith(_LOADER) for code in _outward(frame))


def _compiles(frame: FrameType | None, *, whole: bool) -> bool:
    """Whether this is code that LLVM has called, which loses what is raised there; with ``whole``,
    whether anything is being compiled."""
    if frame is not None and "llvmlite" in frame.f_code.co_filename:
        return True
    return whole and any(_COMPILER in code.co_filename for code in _outward(frame))


def _outward(frame: FrameType | None) -> Iterator[CodeType]:
    """What runs in a frame, in its caller, and so on."""
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


class _Watch:
    """A thread that learns of signals from the operating system, whatever Python is busy with."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._over = threading.Event()
        self.stopped = False
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self, _number: int, frame: FrameType | None) -> None:
        """The handler: everything is unwound."""
        self.stopped = True
        if _loads(frame):
            _again()
            return
        raise StoppedError

    def _run(self) -> None:
        while not self._over.is_set():
            heard = os.read(self._read, 64)
            if signal.SIGINT in heard and not self._over.wait(PATIENCE_S):
                _end()
        os.close(self._read)

    def close(self) -> None:
        """From here on signals are somebody else's."""
        self._over.set()
        signal.set_wakeup_fd(self._before)
        with suppress(OSError):  # the thread may have gone already
            os.write(self._write, b"\0")
        os.close(self._write)
