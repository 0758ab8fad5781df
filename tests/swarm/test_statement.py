"""What serving peers say in their own name: whose word it is, and how much of it counts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.announced import measured_rates
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.devices import BlockTimes
from swarmplan.perfmodel.overhead import HopOverhead
from swarmplan.swarm.announce import Warnings
from swarmplan.swarm.claim import RefusedClaimError
from swarmplan.swarm.settling import plausible
from swarmplan.swarm.statement import (
    FORMAT,
    MOST_VALID_S,
    Measured,
    Statement,
    Work,
    heard,
    measured_of,
    packed,
    read_statement,
)

from .looks import NOW_S, peer, problem_of, server
from .test_inspect import ANYTHING

BLOCKS = 32
TIMING = Timing(
    decode_base_s=2e-3,
    decode_per_context_token_s=1e-7,
    prefill_base_s=3e-3,
    prefill_per_token_s=2e-5,
    step_curve=((8.0, 1e-3), (32.0, 4e-3)),
    decode_per_sequence_s=2e-4,
)
OVERHEAD = HopOverhead(step_s=0.008, task_s=0.001, prefill_s=0.01, piece_s=0.002)

TIMES = BlockTimes(timing=TIMING, hop=OVERHEAD)


def statement(number: int = 0, **more: Any) -> Statement:
    figures: dict[str, Any] = {
        "format": FORMAT,
        "prefix": "swarm",
        "peer": peer(number),
        "issued_s": NOW_S,
        "expires_s": NOW_S + 120,
        "announced": {
            "state": 2,
            "throughput": 800.0,
            "start_block": 0,
            "end_block": 16,
            "inference_rps": 200.0,
            "forward_rps": 4_000.0,
            "cache_tokens_left": 1_000,
            "public_name": "own",
        },
    }
    return Statement(**{**figures, **more})


def read(told: Statement, **more: Any) -> Statement:
    asked = {"prefix": "swarm", "peer": peer(0), "now_s": NOW_S, **more}
    return read_statement(packed(told), **asked)


def test_a_statement_is_read_as_it_was_made() -> None:
    told = statement(measured=measured_of(TIMES), work=Work(busy=0.5, step_s=0.1))
    assert read(told) == told


@pytest.mark.parametrize(
    ("changed", "asked", "words"),
    [
        ({"format": "swarmplan/live-server/9"}, {}, "unknown format"),
        ({"prefix": "other"}, {}, "another swarm"),
        ({"peer": peer(1)}, {}, "another peer"),
        ({"issued_s": NOW_S + 61, "expires_s": NOW_S + 100}, {}, "in the future"),
        ({"expires_s": NOW_S}, {}, "expired"),
        ({"expires_s": 1e300}, {"now_s": NOW_S + MOST_VALID_S}, "expired"),
        ({"issued_s": float("nan")}, {}, "read"),
        ({"announced": {"public_name": "x" * 70_000}}, {}, "more than"),
    ],
)
def test_what_is_not_of_this_peer_swarm_and_time_is_refused(
    changed: dict[str, Any], asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(RefusedClaimError, match=words):
        read(statement(**changed), **asked)


@given(st.dictionaries(st.sampled_from(Statement.__struct_fields__), ANYTHING))
def test_whatever_a_peer_signs_is_read_or_refused(changed: dict[str, Any]) -> None:
    document = json.loads(packed(statement())) | changed
    try:
        content = json.dumps(document, default=repr).encode()
        told = read_statement(content, prefix="swarm", peer=peer(0), now_s=NOW_S)
    except RefusedClaimError:
        return
    entries = heard([server(0, 0, 16), server(1, 16, 32)], {peer(0): told}, BLOCKS, Warnings())
    assert problem_of(entries, {}).num_servers <= 2


@given(st.dictionaries(st.sampled_from(Timing.__slots__), ANYTHING), ANYTHING)
def test_block_times_that_are_none_spoil_nobodys_scenario(
    figures: dict[str, Any], hop: Any
) -> None:
    timing = {name.removesuffix("_s"): value for name, value in figures.items()}
    given_hop = hop if isinstance(hop, dict) else None
    told = statement(measured=Measured(timing_ms={"decode_base": 1.0, **timing}, hop_ms=given_hop))
    entries = heard([server(0, 0, 16), server(1, 16, 32)], {peer(0): told}, BLOCKS, Warnings())
    assert problem_of(entries, {}).num_servers == 2


def test_a_peers_own_word_replaces_what_the_table_has_under_its_name() -> None:
    forged = server(0, 16, 32, state="offline", inference_rps=1.0, cache_tokens_left=0)
    warnings = Warnings()
    found = heard([forged, server(1, 16, 32)], {peer(0): statement()}, BLOCKS, warnings)
    own, other = found
    assert (own.state, own.start, own.end, own.inference_rps) == ("online", 0, 16, 200.0)
    assert own.coordinates == forged.coordinates
    assert own.stated is not None
    assert other == server(1, 16, 32)
    assert any("its own counts" in line for line in warnings.lines())


def test_measured_block_times_reach_the_planner_as_they_were_measured() -> None:
    told = statement(measured=measured_of(TIMES))
    entries = heard([server(0, 0, 16), server(1, 16, 32)], {peer(0): told}, BLOCKS, Warnings())
    assert (entries[0].inference_rps, entries[0].forward_rps) == measured_rates(TIMES)
    problem = problem_of(entries, {})
    made = problem.servers[0].timing
    assert isinstance(made, Timing)
    for name in ("decode_base_s", "decode_per_context_token_s", "prefill_per_token_s"):
        assert getattr(made, name) == pytest.approx(getattr(TIMING, name))
    assert np.asarray(made.step_curve) == pytest.approx(np.asarray(TIMING.step_curve))
    assert problem.servers[0].task_overhead_s == pytest.approx(0.001)
    assert problem.servers[0].piece_delay_s == pytest.approx(0.002)
    # PETALS' own two figures would have made 1 / 500 s of a block and step.
    cost = CostModel.of(problem)
    work_s = float(cost.step_work_s(cost.shape(0, 1_000, 2), 0, 0, 1))
    assert work_s == pytest.approx(2e-3 + 1e-7 * 1_000 + 1e-3, rel=0.01)


def test_a_liar_gains_no_more_by_signing() -> None:
    quick = Timing(decode_base_s=2e-5, prefill_per_token_s=5e-5)
    told = statement(measured=measured_of(BlockTimes(timing=quick)))
    others = [server(i, 0, 16, inference_rps=200.0) for i in (1, 2, 3)]
    warnings = Warnings()
    entries = plausible(
        heard([server(0, 0, 16), *others], {peer(0): told}, BLOCKS, warnings), warnings
    )
    assert entries[0].inference_rps == pytest.approx(2_000.0)
    assert entries[0].stated is not None
    assert entries[0].stated.times is None
    assert any("far above all others" in line for line in warnings.lines())


@pytest.mark.parametrize("base_s", [0.0, 1e-12, 1e6])
def test_block_times_that_no_server_has_are_left_out(base_s: float) -> None:
    measured = Measured(timing_ms={"decode_base": base_s * 1e3, "prefill_per_token": 0.01})
    warnings = Warnings()
    found = heard([server(0, 0, 16)], {peer(0): statement(measured=measured)}, BLOCKS, warnings)
    assert found[0].stated is not None
    assert found[0].stated.times is None
    assert found[0].inference_rps == 200.0
    assert any("no server has" in line for line in warnings.lines())


@pytest.mark.parametrize(
    ("work", "kept"),
    [
        (Work(busy=0.5, step_s=0.1), (0.5, 0.1)),
        (Work(busy=0.5, step_s=-1.0), (0.5, None)),
        (Work(busy=2.0, step_s=0.1), (None, None)),
        (None, (None, None)),
    ],
)
def test_a_clock_that_cannot_be_is_not_believed(
    work: Work | None, kept: tuple[float | None, float | None]
) -> None:
    found = heard([server(0, 0, 16)], {peer(0): statement(work=work)}, BLOCKS, Warnings())
    assert found[0].stated is not None
    assert (found[0].stated.busy, found[0].stated.step_s) == kept


def test_a_statement_without_a_span_leaves_the_announcement() -> None:
    entry = server(0, 0, 16)
    told = replace_announced(statement(), start_block=None, end_block=None)
    assert heard([entry], {peer(0): told}, BLOCKS, Warnings()) == [entry]


def replace_announced(told: Statement, **changed: Any) -> Statement:
    return statement(announced={**told.announced, **changed})


def test_limits_and_abilities_are_bounded() -> None:
    told = statement(
        limits={"inference_max_length": 2_048, "unheard_of": 5, "max_batch_size": -1},
        abilities=["server-push", "\x1b[2J" + "x" * 100] + [str(i) for i in range(100)],
        cache_tokens=-5,
    )
    stated = heard([server(0, 0, 16)], {peer(0): told}, BLOCKS, Warnings())[0].stated
    assert stated is not None
    assert stated.limits == {"inference_max_length": 2_048}
    assert "server-push" in stated.abilities
    assert len(stated.abilities) <= 32
    assert all(a.isprintable() and len(a) <= 40 for a in stated.abilities)
    assert stated.cache_tokens is None
    assert replace(stated, plan_version=0) == stated
