"""Comparing figures with those of the published reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from golden import Case

from swarmplan.core.plan import Placement

TOLERANCE = 1e-9


class Mismatch(Exception):
    """A figure that differs from the reference's."""


def failed(expected: Case) -> bool:
    """Whether the reference itself failed here: there are no figures to compare with."""
    return bool(expected.get("error"))


def exactly(name: str, ours: Any, theirs: Any) -> None:
    """Integers and lists of integers must be equal."""
    if ours != theirs:
        raise Mismatch(f"{name}: {ours} instead of {theirs}")


def nearly(name: str, ours: Any, theirs: Any) -> float:
    """Reals must agree to a relative 1e-9; returns the worst relative error."""
    a, b = np.atleast_1d(np.asarray(ours, float)), np.atleast_1d(np.asarray(theirs, float))
    if a.shape != b.shape:
        raise Mismatch(f"{name}: {a.shape} values instead of {b.shape}")
    # Differences below a picosecond are rounding of values near zero.
    error = np.abs(a - b) / np.maximum(np.abs(b), 1e-3)
    worst = float(error.max(initial=0.0))
    if not worst <= TOLERANCE:
        i = int(np.argmax(error))
        raise Mismatch(f"{name}: {a[i]!r} instead of {b[i]!r}")
    return worst


def spans_agree(placement: Placement, expected: Case) -> None:
    """Starts and counts of all servers that host something."""
    theirs = [
        (a, m) if m > 0 else (0, 0) for a, m in zip(expected["a"], expected["m"], strict=True)
    ]
    counts = placement.num_blocks.tolist()
    ours = [
        (s + 1, m) if m else (0, 0) for s, m in zip(placement.start.tolist(), counts, strict=True)
    ]
    exactly("spans", ours, theirs)


def order_agrees(placement: Placement, expected: Case) -> None:
    """The order of placement; the reference also lists servers that can host nothing."""
    usable = set(np.flatnonzero(placement.num_blocks).tolist())
    theirs = [j for j in expected["order"] if j - 1 in usable]
    exactly("order", [j + 1 for j in placement.order], theirs)


def lists(routes: list[Any]) -> list[list[int]]:
    """Routes as lists, also those of one server."""
    return [r if isinstance(r, list) else [r] for r in routes]
