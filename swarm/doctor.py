"""What is installed, what is wrong with it, and how to mend it."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import SwarmplanError
from .compat import REMEDIES, Remedy
from .needs import HOW, missing_packages, quiet_imports

Verdict = Literal["ok", "remedied", "optional", "differs", "missing", "broken"]
#: Packages whose version matters; the rest of the constraints file follows from them.
_WATCHED = (
    "petals",
    "hivemind",
    "transformers",
    "torch",
    "tensor-parallel",
    "accelerate",
    "numpy",
    "pydantic",
    "protobuf",
    "tokenizers",
    "huggingface-hub",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    verdict: Verdict
    advice: str = ""


def examine() -> tuple[Finding, ...]:
    """Packages against the tested versions, then every remedy's own look at its defect."""
    packages = [_package(name, wanted) for name, wanted in _tested().items() if name in _WATCHED]
    found = [_python(), *sorted(packages, key=lambda f: f.what)]
    if missing_packages():
        return tuple(found)
    quiet_imports()
    return (*found, *(_remedy(r) for r in REMEDIES))


def is_usable(findings: tuple[Finding, ...]) -> bool:
    """Whether the live commands can work here."""
    return all(f.verdict not in ("missing", "broken") for f in findings)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] == (3, 11) and sys.platform == "linux":
        return Finding(what="python", found=version, verdict="ok")
    advice = "tested with Python 3.11 on Linux only"
    return Finding(
        what="python", found=f"{version} {sys.platform}", verdict="differs", advice=advice
    )


def _tested() -> dict[str, str]:
    lines = (Path(__file__).parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = (line.split("==") for line in lines if "==" in line)
    return {name.strip().lower().replace("_", "-"): version.strip() for name, version in pinned}


def _package(name: str, wanted: str) -> Finding:
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(what=name, found="-", verdict="missing", advice="make swarm-env")
    if found.split("+")[0] == wanted:
        return Finding(what=name, found=found, verdict="ok")
    advice = f"tested with {wanted}: pip install -c swarm/constraints.txt {name}=={wanted}"
    return Finding(what=name, found=found, verdict="differs", advice=advice)


def _remedy(remedy: Remedy) -> Finding:
    """Look for the defect and mend it here, since later looks import what earlier ones mend."""
    what = f"remedy {remedy.name}"
    try:
        if not remedy.is_needed():
            return Finding(what=what, found="defect not present", verdict="ok")
        if not remedy.default:
            advice = f"{remedy.cure}; on request: SWARMPLAN_WITH_REMEDIES={remedy.name}"
            return Finding(what=what, found=remedy.defect, verdict="optional", advice=advice)
        remedy.apply()
        cured = not remedy.is_needed()
    except (ImportError, AttributeError, SwarmplanError) as error:
        return Finding(
            what=what, found=f"{type(error).__name__}: {error}", verdict="broken", advice=HOW
        )
    if cured:
        return Finding(what=what, found=remedy.defect, verdict="remedied", advice=remedy.cure)
    advice = "the remedy does not help with these versions; " + HOW
    return Finding(what=what, found=remedy.defect, verdict="broken", advice=advice)
