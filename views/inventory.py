"""What can be named: devices, models, methods, routers, topologies and shipped scenarios."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.names import Listed

Cell = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One kind of thing that can be named; the first column is the name.

    Attributes
    ----------
    columns, rows : what is told of each.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What to write in files and options."""
        return tuple(str(row[0]) for row in self.rows)

    def matching(self, text: str) -> Inventory:
        """The rows in which all words of a text occur, upper and lower case alike."""
        words = text.casefold().split()
        rows = [r for r in self.rows if all(w in " ".join(map(str, r)).casefold() for w in words)]
        return Inventory(columns=self.columns, rows=tuple(rows))

    def document(self) -> list[dict[str, Cell]]:
        """For ``--json``."""
        keys = [c.replace(" ", "_") for c in self.columns]
        return [dict(zip(keys, row, strict=True)) for row in self.rows]


def inventory(kind: Listed, search: str = "") -> Inventory:
    """All that can be named of a kind, or what matches a search.

    Raises
    ------
    ScenarioError
        If nothing matches; the message lists near matches.
    """
    whole = KINDS[kind]()
    found = whole.matching(search)
    if not found.rows:
        from ..perfmodel.catalogue import unknown_name

        raise unknown_name(kind.removesuffix("s"), search, whole.names)
    return found


def _devices() -> Inventory:
    from ..perfmodel.devices import device, device_names
    from ..perfmodel.roofline import data_sheet, gpu_names

    rows: list[tuple[Cell, ...]] = []
    for name in device_names():
        found = device(name)
        gigabytes = round(found.memory_bytes / 1e9, 1) or None
        rows.append((name, gigabytes, "partly" if found.estimated else "yes", found.source))
    for name in gpu_names():
        gigabytes = round(data_sheet(name).memory_bytes / 1e9, 1)
        rows.append((name, gigabytes, "no", "data sheet; block times are estimated"))
    return Inventory(columns=("name", "memory GB", "measured", "source"), rows=tuple(rows))


def _models() -> Inventory:
    from ..perfmodel.catalogue import BYTES_PER_VALUE, architecture, model_names, model_spec

    rows: list[tuple[Cell, ...]] = []
    for name in model_names():
        shape = architecture(name)
        sizes = [round(model_spec(name, q).whole_bytes / 1e9, 1) for q in BYTES_PER_VALUE]
        rows.append((name, shape.family, shape.num_blocks, shape.hidden_size, *sizes))
    columns = ("name", "family", "blocks", "hidden size", *(f"GB {q}" for q in BYTES_PER_VALUE))
    return Inventory(columns=columns, rows=tuple(rows))


def _methods() -> Inventory:
    from ..methods.table import method_named, method_names

    found = [method_named(name) for name in method_names()]
    return Inventory(
        columns=("name", "works for", "what it is"),
        rows=tuple((m.name, m.aim, m.note) for m in found),
    )


def _routers() -> Inventory:
    from ..methods.routers import router_names, unguarded

    return Inventory(
        columns=("name", "what it is"),
        rows=tuple((name, _told(unguarded(name))) for name in router_names()),
    )


def _told(router: object) -> str:
    """The first line of what a router says of itself, or its module where it is too short."""
    made = router if inspect.isclass(router) else type(router)
    module = inspect.getmodule(made)
    texts = (made.__doc__, module.__doc__ if module else "")
    return max(((text or "").strip().split("\n")[0] for text in texts), key=len)


def _topologies() -> Inventory:
    from ..scenarios.topologies import load_topology, topology_names

    rows = []
    for name in topology_names():
        found = load_topology(name, Path())
        rows.append((name, len(found.labels), len(found.sources) // 2))
    return Inventory(columns=("name", "nodes", "links"), rows=tuple(rows))


def _scenarios() -> Inventory:
    from ..scenarios.shipped import shipped_names, shipped_scenario

    rows = []
    for name in shipped_names():
        problem = (found := shipped_scenario(name)).problem
        told = found.document.description or "servers on a published backbone"
        rows.append((name, problem.num_servers, problem.model.name, told))
    return Inventory(columns=("name", "servers", "model", "what it is"), rows=tuple(rows))


KINDS: Mapping[Listed, Callable[[], Inventory]] = {
    "devices": _devices,
    "models": _models,
    "methods": _methods,
    "routers": _routers,
    "topologies": _topologies,
    "scenarios": _scenarios,
}
