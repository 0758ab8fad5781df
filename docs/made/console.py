"""Pages whose commands are run: what they print stands below them, never out of date."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

#: Width of the terminal that commands see.
COLUMNS = 132

FILES = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: Bold and the like.
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def with_outputs(markdown: str) -> str:
    """The page with the output below each command of its ``console`` blocks.

    They run in one folder, where the page's named examples lie as files.

    Raises
    ------
    RuntimeError
        If a command fails.
    """
    if not CONSOLE.search(markdown):
        return markdown
    with tempfile.TemporaryDirectory() as name:
        for file, content in FILES.findall(markdown):
            (Path(name) / file).write_text(content, encoding="utf-8")
        return CONSOLE.sub(lambda found: _block(found[1], Path(name)), markdown)


def _block(lines: str, folder: Path) -> str:
    parts = []
    for line in lines.splitlines():
        parts += [line, _output(line.removeprefix("$ "), folder)]
    return "```console\n" + "\n".join(filter(None, parts)) + "\n```"


def _output(line: str, folder: Path) -> str:
    """What a command prints to a terminal of ``COLUMNS``, in plain text."""
    program, *words = shlex.split(line)
    if program != "swarmplan":
        raise RuntimeError(f"only swarmplan is run in a page: {line}")
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen, tempfile.TemporaryFile() as told:
        run = subprocess.Popen(
            [sys.executable, "-m", "swarmplan.cli", *words],
            cwd=folder,
            env={**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=told,
        )
        os.close(theirs)
        printed = STYLE.sub("", _all_of(screen))
        if run.wait():
            told.seek(0)
            raise RuntimeError(f"{line}\nended with {run.returncode}: {told.read().decode()}")
    return "\n".join(part.rstrip() for part in printed.splitlines()).strip("\n")


def _all_of(screen: BinaryIO) -> str:
    """Everything until the other end is closed, which a terminal tells by an error."""
    parts: list[bytes] = []
    with suppress(OSError):
        while part := screen.read(65536):
            parts.append(part)
    return b"".join(parts).decode()
