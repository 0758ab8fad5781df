"""Random slots for tests and for ``benchmarks/slots.py``."""

from __future__ import annotations

import numpy as np

from swarmplan.routing.pairs import Pairs
from swarmplan.routing.slot import Slot


def random_slot(
    seed: int, requests: int = 5, chains: int = 3, servers: int = 4
) -> tuple[Slot, Pairs]:
    """Memory for a sixth to a half of what all requests could take, in whole bytes."""
    rng = np.random.default_rng(seed)
    shape = requests, chains, servers
    blocks = np.where(rng.random(shape) < 0.5, rng.integers(1, 30, shape), 0).astype(np.float64)
    blocks[..., 0] += 10.0 * (blocks.sum(axis=2) == 0)
    uses = blocks * rng.integers(1, 8, requests)[:, None, None]
    free = np.floor(rng.uniform(0.15, 0.6, servers) * uses.max(axis=1).sum(axis=0))
    running = rng.integers(0, 5, servers).astype(np.float64)
    value = Pairs(
        cost_s=rng.uniform(20, 120, (requests, chains)),
        wait_s=rng.uniform(100, 400, requests),
        blocks=blocks,
        steps=rng.integers(10, 300, requests).astype(np.float64),
        sigma_s=rng.uniform(0.0005, 0.004, servers),
        running=running,
        running_steps_blocks=10.0 * running * rng.uniform(10, 200, servers),
    )
    return Slot(uses=uses, free=free), value
