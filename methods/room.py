"""Memory of methods that look at every pair: a swarm that is too large is refused with one line."""

from __future__ import annotations

from ..core.errors import HeuristicFailedError
from ..placement.task import Task

#: Bytes that method ``exact`` holds for each client, server and block, and those that look at what
#: servers send each other hold for each pair; at 10,000 servers (benchmarks/growth.py).
EXACT_BYTES, PAIR_BYTES = 57, 42
#: No more is taken.
MOST_BYTES = 2_000_000_000


def exact_bytes(task: Task) -> int:
    """What ``exact`` takes about."""
    return EXACT_BYTES * len(task.demand) * task.problem.num_servers * task.cost.num_blocks


def pair_bytes(task: Task) -> int:
    """What ``flow`` and ``stages`` take about."""
    return PAIR_BYTES * task.problem.num_servers**2


def require_room(name: str, task: Task, needed: int) -> None:
    """Raise ``HeuristicFailedError`` where a method would take more than ``MOST_BYTES``."""
    if needed > MOST_BYTES:
        raise HeuristicFailedError(
            f"{name}: {task.problem.num_servers:,} servers would take {needed / 1e9:.1f} GB of "
            f"memory, more than {MOST_BYTES / 1e9:g} GB: use auto, search, chains or cg-bp, or "
            "plan by groups of servers"
        )
