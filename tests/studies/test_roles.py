"""What each server of a plan is for, and which could be switched off."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from swarmplan import api
from swarmplan.cli import main
from swarmplan.core.constraints import Constraints
from swarmplan.core.plan import Plan
from swarmplan.core.problem import Problem
from swarmplan.methods.judge import Judge
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.studies import roles as studied
from swarmplan.studies.roles import Role, Roles, roles_of
from swarmplan.views.roles import purpose, verdict_lines
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
TINY = FOLDER / "tiny.toml"
QUIET = 0.01


def run(*args: object) -> Result:
    return CliRunner().invoke(main, list(map(str, args)), catch_exceptions=False)


@pytest.fixture(scope="module")
def quiet() -> Problem:
    """The tiny swarm with hardly a request: nobody waits for anybody."""
    return at_load(load_scenario(TINY).problem, QUIET)


def placed(problem: Problem, spans: Sequence[tuple[int, int]], router: str = "overlap") -> Plan:
    """A plan with these spans, its routes as they come."""
    made = api.plan(problem, "cg-bp", router=router)
    return replace(made, placement=CostModel.of(problem).placed(spans))


def fates(roles: Roles) -> list[str]:
    return [r.fate for r in roles.servers]


def spans_of(problem: Problem) -> list[tuple[int, int]]:
    """The first two servers host all blocks, the others nothing."""
    length = problem.model.num_blocks
    both = [(0, length // 2), (length // 2, length)]
    return both + [(0, 0)] * (problem.num_servers - 2)


def test_an_idle_server_is_useless_and_an_only_host_is_needed(quiet: Problem) -> None:
    roles = roles_of(quiet, placed(quiet, spans_of(quiet)), limit_s=None)
    assert fates(roles) == ["needed", "needed", *["useless"] * (quiet.num_servers - 2)]
    assert roles.dispensable == tuple(s.id for s in quiet.servers[2:])
    length = quiet.model.num_blocks
    assert roles.servers[0].alone == tuple(range(length // 2))
    assert purpose(roles.servers[-1], roles.chains) == "nothing: it hosts no block"


def test_those_that_are_named_can_go_together(quiet: Problem) -> None:
    spans = spans_of(quiet)
    spans[2] = spans[3] = (0, 4)
    spans[0] = (4, spans[0][1])
    roles = roles_of(quiet, placed(quiet, spans), limit_s=None)
    assert sorted(fates(roles)[2:4]) == ["needed", "no worth"]


def test_servers_that_no_request_passes_are_tried_at_once(
    quiet: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    before = studied.Bench.loss

    def counted(self: object, placement: object) -> object:
        tries.append(placement)
        return before(self, placement)  # type: ignore[arg-type]

    monkeypatch.setattr(studied.Bench, "loss", counted)
    spans = spans_of(quiet)
    spans[2], spans[3] = (0, 1), (1, 2)  # left at once, so never on the way
    roles = roles_of(quiet, placed(quiet, spans), limit_s=None)
    assert [r.share for r in roles.servers[2:4]] == [0, 0]
    assert roles.dispensable == tuple(s.id for s in quiet.servers[2:])
    assert len(tries) == 1


def test_a_server_with_work_is_missed() -> None:
    problem = load_scenario(FOLDER / "demo.toml").problem
    plan = api.plan(problem, "cg-bp", router="overlap")
    roles = roles_of(problem, plan, limit_s=None)
    busiest = max(roles.servers, key=lambda r: r.share)
    assert busiest.fate in ("helps", "needed")
    helping = [r for r in roles.servers if r.fate == "helps" and r.loss_s.mean == r.loss_s.mean]
    assert helping
    assert all(r.loss_s.mean > r.loss_s.half_width for r in helping)


def test_what_the_operator_demands_is_not_switched_off(quiet: Problem) -> None:
    spans = spans_of(quiet)
    spans[2] = (0, 2)
    assert "no worth" in fates(roles_of(quiet, placed(quiet, spans), limit_s=None))
    asked = replace(quiet.planning, constraints=Constraints(copies=2))
    roles = roles_of(replace(quiet, planning=asked), placed(quiet, spans), limit_s=None)
    assert "no worth" not in fates(roles)


def test_without_time_nothing_is_simulated_and_that_is_said(quiet: Problem) -> None:
    spans = spans_of(quiet)
    spans[2] = (0, 2)
    roles = roles_of(quiet, placed(quiet, spans), limit_s=0)
    assert roles.requests == 0
    assert fates(roles)[:3] == ["needed", "needed", "unknown"]
    assert "1 other servers could be switched off was not simulated" in verdict_lines(roles)[-1]


def test_when_time_is_over_the_rest_is_left_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_self: object, _placement: object) -> tuple[str, object]:
        time.sleep(2.5)
        return "helps", studied.NOTHING

    monkeypatch.setattr(studied.Bench, "loss", slow)
    problem = load_scenario(FOLDER / "demo.toml").problem
    roles = roles_of(problem, api.plan(problem, "cg-bp", router="overlap"), limit_s=2.0)
    assert fates(roles).count("helps") <= 1
    assert roles.unknown


@pytest.mark.parametrize("router", ["overlap", "ws-rr"])
def test_the_share_of_a_server_is_that_of_the_simulator(router: str) -> None:
    problem = load_scenario(FOLDER / "demo.toml").problem
    plan = api.plan(problem, "cg-bp", router=router)
    requests = draw_requests(problem, 3, num_requests=120)
    goal = plan.certificate.objective.goal
    judge = Judge(CostModel.of(problem), requests, admission="retry", goal=goal)
    routes = api.simulate(problem, plan, requests=requests).routes
    passed = np.zeros(problem.num_servers)
    for route in routes:
        assert route is not None
        passed[list(route.servers)] += 1
    assert judge.share(plan.placement, router) == pytest.approx(passed / len(routes))


def role(**given: object) -> Role:
    usual: dict[str, object] = {
        "server": "s",
        "blocks": (30, 48),
        "alone": (),
        "runs": (0, 0),
        "chains": 0,
        "sessions": 0,
        "share": float("nan"),
        "fate": "unknown",
        "loss_s": studied.NOTHING,
    }
    return Role(**{**usual, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"chains": 3, "runs": (0, 24)}, "blocks 0:24 for 3 of 4 chains"),
        ({"chains": 4, "runs": (0, 24)}, "blocks 0:24 for all 4 chains"),
        (
            {"chains": 1, "runs": (30, 48), "alone": (30, 31, 40)},
            "blocks 30:48 for 1 of 4 chains, only host of 30:32, 40:41",
        ),
        ({}, "spare: doubles 30:48"),
    ],
)
def test_what_a_server_is_for_takes_a_few_words(given: dict[str, object], said: str) -> None:
    assert purpose(role(**given), 4) == said


def test_a_plan_says_who_carries_nothing_and_who_could_go() -> None:
    printed = run("plan", TINY, "--method", "cg-bp", "--router", "overlap", "--each-server")
    assert "# What each server is for" in printed.stdout
    assert "spare: doubles" in printed.stdout
    assert "could be switched off" in printed.stdout


def test_a_method_that_simulates_nothing_stays_as_fast_as_it_is() -> None:
    code = (
        "import sys\n"
        "from swarmplan.cli import main\n"
        f"main(['plan', {str(TINY)!r}, '--method', 'cg-bp'], standalone_mode=False)\n"
    )
    code = code.replace("main([", "try:\n    main([") + (
        "except SystemExit:\n    print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "What each server is for" in done.stdout


def test_a_plan_printed_as_json_tells_the_roles_and_is_a_plan_file(tmp_path: Path) -> None:
    path, file = tmp_path / "printed.json", tmp_path / "plan.json"
    options = ("--method", "cg-bp", "--router", "overlap", "--each-server")
    path.write_text(run("plan", TINY, *options, "--json", "-o", file).stdout)
    told = json.loads(path.read_text())["roles"]
    names = {s.id for s in load_scenario(TINY).problem.servers}
    assert {r["server"] for r in told["servers"]} == names
    assert set(told["switch_off"]) <= names
    assert all(r["purpose"] for r in told["servers"])
    assert "roles" not in json.loads(file.read_text())
    verified = run("verify", path, TINY)
    assert verified.exit_code == 0
    assert "edited" not in verified.stdout + verified.stderr


def test_ctrl_c_while_servers_are_tried_keeps_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_self: object, _placement: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(studied.Bench, "loss", stopped)
    found = run("plan", FOLDER / "demo.toml", "--method", "cg-bp", "--each-server")
    assert found.exit_code == 130
    assert "Placement by cg-bp" in found.stdout
    assert "was not simulated" in found.stdout


def test_a_report_tells_what_each_server_is_for(tmp_path: Path) -> None:
    path = tmp_path / "plan.html"
    assert run("plan", TINY, "--method", "cg-bp", "--report", path).exit_code == 0
    text = path.read_text(encoding="utf-8")
    assert "What each server is for" in text
    assert "spare: doubles" in text
