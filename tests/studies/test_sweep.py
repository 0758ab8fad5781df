"""Sweeps: the same numbers wherever, however often stopped."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan import api
from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.simulator.metrics import summarise
from swarmplan.studies.store import Store, read_results
from swarmplan.studies.sweepfile import load_sweep
from swarmplan.studies.sweepgroups import groups_of
from swarmplan.tests.extras import needs

TINY = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"
SWEEP = f"""
format = "swarmplan/sweep/1"
scenario = "{TINY}"
seeds = 2
requests = 40
[grid]
method = ["cg-bp", "petals"]
load = [1, 3]
"servers.slow.memory_gb" = [0.6, 0.9]
[variants.all]
[variants.one-less]
remove = ["slow-1"]
"""


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What one process leaves when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "sweep.toml").write_text(SWEEP)
    done = run("sweep", folder / "sweep.toml", "-j", "1", "-o", folder / "out.jsonl")
    assert done.exit_code == 0
    return (folder / "out.jsonl").read_bytes()


def test_points_are_the_product_of_variants_lists_and_seeds(sweep: Path) -> None:
    points = load_sweep(sweep).points
    assert len(points) == 2 * 2 * 2 * 2 * 2
    assert [p.index for p in points] == list(range(32))
    assert len({(p.variant, p.values, p.seed) for p in points}) == 32


def test_a_configuration_gives_the_figures_of_a_run_of_its_own(expected: bytes) -> None:
    records = [json.loads(line) for line in expected.splitlines()[1:]]
    plain = {"method": "cg-bp", "load": 1, "servers.slow.memory_gb": 0.6}
    for record in records:
        if record["variant"] == "all" and record["values"] == plain:
            single = api.simulate(
                load_scenario(TINY), method="cg-bp", requests=40, seed=record["seed"]
            )
            written = json.dumps(asdict(summarise(single)))
            # What is not known is null in the file.
            assert record["summary"] == json.loads(written, parse_constant=lambda _: None)


def test_two_processes_leave_the_same_bytes_as_one(sweep: Path, expected: bytes) -> None:
    out = sweep.with_name("out.jsonl")
    assert run("sweep", sweep, "-j", "2", "-o", out).exit_code == 0
    assert out.read_bytes() == expected


def test_a_sweep_killed_half_way_goes_on_and_ends_the_same(sweep: Path, expected: bytes) -> None:
    out = sweep.with_name("out.jsonl")
    command = [
        sys.executable,
        "-m",
        "swarmplan.cli",
        "sweep",
        str(sweep),
        "-j",
        "1",
        "-o",
        str(out),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(2_000):
        if process.poll() is not None or (out.exists() and out.read_bytes().count(b"\n") > 4):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = set(out.read_bytes().splitlines())
    again = run("sweep", sweep, "-j", "1", "-o", out)
    assert "results were there already" in again.stderr
    assert out.read_bytes() == expected
    assert before <= set(expected.splitlines())


@settings(max_examples=12)
@given(cut=st.integers(0, 6_000))
def test_a_file_cut_anywhere_is_resumed_without_loss(
    tmp_path_factory: pytest.TempPathFactory, expected: bytes, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "out.jsonl"
    path.write_bytes(expected[:cut])
    whole = [json.loads(line) for line in expected.splitlines()]
    with Store(path, whole[0]["sweep_sha256"], 32) as store:
        kept = expected[:cut].count(b"\n")
        assert len(store.done) == max(0, kept - 1)
        for record in whole[1:]:
            store.append(record)
        store.finish()
    assert path.read_bytes() == expected


def test_results_of_another_sweep_are_never_mixed(sweep: Path, expected: bytes) -> None:
    out = sweep.with_name("out.jsonl")
    out.write_bytes(expected)
    sweep.write_text(SWEEP.replace("requests = 40", "requests = 41"))
    done = run("sweep", sweep, "-o", out)
    assert done.exit_code == 2
    assert "another sweep" in done.stderr
    assert out.read_bytes() == expected


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Store(path, "a" * 64, 1), pytest.raises(ScenarioError, match="another run"):
        Store(path, "a" * 64, 1)


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"format": "swarmplan/results/1"}\nnonsense\n')
    with pytest.raises(ScenarioError, match="line 2"):
        read_results(path)


def test_what_cannot_be_planned_is_a_result_with_its_reason(sweep: Path) -> None:
    text = SWEEP.replace('remove = ["slow-1"]', 'remove = ["slow", "fast-1"]')
    sweep.write_text(text)
    out = sweep.with_name("out.jsonl")
    done = run("sweep", sweep, "-j", "1", "-o", out)
    assert done.exit_code == 0
    assert "failed:" in done.stdout
    _, records, _ = read_results(out)
    assert all(bool(r["error"]) == (r["variant"] == "one-less") for r in records.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = 2", "seeds = 0", "seeds"),
        ("load = [1, 3]", "load = [1, -3]", "not a factor"),
        ("load = [1, 3]", "load = []", "load"),
        ("requests = 40", "request = 40", "unknown"),
        ('remove = ["slow-1"]', 'removed = ["slow-1"]', "unknown"),
        (str(TINY), "nowhere.toml", "cannot be read"),
        ('"petals"]', '"magic"]', "grid.method: no method 'magic'"),
        ("[grid]", 'admission = "first"\n[grid]', "admission"),
        ("load = [1, 3]", 'admission = ["first"]', "grid.admission: 'first' is no waiting rule"),
        ("load = [1, 3]", 'router = ["magic"]', "grid.router: no router 'magic'"),
        ("load = [1, 3]", "requests = [10, 0]", "grid.requests: 0 is not a whole number"),
        ("load = [1, 3]", "requests = [2.5]", "grid.requests: 2.5 is not a whole number"),
        ("servers.slow.memory_gb", "servers.nobody.memory_gb", "names nothing"),
        ("servers.slow.memory_gb", "servers.slow.memory", "unknown"),
        ("seeds = 2", 'method = "magic"', "method: no method 'magic'"),
        ('["slow-1"]', '["nobody"]', "variants.one-less: no server, group or region"),
        ('["slow-1"]', '["slow-1"]\nmethod = "magic"', "variants.one-less: no method"),
        ("seeds = 2", "seeds = 100000", "has 1,600,000 configurations"),
    ],
)
def test_defects_of_a_sweep_are_named(sweep: Path, old: str, new: str, message: str) -> None:
    sweep.write_text(SWEEP.replace(old, new))
    with pytest.raises(ScenarioError, match=message):
        load_sweep(sweep)


def test_a_grid_value_needs_to_do_with_one_variant_only(sweep: Path) -> None:
    text = SWEEP.replace('remove = ["slow-1"]', 'remove = ["slow"]')
    sweep.write_text(text.replace("load = [1, 3]", "load = [1]"))
    assert len(load_sweep(sweep).points) == 16  # slow has no memory where it is gone: a result


def test_a_place_that_cannot_be_written_is_said_before_anything_runs(
    sweep: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = run("sweep", sweep, "-j", "1", "-o", blocked / "out.jsonl")
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr


def test_ctrl_c_leaves_what_is_done_and_exits_130(sweep: Path, expected: bytes) -> None:
    out = sweep.with_name("out.jsonl")
    command = [sys.executable, "-m", "swarmplan.cli", "sweep", str(sweep), "-j", "1"]
    process = subprocess.Popen(
        [*command, "-o", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    for _ in range(2_000):
        if process.poll() is not None or (out.exists() and out.read_bytes().count(b"\n") > 4):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert told.decode().strip().endswith("interrupted")
    run("sweep", sweep, "-j", "1", "-o", out)
    assert out.read_bytes() == expected


def record(index: int, response: float, rate: float) -> dict[str, Any]:
    one = {"mean": response, "p95": response}
    summary = {
        "response_s": one,
        "ttft_s": one,
        "tpot_s": one,
        "wait_s": one,
        "tokens_per_s": rate,
        "mean_hops": 1.0,
        "completed": 10,
        "requests": 10,
    }
    values = {"load": index}
    return {
        "index": index,
        "variant": "",
        "values": values,
        "seed": 0,
        "summary": summary,
        "error": "",
    }


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    groups = groups_of([record(i, float(r), float(t)) for i, (r, t) in enumerate(points)])
    front = {points[i] for i, g in enumerate(groups) if g.pareto}
    beaten = {p for p in points if any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)}
    assert front == set(points) - beaten


#: A sweep on two worker processes that counts how often the sweep with its scenario is sent.
COUNTED = """
from pathlib import Path
from swarmplan.studies import sweepfile
from swarmplan.studies.store import Store
from swarmplan.studies.sweep import run_sweep

sent = 0
plain = sweepfile.Prepared.__getstate__

def counted(self):
    global sent
    sent += 1
    return plain(self)

if __name__ == "__main__":
    sweepfile.Prepared.__getstate__ = counted
    plan = sweepfile.load_sweep(Path({sweep!r}))
    with Store(Path({out!r}), plan.sha256, len(plan.points)) as store:
        run_sweep(plan, store, jobs=2, backend="dask")
    print(sent, len(plan.points))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_cluster_of_two_workers_gives_the_same_bytes(
    sweep: Path, expected: bytes, backend: str, package: str
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install swarmplan[{backend}]")
    out = sweep.with_name("out.jsonl")
    command = [sys.executable, "-m", "swarmplan.cli", "sweep", str(sweep), "-o", str(out)]
    command += ["-j", "2", "--backend", backend]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, timeout=300, env=environment)
    assert out.read_bytes() == expected


def test_workers_of_a_cluster_share_one_scenario(
    sweep: Path, expected: bytes, tmp_path: Path
) -> None:
    needs("dask")
    script = tmp_path / "counted.py"
    script.write_text(COUNTED.format(sweep=str(sweep), out=str(tmp_path / "out.jsonl")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)],
        check=True,
        capture_output=True,
        timeout=300,
        env=environment,
        text=True,
    )
    sent, tasks = map(int, done.stdout.split())
    assert sent <= 2 < tasks  # one for each worker, or one for both
    assert (tmp_path / "out.jsonl").read_bytes() == expected


def test_a_cluster_that_is_not_installed_says_how_to_install_it(sweep: Path) -> None:
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("ray is installed")
    done = run("sweep", sweep, "--backend", "ray", "-o", sweep.with_name("out.jsonl"))
    assert done.exit_code == 6
    assert "swarmplan[ray]" in done.stderr
