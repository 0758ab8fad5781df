"""Memory of what looks at every pair: a swarm that is too large for it is told in one line."""

from __future__ import annotations

from .cost import CostModel

#: Bytes that method ``exact`` holds for each client, server and block, and those that look at what
#: servers send each other hold for each pair; at 10,000 servers (benchmarks/growth.py).
EXACT_BYTES, PAIR_BYTES = 57, 42
#: No more is taken.
MOST_BYTES = 2_000_000_000


def exact_bytes(cost: CostModel, clients: int) -> int:
    """What ``exact`` takes about for so many clients."""
    return EXACT_BYTES * clients * cost.problem.num_servers * cost.num_blocks


def pair_bytes(cost: CostModel) -> int:
    """What the fluid model takes about."""
    return PAIR_BYTES * cost.problem.num_servers**2


def too_large(cost: CostModel, needed: int) -> str:
    """Why so many bytes are not taken; empty where they are."""
    if needed <= MOST_BYTES:
        return ""
    return (
        f"{cost.problem.num_servers:,} servers would take {needed / 1e9:.1f} GB of "
        f"memory, more than {MOST_BYTES / 1e9:g} GB: use auto, search, chains or cg-bp, or "
        "plan by groups of servers"
    )
