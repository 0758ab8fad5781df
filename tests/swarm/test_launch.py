"""Launch files: exact flags, nothing in a name gets out of its quotes."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.api import plan
from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.planfile import plan_document, write_plan
from swarmplan.scenarios.scenario import Scenario, load_scenario
from swarmplan.swarm import launch
from swarmplan.swarm.launch import LaunchOptions, _systemd_word, file_name, launch_files
from swarmplan.swarm.limits import petals_limits
from swarmplan.swarm.record import read_record, record_of

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def test_the_flags_are_those_of_the_plan() -> None:
    scenario = load_scenario(SCENARIOS / "tiny.toml")
    made = plan(scenario.problem, "cg-bp")
    files = launch_files(made, scenario, LaunchOptions(model="toy", initial_peers=["/ip4/1"]))
    by_id = {f.server: f for f in files}
    for j, server in enumerate(scenario.problem.servers):
        start, end = int(made.placement.start[j]), int(made.placement.end[j])
        flags = by_id[server.id].command
        assert flags[flags.index("--block_indices") + 1] == f"{start}:{end}"
        tokens = int(flags[flags.index("--attn_cache_tokens") + 1])
        assert tokens == int(made.placement.cache_bytes[j]) // (4096 * (end - start))
        assert flags[-2:] == ("--initial_peers", "/ip4/1")


def changed(folder: Path, *changes: tuple[str, str]) -> Scenario:
    text = (SCENARIOS / "tiny.toml").read_text().replace("memory_gb = 1", "memory_gb = 4")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "s.toml").write_text(text)
    return load_scenario(folder / "s.toml")


@pytest.mark.parametrize(
    ("prompt", "flags"),
    [
        (1_900, {}),
        (2_030, {"--inference_max_length": "2070"}),
        (3_000, {"--inference_max_length": "3040", "--max_batch_size": "3000"}),
    ],
)
def test_sessions_beyond_what_petals_accepts_get_their_flags(
    prompt: int, flags: dict[str, str], tmp_path: Path
) -> None:
    scenario = changed(tmp_path, ("prompt_tokens = 50", f"prompt_tokens = {prompt}"))
    made = plan(scenario.problem, "cg-bp")
    command = launch_files(made, scenario, LaunchOptions(model="toy"))[0].command
    limits = ("length", "batch_size", "timeout")
    found = {w: command[i + 1] for i, w in enumerate(command) if w.endswith(limits)}
    assert found == flags


def test_sessions_that_petals_would_cut_get_longer_time_outs(tmp_path: Path) -> None:
    scenario = changed(tmp_path)
    made = plan(scenario.problem, "cg-bp")
    slow = [replace(p, ttft_s=100.0, tpot_s=60.0) for p in made.predicted]
    command = launch_files(replace(made, predicted=tuple(slow)), scenario, LaunchOptions(model="x"))
    words = command[0].command
    outputs = scenario.problem.planning.output_tokens
    wanted = {
        "--request_timeout": 400,
        "--step_timeout": 400,
        "--session_timeout": 4 * (100 + 60 * outputs),
    }
    assert {name: int(words[words.index(name) + 1]) for name in wanted} == wanted


def test_what_the_operator_says_comes_last_and_counts(tmp_path: Path) -> None:
    scenario = changed(tmp_path, ("prompt_tokens = 50", "prompt_tokens = 3000"))
    options = LaunchOptions(model="x", extra=["--inference_max_length", "9000"])
    words = launch_files(plan(scenario.problem, "cg-bp"), scenario, options)[0].command
    assert [words[i + 1] for i, w in enumerate(words) if w == "--inference_max_length"][-1] == (
        "9000"
    )


def test_sessions_longer_than_running_servers_allow_are_warned_of(tmp_path: Path) -> None:
    long = ("prompt_tokens = 50", "prompt_tokens = 3000")
    assert not any("running servers" in w for w in changed(tmp_path, long).warnings)
    text = (tmp_path / "s.toml").read_text()
    (tmp_path / "s.toml").write_text(
        text.replace("\n[[servers]]\n", "\n[[servers]]\nspan = [0, 6]\n")
    )
    scenario = load_scenario(tmp_path / "s.toml")
    assert any("--inference_max_length 3040" in w for w in scenario.warnings)
    write_plan(tmp_path / "plan.json", plan(scenario.problem, "cg-bp"), scenario)
    for words in (
        ["plan", str(tmp_path / "s.toml"), "--method", "cg-bp", "-q"],
        ["verify", str(tmp_path / "plan.json"), str(tmp_path / "s.toml")],
    ):
        done = CliRunner().invoke(main, words)
        assert "running servers of PETALS allow" in done.stderr, (done.stdout, done.stderr)


def test_a_followers_limits_are_those_of_the_plan(tmp_path: Path) -> None:
    scenario = changed(tmp_path, ("prompt_tokens = 50", "prompt_tokens = 3000"))
    document = plan_document(plan(scenario.problem, "cg-bp"), scenario)
    packed = record_of(scenario, document, prefix="p", version=1, now_s=1e6, valid_s=9.0)
    found = read_record(packed, prefix="p", now_s=1e6).limits
    assert (found.inference_max_length, found.max_batch_size) == (3_040, 3_000)
    allowed = petals_limits(scenario.problem)
    assert set(found.beyond(allowed)) == {"inference_max_length", "max_batch_size"}
    assert found.beyond(replace(allowed, inference_max_length=9_999, max_batch_size=9_999)) == {}


def test_the_command_writes_three_files_for_each_server(tmp_path: Path) -> None:
    scenario = load_scenario(SCENARIOS / "tiny.toml")
    write_plan(tmp_path / "plan.json", plan(scenario.problem, "cg-bp"), scenario)
    words = ["swarm", "launch-files", str(tmp_path / "plan.json"), str(SCENARIOS / "tiny.toml")]
    result = CliRunner().invoke(main, [*words, "--model", "toy", "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.stderr
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert len(names) == 12
    assert "fast-0.service" in names
    assert (tmp_path / "out" / "fast-0.sh").stat().st_mode & 0o111


@given(st.text(max_size=40))
def test_any_name_makes_a_plain_file_name(name: str) -> None:
    made = file_name(name)
    assert made
    assert "/" not in made
    assert not made.startswith(".")


@given(st.text(max_size=60).filter(lambda t: "\x00" not in t and t.isprintable()))
def test_any_model_name_stays_one_word(name: str) -> None:
    scenario = load_scenario(SCENARIOS / "tiny.toml")
    made = PLAN
    files = launch_files(made, scenario, LaunchOptions(model=name))[0]
    assert shlex.split(files.shell.splitlines()[-1])[4] == name
    words = files.compose.split("command: [")[1].split("\n    ]")[0]
    assert json.loads(f"[{words}]")[3] == name.replace("$", "$$")
    assert "\n" not in _systemd_word(name)


PLAN = plan(load_scenario(SCENARIOS / "tiny.toml").problem, "cg-bp")


@given(st.sampled_from(["a\\", "\\", "x\\\\", "\U0001f600\\", "a\\\n"]) | st.text(max_size=9))
def test_any_id_leaves_every_line_of_the_files_its_own(server: str) -> None:
    """A backslash at the end of a description would take in the line after it."""
    own = launch.LaunchFlags(span=(0, 4), tokens=100, quantisation=None, adapters=("a\\",))
    one = launch._files(server, own, LaunchOptions(model="m\U0001f600\\"))
    lines = one.unit.splitlines()
    assert not any(line.endswith("\\") for line in lines)
    assert lines[2] == "After=network-online.target"
    assert one.shell.splitlines()[2].startswith("exec ")
    assert one.compose.splitlines()[1] == "services:"
    assert "\\ud8" not in one.compose
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (service,) = yaml.safe_load(one.compose)["services"].values()
    assert service["command"] == [word.replace("$", "$$") for word in one.command]


@pytest.mark.parametrize("suffix", [".sh", ".service", ".compose.yml"])
def test_launch_files_are_not_written_through_links(suffix: str, tmp_path: Path) -> None:
    made = launch_files(PLAN, load_scenario(SCENARIOS / "tiny.toml"), LaunchOptions(model="m"))
    (tmp_path / ("fast-0" + suffix)).symlink_to(tmp_path / "victim")
    with pytest.raises(ScenarioError, match="is a link"):
        launch.write_launch_files(made, tmp_path)
    assert not (tmp_path / "victim").exists()
