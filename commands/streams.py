"""Standard streams as they may be: closed, full, of another encoding, cut off by ``head``."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .. import render

#: What a shell reports for a process that wrote into a closed pipe.
CLOSED_PIPE = 141
#: Signs that have a plain spelling where a terminal does not know them.
_SPELT = {"±": "+/-", "\u00d7": "x", "→": "->", "\u2013": "-", "…": "...", "≥": ">=", "≤": "<="}
_PLAIN = "swarmplan.plain"


def plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: signs spelt, letters without accents, else a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelt = ""
    for sign in error.object[error.start : error.end]:
        bare = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
        spelt += _SPELT.get(sign) or bare or "?"
    return spelt, error.end


def prepare() -> None:
    """Streams that take whatever is written: none that is missing, none that cannot encode."""
    codecs.register_error(_PLAIN, plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif not str(getattr(stream, "encoding", "utf-8")).lower().startswith("utf"):
            with suppress(AttributeError, ValueError):
                stream.reconfigure(errors=_PLAIN)


@contextmanager
def guarded() -> Iterator[None]:
    """Everything is out when this ends, or it is said why not: no traceback at the exit.

    A reader that went away, as ``head`` does, is no error: the exit code is that of the shell.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        silence()
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        silence()
        with suppress(OSError):
            render.note(f"error: the output cannot be written: {error.strerror or error}")
        sys.exit(2)


def is_cut_off() -> bool:
    """Whether click found a pipe closed: it wraps the streams then and exits with 1."""
    return type(sys.stdout).__name__.endswith("PacifyFlushWrapper")


def silence() -> None:
    """Let what is left in the buffers go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except OSError:
                os.dup2(nowhere, stream.fileno())
