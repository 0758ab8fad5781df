"""What the cores of this machine did: all of them, and on behalf of some processes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

#: Where the kernel keeps the idle time of all cores in its first line.
IDLE = 3


def jiffies() -> np.ndarray:
    """Time of all cores since they started, by use."""
    first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    return np.array([int(word) for word in first.split()[1:9]])


def spent(groups: frozenset[int]) -> dict[int, float]:
    """Time of the cores that each living process of some groups has used."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(entry.name)) in groups:
                # Behind the name in brackets: state, parent, ...; user and system time.
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                found[int(entry.name)] = float(fields[11]) + float(fields[12])
    return found
