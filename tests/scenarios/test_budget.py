"""Watts, prices and budgets of a scenario file."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmplan.core.allowance import Allowance
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.tests.scenarios.test_scenario import PROFILED, edited

FAST = "memory_gb = 1.0"
POWER = (FAST, f"{FAST}\nidle_watts = 40\nbusy_watts = 350\nprice_per_hour = 3.6")
DEVICE = 'device = "fast"'
SHIPPED = (PROFILED[0], 'profile = "RTX4090"')


def budget(*lines: str) -> tuple[str, str]:
    """A table of budgets before the servers."""
    return "[[servers]]", "\n".join(("[planning.budget]", *lines, "", "[[servers]]"))


def test_a_server_takes_its_devices_figures_and_its_own_over_them(tmp_path: Path) -> None:
    own = (DEVICE, f"{DEVICE}\nidle_watts = 60\nprice_per_hour = 7.2")
    fast, _, slow, _ = load_scenario(edited(tmp_path, POWER)).problem.servers
    assert (fast.idle_w, fast.busy_w, fast.price_per_s) == (40, 350, 0.001)
    assert (slow.idle_w, slow.busy_w, slow.price_per_s) == (None, None, None)
    fast, *_ = load_scenario(edited(tmp_path, POWER, own)).problem.servers
    assert (fast.idle_w, fast.busy_w, fast.price_per_s) == (60, 350, 0.002)


def test_a_shipped_profile_brings_the_power_of_its_board(tmp_path: Path) -> None:
    fast = load_scenario(edited(tmp_path, SHIPPED)).problem.servers[0]
    assert (fast.idle_w, fast.busy_w) == (None, 450)


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        ("idle_watts = -1", "devices.fast.idle_watts", "minimum"),
        ("busy_watts = nan", "devices[...].busy_watts", "float"),
        ("price_per_hour = inf", "devices.fast.price_per_hour", "maximum"),
        ("idle_watts = 400\nbusy_watts = 350", "devices.fast.idle_watts", "more than busy_watts"),
        ('price_per_hour = "2 EUR"', "devices.fast.price_per_hour", "not of type"),
    ],
)
def test_an_impossible_figure_is_named(tmp_path: Path, line: str, field: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words) as caught:
        load_scenario(edited(tmp_path, (FAST, f"{FAST}\n{line}")))
    assert caught.value.problems[0].path == field


def test_more_than_the_power_of_the_board_is_told_as_such(tmp_path: Path) -> None:
    own = (DEVICE, f"{DEVICE}\nidle_watts = 500")
    with pytest.raises(ScenarioError, match="450, the board power of its profile") as caught:
        load_scenario(edited(tmp_path, SHIPPED, own))
    assert caught.value.problems[0].path == "servers[0].idle_watts"


def test_budgets_are_kept_in_si_units(tmp_path: Path) -> None:
    table = budget("energy_watts = 90", "money_per_hour = 7.2", "weight = 2")
    scenario = load_scenario(edited(tmp_path, POWER, table))
    assert scenario.problem.planning.allowance == Allowance(
        energy_w=90, money_per_s=0.002, weight=2, slot_s=60
    )
    assert [w for w in scenario.warnings if "spend nothing" in w] == [
        "planning.budget.energy_watts: 2 server(s) without idle_watts and busy_watts spend nothing "
        "of it: slow-0, slow-1",
        "planning.budget.money_per_hour: 2 server(s) without price_per_hour spend nothing of it: "
        "slow-0, slow-1",
    ]
    assert load_scenario(edited(tmp_path, POWER)).problem.planning.allowance is None


@pytest.mark.parametrize(
    ("lines", "field", "words"),
    [
        (("weight = 2",), "planning.budget", "needs energy_watts"),
        (("energy_watts = 0",), "planning.budget.energy_watts", "0"),
        (("money_per_hour = 1", "slot_s = 0"), "planning.budget.slot_s", "0"),
        (("energy_wats = 1",), "planning.budget.energy_wats", "did you mean energy_watts"),
    ],
)
def test_a_wrong_budget_is_named(
    tmp_path: Path, lines: tuple[str, ...], field: str, words: str
) -> None:
    with pytest.raises(ScenarioError, match=words) as caught:
        load_scenario(edited(tmp_path, POWER, budget(*lines)))
    assert caught.value.problems[0].path == field


def test_a_budget_of_what_no_server_tells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no server has idle_watts and busy_watts") as caught:
        load_scenario(edited(tmp_path, budget("energy_watts = 10")))
    assert caught.value.problems[0].path == "planning.budget.energy_watts"
