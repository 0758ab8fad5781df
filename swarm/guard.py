"""Ends what a process started once that process is gone, however it went.

Runs as a script of its own (``processes`` starts it) and reads lines from its standard input:
``start GROUP FOLDER``, ``folder FOLDER``, ``stop GROUP``. The input ends when the process that
holds its other end is gone, killed perhaps; then all groups not yet stopped are killed and all
folders removed. Standard library only; imports nothing of the package.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Follow what is started and stopped, and clean up at the end."""
    groups: dict[int, str] = {}
    folders: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "folder":
            folders.append(rest)
        elif word == "start":
            group, _, folder = rest.partition(" ")
            groups[int(group)] = folder
        elif word == "stop":
            groups.pop(int(rest), None)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for folder in [*groups.values(), *folders]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    # Who interrupts the process in front means its children too, and those end when it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
