"""The clock of tasks: how long they last, and what servers tell of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from swarmplan.core.problem import Timing
from swarmplan.swarm import clock
from swarmplan.swarm.clock import LATE, environment, follow_environment, task_s, told_timing

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
        (100, 5, 2, 2 * 0.012),  # several tokens more: a prompt after others
    ],
)
def test_a_task_lasts_as_long_as_its_blocks(
    position: int, tokens: int, blocks: int, seconds: float
) -> None:
    assert task_s(TIMING, position=position, tokens=tokens, blocks=blocks) == pytest.approx(seconds)


def followed(monkeypatch: pytest.MonkeyPatch, timing: Timing | None) -> clock.Around:
    """What is put around tasks in a server with this environment."""
    put: list[Any] = []
    monkeypatch.setattr(clock, "wrap_tasks", put.append)
    for name, value in environment(timing).items():
        monkeypatch.setenv(name, value)
    follow_environment()
    (around,) = put
    return around  # type: ignore[no-any-return]


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
    monkeypatch.setattr(clock, "wrap_tasks", put.append)
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
