"""Large swarms read and planned by groups of servers, with what the grouping loses.

What is lost to the reader is the entropy within groups: for shares p of the traffic over servers
X with groups G, ``H(X) = H(G) + H(X|G)``. What is lost to the planner is time: with every server
as slow as the worst of its group a chain takes at most, with every server as fast as the best at
least, the time that it takes through any members of the same groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .. import api
from ..core.between import ROWS, Between
from ..core.content import FloatArray, IntArray
from ..core.errors import SwarmplanError, SwarmplanWarning
from ..core.plan import Plan, PlannedRoute, Predicted
from ..core.problem import Network, Problem, Server
from ..methods.draft import Settings
from ..perfmodel.cost import CostModel
from ..perfmodel.groups import Side, levelled_servers, spreads_s
from ..perfmodel.memory import blocks_that_fit
from ..perfmodel.places import ByPlace
from ..perfmodel.predict import predict

By = Literal["region", "site"]


def labels_of(problem: Problem, by: By, *, mixed: bool = False) -> tuple[str, ...]:
    """The group of every server: its region, or the place where it stands, and its device.

    A server without a region (or without coordinates) is a group of its own, under its id.

    Parameters
    ----------
    mixed : put the devices of one place together.
    """
    sites = _sites(problem.servers)
    found = []
    for server in problem.servers:
        known = server.region if by == "region" else sites.get(server.coordinates, "")
        name = known or server.id
        found.append(name if mixed or not known else f"{name} {server.device}")
    return tuple(found)


def _sites(servers: Sequence[Server]) -> dict[tuple[float, float] | None, str]:
    """Places with what the ids of their servers begin with."""
    ids: dict[tuple[float, float], list[str]] = {}
    for server in servers:
        if server.coordinates is not None:
            ids.setdefault(server.coordinates, []).append(server.id)
    return {
        (lat, lon): f"{_shared(names)} ({lat:g}, {lon:g})".strip()
        for (lat, lon), names in ids.items()
    }


def _shared(names: Sequence[str]) -> str:
    """What names begin with, without the number at its end."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same).rstrip("-_. 0123456789")


def rows_of(labels: Sequence[str]) -> dict[str, IntArray]:
    """Server rows of each group, groups in the order of their first server."""
    found: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        found.setdefault(label, []).append(row)
    return {label: np.array(rows, dtype=np.int64) for label, rows in found.items()}


def entropy_bits(shares: ArrayLike, order: float = 1.0) -> float:
    """Rényi entropy of shares that sum to one; order 1 is Shannon's, inf the min-entropy."""
    p = np.asarray(shares, dtype=np.float64)
    p = p[p > 0]
    if not len(p):
        return 0.0
    if order == 1.0:
        return float(0.0 - (p * np.log2(p)).sum())
    if np.isinf(order):
        return float(-np.log2(p.max()))
    return float(np.log2((p**order).sum()) / (1.0 - order))


def traffic(problem: Problem, routes: Sequence[PlannedRoute]) -> FloatArray:
    """(n,) share of all block runs that each server does, weighted by the sessions."""
    runs = np.zeros(problem.num_servers)
    for planned in routes:
        for hop in planned.route.hops:
            runs[hop.server] += planned.sessions * len(hop)
    return runs / max(float(runs.sum()), 1e-300)


def levelled(problem: Problem, labels: Sequence[str], side: Side) -> Problem:
    """Every server as slow and small as the worst of its group, or as fast and large as the best.

    A placement that fits the worst fits every swarm with members of the same groups, and the time
    of any chain lies between that of the two levels.
    """
    servers = list(problem.servers)
    net = problem.network
    client = np.array(net.client_rtt_s)
    # Of a large swarm, only where the time of a chain asks for them.
    pairs = net.holds_pairs or CostModel.of(problem).relaying.pairs
    bandwidth = net.client_bandwidth_bytes_per_s
    wide = None if bandwidth is None else np.array(bandwidth)
    slow, fast = (np.max, np.min) if side == "worst" else (np.min, np.max)
    sent = CostModel.of(problem).wires.bytes(1)
    for rows in rows_of(labels).values():
        members = [problem.servers[j] for j in rows]
        level = levelled_servers(members, side, problem.model.num_blocks)
        wire = problem.servers[rows[sent[rows] == slow(sent[rows])][0]].wire
        for j, server in zip(rows, level, strict=True):
            servers[j] = server if server.wire == wire else replace(server, wire=wire)
        client[:, rows] = slow(client[:, rows], axis=1, keepdims=True)
        if wide is not None:
            wide[:, rows] = fast(wide[:, rows], axis=1, keepdims=True)
    network: Network = replace(
        net,
        client_rtt_s=client,
        server_rtt_s=_between(net, labels, side) if pairs else net.server_rtt_s,
        client_bandwidth_bytes_per_s=wide,
    )
    return replace(problem, servers=tuple(servers), network=network)


def _between(net: Network, labels: Sequence[str], side: Side) -> Between:
    """(n, n) the slowest (fastest) time between any two members of both groups."""
    groups = list(rows_of(labels).values())
    small = _apart(net.server_rtt_s, groups, side)
    index = np.empty(len(labels), dtype=np.int64)
    for group, rows in enumerate(groups):
        index[rows] = group
    if not net.holds_pairs:
        nowhere, none = np.full((len(labels), 2), np.nan), np.zeros(len(labels))
        return ByPlace(lat_lon=nowhere, mode="fibre", last_s=none, node=index, graph_s=small)
    found: FloatArray = small[np.ix_(index, index)]
    np.fill_diagonal(found, 0.0)
    return found


def _apart(between: Between, groups: Sequence[IntArray], side: Side) -> FloatArray:
    """(groups, groups) the slowest (fastest) time between any two members, 0 where there are none;
    a server is no member next to itself."""
    away, reduce = (-np.inf, np.maximum) if side == "worst" else (np.inf, np.minimum)
    order = np.concatenate(groups)
    first = np.cumsum([0, *(len(rows) for rows in groups)])[:-1]
    small = np.full((len(groups), len(groups)), away)
    for group, members in enumerate(groups):
        for begin in range(0, len(members), ROWS):
            rows = members[begin : begin + ROWS]
            times = np.array(between[np.ix_(rows, order)])
            itself = first[group] + begin + np.arange(len(rows))
            times[np.arange(len(rows)), itself] = away
            by_group = reduce.reduceat(times, first, axis=1)
            small[group] = reduce(small[group], reduce.reduce(by_group, axis=0))
    small[~np.isfinite(small)] = 0.0
    return small


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Servers that are read as one.

    Attributes
    ----------
    share : of all block runs of the plan.
    lost_bits : entropy of the traffic within the group, times ``share``.
    hop_spread_s, block_spread_s : slowest minus fastest hop of a decode step (for the client
        where they differ most), slowest minus fastest block.
    """

    name: str
    rows: tuple[int, ...]
    devices: tuple[str, ...]
    memory_bytes: int
    share: float
    lost_bits: float
    hop_spread_s: float
    block_spread_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A swarm by groups.

    Attributes
    ----------
    total_bits, between_bits, lost_bits : H(X) = H(G) + H(X|G) of the traffic.
    """

    groups: tuple[Group, ...]
    total_bits: float
    between_bits: float
    lost_bits: float


def read_by_groups(
    problem: Problem, labels: Sequence[str], routes: Sequence[PlannedRoute]
) -> Reading:
    """Groups with their share of the traffic and what they hide, the busiest first."""
    share = traffic(problem, routes)
    cost = CostModel.of(problem)
    groups = []
    for name, rows in rows_of(labels).items():
        mine = float(share[rows].sum())
        inside = share[rows] / mine if mine > 0 else share[rows]
        hop_s, block_s = spreads_s(cost, rows)
        groups.append(
            Group(
                name=name,
                rows=tuple(rows.tolist()),
                devices=tuple(sorted({problem.servers[j].device for j in rows})),
                memory_bytes=int(problem.memory_bytes[rows].sum()),
                share=mine,
                lost_bits=mine * entropy_bits(inside),
                hop_spread_s=hop_s,
                block_spread_s=block_s,
            )
        )
    return Reading(
        groups=tuple(sorted(groups, key=lambda g: (-g.share, -len(g.rows), g.name))),
        total_bits=entropy_bits(share),
        between_bits=entropy_bits([g.share for g in groups]),
        lost_bits=sum(g.lost_bits for g in groups),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimes:
    """One client's requests, alone in the swarm, under the plan made on groups.

    Attributes
    ----------
    worst, true, best : with the worst member at every hop, with the members that the plan
        names, with the best ones; ``best <= true <= worst`` for any choice of members.
    single : under the plan made on the single servers, None where it gave the client no route.
    """

    client: int
    worst: Predicted
    true: Predicted
    best: Predicted
    single: Predicted | None

    @property
    def bound_s(self) -> float:
        """What planning on groups can err in the time per token of these chains, seconds."""
        return self.worst.tpot_s - self.best.tpot_s

    @property
    def response_bound_s(self) -> float:
        """The same for a whole request, seconds."""
        return self.worst.response_s - self.best.response_s


def times_on_groups(
    problem: Problem,
    labels: Sequence[str],
    routes: Sequence[PlannedRoute],
    single: Mapping[int, Predicted] | None = None,
) -> tuple[ClientTimes, ...]:
    """What chains take with the worst, the named and the best members of their groups."""
    worst = predict(CostModel(levelled(problem, labels, "worst")), routes)
    best = {p.client: p for p in predict(CostModel(levelled(problem, labels, "best")), routes)}
    true = {p.client: p for p in predict(CostModel.of(problem), routes)}
    known = single or {}
    return tuple(
        ClientTimes(
            client=w.client,
            worst=w,
            true=true[w.client],
            best=best[w.client],
            single=known.get(w.client),
        )
        for w in worst
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """A plan on single servers read by groups, and the plan made on the groups.

    Attributes
    ----------
    plan : made on groups; its spans and chains are those of the single servers as they are.
    error : why no plan could be made on groups; ``plan`` is None and ``times`` are empty then.
    lost_blocks : blocks that fit the servers, minus those that fit the worst of each group.
    """

    reading: Reading
    single: Plan
    plan: Plan | None
    times: tuple[ClientTimes, ...]
    lost_blocks: int
    error: str = ""


def aggregate(
    problem: Problem, labels: Sequence[str], method: str, settings: Settings
) -> Aggregation:
    """Plan on single servers and on groups, and say what the grouping loses.

    On groups servers host at the precisions of the plan on single ones.

    Raises
    ------
    SwarmplanError
        If there is no plan on the single servers.
    """
    single = _planned(problem, method, settings)
    problem = single.placement.settled(problem).fixed
    worst = levelled(problem, labels, "worst")
    plan: Plan | None = None
    error, times = "", tuple[ClientTimes, ...]()
    try:
        plan = _planned(worst, method, settings)
    except SwarmplanError as failure:
        if failure.exit_code not in (3, 4):
            raise
        error = str(failure)
    else:
        known = {p.client: p for p in single.predicted}
        times = times_on_groups(problem, labels, plan.routes, known)
    return Aggregation(
        reading=read_by_groups(problem, labels, single.routes),
        single=single,
        plan=plan,
        times=times,
        lost_blocks=_room(problem) - _room(worst),
        error=error,
    )


def _planned(problem: Problem, method: str, settings: Settings) -> Plan:
    with warnings.catch_warnings():  # of servers too small for a block: loading said so
        warnings.simplefilter("ignore", SwarmplanWarning)
        return api.plan(problem, method, settings=settings)


def _room(problem: Problem) -> int:
    """Blocks that all servers together hold beside no session."""
    return int(blocks_that_fit(CostModel.of(problem), 0).sum())
