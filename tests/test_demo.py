"""The demo: half a minute, and what it found."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from swarmplan.cli import main
from swarmplan.views.demo import _sooner

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "scenarios" / "tiny.toml"


def test_the_demo_ends_with_what_it_found_and_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["demo", str(TINY), "--time-limit", "1", "--seeds", "1"]
    found = CliRunner().invoke(main, options, catch_exceptions=False)
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    said = next(i for i, line in enumerate(lines) if line.startswith("auto answers in "))
    assert "where PETALS as shipped takes" in " ".join(lines[said : said + 3])
    assert any("what each server is for" in line.lower() for line in lines[:said])
    assert any(" client  " in line or "no map" in line for line in lines[:said])
    after = "\n".join(lines[said:])
    assert "Report: demo.html" in after
    assert "swarmplan explain" in after
    page = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert "What each server is for" in page
    assert "petals-tuned" in page
    verified = CliRunner().invoke(main, ["verify", "demo.plan.json", str(TINY)])
    assert verified.exit_code == 0, verified.stdout


def test_the_demo_overwrites_nothing_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.html").write_text("mine")
    found = CliRunner().invoke(main, ["demo", str(TINY)])
    assert found.exit_code == 2
    assert (tmp_path / "demo.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (1147, 115, "10 times sooner"),
        (315, 110, "2.9 times sooner"),
        (100, 80, "20 % sooner"),
        (100, 110, "10 % later"),
        (100, float("nan"), "no request was completed"),
    ],
)
def test_gains_are_told_as_people_say_them(before: float, after: float, said: str) -> None:
    assert _sooner(before, after) == said


def test_make_demo_is_that_command() -> None:
    dry = ["make", "--dry-run", "--old-file=.venv/.core", "demo"]
    told = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "swarmplan demo" in told
    assert told.count("bin/swarmplan ") == 1
