"""Reading announcements: whatever peers say, a scenario comes out or a clear refusal."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.api import plan
from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError, SwarmUnreachableError
from swarmplan.scenarios.checkpoint import model_figures
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.announce import Announcement, Warnings, read_entry
from swarmplan.swarm.health import announcements_of, read_state
from swarmplan.swarm.inspecting import Wanted, checked, inspect_swarm
from swarmplan.swarm.places import ClientPlace
from swarmplan.swarm.settling import is_spanless, merge, symmetric_rtt_s, with_spans
from swarmplan.swarm.snapshot import Assumptions, scenario_document

BLOCKS = 32
MODEL = model_figures("Llama-3.1-8B")
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def peer(number: int) -> str:
    """A well-formed peer id."""
    digits = []
    for _ in range(6):
        digits.append(ALPHABET[number % 58])
        number //= 58
    return "Qm" + "".join(digits) + "x" * 38


def honest(start: int, end: int, **more: Any) -> dict[str, Any]:
    """What a real server announces."""
    return {
        "state": 2,
        "throughput": 800.0,
        "start_block": start,
        "end_block": end,
        "inference_rps": 200.0,
        "forward_rps": 4_000.0,
        "network_rps": 2_000.0,
        "cache_tokens_left": 2 * 4_096 * (end - start),
        "next_pings": {},
        "quant_type": "nf4",
        "torch_dtype": "float16",
        "using_relay": False,
        "public_name": "somebody",
        **more,
    }


HONEST = [(peer(i), honest(8 * i, 8 * i + 8)) for i in range(4)]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.just(10**400)
    | st.sampled_from([math.nan, math.inf, -math.inf, -1, 1e308, "\x1b[31m", "online"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)
FIELDS = (*honest(0, 1), "batch_steps")
HOSTILE = st.dictionaries(st.sampled_from(FIELDS), ANYTHING).map(lambda d: {**honest(0, 8), **d})
PEERS = st.sampled_from([peer(i) for i in range(12)]) | ANYTHING


def read_all(raw: list[tuple[Any, Any]]) -> tuple[list[Announcement], Warnings]:
    warnings = Warnings()
    entries = [read_entry(p, fields, BLOCKS, warnings) for p, fields in raw]
    return merge([(None, e) for e in entries if e is not None], warnings), warnings


@given(st.lists(st.tuples(PEERS, HOSTILE | ANYTHING), max_size=12))
def test_no_announcement_breaks_reading_or_escapes_its_limits(raw: list[tuple[Any, Any]]) -> None:
    entries, warnings = read_all(raw)
    for entry in entries:
        assert 0 <= entry.start < entry.end <= BLOCKS
        rates = (entry.throughput, entry.inference_rps, entry.forward_rps, entry.network_rps)
        assert all(r is None or 0 < r <= 1e5 for r in rates)
        assert all(0 <= rtt <= 10 for rtt in entry.next_pings.values())
        assert entry.public_name.isprintable()
    assert all(line.isprintable() for line in warnings.lines())


@given(st.lists(st.tuples(PEERS, HOSTILE | ANYTHING), max_size=6))
def test_a_scenario_of_any_announcements_loads_or_is_refused(raw: list[tuple[Any, Any]]) -> None:
    entries, _ = read_all([*HONEST, *raw])
    document, _ = scenario_document(MODEL, entries, [ClientPlace(name="here")], Assumptions())
    assert checked(document)["servers"]


def test_an_absurdly_fast_server_counts_as_ten_times_the_median() -> None:
    liar = (peer(9), honest(0, 8, inference_rps=9e4))
    entries, warnings = read_all([*HONEST, liar])
    assert {e.peer: e.inference_rps for e in entries}[peer(9)] == pytest.approx(2_000.0)
    assert any("far above all others" in line for line in warnings.lines())


def test_a_server_cannot_lie_itself_nearer() -> None:
    one = (peer(0), honest(0, 8, next_pings={peer(1): 0.0001}))
    other = (peer(1), honest(8, 16, next_pings={peer(0): 0.080}))
    entries, _ = read_all([one, other])
    assert symmetric_rtt_s(entries) == {(peer(0), peer(1)): 0.080}


def test_of_contradicting_spans_the_complete_one_counts() -> None:
    warnings = Warnings()
    old = read_entry(peer(0), honest(0, 8), BLOCKS, warnings)
    new = read_entry(peer(0), honest(4, 12), BLOCKS, warnings)
    assert old is not None
    assert new is not None
    found = [(b, old) for b in range(4)] + [(b, new) for b in range(4, 12)]
    assert [(e.start, e.end) for e in merge(found, warnings)] == [(4, 12)]


def test_what_is_read_can_be_planned_and_says_what_is_estimated(tmp_path: Path) -> None:
    entries, _ = read_all(HONEST)
    near = {e.peer: 0.02 for e in entries}
    place = ClientPlace(name="here", rtt_s=near)
    document, estimated = scenario_document(MODEL, entries, [place], Assumptions(sessions=1))
    path = tmp_path / "read.toml"
    write_document(path, document)
    problem = load_scenario(path).problem
    assert [s.pinned for s in problem.servers if s.pinned] == [s.pinned for s in problem.servers]
    assert problem.network.client_rtt_s == pytest.approx(0.02)
    assert any(note.startswith("memory") for note in estimated)
    made = plan(problem, "manual")
    assert made.placement.num_blocks.tolist() == [8, 8, 8, 8]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({}, (False, None)),
        ({"rollback": 1, "task_tokens": 32}, (True, 32)),
        ({"rollback": 2, "task_tokens": -1}, (False, None)),
        ({"rollback": "1", "task_tokens": 10**30}, (False, None)),
        ({"rollback": [1], "task_tokens": math.nan}, (False, None)),
    ],
)
def test_capabilities_count_where_they_are_plausible(
    told: dict[str, Any], found: tuple[bool, int | None]
) -> None:
    warnings = Warnings()
    entry = read_entry(peer(0), honest(0, 32, **told), BLOCKS, warnings)
    assert entry is not None
    assert (entry.rollback, entry.task_tokens) == found
    strange = "task_tokens" in told and found[1] is None
    assert len(warnings.lines()) == strange


def test_a_scenario_tells_what_tasks_servers_take_and_which_cannot_be_drafted_over(
    tmp_path: Path,
) -> None:
    able = {"rollback": 1, "task_tokens": 32, "quant_type": "nf4"}
    raw = [(peer(0), honest(0, 32, **able)), (peer(1), honest(0, 32, public_name="old"))]
    known, _ = read_all(raw)
    here = [ClientPlace(name="here", rtt_s={})]
    document, notes = scenario_document(MODEL, known, here, Assumptions())
    assert [s.get("task_tokens") for s in document["servers"]] == [32, None]
    assert [s.get("rollback") for s in document["servers"]] == [None, False]
    assert any("servers that take none back: old" in note for note in notes)
    path = tmp_path / "s.json"
    write_document(path, document)
    assert load_scenario(path).problem.servers[0].task_tokens == 32
    assert load_scenario(path).problem.forward_only == {1}
    # Where nobody can be drafted over, nobody has to be told.
    _, plain = scenario_document(MODEL, known[1:], here, Assumptions())
    assert not any("drafts" in note for note in plain)


def test_a_span_that_is_not_announced_is_the_run_of_blocks_it_lies_under() -> None:
    """As versions before 2.0 announce themselves: state and throughput alone."""
    old = {"state": 2, "throughput": 100.0}
    blocks = [3, 4, 5, 9, 10, 20]
    rows = with_spans([(1.0, b, peer(1), old) for b in blocks] + [(1.0, 7, 7, old)])
    assert {(r[3]["start_block"], r[3]["end_block"]) for r in rows} == {(3, 6)}  # type: ignore[index]
    assert is_spanless(old)
    assert not is_spanless(honest(0, 4))
    warnings = Warnings()
    found = [(b, read_entry(p, fields, BLOCKS, warnings)) for _, b, p, fields in rows]
    entries = merge([(b, e) for b, e in found if e is not None], warnings)
    assert [(e.start, e.end) for e in entries] == [(3, 6)]


def state_document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The health monitor's answer in its own shape."""
    return {
        "model_reports": [
            {"name": "Llama-3.1-8B", "dht_prefix": "Llama-3-1-8B-hf", "server_rows": rows}
        ]
    }


def row_of(number: int, fields: dict[str, Any]) -> dict[str, Any]:
    info = {k: v for k, v in fields.items() if k not in ("state", "start_block", "end_block")}
    span = {"start": fields["start_block"], "end": fields["end_block"], "server_info": info}
    place = {"lat": 50.0, "lon": 8.0 + number}
    return {
        "peer_id": peer(number),
        "state": "online",
        "span": span,
        "peer_ip_info": {"location": place},
    }


def test_the_health_monitors_state_becomes_a_scenario_file(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    rows = [row_of(i, fields) for i, (_, fields) in enumerate(HONEST)]
    state.write_text(json.dumps(state_document(rows)))
    out = tmp_path / "swarm.toml"
    command = ["swarm", "inspect", "--health", str(state), "--model", "Llama-3.1-8B"]
    result = CliRunner().invoke(main, [*command, "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    problem = load_scenario(out).problem
    assert problem.num_servers == 4
    assert problem.model.num_blocks == BLOCKS
    # Server-server times come from the coordinates: a degree of longitude is about 70 km here.
    assert 0.005 < problem.network.server_rtt_s[0, 1] < 0.010


ODD_FIELDS: dict[str, dict[str, Any]] = {
    "busy": {"cache_tokens_left": 0},
    "null": dict.fromkeys(FIELDS[4:], None),
    "bare": {"inference_rps": None, "forward_rps": None, "network_rps": None},
    "absurd": {"cache_tokens_left": -5, "next_pings": "x", "quant_type": 7, "torch_dtype": []},
    "unreachable neighbours": {"next_pings": {peer(0): None, peer(1): math.inf}},
    "whole as a fraction": {"start_block": 8.0, "end_block": 16.0},
}


@pytest.mark.parametrize("kind", [*ODD_FIELDS, "no info", "span in the info alone"])
def test_a_busy_or_odd_server_is_a_server_and_no_hole(kind: str, tmp_path: Path) -> None:
    rows = [row_of(i, fields) for i, (_, fields) in enumerate(HONEST)]
    if kind == "no info":
        rows[1]["span"].pop("server_info")
    elif kind == "span in the info alone":
        rows[1]["span"] = {"server_info": {**rows[1]["span"]["server_info"], **SPAN}}
    else:
        rows[1] = row_of(1, {**HONEST[1][1], **ODD_FIELDS[kind]})
    state, out = tmp_path / "state.json", tmp_path / "swarm.toml"
    state.write_text(json.dumps(state_document(rows)))
    command = ["swarm", "inspect", "--health", str(state), "--model", "Llama-3.1-8B"]
    done = CliRunner().invoke(main, [*command, "-o", str(out)])
    assert done.exit_code == 0, done.stderr
    problem = load_scenario(out).problem
    assert problem.num_servers == 4
    made = plan(problem, "manual")
    assert made.placement.coverage(BLOCKS).min() == 1
    assert made.unrouted == 0


def test_passes_of_several_sessions_that_fail_are_told(tmp_path: Path) -> None:
    told = {"curve": [[2, 1.1], [8, 1.5]], "steps": 900, "passes": 300, "fallbacks": 12}
    rows = [row_of(i, fields) for i, (_, fields) in enumerate(HONEST)]
    rows[1] = row_of(1, {**HONEST[1][1], "batch_steps": told})
    rows[2] = row_of(2, {**HONEST[2][1], "batch_steps": {**told, "fallbacks": 0}})
    state, out = tmp_path / "state.json", tmp_path / "swarm.toml"
    state.write_text(json.dumps(state_document(rows)))
    command = ["swarm", "inspect", "--health", str(state), "--model", "Llama-3.1-8B"]
    done = CliRunner().invoke(main, [*command, "-o", str(out)])
    assert done.exit_code == 0, done.stderr
    assert f"{peer(1)}: 12 of 900 steps were done again one by one" in done.stderr
    assert f"{peer(2)}: " not in done.stderr
    sharing = [s.sharing for s in load_scenario(out).problem.servers]
    assert sharing == ["serial", "batched", "batched", "serial"]


SPAN = {"start_block": 8, "end_block": 16}


def inspected(tmp_path: Path, *options: str) -> Path:
    """The scenario of a monitor's state of four servers."""
    state, out = tmp_path / "state.json", tmp_path / "swarm.toml"
    rows = [row_of(i, fields) for i, (_, fields) in enumerate(HONEST)]
    state.write_text(json.dumps(state_document(rows)))
    command = ["swarm", "inspect", "--health", str(state), "--model", "Llama-3.1-8B"]
    done = CliRunner().invoke(main, [*command, *options, "-o", str(out)])
    assert done.exit_code == 0, done.stderr
    return out


@pytest.mark.parametrize("options", [(), ("--lat", "48", "--lon", "2")])
def test_a_server_can_be_added_to_an_inspected_swarm_by_its_place(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    path = inspected(tmp_path, *options)
    client = load_scenario(path).document.clients[0]
    assert (client.lat, client.lon) == ((48.0, 2.0) if options else (50.0, 9.0))
    words = ["whatif", str(path), "--method", "cg-bp", "--seeds", "1", "--requests", "10", "-q"]
    words += ["--add-server", "id=mine,device=RTX4090,lat=52.0,lon=13.0"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr


def test_measured_times_are_kept_beside_places() -> None:
    told = [(p, {**f, "next_pings": {peer((i + 1) % 4): 0.09}}) for i, (p, f) in enumerate(HONEST)]
    entries, _ = read_all(told)
    placed = [replace(e, coordinates=(50.0, 8.0 + i)) for i, e in enumerate(entries)]
    place = ClientPlace(name="here", rtt_s={entries[0].peer: 0.02}, coordinates=(50.0, 8.0))
    document, _ = scenario_document(MODEL, placed, [place], Assumptions())
    rows = document["network"]["rtt_ms"]
    assert rows[0][1:3] == [20.0, None]
    assert rows[1][1:] == [0.0, 90.0, None, 90.0]


@pytest.mark.parametrize(("lat", "lon"), [("48", None), (None, "2"), ("91", "2"), ("48", "nan")])
def test_a_place_is_whole_and_on_earth(lat: str | None, lon: str | None) -> None:
    words = ["swarm", "inspect", "--model", "Llama-3.1-8B", "--health", "x"]
    words += ["--lat", lat] if lat else []
    words += ["--lon", lon] if lon else []
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "--lat" in done.stderr or "--lon" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("placed", [True, False])
def test_three_thousand_servers_make_a_scenario_without_a_table_of_pairs(
    placed: bool, tmp_path: Path
) -> None:
    """The table would have nine million entries; each server's own figures are enough."""
    raw = [(peer(i), honest(i % 25, i % 25 + 8)) for i in range(3_000)]
    entries, _ = read_all(raw)
    assert len(entries) == 3_000
    if placed:
        entries = [replace(e, coordinates=(i % 60, i % 120)) for i, e in enumerate(entries)]
    near = {} if placed else {e.peer: 0.01 + i / 1e5 for i, e in enumerate(entries)}
    place = ClientPlace(name="here", rtt_s=near)
    document, estimated = scenario_document(MODEL, entries, [place], Assumptions(sessions=4))
    assert "rtt_ms" not in document["network"]
    assert len(document["devices"]) == 1
    assert any("round trips between" in line for line in estimated)
    path = tmp_path / "many.toml"
    write_document(path, document)
    assert path.stat().st_size < 2_000_000
    problem = load_scenario(path).problem
    if not placed:
        assert problem.network.client_rtt_s[0] == pytest.approx(list(near.values()), abs=1e-6)
    assert problem.network.server_rtt_s.shape == (3_000, 3_000)
    assert plan(problem, "cg-bp").unrouted == 0


@given(ANYTHING)
def test_any_document_is_read_or_refused(document: Any) -> None:
    warnings = Warnings()
    for candidate in (document, state_document([document]), {"model_reports": [document]}):
        try:
            announcements_of(candidate, "Llama-3.1-8B", BLOCKS, warnings)
        except ScenarioError:
            continue


def test_a_silent_monitor_is_reported_as_unreachable() -> None:
    with pytest.raises(SwarmUnreachableError, match="does not answer"):
        read_state("http://127.0.0.1:9/api/v1/state")


def test_a_source_must_be_named() -> None:
    with pytest.raises(ScenarioError, match="give either this or --health"):
        inspect_swarm(Wanted(model="Llama-3.1-8B"))


def test_figures_of_a_checkpoint_folder_come_from_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "vocab_size": 256,
    }
    (folder / "config.json").write_text(json.dumps(config))
    figures = model_figures(str(folder), "p")
    assert (figures.num_blocks, figures.hidden_size, figures.prefix) == (8, 64, "p")
    assert figures.block_parameters == 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64


def test_adapters_are_read_and_count_as_nothing() -> None:
    raw = [(peer(0), honest(0, 32, adapters=("org/a", "org/b"))), (peer(1), honest(0, 32))]
    known, _ = read_all(raw)
    assert [e.adapters for e in known] == [("org/a", "org/b"), ()]
    here = [ClientPlace(name="here", rtt_s={})]
    document, notes = scenario_document(MODEL, known, here, Assumptions(sessions=1))
    assert [s["adapters"] for s in document["servers"]] == [["org/a", "org/b"], []]
    assert document["adapters"] == {"org/a": {}, "org/b": {}}
    assert any("size of adapters" in n for n in notes)
    checked(document)
    _, plain = scenario_document(MODEL, known[1:], here, Assumptions(sessions=1))
    assert not any("adapters" in n for n in plain)


@pytest.mark.parametrize(
    ("told", "kept"),
    [("org/a", ()), (7, ()), (["x"] * 101, ()), (["good", "", 3, "b\x1b", "good"], ("good",))],
)
def test_adapters_count_where_they_have_names(told: Any, kept: tuple[str, ...]) -> None:
    warnings = Warnings()
    entry = read_entry(peer(0), honest(0, 32, adapters=told), BLOCKS, warnings)
    assert entry is not None
    assert entry.adapters == kept
    assert "adapters" in warnings.lines()[0]
