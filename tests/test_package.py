"""What is installed: every package and data file of the tree, nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Top-level folders that are no part of the installed package.
APART = {"tests", "benchmarks", "docs", "build", "dist", "out", "ui"}


def listed() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["options"]["packages"].split()


def packages_of_the_tree() -> list[str]:
    found = ["swarmplan"]
    for file in ROOT.rglob("__init__.py"):
        parts = file.relative_to(ROOT).parts[:-1]
        if parts and not parts[0].startswith(".") and parts[0] not in APART:
            found.append(".".join(("swarmplan", *parts)))
    return sorted(found)


def test_setup_cfg_lists_exactly_the_packages_of_the_tree_in_order() -> None:
    assert listed() == packages_of_the_tree()


def test_every_folder_with_modules_is_a_package() -> None:
    known = {name.replace("swarmplan", ".", 1) for name in packages_of_the_tree()}
    for file in ROOT.glob("*/*.py"):
        folder = file.parent.name
        if folder not in APART and not folder.startswith("."):
            assert f"..{folder}" in known, f"{folder}/ has modules but no __init__.py"


@pytest.mark.slow
def test_a_build_holds_every_module_and_every_data_file(tmp_path: Path) -> None:
    """``build_py`` gathers what goes into the wheel; it needs no network and no wheel package."""
    pytest.importorskip("setuptools", reason="the package is built with setuptools")
    command = ["git", "ls-files", "-z"]
    known = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if known.returncode:
        pytest.skip("not a git checkout: which files belong to the tree is not known")
    files = [Path(name) for name in known.stdout.split("\0") if name]
    copy, out = tmp_path / "tree", tmp_path / "out"
    for name in files:
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    code = f"import setuptools; setuptools.setup(script_args=['build_py', '-d', {str(out)!r}])"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr[-2000:]
    held = {f.relative_to(out / "swarmplan") for f in out.rglob("*") if f.is_file()}
    folders = {Path(*name.split(".")[1:]) for name in listed()} - {Path()}
    expected = {
        name
        for name in files
        if (name.parent in folders and (name.suffix != ".md" or name.name == "CARD.md"))
        or name.parent in (Path("perfmodel/profiles"), Path("studio/page"))
        or (name.parent == Path() and (name.suffix == ".py" or name.name == "py.typed"))
    }
    assert held == {name for name in expected if (ROOT / name).is_file()}
