"""What the page shows is what the commands print for the files that it saves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from swarmplan.chains.capacity import most_per_s
from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.planfile import read_plan
from swarmplan.scenarios.scenario import Scenario, load_scenario, scenario_of
from swarmplan.studio import planner
from swarmplan.studio.replay import replay
from swarmplan.studio.saving import plan_text, scenario_text
from swarmplan.studio.session import Change, Session
from swarmplan.studio.words import in_words, sentence, since
from swarmplan.workload.mix import mix_of

DEMO = Path(__file__).resolve().parents[2] / "scenarios" / "demo.toml"
EDITS = 30


def session(requests: int = 60) -> Session:
    raw = parse_file(DEMO)
    raw["workload"]["requests"] = requests
    return Session(raw, scenario_of(raw, DEMO))


def judged(scenario: Scenario, start: planner.Start | None, stay: bool = False) -> planner.Found:
    return list(planner.judge(scenario, start, stay))[-1]


def random_change(rng: np.random.Generator, desk: Session) -> tuple[Change, ...]:
    """A drag, a new server, one less, another device or precision, other memory, load, arrivals,
    lengths, an accuracy budget, drafts."""
    servers = [s.id for s in desk.scenario.problem.servers]
    name, other = (str(s) for s in rng.choice(servers, 2, replace=False))
    lat, lon = (round(float(v), 2) for v in (rng.uniform(-50, 60), rng.uniform(-180, 180)))
    client = str(rng.choice([c.id for c in desk.scenario.problem.clients]))
    device = str(rng.choice(["a100", "mig"]))
    made = [
        Change(kind="move", value=[name, f"{lat},{lon}"]),
        Change(kind="move", value=[name, other]),
        Change(kind="move", value=[client, f"{lat},{lon}"]),
        Change(kind="add_server", value={"id": f"new-{rng.integers(10**9)}", "like": name}),
        Change(kind="remove", value=name),
        Change(kind="set", value=[f"servers.{name}.device", device]),
        Change(kind="set", value=[f"servers.{name}.memory_gb", float(rng.integers(6, 40))]),
        Change(kind="set", value=["workload.streams.0.rate_per_s", float(rng.uniform(0.01, 0.06))]),
        Change(kind="set", value=["workload.streams.1.output_tokens", int(rng.integers(20, 200))]),
        Change(kind="set", value=["workload.streams.*.gap_cv", float(rng.integers(0, 4))]),
        Change(kind="set", value=[f"servers.{name}.precisions", ["nf4", "int8"]]),
        Change(kind="set", value=[f"servers.{name}.quantisation", "int8"]),
        Change(kind="set", value=["accuracy.budget", float(rng.uniform(0.5, 3.0))]),
        Change(kind="acceptance", value=float(rng.uniform(0.3, 0.9))),
    ]
    chosen = made[int(rng.integers(len(made)))]
    drafts = (Change(kind="draft_ms", value=10),) if chosen.kind == "acceptance" else ()
    return chosen, *drafts


def printed(*args: object) -> dict[str, object]:
    result = CliRunner().invoke(main, [str(a) for a in args])
    assert result.exit_code == 0, result.stderr
    document: dict[str, object] = json.loads(result.stdout)
    return document


def test_the_page_shows_what_the_commands_print_for_what_it_saves(tmp_path: Path) -> None:
    rng, desk = np.random.default_rng(22), session(40)
    scenario, plan, again = (tmp_path / n for n in ("saved.toml", "saved.json", "again.json"))
    start: planner.Start | None = None
    made = anew = capacities = 0
    for step in range(4 * EDITS):
        if made == EDITS:
            break
        try:
            desk.change(random_change(rng, desk))
        except ScenarioError:
            continue  # a server with too little memory for a block, a name that is taken
        found = judged(desk.scenario, start)
        if found.plan is None:
            assert found.error
            desk.undo()
            continue
        made += 1
        start = planner.Start(plan=found.plan, scenario=desk.scenario) if made % 5 else None
        scenario.write_text(scenario_text(desk.document), encoding="utf-8")
        plan.write_text(plan_text(desk.scenario, found), encoding="utf-8")
        told = printed("simulate", scenario, "--plan", plan, "--json")
        summary = told["summary"]
        for name in ("response_s", "ttft_s"):
            mean, p95 = summary[name]["mean"], summary[name]["p95"]  # type: ignore[index]
            assert found.figures[name] == pytest.approx(mean, rel=1e-9), step
            assert found.figures[f"p95_{name}"] == pytest.approx(p95, rel=1e-9), step
        saved = load_scenario(scenario)
        assert read_plan(plan, saved).remarks == ()
        least = most_per_s(CostModel.of(saved.problem), mix_of(saved.problem))
        assert found.most_per_s == pytest.approx(least, rel=1e-12)
        if capacities < 2 and not saved.problem.chooses_precision:
            most = printed("capacity", scenario, "--json", "--time-limit", "1")
            assert most["most_per_s"] == pytest.approx(found.most_per_s, rel=1e-12)
            capacities += 1
        if found.plan.method == "cg-bp":
            printed("plan", scenario, "--method", "cg-bp", "--router", "overlap", "--json",
                    "-o", again)  # fmt: skip
            assert json.loads(again.read_text()) == json.loads(plan.read_text()), step
            anew += 1
    assert (made, anew > 2, capacities) == (EDITS, True, 2)


def test_servers_keep_the_precisions_that_a_plan_chose_and_lose_them_to_a_budget() -> None:
    desk = session()
    every = Change(kind="set", value=["servers.*.precisions", ["nf4", "int8"]])
    desk.change((every,))
    first = judged(desk.scenario, None)
    assert first.plan is not None
    chosen = first.plan.placement.precision
    assert len(chosen) == 13
    start = planner.Start(plan=first.plan, scenario=desk.scenario)
    desk.change((Change(kind="move", value=["mig-tokyo", "10,10"]),))
    kept = judged(desk.scenario, start)
    assert kept.plan is not None
    assert kept.plan.placement.precision == chosen
    start = planner.Start(plan=kept.plan, scenario=desk.scenario)
    desk.change((Change(kind="set", value=["accuracy.budget", 0.5]),))
    within = judged(desk.scenario, start)
    assert within.plan is not None or within.error
    predicted = within.plan.predicted if within.plan else ()
    assert all(p.harm is not None and p.harm <= 0.5 for p in predicted)


@pytest.mark.parametrize("precisions", [["nf4"], ["int8", "nf4"]])
def test_the_whole_run_says_what_the_first_answer_said(precisions: list[str]) -> None:
    desk = session()
    desk.change((Change(kind="set", value=["servers.*.precisions", precisions]),))
    found = judged(desk.scenario, None)
    (whole,) = planner.measure(desk.scenario, found)
    for name, value in found.figures.items():
        assert whole.figures[name] == pytest.approx(value, rel=1e-9)
    assert found.share is not None
    assert whole.outcome is not None
    shares = [h.share for h in whole.outcome.hops]
    assert found.share == pytest.approx(shares)
    assert whole.outcome.problem.servers[0].precision == "nf4"  # at int8 there is no room


def test_servers_keep_their_blocks_where_they_can_and_where_they_are_told_to() -> None:
    desk = session()
    first = judged(desk.scenario, None)
    assert first.plan is not None
    start = planner.Start(plan=first.plan, scenario=desk.scenario)
    desk.change((Change(kind="move", value=["mig-tokyo", "10,10"]),))
    kept = judged(desk.scenario, start)
    assert kept.plan is not None
    assert np.array_equal(kept.plan.placement.start, first.plan.placement.start)
    held = first.plan.placement.hosts(70)[:, 30].astype(bool)
    hosts = [s.id for s, holds in zip(desk.original.problem.servers, held, strict=True) if holds]
    desk.change(tuple(Change(kind="remove", value=name) for name in hosts))
    stays = judged(desk.scenario, start, stay=True)
    anew = judged(desk.scenario, start)
    assert "no server hosts blocks" in stays.error
    assert anew.plan is None
    assert "no server hosts blocks" not in anew.error  # it was planned anew, which cannot be


def test_a_search_does_no_worse_than_the_plan_it_is_given() -> None:
    desk = session()
    found = judged(desk.scenario, None)
    told: list[object] = []
    *_, better = planner.improve(desk.scenario, found, 1.0, told.append)
    assert better.plan is not None
    assert better.plan.method == "auto"
    assert better.figures["response_s"] <= 1.3 * found.figures["response_s"]


def test_a_change_is_told_in_a_sentence() -> None:
    desk = session()
    before = judged(desk.scenario, None)
    desk.change((Change(kind="remove", value="europe"),))
    assert before.plan is not None
    after = judged(desk.scenario, planner.Start(plan=before.plan, scenario=desk.original))
    said = sentence(since(desk.changes, ()), before, after)
    assert said.startswith("europe gone: p95 ")
    assert " -> " in said
    assert "capacity -" in said
    assert sentence((), before, before) == "nothing changed"
    assert since(desk.changes, desk.changes) == ()
    was = desk.changes
    desk.undo()
    assert since(desk.changes, was) == ("taken back: europe gone",)
    desk.redo()
    unknown = replace(after, figures={}, carried=None)
    assert sentence(since(desk.changes, ()), before, unknown) == "europe gone"


def test_a_replay_is_the_simulated_run_and_failures_change_it_from_then_on() -> None:
    desk = session()
    found = judged(desk.scenario, None)
    assert found.plan is not None
    quiet = replay(desk.scenario, found.plan, [])
    (whole,) = planner.measure(desk.scenario, found)
    taken = [s["finish_s"] - s["arrival_s"] for s in quiet["sessions"] if s["finish_s"] is not None]
    assert np.mean(taken) == pytest.approx(whole.figures["response_s"])
    assert found.share is not None
    busiest = quiet["servers"][int(np.argmax(found.share))]
    at = quiet["end_s"] / 3
    broken = replay(desk.scenario, found.plan, [(at, busiest)])
    assert broken["events"] == [{"time_s": at, "server": busiest, "up": False}]
    row = quiet["servers"].index(busiest)
    for old, new in zip(quiet["sessions"], broken["sessions"], strict=True):
        assert old["arrival_s"] == new["arrival_s"]
        if old["finish_s"] is not None and old["finish_s"] < at:
            assert (old["finish_s"], old["legs"]) == (new["finish_s"], new["legs"])
        late = [chain for since_s, chain in new["legs"] if since_s >= at]
        assert all(row not in chain for chain in late)
    moved = [s for s in broken["sessions"] if len(s["legs"]) > 1]
    assert moved, "sessions on the server that failed go on elsewhere"
    assert all(s["legs"][0][1] and row in s["legs"][0][1] for s in moved)
    with pytest.raises(ScenarioError, match="no server 'x'"):
        replay(desk.scenario, found.plan, [(1.0, "x")])


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ('servers."a.b".memory_gb', 12, "a.b: 12 GB"),
        ("servers.a[*].quantisation", "int8", "a*: int8"),
        ("servers.x.precisions", ["nf4", "int8"], "x: precision open: nf4, int8"),
        ("servers.x.wire", "uniform_8bit", "x: states go by uniform_8bit"),
        ("network.wire", "none", "states go by none"),
        ("workload.streams.*.output_tokens", 9, "all clients: answers of 9 tokens"),
        ("workload.streams.1.rate_per_s", 0.5, "stream 2: 0.5 requests/s"),
        ("workload.streams.paris.gap_cv", 3, "paris: gaps vary by 3"),
        ("workload.trace", {"csv": "t.csv"}, "requests of t.csv"),
        ("workload.trace.max_requests", 50, "trace: the first 50 requests"),
        ("accuracy.budget", 1.5, "accuracy budget 1.5 %"),
        ("accuracy.budget_of.paris", 2, "paris: accuracy budget 2 %"),
        ("model.quantisation", "bf16", "blocks at bf16"),
        ("speculation.draft_tokens", 4, "drafts of a pass: 4"),
        ("network.step_overhead_ms", 4, "set network.step_overhead_ms = 4"),
    ],
)
def test_a_value_is_told_as_people_say_it(path: str, value: object, said: str) -> None:
    assert in_words(Change(kind="set", value=[path, value])) == said
