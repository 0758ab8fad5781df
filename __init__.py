"""Block placement and request routing for PETALS swarms: planned, proven, simulated.

The library's functions are found here and loaded when they are first used; docs/library.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import __version__

if TYPE_CHECKING:
    from .core.errors import SwarmplanError
    from .library import compare, explain, load, plan, report, simulate, size, verify, whatif
    from .methods.draft import Settings

__all__ = [
    "Settings",
    "SwarmplanError",
    "__version__",
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

#: Where what does not come from ``library`` is at home.
_HOMES = {"Settings": ".methods.draft", "SwarmplanError": ".core.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, ".library"), __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
