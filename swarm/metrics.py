"""Figures for Prometheus over HTTP, in its text format; standard library only."""

from __future__ import annotations

import math
import threading
from http.server import ThreadingHTTPServer
from typing import Literal

from .local import serve_local

Kind = Literal["counter", "gauge"]

#: Name -> (kind, help).
FIGURES: dict[str, tuple[Kind, str]] = {
    "swarmplan_reads_total": ("counter", "Reads of the swarm."),
    "swarmplan_read_failures_total": ("counter", "Reads that failed."),
    "swarmplan_warnings_total": ("counter", "Announcements that were clamped or dropped."),
    "swarmplan_proposals_total": ("counter", "Plans found worth moving to."),
    "swarmplan_publications_total": ("counter", "Plans published."),
    "swarmplan_servers_online": ("gauge", "Servers that are online and answer."),
    "swarmplan_servers_batching": ("gauge", "Of them, those that run waiting steps as one pass."),
    "swarmplan_blocks_uncovered": ("gauge", "Blocks that nobody serves."),
    "swarmplan_plan_version": ("gauge", "Version of the plan published last, 0 = none."),
    "swarmplan_plan_followed": ("gauge", "Share of the planned servers at their planned blocks."),
    "swarmplan_gain_ratio": ("gauge", "Request-seconds saved by the best plan, share of staying."),
    "swarmplan_last_read_timestamp_seconds": ("gauge", "When the swarm was last read."),
}


class Metrics:
    """The figures; safe to write and read from several threads."""

    def __init__(self) -> None:
        self._values = dict.fromkeys(FIGURES, 0.0)
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1.0) -> None:
        """Count."""
        with self._lock:
            self._values[name] += amount

    def set(self, name: str, value: float) -> None:
        """Replace a gauge."""
        with self._lock:
            self._values[name] = value

    def text(self) -> str:
        """In the text format, version 0.0.4."""
        with self._lock:
            values = dict(self._values)
        lines = []
        for name, (kind, words) in FIGURES.items():
            lines += [
                f"# HELP {name} {words}",
                f"# TYPE {name} {kind}",
                f"{name} {_full(values[name])}",
            ]
        return "\n".join(lines) + "\n"


def _full(value: float) -> str:
    """All digits of a figure: a version or a time is of no use rounded."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else '+'}Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e17 else repr(float(value))


def serve_metrics(metrics: Metrics, port: int) -> ThreadingHTTPServer:
    """Answer ``GET /metrics`` in a thread; ``shutdown()`` ends it. Port 0 takes a free one.

    Raises
    ------
    ScenarioError
        If the port cannot be used.
    """
    kind = "text/plain; version=0.0.4"
    return serve_local(
        {"/metrics": (kind, lambda: metrics.text().encode())}, port, "--metrics-port"
    )
