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
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.drafting import MOST_DRAFTS
from ..core.problem import Timing
from ..perfmodel.fitting import fit_floored, fit_nonnegative
from ..perfmodel.timing import decode_s, knots_of, prefill_s, timing_ms, timing_of

#: Environment variable with a timing or ``tell``, for ``run_petals server``.
VARIABLE = "SWARMPLAN_CLOCK"
TELL = "tell"
#: What a server writes to its log when the real work took longer than the clock allows, and when
#: it is to tell: position, tokens, blocks and ms of the task; of a pass of several sessions the
#: mean position, tokens, sessions, blocks and ms.
LATE, TASK, PASS = "clock: late by", "clock: task", "clock: pass"
#: New tokens of a session that has begun: so many are a step over drafts, more a further prompt.
MOST_STEP_TOKENS = MOST_DRAFTS + 1


class Member(NamedTuple):
    """A session of a pass: tokens before the new ones, new ones, and the blocks that it uses."""

    position: int
    tokens: int
    blocks: frozenset[str]


#: Does a task and then, if it likes, more: the task, and its position, tokens and blocks.
Around = Callable[[Callable[[], Any], int, int, int], Any]
#: The same for a pass of several sessions.
AroundPass = Callable[[Callable[[], Any], Sequence[Member]], Any]


def environment(timing: Timing | None) -> dict[str, str]:
    """What lets a server keep this time; without one it tells."""
    return {VARIABLE: TELL if timing is None else json.dumps(timing_ms(timing))}


def follow_environment() -> None:
    """Keep time or tell, if the environment asks for it; before the server starts."""
    text = os.environ.get(VARIABLE)
    if text == TELL:
        wrap_tasks(_telling)
        wrap_passes(_telling_pass)
    elif text:
        timing = timing_of(json.loads(text))
        wrap_tasks(_keeping(timing))
        wrap_passes(_keeping_pass(timing))
        announce_curve(timing)


def task_s(timing: Timing, *, position: int, tokens: int, blocks: int) -> float:
    """Seconds of one task: so many new tokens after ``position`` others, on so many blocks."""
    step = is_step(position, tokens)
    each = decode_s(timing, position, new=tokens) if step else prefill_s(timing, tokens)
    return blocks * float(each)


def is_step(position: int, tokens: int) -> bool:
    """Whether a task is a decode step, of one token or over drafts, and no prompt."""
    return position > 0 and tokens <= MOST_STEP_TOKENS


def pass_s(timing: Timing, members: Sequence[Member]) -> float:
    """Seconds of one pass: block by block a step of the sessions that use it."""
    seconds = 0.0
    for block in frozenset().union(*(m.blocks for m in members)):
        here = [m for m in members if block in m.blocks]
        rows = sum(m.tokens for m in here)
        seconds += decode_s(timing, max(m.position for m in here), batch=rows)
    return seconds


def told_timing(log: str) -> Timing:
    """The timing that a server's log tells of."""
    rows = np.array(list(_told(log, TASK)))
    position, tokens, blocks, seconds = rows.T
    each, step = seconds / blocks, (position > 0) & (tokens == 1)
    line = np.column_stack([np.ones(step.sum()), position[step]])
    base, slope = fit_nonnegative(line, each[step]).tolist()
    first = position == 0
    floor, start, per_token = fit_floored(tokens[first], each[first]).tolist()
    plain = Timing(
        decode_base_s=base,
        decode_per_context_token_s=slope,
        prefill_floor_s=floor,
        prefill_base_s=start,
        prefill_per_token_s=per_token,
    )
    return replace(plain, step_curve=_told_curve(plain, log))


def _told_curve(plain: Timing, log: str) -> tuple[tuple[float, float], ...]:
    """What passes and steps over drafts took beyond a step of one token, by their tokens; the
    median."""
    found = defaultdict(list)
    for position, tokens, blocks, seconds in _told(log, TASK):
        if tokens > 1 and is_step(int(position), int(tokens)):
            found[tokens].append(seconds / blocks - decode_s(plain, position))
    for position, tokens, _sessions, blocks, seconds in _told(log, PASS):
        found[tokens].append(seconds / blocks - decode_s(plain, position))
    curve: list[tuple[float, float]] = []
    for tokens, more_s in sorted(found.items()):
        before = curve[-1][1] if curve else 0.0
        curve.append((tokens, max(before, float(np.median(more_s)))))
    return tuple(curve)


class Busy(NamedTuple):
    """What a server that tells has worked on.

    Attributes
    ----------
    prompt_s, step_s : seconds of prompts, and of decode steps.
    steps, passes : decode steps, and the tasks and passes that they took.
    """

    prompt_s: float = 0.0
    step_s: float = 0.0
    steps: int = 0
    passes: int = 0

    def since(self, before: Busy) -> Busy:
        """What came after."""
        return Busy(
            prompt_s=self.prompt_s - before.prompt_s,
            step_s=self.step_s - before.step_s,
            steps=self.steps - before.steps,
            passes=self.passes - before.passes,
        )


def told_busy(log: str) -> Busy:
    """The work that a server's log tells of so far."""
    prompt_s = step_s = 0.0
    steps = passes = 0
    for position, tokens, _blocks, seconds in _told(log, TASK):
        if is_step(int(position), int(tokens)):
            step_s, steps, passes = step_s + seconds, steps + 1, passes + 1
        else:
            prompt_s += seconds
    for _position, _tokens, sessions, _blocks, seconds in _told(log, PASS):
        step_s, steps, passes = step_s + seconds, steps + int(sessions), passes + 1
    return Busy(prompt_s, step_s, steps, passes)


def _told(log: str, mark: str) -> Iterator[tuple[float, ...]]:
    for line in log.split("\n")[:-1]:
        if line.startswith(mark):
            *figures, ms = map(float, line.removeprefix(mark).split())
            yield (*figures, ms / 1e3)


def _keeping(timing: Timing) -> Around:
    def around(work: Callable[[], Any], position: int, tokens: int, blocks: int) -> Any:
        return _lasting(work, task_s(timing, position=position, tokens=tokens, blocks=blocks))

    return around


def _keeping_pass(timing: Timing) -> AroundPass:
    return lambda work, members: _lasting(work, pass_s(timing, members))


def _lasting(work: Callable[[], Any], seconds: float) -> Any:
    """Do something, and wait until so many seconds are over."""
    over_s = time.perf_counter() + seconds
    answer = work()
    left_s = over_s - time.perf_counter()
    if left_s > 0:
        time.sleep(left_s)
    else:
        _say(f"{LATE} {-left_s * 1e3:.1f} ms")
    return answer


def _telling(work: Callable[[], Any], position: int, tokens: int, blocks: int) -> Any:
    return _timed(work, f"{TASK} {position} {tokens} {blocks}")


def _telling_pass(work: Callable[[], Any], members: Sequence[Member]) -> Any:
    mean = sum(m.position for m in members) / len(members)
    blocks = len(frozenset().union(*(m.blocks for m in members)))
    tokens = sum(m.tokens for m in members)
    return _timed(work, f"{PASS} {mean:.1f} {tokens} {len(members)} {blocks}")


def _timed(work: Callable[[], Any], said: str) -> Any:
    """Do something, and say how many ms it took."""
    began = time.perf_counter()
    answer = work()
    took_ms = 1e3 * (time.perf_counter() - began)
    _say(f"{said} {took_ms:.3f}")
    return answer


def _say(line: str) -> None:
    """A line in one piece: ``print`` lets what other threads write come before its end."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


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


def wrap_passes(around: AroundPass) -> None:
    """Put something around every pass of several sessions (remedy ``batch-steps``)."""
    from .compat.batch_step import BatchedStep

    work = BatchedStep.run_pass

    def wrapped(self: Any, tasks: Sequence[Any]) -> Any:
        members = [
            Member(infos[0].prefix_length, hidden.shape[1], frozenset(i.uid for i in infos))
            for hidden, _hypo_ids, infos, *_prompts in tasks
        ]
        return around(lambda: work(self, tasks), members)

    BatchedStep.run_pass = wrapped  # type: ignore[method-assign]


def announce_curve(timing: Timing) -> None:
    """Let a server that keeps time announce the curve of its clock (remedy ``batch-steps``)."""
    from .compat.batch_step import BatchedStep

    told = BatchedStep.told

    def by_clock(self: Any) -> Any:
        found = told(self)
        return found and replace(found, curve=times_of_rows(timing))

    BatchedStep.told = by_clock  # type: ignore[method-assign]


def times_of_rows(timing: Timing) -> tuple[tuple[int, float], ...]:
    """(tokens, time of a pass by that of a step of one), at the knots of a timing's curve."""
    knots, step_s = zip(*knots_of((timing,)), strict=True), decode_s(timing, 0)
    return tuple((round(rows), 1.0 + more_s / step_s) for rows, more_s in knots if rows > 1)
