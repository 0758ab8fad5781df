"""The clock of tasks: how long they last, and what servers tell of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from swarmplan.core.problem import Timing
from swarmplan.swarm import clock
from swarmplan.swarm.batching import read_batching
from swarmplan.swarm.clock import (
    LATE,
    PASS,
    Busy,
    Member,
    environment,
    follow_environment,
    pass_s,
    task_s,
    times_of_rows,
    told_busy,
    told_timing,
)

TIMING = Timing(
    decode_base_s=0.010,
    decode_per_context_token_s=1e-5,
    prefill_floor_s=0.012,
    prefill_base_s=0.004,
    prefill_per_token_s=1e-4,
)


@pytest.mark.parametrize(
    ("position", "tokens", "blocks", "seconds"),
    [
        (100, 1, 4, 4 * 0.011),  # a step
        (0, 1, 4, 4 * 0.012),  # a prompt of one token
        (0, 200, 1, 0.024),  # a block of a long prompt
        (100, 5, 2, 2 * 0.011),  # a token and its drafts, of no curve: a step
        (100, 66, 2, 2 * 0.012),  # many tokens more: a prompt after others
    ],
)
def test_a_task_lasts_as_long_as_its_blocks(
    position: int, tokens: int, blocks: int, seconds: float
) -> None:
    assert task_s(TIMING, position=position, tokens=tokens, blocks=blocks) == pytest.approx(seconds)


def followed(monkeypatch: pytest.MonkeyPatch, timing: Timing | None) -> clock.Around:
    """What is put around tasks in a server with this environment."""
    return _put(monkeypatch, timing)[0]  # type: ignore[no-any-return]


def followed_by_passes(monkeypatch: pytest.MonkeyPatch, timing: Timing | None) -> clock.AroundPass:
    """The same around passes of several sessions."""
    return _put(monkeypatch, timing)[1]  # type: ignore[no-any-return]


def _put(monkeypatch: pytest.MonkeyPatch, timing: Timing | None) -> list[Any]:
    put: list[Any] = []
    monkeypatch.setattr(clock, "wrap_tasks", put.append)
    monkeypatch.setattr(clock, "wrap_passes", put.append)
    monkeypatch.setattr(clock, "announce_curve", lambda _: None)
    for name, value in environment(timing).items():
        monkeypatch.setenv(name, value)
    follow_environment()
    assert len(put) == 2
    return put


def test_a_task_ends_when_its_time_is_over_and_not_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    around = followed(monkeypatch, TIMING)
    began = time.perf_counter()
    assert around(lambda: "answer", 0, 200, 4) == "answer"
    assert time.perf_counter() - began >= 0.096
    assert capsys.readouterr().out == ""


def test_work_that_outruns_the_clock_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    around = followed(monkeypatch, Timing(decode_base_s=1e-4))
    around(lambda: time.sleep(0.005), 9, 1, 1)
    assert capsys.readouterr().out.startswith(LATE)


def test_without_the_variable_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[Any] = []
    for name in ("wrap_tasks", "wrap_passes"):
        monkeypatch.setattr(clock, name, put.append)
    monkeypatch.delenv(clock.VARIABLE, raising=False)
    follow_environment()
    assert put == []


def test_what_servers_tell_of_their_tasks_gives_their_timing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    around = followed(monkeypatch, None)
    assert around(lambda: "answer", 3, 1, 2) == "answer"
    line = capsys.readouterr().out
    assert line.split()[:5] == [*clock.TASK.split(), "3", "1", "2"]
    tasks = [(c, 1, 4) for c in (8, 64, 500)] + [
        (0, p, b) for p in (4, 64, 200, 1024) for b in (1, 8)
    ]
    log = "".join(
        f"{clock.TASK} {c} {t} {b} {1e3 * task_s(TIMING, position=c, tokens=t, blocks=b)!r}\n"
        for c, t, b in tasks
    )
    told = told_timing(f"Started\n{log}{clock.TASK} 7")  # the last line is not complete yet
    for name in ("decode_base_s", "decode_per_context_token_s", "prefill_floor_s"):
        assert getattr(told, name) == pytest.approx(getattr(TIMING, name), rel=1e-6)
    assert told.prefill_per_token_s == pytest.approx(1e-4, rel=1e-6)


CURVED = Timing(
    decode_base_s=0.010,
    decode_per_context_token_s=1e-5,
    prefill_floor_s=0.012,
    step_curve=((2, 0.002), (4, 0.003)),
)


def test_a_pass_lasts_block_by_block_as_long_as_the_sessions_that_use_the_block() -> None:
    first, rest = frozenset("ab"), frozenset("bcd")
    one, new = Member(100, 1, first), Member(0, 1, first)
    assert pass_s(CURVED, [one]) == pytest.approx(2 * 0.011)
    assert pass_s(CURVED, [one, new]) == pytest.approx(2 * 0.013)
    # a: the first alone; b: both; c and d: the other alone.
    assert pass_s(CURVED, [one, Member(0, 1, rest)]) == pytest.approx(0.011 + 0.013 + 2 * 0.010)
    assert pass_s(CURVED, [new] * 4) == pytest.approx(2 * 0.013)
    # A token with three drafts is four rows, alone or not.
    assert pass_s(CURVED, [Member(100, 3, first), one]) == pytest.approx(2 * 0.014)
    assert task_s(CURVED, position=100, tokens=4, blocks=2) == pytest.approx(2 * 0.014)


def test_a_pass_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    around = followed_by_passes(monkeypatch, CURVED)
    began = time.perf_counter()
    assert around(lambda: "answers", [Member(0, 1, frozenset("ab"))] * 2) == "answers"
    assert time.perf_counter() - began >= 0.024


def test_what_servers_tell_of_their_passes_gives_the_curve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    around = followed_by_passes(monkeypatch, None)
    two = [Member(2, 1, frozenset("ab")), Member(5, 4, frozenset("bc"))]
    assert around(lambda: "answers", two) == "answers"
    assert capsys.readouterr().out.split()[:6] == [*PASS.split(), "3.5", "5", "2", "3"]
    steps = [(c, 1, 4) for c in (8, 64, 500)] + [(0, p, 1) for p in (4, 64, 200, 1024)]
    log = "".join(
        f"{clock.TASK} {c} {t} {b} {1e3 * task_s(CURVED, position=c, tokens=t, blocks=b)!r}\n"
        for c, t, b in steps
    )
    blocks = frozenset("abcd")
    log += "".join(
        f"{PASS} 50 {rows} {rows} 4 {1e3 * pass_s(CURVED, [Member(50, 1, blocks)] * rows)!r}\n"
        for rows in (4, 2, 4)
    )
    told = told_timing(log).step_curve
    assert [rows for rows, _ in told] == [2, 4]
    assert [more_s for _, more_s in told] == pytest.approx([0.002, 0.003], rel=1e-6)
    busy = told_busy(log)
    assert busy.steps == 3 + 2 + 4 + 4
    assert busy.passes == 3 + 3
    step_s = [task_s(CURVED, position=c, tokens=1, blocks=4) for c in (8, 64, 500)]
    step_s += [pass_s(CURVED, [Member(50, 1, blocks)] * rows) for rows in (4, 2, 4)]
    assert busy.step_s == pytest.approx(sum(step_s))
    prompts = [task_s(CURVED, position=0, tokens=p, blocks=1) for p in (4, 64, 200, 1024)]
    assert busy.prompt_s == pytest.approx(sum(prompts))
    assert busy.since(busy) == Busy()


def test_a_server_that_keeps_time_announces_the_curve_of_its_clock() -> None:
    (two, times), (four, more) = times_of_rows(CURVED)
    assert (two, four) == (2, 4)
    assert [times, more] == pytest.approx([1.2, 1.3])
    assert read_batching({"curve": times_of_rows(CURVED)}) is not None
    assert times_of_rows(TIMING) == ()
