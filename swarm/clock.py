"""Compute by the clock: PETALS servers whose every task lasts as long as a timing says.

Servers that share the cores of one machine slow each other down, as the servers of no swarm do. So
that only PETALS' own waiting is left, the runtime works on real (small) blocks and then sleeps
until the time of the whole task is over; the next task waits in line behind it. Everything else,
handlers, protocol, cache, how prompts are cut, is PETALS'. Results that were made this way say so.
Without a timing a server can tell how long each task took.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..core.problem import Timing
from ..perfmodel.fitting import fit_floored, fit_nonnegative
from ..perfmodel.timing import decode_s, prefill_s, timing_ms, timing_of

#: Environment variable with a timing or ``tell``, for ``run_petals server``.
VARIABLE = "SWARMPLAN_CLOCK"
TELL = "tell"
#: What a server writes to its log when the real work took longer than the clock allows, and when
#: it is to tell: position, tokens, blocks and ms of the task.
LATE, TASK = "clock: late by", "clock: task"
#: Does a task and then, if it likes, more: the task, and its position, tokens and blocks.
Around = Callable[[Callable[[], Any], int, int, int], Any]


def environment(timing: Timing | None) -> dict[str, str]:
    """What lets a server keep this time; without one it tells."""
    return {VARIABLE: TELL if timing is None else json.dumps(timing_ms(timing))}


def follow_environment() -> None:
    """Keep time or tell, if the environment asks for it; before the server starts."""
    text = os.environ.get(VARIABLE)
    if text == TELL:
        wrap_tasks(_telling)
    elif text:
        wrap_tasks(_keeping(timing_of(json.loads(text))))


def task_s(timing: Timing, *, position: int, tokens: int, blocks: int) -> float:
    """Seconds of one task: so many new tokens after ``position`` others, on so many blocks."""
    step = position > 0 and tokens == 1
    each = decode_s(timing, position) if step else prefill_s(timing, tokens)
    return blocks * float(each)


def told_timing(log: str) -> Timing:
    """The timing that a server's log tells of."""
    rows = np.array(list(_told(log)))
    position, tokens, blocks, seconds = rows.T
    each, step = seconds / blocks, (position > 0) & (tokens == 1)
    line = np.column_stack([np.ones(step.sum()), position[step]])
    base, slope = fit_nonnegative(line, each[step]).tolist()
    floor, start, per_token = fit_floored(tokens[~step], each[~step]).tolist()
    return Timing(
        decode_base_s=base,
        decode_per_context_token_s=slope,
        prefill_floor_s=floor,
        prefill_base_s=start,
        prefill_per_token_s=per_token,
    )


def _told(log: str) -> Iterator[tuple[float, ...]]:
    for line in log.split("\n")[:-1]:
        if line.startswith(TASK):
            *figures, ms = map(float, line.removeprefix(TASK).split())
            yield (*figures, ms / 1e3)


def _keeping(timing: Timing) -> Around:
    def around(work: Callable[[], Any], position: int, tokens: int, blocks: int) -> Any:
        over_s = time.perf_counter() + task_s(
            timing, position=position, tokens=tokens, blocks=blocks
        )
        answer = work()
        left_s = over_s - time.perf_counter()
        if left_s > 0:
            time.sleep(left_s)
        else:
            print(f"{LATE} {-left_s * 1e3:.1f} ms", flush=True)
        return answer

    return around


def _telling(work: Callable[[], Any], position: int, tokens: int, blocks: int) -> Any:
    began = time.perf_counter()
    answer = work()
    took_ms = 1e3 * (time.perf_counter() - began)
    print(f"{TASK} {position} {tokens} {blocks} {took_ms:.3f}", flush=True)
    return answer


def wrap_tasks(around: Around) -> None:
    """Put something around every inference task of this process: all go through one pool."""
    from petals.server import backend

    work = backend._MergedInferenceStep.__call__

    def wrapped(self: Any, hidden: Any, hypo_ids: Any, infos: Sequence[Any], *prompts: Any) -> Any:
        return around(
            lambda: work(self, hidden, hypo_ids, infos, *prompts),
            infos[0].prefix_length,
            hidden.shape[0] * hidden.shape[1],
            len(infos),
        )

    backend._MergedInferenceStep.__call__ = wrapped
