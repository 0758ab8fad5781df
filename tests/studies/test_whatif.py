"""Edits, their effect, and the worth of servers."""

from __future__ import annotations

import copy
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.methods.draft import Draft, Settings
from swarmplan.methods.table import Method, method_named
from swarmplan.placement.task import Task
from swarmplan.scenarios.generate import generate, write_document
from swarmplan.scenarios.scenario import Scenario, load_scenario, scenario_of
from swarmplan.studies import edits
from swarmplan.studies.change import difference, reason, what_if
from swarmplan.studies.outcome import PARTS, Study
from swarmplan.studies.worth import rank_servers

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
TINY = FOLDER / "tiny.toml"
DEMO = FOLDER / "demo.toml"
QUICK = Study(method="cg-bp", seeds=(0, 1), requests=60)


def planted(tmp_path: Path, **changes: Any) -> Path:
    """Two homes that hold the model, a fast server far away, one too small for a block."""
    home = {"memory_gb": 0.95, "decode_ms": 4, "forward_rps": 2000, "inference_rps": 250}
    big = {"memory_gb": 1.0, "decode_ms": 1, "forward_rps": 50_000, "inference_rps": 1000}
    stream = {"client": "me", "rate_per_s": 0.2, "prompt_tokens": 50, "output_tokens": 40}
    document = {
        "format": "swarmplan/scenario/1",
        "name": "planted",
        "model": {
            "name": "toy",
            "num_blocks": 12,
            "hidden_size": 1024,
            "block_mb": 100,
            "cache_bytes_per_token": 4096,
        },
        "devices": {"home": home, "big": big},
        "network": {"delay": "internet", "step_overhead_ms": 5, "prefill_overhead_ms": 10},
        "workload": {"requests": 100, "streams": [stream]},
        "clients": [{"id": "me", "lat": 50.0, "lon": 8.0}],
        "servers": [
            {"id": "a", "device": "home", "lat": 50.1, "lon": 8.6},
            {"id": "b", "device": "home", "lat": 48.1, "lon": 11.6},
            {"id": "far", "device": "big", "lat": -33.9, "lon": 151.2, "last_mile_ms": 300},
            {"id": "small", "device": "home", "memory_gb": 0.05, "lat": 50.0, "lon": 8.0},
        ],
        **changes,
    }
    path = tmp_path / "planted.toml"
    write_document(path, document)
    return path


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


def after(path: Path, *changes: edits.Edit) -> Scenario:
    return edits.apply(load_scenario(path), changes)


def ids(scenario: Scenario) -> list[str]:
    return [s.id for s in scenario.problem.servers]


def test_a_planted_useless_server_is_found(tmp_path: Path) -> None:
    _, found = rank_servers(load_scenario(planted(tmp_path)), Study(method="cg-bp", seeds=(0,)))
    verdicts = {w.server: w.verdict for w in found}
    assert verdicts == {"a": "helps", "b": "helps", "far": "useless", "small": "useless"}


def test_a_planted_harmful_server_is_said_to_make_things_worse(tmp_path: Path) -> None:
    study = Study(method="petals-tuned", seeds=(0, 1, 2), requests=60)
    base, found = rank_servers(load_scenario(planted(tmp_path)), study)
    worst = found[-1]
    assert (worst.server, worst.verdict) == ("far", "harms")
    assert worst.share == 1.0
    assert "worse" in worst.why
    assert worst.response_s.mean < -0.5 * base.response_s


def measured(tmp_path: Path) -> Path:
    """Four servers that just hold the model, a decoy behind a satellite, one nobody needs."""
    near, satellite = 20.0, 700.0
    rtt = np.full((7, 7), near)
    rtt[5, :] = rtt[:, 5] = satellite
    np.fill_diagonal(rtt, 0.0)
    rack = {"decode_ms": 3, "forward_rps": 4000, "inference_rps": 300}
    document = {
        "format": "swarmplan/scenario/1",
        "name": "measured",
        "model": {
            "name": "toy",
            "num_blocks": 24,
            "hidden_size": 1024,
            "block_mb": 100,
            "cache_bytes_per_token": 4096,
        },
        "devices": {"rack": {"memory_gb": 0.85, **rack}, "decoy": {"memory_gb": 1.1, **rack}},
        "network": {"delay": "measured", "rtt_ms": rtt.tolist(), "step_overhead_ms": 5},
        "workload": {
            "requests": 100,
            "streams": [
                {"client": "me", "rate_per_s": 0.1, "prompt_tokens": 50, "output_tokens": 40}
            ],
        },
        "clients": [{"id": "me"}],
        "servers": [
            {"id": "rack", "device": "rack", "count": 4},
            {"id": "satellite", "device": "decoy"},
            {"id": "spare", "device": "rack", "memory_gb": 0.09},
        ],
    }
    path = tmp_path / "measured.toml"
    write_document(path, document)
    return path


def test_the_useless_and_the_harmful_are_found_among_measured_times(tmp_path: Path) -> None:
    scenario = load_scenario(measured(tmp_path))
    for method, of_satellite in (("cg-bp", "useless"), ("petals-tuned", "harms")):
        study = Study(method=method, seeds=tuple(range(16)), requests=40)
        verdicts = {w.server: w.verdict for w in rank_servers(scenario, study)[1]}
        assert verdicts["satellite"] == of_satellite
        assert verdicts["spare"] == "useless"
        assert "harms" not in [v for name, v in verdicts.items() if name != "satellite"]


def test_edits_come_before_the_servers_are_ranked(tmp_path: Path) -> None:
    done = run(
        *("whatif", planted(tmp_path), "--add-server", "id=c,like=a", "--scale-load", "2"),
        *("--remove", "far", "--each-server", "--method", "cg-bp", "--seeds", "1"),
    )
    assert done.exit_code == 0
    assert "\nc\t" in done.stdout
    assert "\nfar\t" not in done.stdout


def test_a_random_join_order_is_no_worth_of_an_idle_server() -> None:
    study = Study(method="petals-tuned", seeds=(0, 1, 2), requests=40)
    attic = edits.add("id=attic,device=mig,memory_gb=0.6,lat=40.7,lon=-74")
    _, found = rank_servers(load_scenario(DEMO), study, edits=[attic])
    assert next(w for w in found if w.server == "attic").verdict == "useless"


def test_each_server_prints_what_is_better_left_out(tmp_path: Path) -> None:
    done = run("whatif", planted(tmp_path), "--each-server", "--method", "petals-tuned")
    assert done.exit_code == 0
    assert "better without: far" in done.stdout
    assert "not used: small" in done.stdout


def test_the_last_server_is_needed() -> None:
    one = after(
        TINY,
        edits.remove("slow"),
        edits.remove("fast-1"),
        edits.set_value("servers.fast-0.memory_gb=9"),
    )
    _, found = rank_servers(one, QUICK)
    assert [w.verdict for w in found] == ["needed"]


def test_of_a_swarm_that_serves_nobody_no_server_is_said_to_be_needed(tmp_path: Path) -> None:
    path = tmp_path / "poor.toml"
    changes = [edits.remove("slow"), edits.remove("fast-1")]
    write_document(path, edits.edited_document(tomllib.loads(TINY.read_text()), changes))
    done = run("whatif", path, "--each-server", "--method", "cg-bp", "--seeds", "1")
    assert done.exit_code == 0
    assert "needed" not in done.stdout
    assert "nothing is served with all of them" in done.stdout


def test_servers_of_a_group_leave_alone_together_and_by_region() -> None:
    assert ids(after(TINY, edits.remove("fast-0"))) == ["fast-1", "slow-0", "slow-1"]
    assert ids(after(TINY, edits.remove("slow"))) == ["fast-0", "fast-1"]
    europe = ids(after(DEMO, edits.remove("europe")))
    assert len(europe) == 10
    assert "a100-amsterdam" not in europe


def test_removing_keeps_the_measured_times_of_the_others() -> None:
    full = load_scenario(TINY).problem.network
    cut = after(TINY, edits.remove("fast-0")).problem.network
    assert np.array_equal(cut.client_rtt_s, full.client_rtt_s[:, 1:])
    assert np.array_equal(cut.server_rtt_s, full.server_rtt_s[1:, 1:])


def test_an_added_server_takes_the_times_of_the_one_it_is_like() -> None:
    changed = after(TINY, edits.add("id=new,like=slow-1,memory_gb=2"))
    full = load_scenario(TINY).problem
    assert ids(changed) == [*ids(load_scenario(TINY)), "new"]
    new = changed.problem.servers[-1]
    assert (new.device, new.memory_bytes) == ("slow", 2_000_000_000)
    assert changed.problem.network.client_rtt_s[0, 4] == full.network.client_rtt_s[0, 3]


def test_a_moved_server_stands_where_it_was_put() -> None:
    moved = after(DEMO, edits.move("mig-tokyo=Boston"))
    row, boston = ids(moved).index("mig-tokyo"), ids(moved).index("mig-boston")
    rtt = moved.problem.network.client_rtt_s
    assert np.allclose(rtt[:, row], rtt[:, boston])
    beside = after(TINY, edits.move("slow-0=slow-1"))
    rtt = beside.problem.network.client_rtt_s
    assert rtt[0, 2] == rtt[0, 3]
    assert after(DEMO, edits.move("mig-tokyo=35.0,139.5")).problem.servers[12].coordinates == (
        35.0,
        139.5,
    )


def test_a_client_comes_goes_and_moves_with_its_requests_and_its_times() -> None:
    raw = generate("reference", servers=4, clients=2, seed=1)  # a matrix of measured times
    for entry in (*raw["clients"], *raw["servers"]):
        entry.update(lat=50.0, lon=8.0)
    measured = scenario_of(raw, Path("measured.json"))
    count, was = 2, measured.problem.network.client_rtt_s
    twin = edits.add_another_client("id=twin,like=client-0")
    beside = edits.applied(raw, measured, [twin])
    now = beside.problem.network
    assert [c.id for c in beside.problem.clients] == ["client-0", "client-1", "twin"]
    assert np.array_equal(now.client_rtt_s, was[[0, 1, 0]])
    assert np.array_equal(now.server_rtt_s, measured.problem.network.server_rtt_s)
    rates = [c.rate_per_s for c in beside.problem.workload.classes if c.client in (0, count)]
    assert len(rates) == 2
    assert rates[0] == rates[1]
    gone = edits.applied(raw, measured, [twin, edits.remove("client-0")])
    assert [c.id for c in gone.problem.clients] == ["client-1", "twin"]
    assert np.array_equal(gone.problem.network.client_rtt_s, was[[1, 0]])
    assert gone.problem.workload.rate_per_s == pytest.approx(measured.problem.workload.rate_per_s)
    moved = edits.applied(raw, measured, [twin, edits.move("twin=-33.9,151.2")])
    assert moved.problem.clients[count].coordinates == (-33.9, 151.2)
    assert (moved.problem.network.client_rtt_s[count] > 0.1).all()
    both = [edits.remove("client-0"), edits.remove("client-1")]
    with pytest.raises(ScenarioError, match="no client is left"):
        edits.applied(raw, measured, both)


def test_values_are_set_by_id_by_pattern_and_by_position() -> None:
    def gigabytes(scenario: Scenario) -> list[float]:
        return [s.memory_bytes / 1e9 for s in scenario.problem.servers]

    assert gigabytes(after(TINY, edits.set_value("servers.slow-1.memory_gb=2"))) == [1, 1, 0.6, 2]
    assert gigabytes(after(TINY, edits.set_value("servers.slow-*.memory_gb=2"))) == [1, 1, 2, 2]
    assert gigabytes(after(TINY, edits.set_value("servers.1.memory_gb=2"))) == [1, 1, 2, 2]
    assert gigabytes(after(TINY, edits.set_value("devices.fast.memory_gb=3"))) == [3, 3, 0.6, 0.6]
    load = after(TINY, edits.set_value("workload.streams.me.rate_per_s=3")).problem.workload
    assert load.rate_per_s == 3


def test_drafts_are_set_for_everybody_whatever_clients_and_prompts_had_of_their_own() -> None:
    own = edits.set_value("clients.me.speculation", {"acceptance": 0.9, "draft_ms": 4})
    stream = edits.set_value("workload.streams.me.acceptance=0.8")
    both = edits.acceptance("[0.6, 0.5]"), edits.draft_ms(7)
    problem = after(TINY, own, stream, *both).problem
    (drafting,) = problem.drafting
    assert (drafting.model.acceptance, drafting.model.draft_s) == ((0.6, 0.5), 0.007)
    assert problem.workload.classes[0].acceptance == ()
    several = edits.set_value("speculation.models.small", {"acceptance": 0.6, "draft_ms": 4})
    with pytest.raises(ScenarioError, match="several draft models"):
        after(TINY, several, edits.acceptance(0.5))


@pytest.mark.parametrize(
    ("make", "text", "message"),
    [
        (edits.remove, "fast-7", "no server, group or region"),
        (edits.move, "fast-0", "is not NAME=PLACE"),
        (edits.add_another_client, "id=x", "needs an id and another client"),
        (edits.add_another_client, "id=x,like=nobody", "no client 'nobody'"),
        (edits.move, "fast=me", "stands for 2 servers"),
        (edits.move, "fast-0=1.0,2.0", "rtt me - fast-0 is not measured and cannot be estimated"),
        (edits.add, "device=fast", "needs an id"),
        (edits.add, "id=x,device=fast", "add like=ID"),
        (edits.add, "id=x,like=nobody", "no client or server"),
        (edits.set_value, "servers.nobody.memory_gb=1", "names nothing"),
        (edits.set_value, "servers.slow.memory=1", "unknown"),
        (edits.set_value, "nothing", "is not path=value"),
        (edits.scale_load, "0", "not a factor"),
        (edits.scale_load, "you=2", "no client"),
        (edits.rtt_scale, "fast", "not a factor"),
        (edits.acceptance, "0.7", "draft_ms: is missing"),
        (edits.draft_ms, "fast", "draft_ms"),
    ],
)
def test_an_edit_that_cannot_be_says_why(make: Any, text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        after(TINY, make(text))


def test_edits_leave_the_scenario_as_it_was() -> None:
    raw = tomllib.loads(TINY.read_text())
    kept = copy.deepcopy(raw)
    edits.edited_document(raw, [edits.remove("fast-0"), edits.set_value("name=other")])
    assert raw == kept


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_factors_multiply(a: float, b: float) -> None:
    both = after(TINY, edits.rtt_scale(a), edits.rtt_scale(b), edits.scale_load(a))
    once = load_scenario(TINY).problem
    assert np.allclose(both.problem.network.client_rtt_s, once.network.client_rtt_s * a * b)
    assert both.problem.workload.rate_per_s == pytest.approx(once.workload.rate_per_s * a)


def test_no_change_changes_nothing() -> None:
    change = what_if(load_scenario(DEMO), [edits.scale_load(1.0)], QUICK)
    assert difference(change.before, change.after[0], lambda s: s.response_s.mean).mean == 0
    assert "stay as they are" in reason(change.before, change.after[0])


def test_the_plan_that_was_is_known_to_the_search_for_the_one_to_come() -> None:
    """By the servers' names: what is new idles, what no longer fits is cut."""
    told: list[Settings] = []

    def spy(task: Task, settings: Settings) -> Draft:
        told.append(settings)
        return method_named("cg-bp").decide(task, settings)

    study = replace(QUICK, method=Method(name="spy", make=spy))
    more = edits.add("id=extra,like=fast-0")
    change = what_if(load_scenario(TINY), [edits.rtt_scale(0.5), more], study)
    before = change.before.placement
    assert before is not None
    assert told[0].known == ()
    ((known, router),) = told[1].known
    rows = {s.id: j for j, s in enumerate(change.after[0].problem.servers)}
    for j, server in enumerate(change.before.problem.servers):
        span = (before.start[j], before.end[j])
        assert (known.start[rows[server.id]], known.end[rows[server.id]]) == span
    assert known.start[rows["extra"]] == known.end[rows["extra"]]
    assert router == change.before.router


def test_the_parts_of_the_response_add_up_for_every_client() -> None:
    change = what_if(load_scenario(DEMO), [edits.scale_load(4)], QUICK)
    for outcome in (change.before, *change.after):
        for client in outcome.clients:
            assert sum(client.parts_s) == pytest.approx(client.response_s)
        assert sum(outcome.parts_s) == pytest.approx(
            sum(c.response_s * c.completed for c in outcome.clients)
            / sum(c.completed for c in outcome.clients)
        )


def test_more_load_waits_longer_and_the_reason_says_so() -> None:
    study = Study(method="cg-bp", seeds=(0,), requests=300)
    change = what_if(load_scenario(DEMO), [edits.scale_load(30)], study, keep=True)
    text = reason(change.before, change.after[0])
    assert "longer" in text
    assert PARTS[0] in text


def test_distances_show_as_network_time_alone(tmp_path: Path) -> None:
    study = Study(method="manual", router="shortest", seeds=(0,), requests=20)
    spans = [
        edits.set_value("servers.fast-0.span=[0, 7]"),
        edits.set_value("servers.slow-0.span=[7, 12]"),
    ]
    path = tmp_path / "pinned.toml"
    write_document(path, edits.edited_document(tomllib.loads(TINY.read_text()), spans))
    far = what_if(load_scenario(path), [edits.rtt_scale(3)], study)
    delta = np.subtract(far.after[0].parts_s, far.before.parts_s)
    assert delta[2] == pytest.approx(2 * far.before.parts_s[2])
    assert delta[4] == pytest.approx(0)


def test_a_region_that_fails_shows_both_waiting_for_a_new_plan_and_having_one() -> None:
    change = what_if(load_scenario(DEMO), [], QUICK, fail=["us-east"])
    stay, anew = change.after
    assert (stay.label, anew.label) == ("blocks stay", "planned anew")
    assert stay.uncovered or stay.served
    assert anew.served
    assert anew.response_s > change.before.response_s


def test_blocks_that_only_a_failed_server_had_are_named() -> None:
    study = Study(method="cg-bp", seeds=(0,), requests=60)
    change = what_if(load_scenario(TINY), [], study, fail=["fast-0", "fast-1"])
    stay = change.after[0]
    assert not stay.served
    assert "no server hosts blocks" in stay.error
    assert "nothing is served" in reason(change.before, stay)


def test_an_impossible_swarm_is_an_outcome_with_its_reason() -> None:
    change = what_if(load_scenario(TINY), [edits.remove("fast-1"), edits.remove("slow")], QUICK)
    assert "nothing is served" in reason(change.before, change.after[0])
    assert "missing" in change.after[0].error


def test_the_command_prints_a_table_a_reason_and_json() -> None:
    shown = run("whatif", DEMO, "--scale-load", "2", "--fail", "europe", "--method", "cg-bp")
    assert shown.exit_code == 0
    for part in ("Per client", "Per hop", "of it network s", "planned anew: responses are"):
        assert part in shown.stdout
    told = json.loads(run("whatif", DEMO, "--rtt-scale", "2", "--method", "cg-bp", "--json").stdout)
    assert told["edits"] == ["round-trip times x 2"]
    assert told["after"][0]["differences"]["response_s"]["mean"] > 0


def test_fail_is_named_where_it_names_nothing_and_does_not_go_with_each_server() -> None:
    nobody = run("whatif", TINY, "--fail", "nobody", "--method", "cg-bp")
    assert nobody.exit_code == 2
    assert "--fail: no server, group or region 'nobody'" in nobody.stderr
    both = run("whatif", TINY, "--each-server", "--fail", "slow")
    assert both.exit_code == 2
    assert "--each-server" in both.stderr


def test_without_an_edit_the_command_asks_for_one() -> None:
    assert run("whatif", TINY).exit_code == 2


def test_the_edited_scenario_can_be_written_and_planned(tmp_path: Path) -> None:
    path = tmp_path / "edited.toml"
    done = run("whatif", TINY, "--remove", "slow-0", "--method", "cg-bp", "-o", path)
    assert done.exit_code == 0
    assert ids(load_scenario(path)) == ["fast-0", "fast-1", "slow-1"]
