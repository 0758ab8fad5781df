"""The cheapest chain for some sessions beside all others: server relay.

The cost of a hop depends on the server before, so order matters. Labels at block positions: the
cheapest chain found to each block is extended by every server that it does not pass yet. Exact
for the first hop, a heuristic beyond (a dearer chain may end at a better placed server).
"""

from __future__ import annotations

import numpy as np

from .insert import Ask, most_blocks, shortened
from .state import State, Visit


def cheapest_chain_relayed(
    state: State, ask: Ask, rng: np.random.Generator
) -> tuple[Visit, ...] | None:
    """The chain for the sessions asked for, None when nothing is found.

    A server of a cheapest chain is skipped with a small probability: the search sees other ones.
    """
    instance, length = state.instance, state.instance.length
    longest = shortened(most_blocks(state, ask), ask, rng)
    keep = longest > 0
    if not ask.fixed:
        keep &= rng.random(len(longest)) > 0.05
    servers = np.flatnonzero(keep)
    end, limit = state.end[servers], longest[servers]
    paid, relay = instance.paid[ask.row], instance.cost.relaying
    back, taken = relay.back_s(paid), instance.run_s[ask.row]
    label: list[tuple[Visit, ...] | None] = [None] * (length + 1)
    reach = np.full(length + 1, np.inf)
    label[0], reach[0] = (), 0.0
    for origin in range(length):
        chain = label[origin]
        if chain is None:
            continue
        hop = relay.into_s(paid, chain[-1][0] if chain else -1)[servers]
        hop[np.isin(servers, [j for j, _, _ in chain])] = np.inf
        stop = np.arange(origin + 1, length + 1)
        run = stop - origin
        cost = reach[origin] + hop[:, None] + taken(servers[:, None], origin, stop)
        wrong_end = (end[:, None] > 0) & (stop != end[:, None])
        most = np.minimum(limit[:, None], instance.reach[servers][:, stop])
        cost[(run > most) | wrong_end] = np.inf
        if back is not None:  # the way back counts at the last block
            cost[:, -1] += back[servers]
        if not len(servers):
            break
        best = cost.argmin(axis=0)
        for i in np.flatnonzero(cost.min(axis=0) < reach[origin + 1 :]):
            at = origin + 1 + int(i)
            reach[at] = cost[best[i], i]
            label[at] = (*chain, (int(servers[best[i]]), origin, at))
    return label[length]
