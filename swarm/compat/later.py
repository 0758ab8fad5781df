"""What only training calls, and hivemind and accelerate load at once: a quarter of every start.

While they are imported other modules stand in for those; what was imported from these is looked up
where it is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple


class _Eager(NamedTuple):
    """A package, and the modules that a file of it imports."""

    package: str
    file: Path
    modules: tuple[str, ...]

    def is_to_come(self) -> bool:
        """Whether the import of the package would load one of the modules."""
        return will_run(self.package, self.file, [f"import {name}" for name in self.modules])

    def load(self) -> None:
        """Import the package without them."""
        with _standing_in(self.modules):
            importlib.import_module(self.package)


_SOLVERS = _Eager("hivemind", Path("averaging", "load_balancing.py"), ("scipy.optimize",))
_SHARDED = _Eager(
    "accelerate",
    Path("utils", "fsdp_utils.py"),
    (
        "torch.distributed.fsdp",
        "torch.distributed.fsdp.fully_sharded_data_parallel",
        "torch.distributed.checkpoint",
        "torch.distributed.checkpoint.default_planner",
        "torch.distributed.checkpoint.optimizer",
    ),
)


class _Later(ModuleType):
    """Stands in for a module."""

    __path__: list[str] = []  # noqa: RUF012 - of every package; there is nothing below

    def __getattr__(self, name: str) -> _Name:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


class _Name:
    """What was imported from such a module: a function, a class or an enumeration."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found(), name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._found()(*args, **named)

    def _found(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


@contextmanager
def _standing_in(modules: tuple[str, ...]) -> Iterator[None]:
    """Stand-ins for those of the modules that are not loaded."""
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update({name: _Later(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def will_run(package: str, file: Path, texts: Iterable[str]) -> bool:
    """Whether a package is yet to be imported, and a file of it has one of the texts."""
    if package in sys.modules:
        return False
    spec = importlib.util.find_spec(package)
    folders = () if spec is None else spec.submodule_search_locations or ()
    sources = [Path(folder) / file for folder in folders]
    found = [source.read_text("utf-8") for source in sources if source.is_file()]
    return any(text in source for source in found for text in texts)


def solvers_are_loaded_at_once() -> bool:
    """Whether hivemind would load scipy's solvers, for averaging among those who train."""
    return _SOLVERS.is_to_come()


def load_solvers_later() -> None:
    """Import hivemind; ``scipy`` itself finds its solvers when they are called."""
    importlib.import_module("scipy")
    importlib.import_module("torch")
    _SOLVERS.load()


def sharding_is_loaded_at_once() -> bool:
    """Whether accelerate would load torch's sharded tensors and their checkpoints."""
    return _SHARDED.is_to_come()


def load_sharding_later() -> None:
    """Import accelerate."""
    importlib.import_module("torch.distributed")
    _SHARDED.load()
