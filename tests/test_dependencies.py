"""The bounds of setup.cfg are those that CI runs with."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def requirements() -> dict[str, Requirement]:
    """The core dependencies by name."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split()
    return {r.name: r for r in map(Requirement, lines)}


def pins(name: str) -> dict[str, Version]:
    """The versions of a constraints file."""
    lines = (ROOT / ".ci" / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {package: Version(version) for package, version in pairs}


@pytest.mark.parametrize("name", ["lowest.txt", "newest.txt"])
def test_every_core_dependency_is_pinned_within_its_bounds(name: str) -> None:
    asked, pinned = requirements(), pins(name)
    assert list(pinned) == sorted(asked)
    outside = {n: str(v) for n, v in pinned.items() if v not in asked[n].specifier}
    assert not outside, f".ci/{name} pins what setup.cfg does not allow"


def test_the_lowest_pin_is_the_lower_bound() -> None:
    bounds = {
        name: Version(s.version)
        for name, asked in requirements().items()
        for s in asked.specifier
        if s.operator == ">="
    }
    assert bounds == pins("lowest.txt")


def test_every_core_dependency_has_an_upper_bound() -> None:
    open_ended = [
        name
        for name, asked in requirements().items()
        if not any(s.operator == "<" for s in asked.specifier)
    ]
    assert not open_ended, "say in setup.cfg up to which version it is tested"
