"""Sizing: the set found, and the bound that nothing undercuts."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.studies.catalogue import Market, load_market
from swarmplan.studies.outcome import Study, outcome
from swarmplan.studies.size import lower_bound, offered, size
from swarmplan.studies.target import parse_target

DEMO = Path(__file__).resolve().parents[2] / "scenarios" / "demo.toml"
STUDY = Study(method="cg-bp", seeds=(0, 1), requests=40)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


def market(
    folder: Path, *, rate: float = 0.3, offers: list[dict[str, Any]] | None = None
) -> Market:
    """Twelve blocks, a client in Frankfurt, three kinds of servers for rent."""
    scenario = {
        "format": "swarmplan/scenario/1",
        "name": "empty",
        "model": {
            "name": "toy",
            "num_blocks": 12,
            "hidden_size": 1024,
            "block_mb": 100,
            "cache_bytes_per_token": 40960,
        },
        "devices": {
            "small": {"memory_gb": 0.8, "decode_ms": 4, "prefill_us_per_token": 100},
            "large": {"memory_gb": 2.0, "decode_ms": 3, "prefill_us_per_token": 80},
        },
        "network": {"delay": "internet", "step_overhead_ms": 5, "prefill_overhead_ms": 10},
        "workload": {
            "requests": 40,
            "streams": [
                {"client": "me", "rate_per_s": rate, "prompt_tokens": 50, "output_tokens": [20, 40]}
            ],
        },
        "clients": [{"id": "me", "lat": 50.0, "lon": 8.0}],
        "servers": [{"id": "own", "device": "small", "lat": 50.0, "lon": 8.0}],
    }
    listed = offers or [
        {"id": "near", "device": "small", "lat": 50.1, "lon": 8.6, "available": 2},
        {"id": "far", "device": "small", "lat": 40.7, "lon": -74.0, "available": 3},
        {"id": "big", "device": "large", "lat": 40.7, "lon": -74.0, "available": 1},
    ]
    prices = (1.0, 0.3, 1.5)
    catalogue = {
        "format": "swarmplan/catalogue/1",
        "currency": "EUR",
        "offers": [{**o, "price_per_hour": p} for o, p in zip(listed, prices, strict=False)],
    }
    write_document(folder / "scenario.toml", scenario)
    write_document(folder / "catalogue.toml", catalogue)
    return load_market(
        load_scenario(folder / "scenario.toml"), folder / "catalogue.toml", scratch=True
    )


@pytest.mark.parametrize("minimise", ["count", "price"])
@pytest.mark.parametrize("limit", [2.5, 4.0, 8.0])
def test_the_set_is_the_least_of_all_sets(tmp_path: Path, minimise: Any, limit: float) -> None:
    shop = market(tmp_path)
    target = parse_target(f"p95_response_s={limit}")
    found = size(shop, [target], STUDY, minimise=minimise, most=200)
    fitting = []
    for counts in itertools.product(range(3), range(4), range(2)):
        if not any(counts):
            continue
        made = outcome(shop.scenario_with(counts), STUDY, "")
        if made.runs and all(r.completed == r.requests for r in made.runs):
            mean = sum(target.figure.of(r) for r in made.runs) / len(made.runs)
            if target.excess(mean) == 0:
                fitting.append(sum(counts) if minimise == "count" else shop.price(counts))
    if not fitting:
        assert found.best is None
        return
    assert found.best is not None
    best = found.best.counts
    value = sum(best) if minimise == "count" else shop.price(best)
    assert found.bound <= min(fitting) + 1e-6
    assert value == pytest.approx(min(fitting))


def test_a_server_that_was_bought_has_the_price_of_its_offer(tmp_path: Path) -> None:
    servers = market(tmp_path).scenario_with((1, 2, 1)).problem.servers
    prices = [0.0 if s.price_per_s is None else s.price_per_s * 3600 for s in servers]
    assert prices == pytest.approx([1.0, 0.3, 0.3, 1.5])


def test_what_is_not_known_of_all_servers_is_no_target(tmp_path: Path) -> None:
    shop = market(tmp_path)
    with pytest.raises(ScenarioError, match="needs idle_watts and busy_watts of all servers"):
        size(shop, [parse_target("kwh_per_million_tokens=1")], STUDY)
    target = parse_target("money_per_million_tokens=1e9")
    found = size(shop, [target], STUDY, most=3)
    assert found.best is not None
    assert 0 < found.best.figures[0] < 1e9


@settings(max_examples=15)
@given(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 1)).filter(any),
    st.sampled_from(["response_s", "p95_response_s", "ttft_s", "p95_ttft_s", "tpot_s"]),
    st.sampled_from(["client", "server"]),
)
def test_no_set_that_reaches_a_figure_is_below_the_bound_for_it(
    tmp_path_factory: pytest.TempPathFactory, counts: tuple[int, int, int], name: str, relay: str
) -> None:
    shop = market(tmp_path_factory.mktemp("size"))
    shop.base["network"]["relay"] = relay
    made = outcome(shop.scenario_with(counts), STUDY, "")
    if not made.runs or any(r.completed < r.requests for r in made.runs):
        return
    figure = parse_target(f"{name}=1").figure
    reached = sum(figure.of(r) for r in made.runs) / len(made.runs)
    target = parse_target(f"{name}={reached * (1 + 1e-9)}")
    for minimise, value in (("count", sum(counts)), ("price", shop.price(counts))):
        bound = lower_bound(shop, [target], STUDY, minimise)  # type: ignore[arg-type]
        assert bound.value <= value + 1e-6


def test_what_is_there_already_costs_nothing(tmp_path: Path) -> None:
    market(tmp_path)
    paths = tmp_path / "scenario.toml", tmp_path / "catalogue.toml"
    kept = load_market(load_scenario(paths[0]), paths[1], scratch=False)
    target = [parse_target("p95_response_s=4")]
    with_own = size(kept, target, STUDY)
    without = size(market(tmp_path), target, STUDY)
    assert with_own.best is not None
    assert without.best is not None
    assert sum(with_own.best.counts) < sum(without.best.counts)


def test_a_target_that_nothing_meets_is_proven_and_explained(tmp_path: Path) -> None:
    found = size(market(tmp_path), [parse_target("p95_response_s=0.5")], STUDY)
    assert found.best is None
    assert found.proven
    assert any("p95_response_s is above" in line for line in found.missing)


def test_too_little_memory_is_proven_and_explained(tmp_path: Path) -> None:
    offers = [{"id": "one", "device": "small", "lat": 50.0, "lon": 8.0, "available": 1}]
    found = size(market(tmp_path, offers=offers), [parse_target("response_s=1000")], STUDY)
    assert found.best is None
    assert found.proven
    assert any("12 and room for one request are needed" in line for line in found.missing)


def test_load_that_no_memory_holds_needs_more_servers(tmp_path: Path) -> None:
    study, target = Study(requests=200), [parse_target("p95_response_s=6")]
    light = lower_bound(market(tmp_path, rate=0.1), target, study, "count")
    heavy = lower_bound(market(tmp_path, rate=300.0), target, study, "count")
    assert heavy.value > light.value


@pytest.mark.parametrize(
    ("text", "message"),
    [("p95=3", "no figure"), ("ttft_s", "limit above 0"), ("ttft_s=-1", "limit above 0")],
)
def test_targets_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse_target(text)


def test_offers_that_do_not_fit_the_scenario_are_refused(tmp_path: Path) -> None:
    twice = [{"id": "a", "device": "small", "lat": 1.0, "lon": 1.0}] * 2
    with pytest.raises(ScenarioError, match="is taken"):
        market(tmp_path, offers=[dict(o) for o in twice])


def test_defects_that_an_offer_brings_are_those_of_the_catalogue(tmp_path: Path) -> None:
    offers = [{"id": "one", "device": "nope", "lat": 50.0, "lon": 8.0}]
    with pytest.raises(ScenarioError, match=r"catalogue.toml: offers\[0\].device: unknown"):
        market(tmp_path, offers=offers)


def test_a_rate_above_what_arrives_is_proven_impossible(tmp_path: Path) -> None:
    shop = market(tmp_path)
    target = parse_target("tokens_per_s=1e6")
    found = size(shop, [target], STUDY)
    assert found.best is None
    assert found.proven
    assert any("arrive too slowly" in line for line in found.missing)
    most = offered(shop, target, STUDY)
    assert all(t.figures[0] <= most for t in found.tried if t.outcome.runs)


def test_the_command_tells_the_set_the_bound_and_writes_the_scenario(tmp_path: Path) -> None:
    market(tmp_path)
    out = tmp_path / "sized.toml"
    common = ["size", tmp_path / "scenario.toml", "--catalogue", tmp_path / "catalogue.toml"]
    common += ["--scratch", "--requests", "40"]
    done = run(*common, "--target", "p95_response_s=8", "-o", out)
    assert done.exit_code == 0
    assert "no plan at all meets this below" in done.stdout
    assert load_scenario(out).problem.num_servers >= 1
    told = json.loads(run(*common, "--target", "p95_response_s=8", "--json").stdout)
    assert told["lower_bound"] <= told["best"]["count"]
    assert run(*common, "--target", "p95_response_s=0.1").exit_code == 3


def test_spares_are_chosen_so_that_blocks_are_served_again_in_time(tmp_path: Path) -> None:
    given = market(tmp_path)
    targets = [parse_target("response_s=1000")]
    least = size(given, targets, STUDY, most=12)
    assert least.best is not None
    assert least.best.recovery is None
    quick = size(given, targets, STUDY, most=25, recover_s=600.0)
    assert quick.best is not None
    worst = quick.best.recovery
    assert worst is not None
    assert worst.seconds <= 600.0
    assert sum(quick.best.counts) >= sum(least.best.counts)
    never = size(given, targets, STUDY, most=4, recover_s=0.0)
    if never.best is None:
        assert any("are dark" in line for line in never.missing)
