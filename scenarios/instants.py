"""Instants of published traces: seconds since any origin, from numbers of any unit or stamps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

Unit = Literal["s", "ms", "us", "ns"]
PER_S: dict[Unit, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
#: Seconds since 1970 stay below this for three thousand years; so do those of the finer units
#: above it for all of the last decades.
_EPOCH_S = 1e11
_FRACTION = re.compile(r"(?<=\d)[.,](\d+)")
_UTC_NAMES = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


def clock(first: str, unit: Unit | None) -> Callable[[str], float]:
    """How to read the instants of a column: by its first cell, in ``unit`` if that is known.

    Numbers without a unit are seconds, or what is left of 1970 in ms, us or ns, told by size.
    """
    try:
        value = abs(float(first))
    except ValueError:
        return stamp_s
    per_s = PER_S[unit or _epoch_unit(value)]
    return lambda text: float(text) / per_s


def _epoch_unit(value: float) -> Unit:
    units: Sequence[Unit] = ("s", "ms", "us", "ns")
    return next((u for u in units if value < _EPOCH_S * PER_S[u]), "ns")


def stamp_s(text: str) -> float:
    """Seconds of a date and time in UTC unless it has an offset; any number of decimals.

    Raises
    ------
    ValueError
        If it is none.
    """
    text = _UTC_NAMES.sub("+00:00", text.strip()).replace("/", "-")
    decimals = _FRACTION.search(text)
    whole = text if decimals is None else text[: decimals.start()] + text[decimals.end() :]
    try:
        stamp = datetime.fromisoformat(whole)
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no time, nor date and time") from error
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=UTC)
    seconds = (stamp - _ORIGIN).total_seconds()
    return seconds + (float("0." + decimals[1]) if decimals else 0.0)
