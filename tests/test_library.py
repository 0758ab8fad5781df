"""The library: its page's script runs, it takes names and objects, packages can add to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import swarmplan
from swarmplan import api
from swarmplan.core.plan import Placement, Plan
from swarmplan.methods.draft import Draft
from swarmplan.methods.table import Method, method_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.placement.task import Task
from swarmplan.simulator.metrics import WARM_UP, summarise
from swarmplan.simulator.service import Yardstick
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

ROOT = Path(__file__).resolve().parents[1]
DEMO, TINY = (ROOT / "scenarios" / f"{name}.toml" for name in ("demo", "tiny"))
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def python(
    code: str, *paths: Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own."""
    found = os.pathsep.join([*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": found, **env},
    )


@pytest.mark.slow
def test_the_script_of_the_page_runs_in_ten_lines(tmp_path: Path) -> None:
    (script,) = SCRIPTS
    assert len([line for line in script.splitlines() if line.strip()]) <= 12
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    done = python(script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "petals" in done.stdout
    assert (tmp_path / "comparison.html").stat().st_size > 10_000


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "['click', 'highspy', 'joblib', 'msgspec', 'networkx', 'numpy', 'pulp', 'rich']"
    done = python(f"import swarmplan, sys; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_it_offers_what_the_page_lists_and_says_what_is_not_there() -> None:
    listed = re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE)
    offered = {n for n in swarmplan.__all__ if callable(getattr(swarmplan, n))}
    assert offered - {"Settings", "SwarmplanError"} == set(listed)
    with pytest.raises(AttributeError, match="no attribute 'plann'"):
        swarmplan.plann  # noqa: B018


def rule(task: Task) -> Placement:
    """CG-BP under another name."""
    return cg_bp(task)


def test_functions_take_paths_scenarios_and_problems_names_and_objects() -> None:
    scenario = swarmplan.load(TINY)
    same = [
        swarmplan.plan(given, method)
        for given in (TINY, str(TINY), scenario, scenario.problem)
        for method in ("cg-bp", rule)
    ]
    assert {plan.placement for plan in same} == {same[0].placement}
    for given in (TINY, scenario, scenario.problem):
        assert not swarmplan.verify(given, same[0])
        assert swarmplan.simulate(given, same[0], requests=9).status == ("completed",) * 9
        assert swarmplan.explain(given, same[0])[0].to_dicts()


@pytest.mark.parametrize("name", ["seed", "gap", "aim", "metric", "admission", "time_limit_s"])
def test_no_setting_is_dropped_on_the_way_to_the_method(name: str) -> None:
    values: dict[str, Any] = {
        "seed": 7,
        "gap": 0.25,
        "aim": "throughput",
        "metric": "p95",
        "admission": "queue",
        "time_limit_s": 12.5,
    }
    heard: list[tuple[Task, swarmplan.Settings]] = []
    usual = method_named("cg-bp").make

    def make(task: Task, settings: swarmplan.Settings) -> Draft:
        heard.append((task, settings))
        return usual(task, settings)

    listening = Method(name="listening", make=make)
    settings = swarmplan.Settings(**{name: values[name]})
    api.plan(TINY, listening, settings=settings)
    task, told = heard[0]
    assert getattr(told, name) == values[name]
    assert {"seed": task.seed, "gap": task.gap}.get(name, values[name]) == values[name]
    api.plan(TINY, listening, settings=settings, seed=3)
    assert heard[1][1] == swarmplan.Settings(**{**{name: values[name]}, "seed": 3})


def test_results_are_rows_short_words_and_pictures() -> None:
    plan = swarmplan.plan(TINY, "cg-bp")
    assert isinstance(plan, Plan)
    run = swarmplan.simulate(TINY, plan, requests=20)
    found = swarmplan.compare(TINY, ["cg-bp", plan], seeds=[0], requests=20)
    change = swarmplan.whatif(TINY, scale_load=2.0, method="cg-bp", seeds=[0], requests=20)
    for result in (plan, run, found, change):
        rows = result.to_dicts()
        assert rows
        assert all(row.keys() == rows[0].keys() for row in rows)
        assert all(isinstance(v, int | float | str | None) for row in rows for v in row.values())
        assert len(repr(result)) < 200, repr(result)
        assert "<svg" in result._repr_html_() or "<table" in result._repr_html_()
    assert len(plan.to_dicts()) == 4
    assert len(run.to_dicts()) == 20


def test_shown_results_are_the_results_themselves() -> None:
    plan, bare = swarmplan.plan(TINY, "cg-bp"), api.plan(TINY, "cg-bp")
    assert all(getattr(plan, f.name) == getattr(bare, f.name) for f in fields(bare))


PACKAGE = """
from dataclasses import replace
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.routing.offline import Shortest
from swarmplan.scenarios.topologies import load_topology

def borrowed(task):
    return cg_bp(task)

class Quick(Shortest):
    pass

def backbone():
    return replace(load_topology("Abvt", None), name="backbone")

def wrong():
    return 7
"""
ENTRIES = """
[swarmplan.methods]
borrowed = borrowed_policies:borrowed
gone = borrowed_policies:gone
[swarmplan.routers]
quick = borrowed_policies:Quick
[swarmplan.topologies]
backbone = borrowed_policies:backbone
wrong = borrowed_policies:wrong
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An installed package that adds a method, a router and topologies."""
    info = tmp_path / "borrowed_policies-1.0.dist-info"
    info.mkdir()
    (tmp_path / "borrowed_policies.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: borrowed_policies\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    text = DEMO.read_text()
    for name in ("backbone", "wrong"):
        (tmp_path / f"{name}.toml").write_text(text.replace('"Abvt"', f'"{name}"'))
    return tmp_path


def command(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command with the package installed."""
    return python(f"from swarmplan.cli import main; main({list(words)!r})", package)


def test_a_package_adds_a_method_a_router_and_a_topology(package: Path) -> None:
    plan = package / "made.plan.json"
    scenario = str(package / "backbone.toml")
    options = ("--method", "borrowed", "--router", "quick", "--output", str(plan))
    done = command(package, "plan", scenario, *options)
    assert done.returncode == 0, done.stderr
    assert "requests are routed by quick" in done.stdout
    for words in (["verify", str(plan), scenario], ["simulate", scenario, "--plan", str(plan)]):
        done = command(package, *words)
        assert done.returncode == 0, done.stderr
    elsewhere = python(
        f"from swarmplan.cli import main; main(['verify', {str(plan)!r}, {str(DEMO)!r}])"
    )
    assert elsewhere.returncode != 0
    assert "no router 'quick'" in elsewhere.stdout + elsewhere.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("plan", "backbone.toml", "--method", "gone"), 1, "'gone' (borrowed_policies:gone)"),
        (("plan", "backbone.toml", "--method", "gome"), 2, "no method 'gome'; there are"),
        (("plan", "wrong.toml"), 2, "gives int, no Topology"),
    ],
)
def test_what_a_package_does_not_hold_is_told_in_one_line(
    package: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = command(package, *(str(package / w) if w.endswith(".toml") else w for w in words))
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_comparison_has_every_request_of_every_run() -> None:
    plan = swarmplan.plan(TINY, "cg-bp")
    found = swarmplan.compare(TINY, ["petals", plan], seeds=[3, 4], join_orders=2, requests=20)
    rows = found.requests()
    runs = {(row["method"], row["run"]) for row in rows}
    assert runs == {("petals", r) for r in range(4)} | {("plan by cg-bp", r) for r in range(2)}
    last = [row for row in rows if (row["method"], row["run"]) == ("plan by cg-bp", 1)]
    alone = swarmplan.simulate(TINY, plan, seed=4, requests=20).to_dicts()
    assert last == [{"method": "plan by cg-bp", "run": 1, **row} for row in alone]


@pytest.mark.parametrize("load", [0.5, 3.0])
def test_a_load_means_the_same_where_one_plan_is_simulated_and_where_many_are_compared(
    load: float,
) -> None:
    problem = at_load(swarmplan.load(TINY).problem, load)
    requests = draw_requests(problem, 4, num_requests=80)
    by = Yardstick.of(CostModel.of(problem), requests)
    for entry in ("cg-bp", swarmplan.plan(TINY, "cg-bp")):
        given = {"plan": entry} if isinstance(entry, Plan) else {"method": entry}
        run = swarmplan.simulate(TINY, **given, load=load, seed=4, requests=80)
        found = swarmplan.compare(TINY, [entry], load=load, seeds=[4], requests=80)
        assert found.rows[0].runs == (summarise(run, warm_up=WARM_UP, by=by),)
