"""Energy, money and budgets as users of the command meet them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarmplan import api
from swarmplan.cli import main
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.planfile import read_plan
from swarmplan.scenarios.scenario import load_scenario

TINY = Path(__file__).resolve().parents[1] / "scenarios" / "tiny.toml"
TITLES = ("kWh per M tokens", "money per M tokens")
FIGURES = ("kwh_per_million_tokens", "money_per_million_tokens")


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


def document(*args: str | Path) -> Any:
    return json.loads(run(*args, "--json").stdout)


@pytest.fixture
def powered(tmp_path: Path) -> Path:
    """The fast servers take more, the slow ones less, and all have a price."""
    text = TINY.read_text()
    for memory, watts in (("1.0", (40, 350)), ("0.6", (5, 20))):
        own = f"idle_watts = {watts[0]}\nbusy_watts = {watts[1]}\nprice_per_hour = 0.5\n"
        text = text.replace(f"memory_gb = {memory}\n", f"memory_gb = {memory}\n{own}")
    path = tmp_path / "powered.toml"
    path.write_text(text + "\n[planning.budget]\nenergy_watts = 2\nweight = 0.1\n")
    return path


def test_a_plan_tells_what_its_load_is_expected_to_take(powered: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    told = run("plan", powered, "--method", "cg-bp", "-o", path).stdout
    assert "expected at the planned load: " in told
    assert "kWh and " in told
    expected = json.loads(path.read_text())["expected"]
    assert all(expected[name] > 0 for name in FIGURES)
    assert document("plan", powered, "--method", "cg-bp")["expected"] == expected
    assert "sound" in run("verify", path, powered).stdout
    scenario = load_scenario(powered)
    assert read_plan(path, scenario) == read_plan(path, load_scenario(powered))
    plain = run("plan", TINY, "--method", "cg-bp")
    assert "expected at" not in plain.stdout
    assert "expected" not in document("plan", TINY, "--method", "cg-bp")


def test_a_run_tells_what_it_took(powered: Path) -> None:
    args = ("--method", "cg-bp", "--requests", "50")
    told = document("simulate", powered, *args)
    kwh, money = (told["summary"][name] for name in FIGURES)
    words = run("simulate", powered, *args).stdout
    assert f"{kwh:.4g} kWh and {money:.4g} in the currency of the prices per million" in words
    hours = told["money"] / 0.5 / 4  # all four servers hold blocks
    idle_j = hours * 3600 * (2 * 40 + 2 * 5)
    work_j = told["energy_j"] - idle_j
    busy = [s["compute_busy_frac"] for s in told["servers"]]
    more_w = (310, 310, 15, 15)
    assert work_j == pytest.approx(
        hours * 3600 * sum(b * w for b, w in zip(busy, more_w, strict=True))
    )
    plain = document("simulate", TINY, *args)
    assert [plain["summary"][name] for name in FIGURES] == [None, None]
    assert "kWh" not in run("simulate", TINY, *args).stdout


def test_comparisons_changes_and_reports_have_the_figures_where_they_are_known(
    powered: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    args = ("-m", "cg-bp", "--seeds", "1", "--requests", "30")
    told = run("compare", powered, *args, "--report", report).stdout
    plain = run("compare", TINY, *args).stdout
    assert all(title in told and title not in plain for title in TITLES)
    assert all(title in report.read_text() for title in TITLES)
    (row,) = document("compare", powered, *args)["methods"]
    assert all(row[name]["mean"] > 0 for name in FIGURES)
    (row,) = document("compare", TINY, *args)["methods"]
    assert not any(name in row for name in FIGURES)
    edit = ("--set", "devices.fast.idle_watts=50", "--method", "cg-bp", "--seeds", "1")
    (after,) = document("whatif", powered, *edit, "--requests", "30")["after"]
    assert after["differences"]["kwh_per_million_tokens"]["mean"] > 0
    assert after["differences"]["money_per_million_tokens"]["mean"] == 0


@pytest.fixture
def metered(tmp_path: Path) -> Path:
    """What leaves the first two servers has a price."""
    uplink = '\n[[network.uplinks]]\nname = "cloud"\nservers = ["fast"]\negress_price_per_gb = 90\n'
    path = tmp_path / "metered.toml"
    path.write_text(TINY.read_text() + uplink)
    return path


def test_what_leaves_an_uplink_is_told_where_it_has_a_price(metered: Path) -> None:
    args = ("--method", "cg-bp", "--requests", "30")
    told = document("simulate", metered, *args)
    (uplink,) = told["uplinks"]
    assert uplink["up_bytes"] > 0 == uplink["up_busy_frac"]
    assert told["egress_money"] == pytest.approx(90 * uplink["up_bytes"] / 1e9)
    each = told["summary"]["egress_per_million_tokens"]
    words = run("simulate", metered, *args).stdout
    assert f"what leaves uplinks costs {each:.4g} per million output tokens" in words
    assert "cloud" in words
    plain = document("simulate", TINY, *args)
    assert (plain["uplinks"], plain["egress_money"]) == ([], None)
    assert plain["summary"]["response_s"] == pytest.approx(told["summary"]["response_s"], rel=1e-9)
    assert "Uplinks" not in run("simulate", TINY, *args).stdout
    edit = ("--set", "network.uplinks.0.egress_price_per_gb=180", "--method", "cg-bp")
    (after,) = document("whatif", metered, *edit, "--seeds", "1", "--requests", "30")["after"]
    assert after["differences"]["egress_per_million_tokens"]["mean"] > 0


def test_the_router_keeps_to_the_budget_of_the_scenario(powered: Path) -> None:
    args = ("--method", "cg-bp", "--requests", "100", "--load", "0.1")
    free, kept = (
        document("simulate", powered, *args, "--router", name) for name in ("overlap", "budgeted")
    )
    assert kept["energy_j"] <= free["energy_j"]
    refused = run("simulate", TINY, *args, "--router", "budgeted")
    assert refused.exit_code == 2
    assert "planning.budget: is missing: router budgeted needs energy_watts" in refused.stderr


def test_budgeted_is_a_router_like_others_in_the_library(powered: Path) -> None:
    found = api.compare(powered, [("cg-bp", "overlap"), ("cg-bp", "budgeted")], seeds=[0])
    assert [row.error for row in found.rows] == ["", ""]
    assert CostModel.of(found.problem).problem.planning.allowance is not None
