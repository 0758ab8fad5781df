"""``make`` after environments that failed, with a Python that only notes what it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = """#!/bin/sh
echo "$*" >> "$FOLDER/told"
case "$*" in
*"import ensurepip"*) exit ${NO_VENV:-0} ;;
*"import pip"*) exit 0 ;;
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def make(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", f"PYTHON={folder / 'python'}", ".venv/.core"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "FOLDER": str(folder), **environment},
    )


def told(folder: Path) -> str:
    return (folder / "told").read_text()


@pytest.mark.parametrize("left", ["no pip", "no python", "half installed", "dangling"])
def test_what_a_failed_environment_left_behind_is_made_anew(left: str, folder: Path) -> None:
    place = folder / ".venv" / "bin"
    place.mkdir(parents=True)
    if left == "dangling":
        (place / "python").symlink_to("/no/such/python")
    elif left != "no python":
        (place / "python").write_text("#!/bin/sh\nexit 1\n")
        (place / "python").chmod(0o755)
    if left == "half installed":
        (folder / ".venv" / ".core").touch()
    done = make(folder)
    assert done.returncode == 0, done.stderr
    assert "-m venv .venv" in told(folder)
    assert "-m pip install" in told(folder)


def test_the_simulator_is_compiled_when_it_is_installed(folder: Path) -> None:
    assert make(folder).returncode == 0
    assert "-m swarmplan.cli plan" in told(folder).split("pip install", 1)[1]


def test_a_good_environment_is_kept(folder: Path) -> None:
    assert make(folder).returncode == 0
    (folder / "told").unlink()
    assert make(folder).returncode == 0
    assert "venv .venv" not in told(folder)
    assert "pip install" not in told(folder)


def test_a_python_without_venv_is_told_in_a_line(folder: Path) -> None:
    done = make(folder, NO_VENV="1")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stdout
    assert "-m venv .venv" not in told(folder)
    assert not (folder / ".venv").exists()
