"""Every Python of a coverage run imports this: while it loads large packages nothing is traced.

A third of what a server's start takes would be spent on tracing lines that nobody asks for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

LARGE = {
    "accelerate",
    "bitsandbytes",
    "hivemind",
    "peft",
    "petals",
    "scipy",
    "torch",
    "transformers",
}


class Untraced(Loader):
    """Loads as another one does, without a trace function."""

    def __init__(self, own: Loader) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        traced = sys.gettrace()
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._own
        sys.settrace(None)
        try:
            self._own.exec_module(module)
        finally:
            sys.settrace(traced)


class Finder(MetaPathFinder):
    """Finds large packages where others find them."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in LARGE or self._looking:
            return None
        self._looking = True
        try:
            spec = find_spec(name)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = Untraced(spec.loader)
        return spec


sys.meta_path.insert(0, Finder())
