"""Where commands write: nothing is lost that was there, nothing that was found."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from swarmplan.cli import main
from swarmplan.scenarios.files import is_sealed

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
EDIT = (
    "--set",
    "servers.slow-0.memory_gb=2",
    "--method",
    "cg-bp",
    "--seeds",
    "1",
    "--requests",
    "5",
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return Path(shutil.copy(FOLDER / "tiny.toml", tmp_path / "tiny.toml"))


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


def plan(scenario: Path, *args: str | Path) -> Result:
    return run("plan", scenario, "--method", "cg-bp", *args)


@pytest.mark.parametrize("option", ["-o", "--report"])
@pytest.mark.parametrize("way", ["same", "dotted", "symlink", "hard link"])
def test_an_input_is_never_overwritten(option: str, way: str, tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "other.toml"
    if way == "symlink":
        target.symlink_to(tiny)
    elif way == "hard link":
        os.link(tiny, target)
    else:
        target = (
            tiny if way == "same" else tiny.parent / "." / ".." / tiny.parent.name / "tiny.toml"
        )
    before = tiny.read_bytes()
    done = plan(tiny, option, target)
    assert done.exit_code == 2
    assert "is an input, or another output" in done.stderr
    assert "--force" in done.stderr
    assert done.stdout == ""  # before the work
    assert tiny.read_bytes() == before


def test_what_a_scenario_refers_to_is_an_input(tmp_path: Path) -> None:
    text = (FOLDER / "tiny.toml").read_text()
    head, _, rest = text.partition("[[workload.streams]]")
    tail = rest[rest.index("[[clients]]") :]
    (tmp_path / "t.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,5,5\n1,5,5\n")
    scenario = tmp_path / "traced.toml"
    scenario.write_text(f'{head}[workload.trace]\ncsv = "t.csv"\n{tail}')
    done = run("simulate", scenario, "--method", "cg-bp", "--table", tmp_path / "t.csv")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "t.csv' is an input" in done.stderr


def test_two_outputs_need_two_places(tiny: Path, tmp_path: Path) -> None:
    for force in ((), ("--force",)):
        done = plan(tiny, "-o", tmp_path / "x", "--report", tmp_path / "x", *force)
        assert done.exit_code == 2
        assert "another output" in done.stderr
        assert not (tmp_path / "x").exists()


def test_a_file_of_somebody_else_needs_force(tiny: Path, tmp_path: Path) -> None:
    for option, name in (("-o", "p.json"), ("--report", "r.html")):
        target = tmp_path / name
        target.write_text("dear diary")
        done = plan(tiny, option, target)
        assert done.exit_code == 2
        assert "of swarmplan: --force overwrites it" in done.stderr
        assert target.read_text() == "dear diary"
        assert plan(tiny, option, target, "--force").exit_code == 0
        assert target.read_text() != "dear diary"


def test_own_and_empty_files_are_replaced(tiny: Path, tmp_path: Path) -> None:
    outputs = ("-o", tmp_path / "p.json", "--report", tmp_path / "r.html")
    (tmp_path / "p.json").touch()
    for _ in range(2):
        assert plan(tiny, *outputs).exit_code == 0
    table = ("--method", "cg-bp", "--requests", "5", "--table")
    for name in ("t.csv", "t.jsonl"):
        for _ in range(2):
            assert run("simulate", tiny, *table, tmp_path / name).exit_code == 0
    assert run("simulate", tiny, *table, tmp_path / "p.json").exit_code == 2
    assert plan(tiny, "-o", tmp_path / "t.csv").exit_code == 2


def test_a_written_scenario_is_ours_until_it_is_edited(tiny: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.toml"
    for _ in range(2):
        assert run("whatif", tiny, *EDIT, "-o", made).exit_code == 0
    assert is_sealed(made.read_bytes())
    assert run("scenario", "generate", made).exit_code == 0
    made.write_text(made.read_text() + "# my own remark\n")
    assert run("scenario", "generate", made).exit_code == 2
    assert run("scenario", "generate", made, "--force").exit_code == 0
    assert run("scenario", "generate", tiny).exit_code == 2


@pytest.mark.parametrize("place", ["file/inside", "n" * 300, "/proc/none/x"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    place: str, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = plan(tiny, "-o", tmp_path / place)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "cannot be written" in done.stderr


def test_a_new_folder_is_made_only_with_the_result(tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "p.json"
    assert run("plan", tiny, "--method", "nonsense", "-o", target).exit_code == 2
    assert not (tmp_path / "new").exists()
    assert plan(tiny, "-o", target).exit_code == 0
    assert json.loads(target.read_text())["scenario"] == "tiny"


def test_a_result_is_kept_where_its_file_cannot_be_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, real = tmp_path / "p.json", os.replace

    def full(source: str, place: Path) -> None:
        if Path(place) == target:
            raise OSError(28, "No space left on device")
        real(source, place)

    monkeypatch.setattr(os, "replace", full)
    done = plan(tiny, "-o", target)
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert "tiny" in done.stdout or "server" in done.stdout
    kept = Path(done.stderr.partition("kept as ")[2].splitlines()[0])
    assert json.loads(kept.read_text())["scenario"] == "tiny"
    assert not list(tmp_path.glob("*.part"))


def test_a_device_stays_a_device(tiny: Path) -> None:
    done = run("simulate", tiny, "--method", "cg-bp", "--requests", "5", "--table", "/dev/null")
    assert done.exit_code == 0
    assert plan(tiny, "-o", "/dev/null").exit_code == 0
    assert not Path("/dev/null").is_file()
    full = run("simulate", tiny, "--method", "cg-bp", "--requests", "5", "--table", "/dev/full")
    assert full.exit_code == 2
    assert "No space left" in full.stderr
