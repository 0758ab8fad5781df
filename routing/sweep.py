"""The compiled part of a routing decision: what a link adds for the request and for others.

Imported only where requests are routed: numba takes a while to load.
"""

from __future__ import annotations

from typing import Any

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled


@compiled
def crowding_s(
    work_s: float,
    prompt_s: float,
    tasks: int,
    cut: int,
    step_s: float,
    steps: float,
    seat: Any,
    met: float,
    first: float,
    later: float,
) -> float:
    """Waits of a request's tasks on a link, and what they delay those who are there, by weight.

    Parameters
    ----------
    work_s, prompt_s : work of one of its steps there, ``cut`` into so many tasks, and of its
        prompt, in so many ``tasks``.
    step_s, steps : time between two of its steps, and how many follow the first token.
    seat : the server's ``crowding.SEAT``; ``met`` as of ``crowding.beside``.
    first, later : what a second before its first token counts, and one after it.
    """
    own_s = (first * tasks + later * steps * cut) * seat["wait_s"]
    delayed_s = met * (work_s / step_s) * (work_s / cut / 2 + seat["wait_s"])
    # Each task of the prompt delays who comes while it is worked on or stands in line.
    comes = (prompt_s / tasks + seat["wait_s"]) * seat["weight_per_s"]
    often = min(seat["weight"], comes)
    total_s: float = own_s + delayed_s + prompt_s * often
    return total_s


@compiled
def add_crowding(
    link: Any,
    work_s: FloatArray,
    prompt_s: FloatArray,
    tasks: IntArray,
    cut: IntArray,
    step_s: float,
    steps: float,
    seat: Any,
    met: FloatArray,
    first: float,
    later: float,
) -> None:
    """Add to every link's cost what the request suffers and causes there (``crowding_s``)."""
    for e in range(len(link)):
        j = link[e]["server"]
        link[e]["cost_s"] += crowding_s(
            work_s[e],
            prompt_s[e],
            tasks[e],
            cut[e],
            step_s,
            steps,
            seat[j],
            met[j],
            first,
            later,
        )
