"""A session: edits as data, undo and redo, what cannot be is refused and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.files import parse, parse_file
from swarmplan.scenarios.scenario import load_scenario, scenario_of
from swarmplan.studies.edits import edited_document
from swarmplan.studio.saving import scenario_text
from swarmplan.studio.session import MOST_EDITS, Change, Changes, Session, with_change

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
DEMO, TINY = FOLDER / "demo.toml", FOLDER / "tiny.toml"


def session() -> Session:
    return Session(parse_file(DEMO), load_scenario(DEMO))


def moved(lat: float) -> Change:
    return Change(kind="move", value=["mig-tokyo", f"{lat:.2f},10"])


def test_a_change_can_be_undone_and_made_again() -> None:
    desk = session()
    desk.change((moved(1.0),))
    desk.change((Change(kind="remove", value="europe"),))
    assert desk.scenario.problem.num_servers == 10
    desk.undo()
    assert desk.scenario.problem.num_servers == 13
    assert desk.scenario.problem.servers[-1].coordinates == (1.0, 10.0)
    desk.undo()
    desk.undo()
    assert desk.scenario is desk.original
    assert not desk.can_undo
    desk.redo()
    desk.redo()
    assert desk.scenario.problem.num_servers == 10
    assert not desk.can_redo
    desk.undo()
    desk.change((moved(2.0),))
    assert not desk.can_redo  # what was undone is gone for good


@settings(max_examples=30)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 8))
def test_undo_and_redo_go_through_the_same_states(loads: list[int], steps: int) -> None:
    desk = Session(parse_file(TINY), load_scenario(TINY))
    states = [desk.scenario.sha256]
    for load in loads:
        desk.change((Change(kind="set", value=["workload.streams.me.rate_per_s", load / 100]),))
        states.append(desk.scenario.sha256)
    for _ in range(steps):
        desk.undo()
    assert desk.scenario.sha256 == states[max(0, len(loads) - steps)]
    for _ in range(steps):
        desk.redo()
    assert desk.scenario.sha256 == states[-1]


SERVERS = ("mig-tokyo", "mig-paris", "a100-chicago")
MOVES = st.builds(
    lambda name, place: Change(kind="move", value=[name, place]),
    st.sampled_from(SERVERS),
    st.sampled_from(("1,10", "2,20", "3,-30", "mig-tokyo", "frankfurt")),
).filter(lambda c: c.value[0] != c.value[1])
SETS = st.builds(
    lambda name, field, value: Change(kind="set", value=[f"servers.{name}.{field}", value]),
    st.sampled_from((*SERVERS, "mig-*")),
    st.sampled_from(("memory_gb", "memory_gib")),
    st.sampled_from((12, 24, 30)),
)
OTHERS = st.sampled_from(
    (
        Change(kind="remove", value="asia"),
        Change(kind="add_server", value={"id": "new", "like": "mig-paris"}),
    )
)


@settings(max_examples=60)
@given(st.lists(MOVES | SETS | OTHERS, max_size=12))
def test_a_change_that_a_later_one_leaves_nothing_of_is_forgotten(made: list[Change]) -> None:
    raw = parse_file(DEMO)
    kept: Changes = ()
    all_of_them: Changes = ()
    for change in made:
        try:
            wanted = edited_document(raw, [c.edit() for c in (*all_of_them, change)])
        except ScenarioError:
            continue  # a server that is gone, a name that is taken
        all_of_them, kept = (*all_of_them, change), with_change(kept, change)
        assert edited_document(raw, [c.edit() for c in kept]) == wanted


def test_whoever_drags_a_server_to_and_fro_has_moved_it_once() -> None:
    desk = session()
    for k in range(9):
        desk.change((moved(k), Change(kind="move", value=["mig-paris", f"{k},0"])))
    assert [c.value for c in desk.changes] == [["mig-tokyo", "8.00,10"], ["mig-paris", "8,0"]]
    desk.undo()
    assert desk.changes[0].value == ["mig-tokyo", "7.00,10"]
    desk.change((Change(kind="move", value=["mig-london", "mig-paris"]), moved(1)))
    assert len(desk.changes) == 4  # somebody stands where another one was put


def test_a_step_back_that_cannot_be_loaded_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,5,5\n1,5,5\n", encoding="utf-8")
    desk = session()
    desk.change((Change(kind="set", value=["workload.trace", {"csv": str(trace)}]),))
    assert len(desk.scenario.problem.workload.trace) == 2
    desk.undo()
    trace.unlink()
    with pytest.raises(ScenarioError, match=r"t\.csv"):
        desk.redo()
    assert desk.changes == ()
    assert desk.scenario is desk.original
    assert desk.can_redo


def test_servers_that_are_off_are_known_and_come_back() -> None:
    desk = session()
    desk.change((Change(kind="remove", value="mig-tokyo"), Change(kind="remove", value="europe")))
    assert desk.switched_off() == {
        "mig-tokyo": "mig-tokyo",
        **dict.fromkeys(("a100-amsterdam", "mig-london", "mig-paris"), "europe"),
    }
    desk.switch_on("europe")
    assert desk.switched_off() == {"mig-tokyo": "mig-tokyo"}
    desk.undo()
    assert len(desk.switched_off()) == 4
    with pytest.raises(ScenarioError, match="was not switched off"):
        desk.switch_on("asia")


def test_one_change_is_taken_back_and_the_later_ones_stay() -> None:
    desk = session()
    desk.change((Change(kind="remove", value="europe"),))
    desk.change((moved(3.0),))
    desk.take_back(0)
    assert desk.scenario.problem.num_servers == 13
    assert desk.scenario.problem.servers[-1].coordinates == (3.0, 10.0)
    with pytest.raises(ScenarioError, match="there is no change 2"):
        desk.take_back(1)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("remove", "nobody", "no server, group or region 'nobody'"),
        ("scale_load", 2, "no field of a scenario file says that"),
        ("nonsense", 1, "no edit of kind 'nonsense'"),
        ("set", "x", "takes a list of two"),
        ("set", ["servers.mig-tokyo.memory_gb", -1], "memory_gb"),
        ("set", ["servers.mig-tokyo.memory_gb", float("nan")], "memory_gb"),
        ("set", ["", 1], "names nothing"),
        ("move", ["mig-tokyo", "91,0"], "lat"),
        ("move", ["mig-tokyo", ""], "takes a value"),
        ("add_server", {"id": "mig-tokyo", "like": "mig-paris"}, "mig-tokyo"),
        ("add_server", [1], "is no text, number or table"),
        ("set", ["workload.trace", {"csv": "none.csv"}], "none.csv"),
        ("set", ["accuracy.budget", -1], "accuracy.budget"),
        ("set", ["servers.mig-tokyo.precisions", ["fp3"]], "precisions"),
        ("set", ["speculation.acceptance", 2], "speculation"),
        ("remove", None, "is no text, number or table"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    kind: str, value: object, message: str
) -> None:
    desk = session()
    with pytest.raises(ScenarioError, match=message):
        desk.change((moved(5.0), Change(kind=kind, value=value)))
    assert desk.changes == ()
    assert not desk.can_undo


def test_a_page_makes_so_many_changes_and_no_more() -> None:
    desk = session()
    with pytest.raises(ScenarioError, match="save the scenario"):
        desk.change((Change(kind="acceptance", value=0.5),) * (MOST_EDITS + 1))


def test_the_scenario_that_is_saved_is_the_one_that_is_shown() -> None:
    desk, place = session(), {"lat": 1.0, "lon": 2.0}
    desk.change(
        (
            Change(kind="add_server", value={"id": "x = 1", "like": "mig-paris", **place}),
            Change(kind="add_client", value={"id": 'a "b"', "like": "frankfurt", **place}),
            Change(kind="move", value=["x = 1", "5,6"]),
            Change(kind="set", value=["workload.streams.0.rate_per_s", 0.01]),
        )
    )
    text = scenario_text(desk.document)
    saved = scenario_of(parse(text.encode(), json_syntax=False, source=""), DEMO)
    assert saved.sha256 == desk.scenario.sha256
    assert saved.problem.servers[-1].coordinates == (5.0, 6.0)
