"""Which server loads which adapter, on blocks that are placed: fewest loads, then least memory.

Every client's demand is dealt out over chains of the placement, within what servers carry and
nearly as fast as if every adapter were everywhere; an adapter has to be loaded along the chains
that its clients take. docs/model.md 18.

1. ``sum over chains of x[c, k] = 1`` for every client c
2. ``sum over clients and chains of share_c x[c, k] use[k, r] <= most_r`` for compute and cache r
3. ``sum over clients and chains of share_c x[c, k] t[c, k] <= (1 + SLOWER) least``
4. ``x[c, k] <= load[j, a]`` for every server j of chain k, a the adapter of c
5. ``sum over adapters of bytes[j, a] load[j, a] <= spare_j``
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.accuracy import SAME_HARM
from ..core.content import FloatArray, IntArray
from ..core.plan import Placement, Route
from ..perfmodel.adapters import adapter_bytes
from ..perfmodel.cost import CostModel
from ..solve.deadline import Deadline
from ..solve.mip import solve_programme
from ..solve.programme import Builder

#: Requests may take this much longer, relative, than with every adapter everywhere.
SLOWER = 0.02
#: A solution this near to the least number of loads is good enough, relative.
GAP = 1e-4

#: Adapters of every server.
Loads = tuple[tuple[str, ...], ...]
Columns = dict[tuple[int, str], int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """A chain, and what all requests together would take of every resource if they took it; (m,).

    Resources are shares of what each has: compute of the servers, their cache in the long run, and
    their cache when all planned sessions are there.
    """

    route: Route
    use: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dealing:
    """What is to be dealt out.

    Attributes
    ----------
    share : (C,) of the load that clients send.
    time_s : (C, K) of a client's request on each lane; inf where it must not take it.
    most : (m,) of each resource that may be used.
    spare_bytes : (n,) memory that adapters may take at each server whose adapters are open.
    """

    lanes: tuple[Lane, ...]
    share: FloatArray
    time_s: FloatArray
    most: FloatArray
    spare_bytes: IntArray


def times_s(cost: CostModel, share: FloatArray, lanes: Sequence[Lane]) -> FloatArray:
    """(C, K) times of the representative request; lanes above a client's budget are closed, as are
    those with a server that is said to load other adapters."""
    found = np.full((len(share), len(lanes)), np.inf)
    harm = [cost.route_harm(lane.route) for lane in lanes]
    for c in np.flatnonzero(share > 0).tolist():
        paid = cost.planned(c)
        for k, lane in enumerate(lanes):
            able = cost.lacking[c].isdisjoint(lane.route.servers)
            if able and harm[k] <= cost.budgets[c] + SAME_HARM:
                found[c, k] = cost.route_time(lane.route, paid).total_s
    return found


def loads(
    cost: CostModel, placement: Placement, dealing: Dealing, deadline: Deadline
) -> Loads | None:
    """The adapters of every server: fewest loads, then least memory.

    Proven to be so where the deadline allows it, else the best found, in the end without a solver.
    None where the spare memory does not hold what it takes.

    Parameters
    ----------
    cost : of a problem whose open servers load nothing yet; those of others are theirs.
    """
    least_s = _least_s(cost, dealing, deadline)
    if least_s is None:
        return None
    for slower in (SLOWER, np.inf):
        found = _fewest(cost, placement, dealing, least_s * (1.0 + slower), deadline)
        if found is not None:
            return found
    return at_once(cost, placement, dealing) if deadline.passed else None


def at_once(cost: CostModel, placement: Placement, dealing: Dealing) -> Loads | None:
    """Loads without a solver: each client on one lane, those that ask for most first.

    The lane is one that has room for the adapter, if it can be one that bears the client too; of
    these the one with fewest new loads, then the fastest. None where no lane has room.
    """
    servers, memory = cost.problem.servers, adapter_bytes(cost, placement)
    spare, used = dealing.spare_bytes.copy(), np.zeros(len(dealing.most))
    chosen: set[tuple[int, str]] = set()
    asking = np.flatnonzero(dealing.share > 0)
    for c in asking[np.argsort(-dealing.share[asking], kind="stable")].tolist():
        name, options = cost.problem.clients[c].adapter, []
        for k in np.flatnonzero(np.isfinite(dealing.time_s[c])).tolist():
            lane = dealing.lanes[k]
            new = [j for j in lane.route.servers
                   if name and servers[j].adapters is None and (j, name) not in chosen]  # fmt: skip
            if all(memory[name][j] <= spare[j] for j in new):
                over = (used + dealing.share[c] * lane.use > dealing.most).any()
                options.append((bool(over), len(new), float(dealing.time_s[c, k]), k, new))
        if not options:
            return None
        *_, k, new = min(options)
        used += dealing.share[c] * dealing.lanes[k].use
        for j in new:
            chosen.add((j, name))
            spare[j] -= memory[name][j]
    return _told(cost, memory, chosen)


def _told(cost: CostModel, memory: dict[str, IntArray], chosen: set[tuple[int, str]]) -> Loads:
    """Adapters of every server; of those that are not open their own."""
    return tuple(
        tuple(name for name in memory if (j, name) in chosen)
        if server.adapters is None
        else server.adapters
        for j, server in enumerate(cost.problem.servers)
    )


def _least_s(cost: CostModel, dealing: Dealing, deadline: Deadline) -> float | None:
    """The mean time of requests where every open server loads everything; infinite where there is
    no time to tell, None where not all can be dealt out."""
    written = Builder()
    for _ in _dealt(written, cost, dealing, priced=True):
        pass
    programme = written.programme()
    found = solve_programme(programme, deadline=deadline, gap=GAP)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.values is None:
        return None if found.state == "infeasible" else np.inf
    return programme.objective(found.values)


def _fewest(
    cost: CostModel, placement: Placement, dealing: Dealing, most_s: float, deadline: Deadline
) -> Loads | None:
    """The loads if a request may take so long on average, None where that is not possible."""
    servers, clients = cost.problem.servers, cost.problem.clients
    memory = adapter_bytes(cost, placement)
    whole = float(sum(int(each.sum()) for each in memory.values()) + 1)
    written, columns, total = Builder(), Columns(), dict[int, float]()
    for c, k, x in _dealt(written, cost, dealing, priced=False):
        total[x] = float(dealing.share[c] * dealing.time_s[c, k])
        name = clients[c].adapter
        for j in dealing.lanes[k].route.servers:
            if name and servers[j].adapters is None:
                if (j, name) not in columns:
                    price = 1.0 + float(memory[name][j]) / whole
                    columns[j, name] = written.variable(price, upper=1.0, integer=True)
                written.row({x: 1.0, columns[j, name]: -1.0}, upper=0.0)
    if np.isfinite(most_s):
        written.row(total, upper=most_s)
    _fitting(written, columns, memory, dealing.spare_bytes)
    found = solve_programme(written.programme(), deadline=deadline, gap=GAP)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.values is None:
        return None
    chosen = {key for key, column in columns.items() if found.values[column] > 0.5}
    taken = np.zeros_like(dealing.spare_bytes)
    for j, name in chosen:
        taken[j] += memory[name][j]
    over = taken - np.maximum(dealing.spare_bytes, 0)
    if (over > 0).any():  # the solver takes rows for met that are off by a byte
        tighter = np.where(over > 0, dealing.spare_bytes - over - 1, dealing.spare_bytes)
        return _fewest(cost, placement, replace(dealing, spare_bytes=tighter), most_s, deadline)
    return _told(cost, memory, chosen)


def _fitting(
    written: Builder, columns: Columns, memory: dict[str, IntArray], spare_bytes: IntArray
) -> None:
    """(5), each row in units of the largest of its adapters."""
    room: dict[int, dict[int, float]] = defaultdict(dict)
    for (j, name), column in columns.items():
        room[j][column] = float(memory[name][j])
    for j, own in room.items():
        unit = max(own.values())
        if unit:
            upper = (max(float(spare_bytes[j]), 0.0) + 0.25) / unit
            written.row({column: taken / unit for column, taken in own.items()}, upper=upper)


def _dealt(
    written: Builder, cost: CostModel, dealing: Dealing, *, priced: bool
) -> Iterator[tuple[int, int, int]]:
    """(1) and (2): client, lane and column of every part of a demand; ``priced`` by its time."""
    used: list[dict[int, float]] = [{} for _ in dealing.most]
    for c in np.flatnonzero(dealing.share > 0).tolist():
        whole: dict[int, float] = {}
        for k, lane in enumerate(dealing.lanes):
            if not np.isfinite(dealing.time_s[c, k]):
                continue
            share = float(dealing.share[c])
            x = written.variable(share * float(dealing.time_s[c, k]) if priced else 0.0, upper=1.0)
            whole[x] = 1.0
            for r in np.flatnonzero(lane.use).tolist():
                used[r][x] = share * float(lane.use[r])
            yield c, k, x
        written.row(whole, lower=1.0, upper=1.0)
    for own, most in zip(used, dealing.most.tolist(), strict=True):
        if own and np.isfinite(most):
            written.row(own, upper=most)
