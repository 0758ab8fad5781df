"""Block placement and request routing for PETALS swarms: planned, proven, simulated.

The library's functions are found here and loaded when they are first used; docs/library.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import compare, explain, load, plan, simulate, verify
    from .core.errors import SwarmplanError
    from .library import report, size, whatif
    from .methods.draft import Settings

__version__ = "0.1.0"

__all__ = [
    "Settings",
    "SwarmplanError",
    "compare",
    "explain",
    "load",
    "plan",
    "report",
    "simulate",
    "size",
    "verify",
    "whatif",
]

_HOMES = {
    **dict.fromkeys(("compare", "explain", "load", "plan", "simulate", "verify"), ".api"),
    **dict.fromkeys(("report", "size", "whatif"), ".library"),
    "Settings": ".methods.draft",
    "SwarmplanError": ".core.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
