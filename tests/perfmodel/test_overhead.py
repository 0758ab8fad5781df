"""Overheads of a hop: what only delays is told from what is work of the server."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import CalibrationError
from swarmplan.core.problem import Timing
from swarmplan.perfmodel.measurements import HopMeasurement
from swarmplan.perfmodel.overhead import HopOverhead, fit_overhead
from swarmplan.perfmodel.timing import decode_s, prefill_s

TIMING = Timing(
    decode_base_s=0.010,
    decode_per_context_token_s=1e-6,
    prefill_floor_s=0.010,
    prefill_base_s=0.008,
    prefill_per_token_s=1e-4,
)
BLOCKS = 8
Rows = list[tuple[HopMeasurement, Timing]]


def step(hop: HopOverhead, clients: int, rtt_s: float) -> HopMeasurement:
    """What equal clients of a server that takes one task at a time see."""
    work = hop.task_s + BLOCKS * decode_s(TIMING, 64)
    seconds = max(rtt_s + hop.step_s + work, clients * work)
    return HopMeasurement(
        what="step", tokens=64, clients=clients, blocks=BLOCKS, tasks=1, rtt_s=rtt_s,
        seconds=seconds,
    )  # fmt: skip


def first(hop: HopOverhead, prompt: int, tasks: int) -> HopMeasurement:
    """What a client alone waits for its first token."""
    seconds = 0.02 + hop.prefill_s + hop.per_prompt_token_s * prompt + tasks * hop.task_s
    seconds += BLOCKS * float(prefill_s(TIMING, prompt)) + (tasks * hop.piece_s if tasks > 1 else 0)
    return HopMeasurement(
        what="first", tokens=prompt, clients=1, blocks=BLOCKS, tasks=tasks, rtt_s=0.02,
        seconds=seconds,
    )  # fmt: skip


def rows(hop: HopOverhead) -> Rows:
    """Clients 1 to 8 at two round trips; prompts in one task and block by block."""
    steps = [step(hop, n, rtt_s) for n in (1, 2, 4, 8) for rtt_s in (0.02, 0.2)]
    firsts = [first(hop, p, 1) for p in (8, 64, 120)] + [first(hop, p, 8) for p in (160, 400)]
    return [(m, TIMING) for m in (*steps, *firsts)]


@given(st.floats(1e-3, 0.04), st.floats(0, 0.02), st.floats(1e-3, 0.04), st.floats(0, 0.01))
def test_exact_rows_give_their_overheads_back(
    step_s: float, task_s: float, prefill_s: float, piece_s: float
) -> None:
    true = HopOverhead(
        step_s=step_s, task_s=task_s, prefill_s=prefill_s, per_prompt_token_s=2e-5, piece_s=piece_s
    )
    assert astuple(fit_overhead(rows(true))) == pytest.approx(astuple(true), rel=1e-6, abs=1e-7)


def test_what_one_client_loses_is_work_only_where_several_wait_for_it() -> None:
    """The same overhead of 10 ms, once in the handlers and once in the runtime."""
    for step_s, task_s in ((0.010, 0.0), (0.0, 0.010)):
        true = HopOverhead(step_s=step_s, task_s=task_s, prefill_s=0.01)
        found = fit_overhead(rows(true))
        assert (found.step_s, found.task_s) == pytest.approx((step_s, task_s), abs=1e-6)


def test_one_wild_row_hardly_moves_the_overheads() -> None:
    true = HopOverhead(step_s=0.008, task_s=0.002, prefill_s=0.012, piece_s=0.003)
    given_rows = rows(true)
    measured, timing = given_rows[0]
    wild = HopMeasurement(
        what="step", tokens=64, clients=1, blocks=BLOCKS, tasks=1, rtt_s=measured.rtt_s,
        seconds=3 * measured.seconds,
    )  # fmt: skip
    found = fit_overhead([*given_rows, (wild, timing)])
    assert (found.step_s, found.task_s) == pytest.approx((0.008, 0.002), abs=2e-3)


def test_noise_of_two_per_cent_leaves_the_predicted_steps_within_two() -> None:
    true = HopOverhead(step_s=0.009, task_s=0.003, prefill_s=0.012)
    rng = np.random.default_rng(0)
    noisy: Rows = []
    for m, timing in rows(true):
        fields = {name: getattr(m, name) for name in m.__slots__}
        fields["seconds"] *= rng.normal(1.0, 0.02)
        noisy.append((HopMeasurement(**fields), timing))
    found = fit_overhead(noisy)
    for clients in (1, 2, 4, 8):
        assert step(found, clients, 0.05).seconds == pytest.approx(
            step(true, clients, 0.05).seconds, rel=0.02
        )


def test_without_first_tokens_a_prompt_is_delayed_as_a_step_is() -> None:
    true = HopOverhead(step_s=0.008, task_s=0.002, prefill_s=0.5)
    found = fit_overhead([(m, t) for m, t in rows(true) if m.what == "step"])
    assert found.prefill_s == found.step_s == pytest.approx(0.008)


@pytest.mark.parametrize("counts", [(1, 1), (2, 8), ()])
def test_one_client_or_several_alone_tell_nothing(counts: tuple[int, ...]) -> None:
    hop = HopOverhead(step_s=0.008, task_s=0.002, prefill_s=0.01)
    with pytest.raises(CalibrationError, match="one client alone and of several"):
        fit_overhead([(step(hop, n, 0.02), TIMING) for n in counts])
