"""Uplinks that links share, in what a swarm sustains: a second in a second of each direction.

docs/model.md 11.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.workload import Mix
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import blocks_alone


def most_shared_per_s(cost: CostModel, mix: Mix, share: FloatArray) -> float:
    """Requests per second that no plan and no router takes over the uplinks; inf where there is no
    such limit.

    Where clients relay, a visit to a server on the other side sends all hidden states over an
    uplink once each way. Servers on a client's own side run some of the L blocks, a visit to one of
    the others at most what that can host: the rest takes so many visits at least.

    Parameters
    ----------
    share : (N,) of the requests of the mix, 0 for those that are not served.
    """
    uplinks, relay = cost.uplinks, cost.relaying
    if uplinks is None or relay.pushes_prompts:
        return math.inf
    # However clients draft, a token takes one position of a pass at least.
    tokens = mix.prompt_tokens + (0 if relay.pairs else mix.output_tokens - 1)
    size = float(cost.wires.token_bytes.min())
    volume = size * np.bincount(mix.client, share * tokens, minlength=uplinks.clients.shape[1])
    most, busiest_s = np.minimum(blocks_alone(cost, 1), cost.problem.max_blocks), 0.0
    slower_s = np.maximum(uplinks.up_s, uplinks.down_s)
    for there, own, byte_s in zip(uplinks.servers, uplinks.clients, slower_s, strict=True):
        out = _visits(cost.num_blocks, most[there], most[~there])
        into = _visits(cost.num_blocks, most[~there], most[there])
        busiest_s = max(busiest_s, byte_s * float(volume @ np.where(own, out, into)))
    return 1.0 / busiest_s if busiest_s > 0 else math.inf


def _visits(blocks: int, near: IntArray, far: IntArray) -> int:
    """Servers on the other side that are visited at least."""
    left, longest = blocks - int(near.sum()), int(far.max(initial=0))
    return math.ceil(left / longest) if left > 0 and longest > 0 else 0


class Sent:
    """Seconds that a mean request keeps both directions of every uplink busy, (2 U,).

    Attributes
    ----------
    visit_s : (2 U, n) by a visit to each server, what servers hand on apart.
    """

    def __init__(self, cost: CostModel, mix: Mix) -> None:
        uplinks, relay = cost.uplinks, cost.relaying
        n, clients = cost.problem.num_servers, len(cost.problem.clients)
        self.visit_s = np.zeros((0, n))
        if uplinks is None:
            return
        share = mix.share / mix.share.sum()
        paid = [cost.shape(*row) for row in zip(*_columns(mix), strict=True)]
        size = cost.problem.model.activation_bytes_per_token
        prompt = size * np.array([float(p.prompt_tokens) for p in paid])
        steps = size * np.array([p.steps * p.passes * p.positions for p in paid])
        tokens = float(share @ mix.prompt_tokens), float(share @ [p.positions for p in paid])
        self._packed = np.stack([cost.packed_share(many) for many in tokens])
        by_client = np.zeros((2, clients))
        for kind, volume in enumerate((prompt, steps)):
            by_client[kind] = np.bincount(mix.client, share * volume, minlength=clients)
        self._byte_s = np.column_stack([uplinks.up_s, uplinks.down_s]).reshape(-1)
        self._there, self._own = uplinks.servers, uplinks.clients
        asked = by_client * ~np.array([[relay.pushes_prompts], [relay.pairs]])
        answered = 0.0 * by_client if relay.pushes_prompts else by_client
        self.visit_s = self._crossings(asked, out=True) + self._crossings(answered, out=False)
        self._enter = self._crossings(answered - asked, out=True)
        handed = np.array([relay.pushes_prompts, relay.pairs]) * by_client.sum(axis=1)
        self._handed = handed @ self._packed

    def _crossings(self, volume: FloatArray, *, out: bool) -> FloatArray:
        """(2 U, n) seconds of what clients send to a server, or get from it: (2, clients) bytes."""
        inside = self._own @ volume.T
        outside = volume.sum(axis=1) - inside
        from_inside = (inside @ self._packed) * ~self._there
        from_outside = (outside @ self._packed) * self._there
        pair = (from_inside, from_outside) if out else (from_outside, from_inside)
        both: FloatArray = np.stack(pair, axis=1).reshape(len(self._byte_s), -1)
        both *= self._byte_s[:, None]
        return both

    def chain_s(self, server: IntArray) -> FloatArray:
        """(2 U,) by a request on a chain of servers."""
        total: FloatArray = self.visit_s[:, server].sum(axis=1)
        if len(total):
            total = total + self._enter[:, server[0]]
            before, after = self._there[:, server[:-1]], self._there[:, server[1:]]
            crossed = (
                np.stack([before & ~after, after & ~before], axis=1) @ self._handed[server[:-1]]
            )
            total = total + self._byte_s * crossed.reshape(-1)
        return total


def _columns(mix: Mix) -> tuple[list[int], list[int], list[int]]:
    return mix.client.tolist(), mix.prompt_tokens.tolist(), mix.output_tokens.tolist()
