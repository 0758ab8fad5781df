"""What other packages add: methods, routers and topologies by entry points, loaded when named."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from .errors import SwarmplanError

#: The groups of entry points; docs/library.md.
Group = Literal["swarmplan.methods", "swarmplan.routers", "swarmplan.topologies"]


@cache
def added(group: Group) -> Mapping[str, EntryPoint]:
    """Entry points of a group by name; installed packages are looked through once."""
    return {point.name: point for point in entry_points(group=group)}


def loaded(group: Group, name: str) -> Any:
    """What an entry point stands for.

    Raises
    ------
    SwarmplanError
        If its package cannot be imported.
    """
    point = added(group)[name]
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise SwarmplanError(
            f"the entry point {name!r} ({point.value}) of {group} cannot be loaded: {error}"
        ) from error
