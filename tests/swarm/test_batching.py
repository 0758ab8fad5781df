"""What servers announce of passes of several sessions, and what the planner makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.api import plan, simulate
from swarmplan.core.problem import Timing
from swarmplan.perfmodel.timing import decode_s
from swarmplan.scenarios.checkpoint import model_figures
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.announce import Announcement, Warnings, read_entry
from swarmplan.swarm.batching import FIELD, MOST_POINTS, MOST_ROWS, Batching, read_batching
from swarmplan.swarm.inspecting import checked
from swarmplan.swarm.places import ClientPlace
from swarmplan.swarm.snapshot import Assumptions, scenario_document

MODEL = model_figures("Llama-3.1-8B")
PEERS = ["Qm" + letter * 44 for letter in "abcd"]
CURVE = ((2, 1.1), (8, 1.5), (32, 2.0))
FIGURES = st.integers(0, 2**53)


@st.composite
def honest(draw: st.DrawFn) -> Batching:
    """What a server may say."""
    rows = sorted(draw(st.sets(st.integers(2, MOST_ROWS), min_size=1, max_size=MOST_POINTS)))
    times: list[float] = []
    for r in rows:
        times.append(draw(st.floats(times[-1] if times else 1.0, r)))
    names = ("steps", "passes", "joined", "largest", "fallbacks")
    counts = {name: draw(FIGURES) for name in names}
    return Batching(curve=tuple(zip(rows, times, strict=True)), **counts)


@given(honest())
def test_what_is_told_is_read_back(told: Batching) -> None:
    assert read_batching(told.told()) == told


def test_sessions_of_a_pass_on_average() -> None:
    assert Batching(curve=CURVE, steps=12, passes=4).mean == 3.0
    assert Batching(curve=CURVE).mean == 0.0


@pytest.mark.parametrize(
    "told",
    [
        None,
        "fast",
        {},
        {"curve": []},
        {"curve": [[2, 1.1]] * 2},
        {"curve": [[1, 1.0]]},
        {"curve": [[2, 0.5]]},
        {"curve": [[2, 2.5]]},
        {"curve": [[2, 1.5], [4, 1.2]]},
        {"curve": [[4, 1.5], [2, 1.6]]},
        {"curve": [[2.5, 1.5]]},
        {"curve": [[2, True]]},
        {"curve": [[True, 1.0]]},
        {"curve": [[2, float("nan")]]},
        {"curve": [[2, "1.5"]]},
        {"curve": [[2]]},
        {"curve": [[MOST_ROWS + 1, 1.0]]},
        {"curve": [[10**400, 1.0]]},
        {"curve": [[r, 1.0] for r in range(2, MOST_POINTS + 3)]},
        {"curve": [[2, 1.1]], "steps": -1},
        {"curve": [[2, 1.1]], "fallbacks": 1.5},
        {"curve": [[2, 1.1]], "passes": 10**400},
    ],
)
def test_a_pass_of_no_plausible_cost_is_left_out_with_a_warning(told: Any) -> None:
    assert read_batching(told) is None
    warnings = Warnings()
    entry = read_entry(PEERS[0], fields(**{FIELD: told}), 32, warnings)
    assert entry is not None
    assert entry.batching is None
    assert len(warnings.lines()) == (0 if told is None else 1)


def fields(**more: Any) -> dict[str, Any]:
    """What a server of all blocks announces."""
    return {
        "state": 2,
        "throughput": 100.0,
        "start_block": 0,
        "end_block": 32,
        "inference_rps": 200.0,
        "forward_rps": 4_000.0,
        "cache_tokens_left": 2 * 16_384 * 32,
        **more,
    }


def document(*told: Any, sessions: int = 8) -> dict[str, Any]:
    """The scenario of servers that say this of their passes, all equal otherwise."""
    entries: list[Announcement] = []
    for peer, each in zip(PEERS, told, strict=False):
        entry = read_entry(peer, fields(**{FIELD: each}), 32, Warnings())
        assert entry is not None
        entries.append(entry)
    near = {e.peer: 0.02 for e in entries}
    found, _ = scenario_document(
        MODEL,
        entries,
        [ClientPlace(name="here", rtt_s=near)],
        Assumptions(sessions=sessions, rate_per_s=0.5),
    )
    return found


def test_a_server_that_batches_is_one_for_the_planner_with_its_curve(tmp_path: Path) -> None:
    told = Batching(curve=CURVE, steps=100, passes=30).told()
    path = tmp_path / "read.toml"
    write_document(path, document(told, None, {**told, "steps": 7}))
    problem = load_scenario(path).problem
    assert [s.sharing for s in problem.servers] == ["batched", "serial", "batched"]
    # Counts make no kinds of their own: the same blocks are the same device.
    assert [s.device for s in problem.servers] == ["kind-0", "kind-1", "kind-0"]
    batched, serial, _ = (s.timing for s in problem.servers)
    assert isinstance(batched, Timing)
    assert isinstance(serial, Timing)
    assert decode_s(serial, 100) == pytest.approx(1 / 200)
    for rows, times in ((1, 1.0), *CURVE):
        assert decode_s(batched, 100, batch=rows) == pytest.approx(times / 200)
    assert batched.prefill_per_token_s == serial.prefill_per_token_s


def test_the_planner_sends_more_sessions_where_steps_are_run_together(tmp_path: Path) -> None:
    """Two servers that are equal but for that: sessions, and what they are to last."""
    shares, response_s = {}, {}
    for name, first in (("serial", None), ("batches", Batching(curve=CURVE).told())):
        path = tmp_path / f"{name}.toml"
        write_document(path, document(first, None))
        problem = load_scenario(path).problem
        done = simulate(problem, plan(problem, "manual", router="overlap"), requests=200)
        routes = [hop.server for route in done.routes if route for hop in route.hops]
        shares[name] = routes.count(0) / len(routes)
        response_s[name] = float(np.mean(done.response_s))
    assert shares["serial"] < 0.6
    assert shares["batches"] > shares["serial"] + 0.1
    assert response_s["batches"] < 0.9 * response_s["serial"]


def test_the_slowest_server_with_the_worst_curve_still_makes_a_scenario() -> None:
    entry = read_entry(
        PEERS[0],
        fields(inference_rps=1e-9, **{FIELD: {"curve": [[MOST_ROWS, float(MOST_ROWS)]]}}),
        32,
        Warnings(),
    )
    assert entry is not None
    found, _ = scenario_document(MODEL, [entry], [ClientPlace(name="here")], Assumptions())
    assert checked(found)["servers"]
