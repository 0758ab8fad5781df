"""The scenario files that come with the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from .scenario import Scenario, load_scenario


@cache
def shipped_names() -> tuple[str, ...]:
    """Names of the shipped scenarios, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def shipped_file(name: str) -> Path:
    """The file of a shipped scenario; upper and lower case are alike.

    Raises
    ------
    ScenarioError
        If there is none of that name; the message lists near matches.
    """
    known = {shipped.casefold(): shipped for shipped in shipped_names()}
    found = known.get(name.casefold().removesuffix(".toml"))
    if found is None:
        from ..perfmodel.catalogue import unknown_name

        raise unknown_name("shipped scenario", name, shipped_names())
    return _folder() / f"{found}.toml"


def shipped_scenario(name: str) -> Scenario:
    """A shipped scenario by its name; errors as ``shipped_file``."""
    return load_scenario(shipped_file(name))


def _folder() -> Path:
    return Path(str(files(__package__)))
