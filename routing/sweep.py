"""The compiled part of a routing decision: what a link adds for the request and for others.

Imported only where requests are routed: numba takes a while to load.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..chains.sweep import Net, sweep, walk_back
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


class Links(NamedTuple):
    """What the links of a graph cost requests of one shape.

    Attributes
    ----------
    alone_s : (E,) time on each link alone; ``later_s`` of that, of the tokens after the first.
    leave_s : (n,) of leaving, empty where it is none.
    work_s, prompt_s : (E,) work of one step and of the prompt; ``tasks`` of the prompt, ``cut`` of
        a step.
    step_s : between two steps, on the chain that is fastest alone.
    """

    alone_s: FloatArray
    later_s: FloatArray
    leave_s: FloatArray
    work_s: FloatArray
    prompt_s: FloatArray
    tasks: IntArray
    cut: IntArray
    step_s: float


@compiled
def with_room(
    net: Net,
    links: Links,
    steps: float,
    seats: NDArray[np.void],
    met: FloatArray,
    wait_s: FloatArray,
    extra_s: FloatArray,
    closed: NDArray[np.bool_],
    first: float,
    later: float,
    path: IntArray,
) -> tuple[int, float]:
    """The cheapest chain of links that have room: how many they are, and its cost.

    What links cost with all that a request suffers and causes stays in ``cost_s``; 0 links where
    no chain has room.

    Parameters
    ----------
    steps, seats, met, first, later : see ``crowding_s``.
    wait_s : (E,) until a link has room; 0 = it has.
    extra_s, closed : (E,) what links are charged beside time, and those that must not be used;
        empty = nothing and none.
    path : room for the links of the chain.
    """
    link = net.link
    for e in range(len(link)):
        j, alone_s, later_s = link[e]["server"], links.alone_s[e], links.later_s[e]
        counted_s = alone_s
        if first != 1.0 or later != 1.0:
            counted_s = first * (alone_s - later_s) + later * later_s
        cost_s = counted_s + crowding_s(
            links.work_s[e],
            links.prompt_s[e],
            links.tasks[e],
            links.cut[e],
            links.step_s,
            steps,
            seats[j],
            met[j],
            first,
            later,
        )
        if len(extra_s) > 0:
            cost_s += extra_s[e]
        if len(closed) > 0 and closed[e]:
            cost_s = np.inf
        link[e]["cost_s"] = cost_s
        link[e]["full_s"] = np.inf if wait_s[e] > 0 else cost_s
    return cheapest(net, links.leave_s * later, True, path)


@compiled
def cheapest(net: Net, leave_s: FloatArray, full: bool, path: IntArray) -> tuple[int, float]:
    """The cheapest chain by ``cost_s``, or ``full_s``: how many links it has, and its cost."""
    last, total_s = sweep(net, leave_s, full)
    return (0 if last == -2 else walk_back(net, last, path)), total_s
