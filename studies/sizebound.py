"""The least number (or price) of servers that any planner needs: a relaxation, solved exactly.

Every set of servers that meets the targets fulfils all of these, whatever its placement and
routing (docs/whatif.md):

* its memory holds every block once beside the cache of one request;
* its caches hold, from the first arrival to the deadline, the byte-seconds of the requests that
  must be done by then, each at its own least possible time;
* for a share of the requests that the target names, blocks can be dealt out so that the time of
  the request alone is within the target. Here a server may take part of a hop: it is charged
  ``hop / capacity`` per block, which no real chain undercuts.

A server that may choose its precision has the room of its smallest blocks and the time of its
fastest ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost
from ..perfmodel.memory import blocks_alone
from ..perfmodel.runs import Runs
from ..perfmodel.unfolded import unfolded
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offers:
    """What can be had, offer by offer; servers that are there already are each one of their own.

    Attributes
    ----------
    cost : of every server at each of its precisions.
    groups : rows of the servers of each in the scenario.
    rows : those in ``cost`` of the first server of each, one offer after the other.
    first : where the rows of each offer begin.
    row_room : blocks that one of them holds beside the smallest request's cache, for each row.
    """

    cost: CostModel
    groups: list[list[int]]
    rows: list[int]
    first: IntArray
    row_room: IntArray

    @classmethod
    def of(cls, cost: CostModel, groups: list[list[int]], tokens: int) -> _Offers:
        """What can be had of a scenario, for requests of at least so many cache tokens."""
        opened, begin = unfolded(cost)
        ends = np.append(begin[1:], opened.problem.num_servers)
        own = [list(range(begin[g[0]], ends[g[0]])) for g in groups]
        rows = [row for each in own for row in each]
        counts = [len(each) for each in own]
        return cls(
            cost=opened,
            groups=groups,
            rows=rows,
            first=np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64),
            row_room=blocks_alone(opened, tokens)[rows],
        )

    @property
    def room(self) -> IntArray:
        """Blocks that one of each offer holds."""
        most: IntArray = np.maximum.reduceat(self.row_room, self.first)
        return most

    def unit_s(self, hop_s: FloatArray, run_s: Runs) -> FloatArray:
        """Seconds per block of a server that is used in full; inf for one that holds none."""
        each = run_s.least_share(self.rows, hop_s[self.rows], self.row_room)
        least: FloatArray = np.minimum.reduceat(each, self.first)
        return least

    def least_s(self, unit_s: FloatArray) -> float:
        """Cheapest way to run all blocks when servers may be used in part; inf: too few fit."""
        left, total = float(self.cost.num_blocks), 0.0
        for g in np.argsort(unit_s, kind="stable"):
            if left <= 0 or not math.isfinite(unit_s[g]):
                break
            run = min(left, float(self.room[g]) * len(self.groups[g]))
            total += run * float(unit_s[g])
            left -= run
        return total if left <= 0 else math.inf

    def shape(self, key: tuple[int, int, int]) -> HopCost:
        """The cost of hops, without legs between servers: those depend on the chain."""
        return self.cost.relaying.without_legs(self.cost.shape(*key))


def size_bound(
    cost: CostModel,
    offer_of: Sequence[int],
    available: Sequence[int],
    weights: Sequence[float],
    requests: Sequence[Request],
    targets: Sequence[Target],
) -> Bound:
    """Least ``weights``-sum of offers for one draw of requests.

    Parameters
    ----------
    cost : of the scenario with everything that can be had.
    offer_of : (n,) offer of each server, -1 for those that are there already.
    available : servers of each offer.
    targets : what must hold; those that bound nothing here are ignored.
    """
    groups = _groups(offer_of)
    members = [rows[0] for rows in groups]
    offers = _Offers.of(cost, groups, min(r.reserved_tokens for r in requests))
    memory = _memory_need(offers, requests, targets)
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
    blocks = dict(zip(taken, offers.room.tolist(), strict=True))
    written.row(blocks, lower=cost.num_blocks)
    gigabytes = cost.problem.memory_bytes[members] / 1e9
    written.row(dict(zip(taken, gigabytes.tolist(), strict=True)), lower=memory)
    for target in targets:
        if target.alone is not None:
            _add_latency(written, offers, target, taken, requests)
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


def _memory_need(offers: _Offers, requests: Sequence[Request], targets: Sequence[Target]) -> float:
    """Gigabytes: every block once, and the byte-seconds of the requests that must be done."""
    cost = offers.cost
    weights = int(cost.weights_bytes(offers.rows, 0, cost.num_blocks).min())
    arrivals = [r.arrival_s for r in requests]
    best = 0.0
    load = np.sort(_least_area(offers, requests))
    for target in targets:
        if target.response_limit is None:
            continue
        for share, limit in target.done_within():
            must = math.floor(share * (len(requests) - 1)) + 1
            span = max(arrivals) - min(arrivals) + limit
            best = max(best, float(load[:must].sum()) / span)
    return (weights + best) / 1e9


def _least_area(offers: _Offers, requests: Sequence[Request]) -> FloatArray:
    """(N,) cache bytes of a request over all blocks times its least time alone."""
    cost = offers.cost
    known: dict[tuple[int, int, int], float] = {}
    area = []
    for r in requests:
        key = (r.client, r.prompt_tokens, r.output_tokens)
        if key not in known:
            shape = offers.shape(key)
            known[key] = offers.least_s(offers.unit_s(shape.hop_s, shape.run_s))
        area.append(known[key] * int(cost.cache_bytes(r.reserved_tokens, 0, cost.num_blocks)))
    return np.array(area)


def _add_latency(
    written: Builder,
    offers: _Offers,
    target: Target,
    taken: Sequence[int],
    requests: Sequence[Request],
) -> None:
    """Shares of blocks per request shape, within the target for enough of them."""
    if target.name.endswith("tpot_s"):  # outputs of one token have no time per later token
        requests = [r for r in requests if r.output_tokens > 1]
        if not requests:
            return
    shapes = _shapes(offers, target, requests)
    length, room = offers.cost.num_blocks, offers.room
    used = [g for g in range(len(room)) if room[g] > 0]
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


def _shapes(offers: _Offers, target: Target, requests: Sequence[Request]) -> list[_Shape]:
    """Requests of one client and length together; many lengths are merged at their least cost."""
    assert target.alone is not None
    count = Counter((r.client, r.prompt_tokens, r.output_tokens) for r in requests)
    keys = sorted(count, key=lambda k: (k[0], k[1] + k[2]))
    parts = np.array_split(np.arange(len(keys)), min(len(keys), MOST_SHAPES))
    found = []
    for part in parts:
        every = [offers.unit_s(*target.alone(offers.shape(keys[i]))) for i in part]
        weight = float(sum(count[keys[i]] for i in part))
        found.append(_Shape(weight=weight, cost=np.min(every, axis=0)))
    return found
