"""Compute by the clock: PETALS servers whose every task lasts as long as a timing says.

Servers that share the cores of one machine slow each other down, as the servers of no swarm do. So
that only PETALS' own waiting is left, the runtime works on real (small) blocks and then sleeps
until the time of the whole task is over; the next task waits in line behind it. Everything else,
handlers, protocol, cache, how prompts are cut, is PETALS'. Results that were made this way say so.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..core.problem import Timing
from ..perfmodel.timing import decode_s, prefill_s

#: Environment variable with the timing, for ``run_petals server``.
VARIABLE = "SWARMPLAN_CLOCK"
#: What a server writes to its log when the real work took longer than the clock allows.
LATE = "clock: late by"


def environment(timing: Timing) -> dict[str, str]:
    """What tells a server to keep this time."""
    return {VARIABLE: json.dumps(asdict(timing))}


def keep_time_if_told() -> None:
    """Keep the time that the environment asks for, if any; before the server starts."""
    if text := os.environ.get(VARIABLE):
        keep_time(Timing(**json.loads(text)))


def task_s(timing: Timing, *, position: int, tokens: int, blocks: int) -> float:
    """Seconds of one task: so many new tokens after ``position`` others, on so many blocks."""
    step = position > 0 and tokens == 1
    each = decode_s(timing, position) if step else prefill_s(timing, tokens)
    return blocks * float(each)


def keep_time(timing: Timing) -> None:
    """Make every inference task of this process last as long as the timing says."""
    from petals.server import backend

    work = backend._MergedInferenceStep.__call__

    def timed(self: Any, hidden: Any, hypo_ids: Any, infos: Sequence[Any], *prompts: Any) -> Any:
        began = time.perf_counter()
        answer = work(self, hidden, hypo_ids, infos, *prompts)
        whole_s = task_s(
            timing,
            position=infos[0].prefix_length,
            tokens=hidden.shape[0] * hidden.shape[1],
            blocks=len(infos),
        )
        left_s = began + whole_s - time.perf_counter()
        if left_s > 0:
            time.sleep(left_s)
        else:
            print(f"{LATE} {-left_s * 1e3:.1f} ms", flush=True)
        return answer

    backend._MergedInferenceStep.__call__ = timed
