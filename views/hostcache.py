"""Where caches in host memory would pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..render import number, print_lines, print_table
from ..studies.hostcache import Offloading

#: Said with every figure of it.
HYPOTHETICAL = (
    "hypothetical: PETALS keeps caches on the GPU. It would pay where attention on the host takes "
    "fewer times as long as on the GPU than the limit 2 x + 3 + 1/x (APEX), x = matrices over "
    "attention on the GPU"
)


def print_offloading(found: Sequence[Offloading], *, measured: bool) -> None:
    """The gate at every server that sessions pass."""
    print_table(
        "Caches in the memory of hosts",
        ["server", "sessions", "x", "limit", "host is so many times slower", "pays"],
        [
            [
                o.server,
                o.sessions,
                _known(o.verdict.x),
                _known(o.verdict.limit),
                number(o.verdict.slower),
                "yes" if o.verdict.pays else "no",
            ]
            for o in found
        ],
    )
    source = "measured beside an H100, the least of four runs" if measured else "as you say"
    print_lines([HYPOTHETICAL, f"how much slower the host is: {source}"])


def _known(value: float) -> str:
    return number(value) if math.isfinite(value) else "-"


def offloading_document(found: Sequence[Offloading], *, measured: bool) -> dict[str, Any]:
    """The same for programs."""
    return {
        "hypothetical": HYPOTHETICAL,
        "slower_is_measured": measured,
        "servers": [
            {
                "server": o.server,
                "sessions": o.sessions,
                "x": o.verdict.x if math.isfinite(o.verdict.x) else None,
                "limit": o.verdict.limit if math.isfinite(o.verdict.limit) else None,
                "slower": o.verdict.slower,
                "pays": o.verdict.pays,
            }
            for o in found
        ],
    }
