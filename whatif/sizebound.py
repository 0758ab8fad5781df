"""The least number (or price) of servers that any planner needs: a relaxation, solved exactly.

Every set of servers that meets the targets fulfils all of these, whatever its placement and
routing (docs/whatif.md):

* its memory holds every block once beside the cache of one request;
* its caches hold, from the first arrival to the deadline, the byte-seconds of the requests that
  must be done by then, each at its own least possible time;
* for a share of the requests that the target names, blocks can be dealt out so that the time of
  the request alone is within the target. Here a server may take part of a hop: it is charged
  ``hop / capacity`` per block, which no real chain undercuts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.problem import FloatArray, IntArray, Problem
from ..core.workload import Request
from ..perfmodel.latency import HopCost, HopCosts
from ..solve.deadline import Deadline
from ..solve.mip import solve_programme
from ..solve.programme import Builder
from .target import Target

#: Request shapes beyond this many are merged, each group at its least cost.
MOST_SHAPES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What no set of the catalogue can undercut.

    Attributes
    ----------
    value : least count or price of offers; inf when no set exists.
    counts : the set that the relaxation would take, empty when there is none.
    """

    value: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Like requests: how many, and their least cost per block at every offer."""

    weight: float
    cost: FloatArray


def size_bound(
    problem: Problem,
    offer_of: Sequence[int],
    available: Sequence[int],
    weights: Sequence[float],
    requests: Sequence[Request],
    targets: Sequence[Target],
) -> Bound:
    """Least ``weights``-sum of offers for one draw of requests.

    Parameters
    ----------
    problem : the scenario with everything that can be had.
    offer_of : (n,) offer of each server, -1 for those that are there already.
    available : servers of each offer.
    targets : what must hold; those that bound nothing here are ignored.
    """
    groups = _groups(offer_of)
    members = [rows[0] for rows in groups]
    least_cache = min(problem.cache_bytes(r.reserved_tokens) for r in requests)
    room = _capacity(problem, members, least_cache)
    memory = _memory_need(problem, room, groups, members, requests, targets)
    if not math.isfinite(memory):
        return Bound(value=math.inf, counts=())
    written = Builder()
    taken = [
        written.variable(
            weights[offer_of[m]] if offer_of[m] >= 0 else 0.0,
            lower=0 if offer_of[m] >= 0 else len(rows),
            upper=len(rows),
            integer=True,
        )
        for m, rows in zip(members, groups, strict=True)
    ]
    blocks = dict(zip(taken, room.tolist(), strict=True))
    written.row(blocks, lower=problem.model.num_blocks)
    gigabytes = problem.memory_bytes[members] / 1e9
    written.row(dict(zip(taken, gigabytes.tolist(), strict=True)), lower=memory)
    for target in targets:
        if target.alone is not None:
            _add_latency(written, problem, target, taken, room, members, requests)
    return _least_set(written, taken, [offer_of[m] for m in members], weights, len(available))


def _least_set(
    written: Builder,
    taken: Sequence[int],
    offers: Sequence[int],
    weights: Sequence[float],
    num_offers: int,
) -> Bound:
    """Solve the programme; ``taken`` servers of ``offers``, column by column."""
    found = solve_programme(written.programme(), deadline=Deadline(), gap=1e-4)
    if found.interrupted:
        raise KeyboardInterrupt
    value = math.inf if found.state == "infeasible" else found.bound or 0.0
    if found.values is None:
        return Bound(value=value, counts=())
    chosen = [0] * num_offers
    for column, offer in zip(taken, offers, strict=True):
        if offer >= 0:
            chosen[offer] += round(found.values[column])
    if all(w == round(w) for w in weights):
        value = math.ceil(value - 1e-6)
    return Bound(value=float(value), counts=tuple(chosen))


def _groups(offer_of: Sequence[int]) -> list[list[int]]:
    """Rows of each offer together; servers that are there already each alone."""
    found: dict[tuple[int, int], list[int]] = {}
    for row, offer in enumerate(offer_of):
        found.setdefault((offer, row if offer < 0 else 0), []).append(row)
    return list(found.values())


def _capacity(problem: Problem, rows: Sequence[int], cache: int) -> IntArray:
    """Blocks that a server can hold beside one request's cache on each."""
    fit = problem.memory_bytes[rows] // (problem.block_bytes[rows] + cache)
    capped: IntArray = np.minimum(fit, problem.max_blocks[rows])
    return capped


def _memory_need(
    problem: Problem,
    room: IntArray,
    groups: Sequence[Sequence[int]],
    members: Sequence[int],
    requests: Sequence[Request],
    targets: Sequence[Target],
) -> float:
    """Gigabytes: every block once, and the byte-seconds of the requests that must be done."""
    length = problem.model.num_blocks
    weights = length * int(problem.block_bytes[members].min())
    arrivals = [r.arrival_s for r in requests]
    best = 0.0
    load = np.sort(_least_area(problem, room, groups, members, requests))
    for target in targets:
        if target.response_limit is None:
            continue
        for share, limit in target.done_within():
            must = math.floor(share * (len(requests) - 1)) + 1
            span = max(arrivals) - min(arrivals) + limit
            best = max(best, float(load[:must].sum()) / span)
    return (weights + best) / 1e9


def _least_area(
    problem: Problem,
    room: IntArray,
    groups: Sequence[Sequence[int]],
    members: Sequence[int],
    requests: Sequence[Request],
) -> FloatArray:
    """(N,) cache bytes of a request over all blocks times its least time alone."""
    costs = HopCosts(problem)
    length = problem.model.num_blocks
    known: dict[tuple[int, int, int], float] = {}
    area = []
    for r in requests:
        key = (r.client, r.prompt_tokens, r.output_tokens)
        if key not in known:
            cost = _least(problem, r.client, costs(*key))
            unit = _unit(cost.hop_s, cost.block_s, members, room)
            known[key] = _fill(unit, room, groups, length)
        area.append(known[key] * length * problem.cache_bytes(r.reserved_tokens))
    return np.array(area)


def _least(problem: Problem, client: int, cost: HopCost) -> HopCost:
    """The cost of hops, without the network where servers hand on: its legs depend on the chain."""
    if problem.network.relay == "client":
        return cost
    rtt = problem.network.client_rtt_s[client]
    return replace(cost, step_hop_s=cost.step_hop_s - rtt, hop_s=cost.hop_s - cost.steps * rtt)


def _unit(hop: FloatArray, block: FloatArray, rows: Sequence[int], room: IntArray) -> FloatArray:
    """Seconds per block of a server that is used in full; inf for one that holds none."""
    spread = np.divide(hop[rows], room, out=np.full(len(room), np.inf), where=room > 0)
    unit: FloatArray = spread + block[rows]
    return unit


def _fill(unit: FloatArray, room: IntArray, groups: Sequence[Sequence[int]], length: int) -> float:
    """Cheapest way to run all blocks when servers may be used in part; inf when too few fit."""
    left, total = float(length), 0.0
    for g in np.argsort(unit, kind="stable"):
        if left <= 0 or not math.isfinite(unit[g]):
            break
        run = min(left, float(room[g]) * len(groups[g]))
        total += run * float(unit[g])
        left -= run
    return total if left <= 0 else math.inf


def _add_latency(
    written: Builder,
    problem: Problem,
    target: Target,
    taken: Sequence[int],
    room: IntArray,
    members: Sequence[int],
    requests: Sequence[Request],
) -> None:
    """Shares of blocks per request shape, within the target for enough of them."""
    if target.name.endswith("tpot_s"):  # outputs of one token have no time per later token
        requests = [r for r in requests if r.output_tokens > 1]
        if not requests:
            return
    shapes = _shapes(problem, target, room, members, requests)
    length = problem.model.num_blocks
    used = [g for g in range(len(members)) if room[g] > 0]
    times: list[dict[int, float]] = []  # by shape: seconds per block, by column
    for shape in shapes:
        blocks = {g: written.variable() for g in used}
        written.row(dict.fromkeys(blocks.values(), 1.0), lower=length, upper=length)
        for g, k in blocks.items():
            written.row({k: 1.0, taken[g]: -float(room[g])}, upper=0.0)
        times.append({k: float(shape.cost[g]) for g, k in blocks.items()})
    if target.share is None:
        total = sum(s.weight for s in shapes)
        mean = {
            k: shape.weight / total * s
            for shape, time in zip(shapes, times, strict=True)
            for k, s in time.items()
        }
        written.row(mean, upper=target.limit)
        return
    met = {}
    for shape, time in zip(shapes, times, strict=True):
        worst = float(shape.cost[np.isfinite(shape.cost)].max(initial=0.0)) * length
        ok = written.variable(upper=1.0, integer=True)
        spare = max(0.0, worst - target.limit)
        written.row({**time, ok: spare}, upper=max(worst, target.limit))
        met[ok] = shape.weight
    must = math.floor(target.share * (len(requests) - 1)) + 1
    written.row(met, lower=must - 1e-6)


def _shapes(
    problem: Problem,
    target: Target,
    room: IntArray,
    members: Sequence[int],
    requests: Sequence[Request],
) -> list[_Shape]:
    """Requests of one client and length together; many lengths are merged at their least cost."""
    assert target.alone is not None
    costs = HopCosts(problem)
    count = Counter((r.client, r.prompt_tokens, r.output_tokens) for r in requests)
    keys = sorted(count, key=lambda k: (k[0], k[1] + k[2]))
    parts = np.array_split(np.arange(len(keys)), min(len(keys), MOST_SHAPES))
    found = []
    for part in parts:
        every = []
        for i in part:
            hop, block = target.alone(_least(problem, keys[i][0], costs(*keys[i])))
            every.append(_unit(hop, block, members, room))
        weight = float(sum(count[keys[i]] for i in part))
        found.append(_Shape(weight=weight, cost=np.min(every, axis=0)))
    return found
