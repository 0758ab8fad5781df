"""Who hands a session's step on, and what the way costs: the relay modes (docs/model.md 3.1).

``client``: every hop returns to the client, so a hop costs the same after any server. ``server``:
servers push to the next one in half round trips, and the token is there when the last answer has
reached the client; prompts are relayed by the client in both. ``pipeline``: servers push prompts
too, and only the last of them answers. Nobody else compares modes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..core.between import nearest_s
from ..core.content import FloatArray, IntArray
from ..core.problem import Network
from .hops import HopCost
from .runs import Rows
from .uplinks import Uplinks
from .wire import Wires

#: (server, start, end) of every hop of a chain, in order.
Visits = Iterable[tuple[int, int, int]]
#: (rows, n) per hop and (rows,) per chain, seconds.
Cheapest = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unordered:
    """Hops of many sessions without regard to their order: bounds are made of them.

    A chain costs at least its servers' ``own_s`` and runs, ``half_s`` of its first and of its last
    server, and ``leg_s`` of every server but the first. Exact where ``leg_s`` is None: then there
    are no legs, and ``half_s`` is None too.
    """

    own_s: FloatArray
    half_s: FloatArray | None = None
    leg_s: FloatArray | None = None


class Relaying(Protocol):
    """What depends on the relay mode."""

    @property
    def pairs(self) -> bool:
        """Whether a hop's cost depends on the server before it."""
        ...

    @property
    def pushes_prompts(self) -> bool:
        """Whether servers hand prompts on as well, over links that carry one at a time."""
        ...

    def prompt_s(self, cost: HopCost, visits: Visits) -> float:
        """Seconds of a prompt over a chain."""
        ...

    def prompt_gaps_s(self, client: int, hop_s: FloatArray, servers: IntArray) -> FloatArray:
        """(H,) as ``gaps_s``, of a prompt."""
        ...

    def backs_s(self, client: int, servers: IntArray) -> FloatArray:
        """(H,) seconds from the work on each hop to the client; -inf where nothing is answered."""
        ...

    def sends_s(self, servers: IntArray, tokens: int) -> FloatArray:
        """(H,) how long the states of so many tokens keep the link into each hop busy; 0 where it
        is not modelled."""
        ...

    def into_s(self, cost: HopCost, previous: int) -> FloatArray:
        """(n,) seconds of a step's way into each server after ``previous`` (-1 = the client)."""
        ...

    def back_s(self, cost: HopCost) -> FloatArray | None:
        """(n,) seconds of a step's way back from the last server; None when hops include it."""
        ...

    def step_s(self, cost: HopCost, visits: Visits) -> float:
        """Seconds of one decode step over a chain."""
        ...

    def gaps_s(self, client: int, hop_s: FloatArray, servers: IntArray) -> FloatArray:
        """(H,) seconds of a step from the end of the work before into each hop of a chain.

        Parameters
        ----------
        hop_s : (n,) a hop without its compute, there and back.
        """
        ...

    def links_s(
        self, cost: HopCost, server: IntArray, start: IntArray, end: IntArray, previous: IntArray
    ) -> FloatArray:
        """(E,) seconds of a whole request on links, the way back of the last one apart."""
        ...

    def steps_s(
        self, cost: HopCost, server: IntArray, start: IntArray, end: IntArray, previous: IntArray
    ) -> FloatArray:
        """(E,) seconds of one decode step on links, the way back of the last one apart."""
        ...

    def legs_s(self, client: int, servers: Sequence[int]) -> tuple[float, ...]:
        """Seconds on the network that each hop of a chain adds to a step."""
        ...

    def without_legs(self, cost: HopCost) -> HopCost:
        """The cost of hops less what depends on the chain they stand in."""
        ...

    def unordered(self, costs: Sequence[HopCost], *, step: bool) -> Unordered:
        """The hops of some request shapes, (rows, n): of one decode step or of whole requests."""
        ...

    def cheapest_s(self, hop_s: FloatArray, clients: Sequence[int]) -> Cheapest:
        """The least that a step's hop can cost wherever it stands, and what a chain adds."""
        ...


class _ByClient:
    """Prompts that the client relays, answered by every server."""

    __slots__ = ()
    network: Network

    def prompt_s(self, cost: HopCost, visits: Visits) -> float:
        hop, run = cost.prefill_hop_s, cost.prefill_run_s
        return float(sum(hop[j] + run(j, start, end) for j, start, end in visits))

    def prompt_gaps_s(self, client: int, hop_s: FloatArray, servers: IntArray) -> FloatArray:
        return _spokes_s(self.network, client, hop_s, servers)

    def backs_s(self, client: int, servers: IntArray) -> FloatArray:
        back: FloatArray = self.network.client_rtt_s[client, servers] / 2
        return back

    def sends_s(self, servers: IntArray, tokens: int) -> FloatArray:
        return np.zeros(len(servers))


def _spokes_s(network: Network, client: int, hop_s: FloatArray, servers: IntArray) -> FloatArray:
    """(H,) ways into each hop of a chain by way of the client."""
    # What is not the way back lies before the work: software and transfers too.
    back = network.client_rtt_s[client, servers] / 2
    gaps: FloatArray = hop_s[servers] - back
    gaps[1:] += back[:-1]
    return gaps


@dataclass(frozen=True, slots=True)
class ClientRelay(_ByClient):
    """PETALS as it runs: hub and spoke."""

    network: Network
    pairs: bool = False
    pushes_prompts: bool = False

    def into_s(self, cost: HopCost, previous: int) -> FloatArray:
        return cost.step_hop_s

    def back_s(self, cost: HopCost) -> FloatArray | None:
        return None

    def gaps_s(self, client: int, hop_s: FloatArray, servers: IntArray) -> FloatArray:
        return _spokes_s(self.network, client, hop_s, servers)

    def step_s(self, cost: HopCost, visits: Visits) -> float:
        hop, run = cost.step_hop_s, cost.step_run_s
        return float(sum(hop[j] + run(j, start, end) for j, start, end in visits))

    def links_s(
        self, cost: HopCost, server: IntArray, start: IntArray, end: IntArray, previous: IntArray
    ) -> FloatArray:
        total: FloatArray = cost.hop_s[server] + cost.run_s(server, start, end)
        return total

    def steps_s(
        self, cost: HopCost, server: IntArray, start: IntArray, end: IntArray, previous: IntArray
    ) -> FloatArray:
        total: FloatArray = cost.step_hop_s[server] + cost.step_run_s(server, start, end)
        return total

    def legs_s(self, client: int, servers: Sequence[int]) -> tuple[float, ...]:
        return tuple(float(self.network.client_rtt_s[client, j]) for j in servers)

    def without_legs(self, cost: HopCost) -> HopCost:
        return cost

    def unordered(self, costs: Sequence[HopCost], *, step: bool) -> Unordered:
        return Unordered(own_s=np.array([c.step_hop_s if step else c.hop_s for c in costs]))

    def cheapest_s(self, hop_s: FloatArray, clients: Sequence[int]) -> Cheapest:
        return hop_s, np.zeros(len(clients))


@dataclass(frozen=True, slots=True)
class ServerRelay(_ByClient):
    """PETALS with its push repaired: servers hand the step on.

    ``share`` (clients,) are the passes of a planned token, 1 where nobody drafts; ``uplinks`` those
    of the network, None = there are none.
    """

    network: Network
    share: FloatArray
    wires: Wires
    uplinks: Uplinks | None = None
    pairs: bool = True
    pushes_prompts: bool = False

    def _send_s(self, cost: HopCost, tokens: int, before: Rows, server: Rows) -> Rows:
        """Seconds of a transfer from the servers before, -1 = the client."""
        if self.uplinks is None:
            return 0.0
        pushed = self.wires.bytes(tokens, before) * self.uplinks.between_s(before, server)
        to_server_s = self.uplinks.to_server_s[cost.client, server]
        asked = self.wires.bytes(tokens, server) * to_server_s
        return np.where(np.asarray(before) < 0, asked, pushed)

    def _answer_s(self, cost: HopCost, server: Rows) -> Rows:
        """Seconds of the transfer of a server's answer to a pass."""
        if self.uplinks is None:
            return 0.0
        sent = self.wires.bytes(cost.positions, server)
        return sent * self.uplinks.to_client_s[cost.client, server]

    def into_s(self, cost: HopCost, previous: int) -> FloatArray:
        rtt = self.network.client_rtt_s[cost.client]
        leg = rtt if previous < 0 else self.network.server_rtt_s[previous]
        # step_hop_s = RTT + overhead (+ transfer): keep all of it but the client's round trip.
        into: FloatArray = cost.passes * (leg / 2) + (cost.step_hop_s - cost.passes * rtt)
        into += cost.passes * self._send_s(cost, cost.positions, previous, np.arange(len(rtt)))
        return into

    def back_s(self, cost: HopCost) -> FloatArray | None:
        rtt = self.network.client_rtt_s[cost.client]
        back: FloatArray = cost.passes * (rtt / 2 + self._answer_s(cost, slice(None)))
        return back

    def gaps_s(self, client: int, hop_s: FloatArray, servers: IntArray) -> FloatArray:
        rtt = self.network.client_rtt_s[client, servers]
        legs = np.concatenate((rtt[:1], self.network.server_rtt_s[servers[:-1], servers[1:]]))
        gaps: FloatArray = legs / 2 + (hop_s[servers] - rtt)
        return gaps

    def step_s(self, cost: HopCost, visits: Visits) -> float:
        rtt, passes = self.network.client_rtt_s[cost.client], cost.passes
        reached, latest, previous = 0.0, 0.0, -1
        for j, start, end in visits:
            leg = rtt[j] if previous < 0 else self.network.server_rtt_s[previous, j]
            own = cost.step_hop_s[j] - passes * rtt[j]
            reached += passes * (leg / 2) + own + cost.step_run_s(j, start, end)
            reached += passes * float(self._send_s(cost, cost.positions, previous, j))
            # The client reads every server's answer: a far server in the middle may be the last.
            latest = max(latest, reached + passes * (rtt[j] / 2 + self._answer_s(cost, j)))
            previous = j
        return float(latest)

    def links_s(
        self, cost: HopCost, server: IntArray, start: IntArray, end: IntArray, previous: IntArray
    ) -> FloatArray:
        prefill = cost.prefill_hop_s[server] + cost.prefill_run_s(server, start, end)
        relayed: FloatArray = prefill + cost.steps * self.steps_s(
            cost, server, start, end, previous
        )
        return relayed

    def steps_s(
        self, cost: HopCost, server: IntArray, start: IntArray, end: IntArray, previous: IntArray
    ) -> FloatArray:
        rtt = self.network.client_rtt_s[cost.client]
        leg = np.where(previous < 0, rtt[server], self.network.server_rtt_s[previous, server]) / 2
        own = cost.step_hop_s[server] - cost.passes * rtt[server]
        step: FloatArray = cost.passes * leg + own + cost.step_run_s(server, start, end)
        step += cost.passes * self._send_s(cost, cost.positions, previous, server)
        return step

    def legs_s(self, client: int, servers: Sequence[int]) -> tuple[float, ...]:
        rtt, between = self.network.client_rtt_s[client], self.network.server_rtt_s
        found = [float(rtt[j] if i == 0 else between[servers[i - 1], j]) / 2
                 for i, j in enumerate(servers)]  # fmt: skip
        found[-1] += float(rtt[servers[-1]]) / 2
        return tuple(found)

    def without_legs(self, cost: HopCost) -> HopCost:
        rtt = cost.passes * self.network.client_rtt_s[cost.client]
        return replace(cost, step_hop_s=cost.step_hop_s - rtt, hop_s=cost.hop_s - cost.steps * rtt)

    def unordered(self, costs: Sequence[HopCost], *, step: bool) -> Unordered:
        # Prompts are relayed by the client all the same: only later tokens go server to server.
        times = np.array([[c.passes * (1.0 if step else c.steps)] for c in costs])
        hop = np.array([c.step_hop_s if step else c.hop_s for c in costs])
        to_client = times * self.network.client_rtt_s[[c.client for c in costs]]
        return Unordered(
            own_s=hop - to_client, half_s=to_client / 2, leg_s=times * self._cheapest_legs_s()
        )

    def cheapest_s(self, hop_s: FloatArray, clients: Sequence[int]) -> Cheapest:
        share = self.share[list(clients)]
        rtt = self.network.client_rtt_s[list(clients)]
        leg = np.minimum(self._nearest_s() / 2, rtt / 2)
        each = share[:, None]
        return hop_s - each * rtt + each * leg, share * (rtt.min(axis=1) / 2)

    def _nearest_s(self) -> FloatArray:
        """(n,) the shortest round trip to each server from any other one; inf for a single one."""
        return nearest_s(self.network.server_rtt_s)

    def _cheapest_legs_s(self) -> FloatArray:
        """(n,) the shortest way into each server from any other one; 0 for a single one."""
        leg = self._nearest_s() / 2
        found: FloatArray = np.where(np.isfinite(leg), leg, 0.0)
        return found


@dataclass(frozen=True, slots=True)
class PipelineRelay(ServerRelay):
    """Stages of an inference engine: servers hand prompts on too, the last one answers.

    A link between two servers takes latency and, where its bandwidth is known, the bytes over it.
    """

    pushes_prompts: bool = True

    def _link_s(self, tokens: int, before: Rows, server: Rows) -> Rows:
        """Seconds for which a transfer keeps the link between two servers busy; 0 from the client,
        which sends token ids alone."""
        rates = self.network.server_bandwidth_bytes_per_s
        if rates is None:
            return np.zeros(np.broadcast(before, server).shape)
        sent = self.wires.bytes(tokens, before)
        return np.where(np.asarray(before) < 0, 0.0, sent / rates[before, server])

    def _send_s(self, cost: HopCost, tokens: int, before: Rows, server: Rows) -> Rows:
        sent = self._link_s(tokens, before, server)
        if self.uplinks is None:
            return sent
        shared = self.wires.bytes(tokens, before) * self.uplinks.between_s(before, server)
        return np.maximum(sent, np.where(np.asarray(before) < 0, 0.0, shared))

    def _answer_s(self, cost: HopCost, server: Rows) -> Rows:
        return 0.0  # token ids too

    def _leg_s(self, client: int, before: Rows, server: Rows) -> Rows:
        """Half a round trip into a server."""
        rtt, between = self.network.client_rtt_s[client], self.network.server_rtt_s
        return np.where(np.asarray(before) < 0, rtt[server], between[before, server]) / 2

    def prompt_s(self, cost: HopCost, visits: Visits) -> float:
        server, start, end, before = _columns(visits)
        rtt = self.network.client_rtt_s[cost.client]
        way = self._prompt_way_s(cost, before, server)
        run = cost.prefill_run_s(server, start, end)
        return float(way.sum() + run.sum() + rtt[server[-1]] / 2)

    def _prompt_way_s(self, cost: HopCost, before: Rows, server: Rows) -> FloatArray:
        own = cost.prefill_hop_s[server] - self.network.client_rtt_s[cost.client][server]
        leg = self._leg_s(cost.client, before, server)
        way: FloatArray = leg + own + self._send_s(cost, cost.prompt_tokens, before, server)
        return way

    def prompt_gaps_s(self, client: int, hop_s: FloatArray, servers: IntArray) -> FloatArray:
        return self.gaps_s(client, hop_s, servers)

    def backs_s(self, client: int, servers: IntArray) -> FloatArray:
        back = np.full(len(servers), -np.inf)
        back[-1] = self.network.client_rtt_s[client, servers[-1]] / 2
        return back

    def sends_s(self, servers: IntArray, tokens: int) -> FloatArray:
        before = np.concatenate(([-1], servers[:-1]))
        sent: FloatArray = self._link_s(tokens, before, servers)
        return sent

    def step_s(self, cost: HopCost, visits: Visits) -> float:
        server, start, end, before = _columns(visits)
        rtt = self.network.client_rtt_s[cost.client]
        steps = self.steps_s(cost, server, start, end, before)
        return float(steps.sum() + cost.passes * rtt[server[-1]] / 2)

    def links_s(
        self, cost: HopCost, server: IntArray, start: IntArray, end: IntArray, previous: IntArray
    ) -> FloatArray:
        way = self._prompt_way_s(cost, previous, server)
        prefill = way + cost.prefill_run_s(server, start, end)
        relayed: FloatArray = prefill + cost.steps * self.steps_s(
            cost, server, start, end, previous
        )
        return relayed

    def unordered(self, costs: Sequence[HopCost], *, step: bool) -> Unordered:
        # Every pass of the chain goes server to server, the prompt's too.
        times = np.array([[c.passes * (1.0 if step else c.steps) + (not step)] for c in costs])
        hop = np.array([c.step_hop_s if step else c.hop_s for c in costs])
        to_client = times * self.network.client_rtt_s[[c.client for c in costs]]
        return Unordered(
            own_s=hop - to_client, half_s=to_client / 2, leg_s=times * self._cheapest_legs_s()
        )


def _columns(visits: Visits) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Server, start, end and the server before of every hop."""
    server, start, end = np.array(list(visits), dtype=np.int64).T
    return server, start, end, np.concatenate(([-1], server[:-1]))


def relaying(
    network: Network, share: FloatArray, wires: Wires, uplinks: Uplinks | None = None
) -> Relaying:
    """The strategy of a network's relay mode; the rest as of ``ServerRelay``."""
    if network.relay == "client":
        return ClientRelay(network)
    kind = ServerRelay if network.relay == "server" else PipelineRelay
    return kind(network, share, wires, uplinks)
