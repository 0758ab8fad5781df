"""Things that happen to servers while requests run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """A server leaves (``up=False``) or comes (back) at an instant, with its planned blocks."""

    time_s: float
    server: int
    up: bool
