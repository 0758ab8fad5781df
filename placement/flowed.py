"""A problem's servers as kinds of the flow programme, and its layout as a placement."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..chains.compose import client_shares
from ..core.content import FloatArray
from ..core.errors import HeuristicFailedError
from ..core.plan import Placement
from ..perfmodel.fluid import beyond, stages_of
from ..solve.deadline import Deadline
from .flow import FlowLayout, Gate, Kind, largest_flow
from .task import Task

if TYPE_CHECKING:
    from ..perfmodel.stages import Stages


def flow_placement(task: Task, *, deadline: Deadline) -> tuple[Placement, FlowLayout]:
    """The placement of largest flow, in requests per second.

    A server that works on one task at a time does ``1 / (k w)`` requests per second, whatever else
    goes on. One that batches does what it is rated at (``rated_per_s``), else what it would with as
    many sequences in a step as its share of those that its cache has room for.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        As ``largest_flow``; also where the swarm is beyond the fluid model.
    """
    if why := beyond(task.cost):
        raise HeuristicFailedError(f"flow: {why}")
    g = stages_of(task.cost, client_shares(task.problem))
    rates, places, onward = _figures(task, g)
    gates, own = _gates(g)
    groups: dict[tuple[tuple[float, ...], int, tuple[float, float]], list[int]] = {}
    for j, key in enumerate(zip(rates, places, own, strict=True)):
        groups.setdefault(key, []).append(j)
    kinds = [
        Kind(
            count=len(rows),
            rate_per_s=rate,
            place=place,
            onward_per_s=tuple(onward[rows].max(axis=0).tolist()),
            out_per_s=out,
            in_per_s=into,
        )
        for (rate, place, (out, into)), rows in groups.items()
    ]
    found = largest_flow(
        kinds,
        task.cost.num_blocks,
        deadline=deadline,
        gates=gates,
        gap=max(task.gap, 1e-6),
        seed=task.seed,
    )
    spans = [(0, 0)] * task.problem.num_servers
    for rows, mine in zip(groups.values(), found.spans, strict=True):
        for j, span in zip(rows, mine, strict=False):
            spans[j] = span
    return task.cost.placed(spans), found


def _gates(g: Stages) -> tuple[list[Gate], list[tuple[float, float]]]:
    """What uplinks let through: those that several servers share, and each of single ones."""
    lanes, n = g.lanes, len(g.place)
    own, gates = np.full((n, 2), math.inf), []
    with np.errstate(divide="ignore"):
        rate_per_s = (1.0 / lanes.handed_s).reshape(-1, 2)
    for inside, rate in zip(lanes.inside > 0, rate_per_s.tolist(), strict=True):
        if inside.sum() == 1:
            own[inside] = np.minimum(own[inside], rate)
        elif inside.any():
            places = frozenset(g.place[inside].tolist())
            gates.append(Gate(places=places, out_per_s=rate[0], in_per_s=rate[1]))
    return gates, [(out, into) for out, into in own.tolist()]


def _figures(task: Task, g: Stages) -> tuple[list[tuple[float, ...]], list[int], FloatArray]:
    """Requests per second by blocks hosted, places, and (n, places) what each sends elsewhere."""
    length, tokens = int(g.length[0]), float(g.tokens[0])
    rates: list[tuple[float, ...]] = []
    visits = g.lanes.visit_per_s.tolist() or [math.inf] * task.problem.num_servers
    for j in range(task.problem.num_servers):
        mine = np.minimum(g.rated[j, 1:], visits[j])
        held = np.flatnonzero(g.slots[j, 1:] < 1.0)
        rates.append(tuple(mine[: held[0] if len(held) else length].tolist()))
    places = [int(p) for p in g.place]
    count = 1 + max(places)
    busy_s = g.prompt_send_s + tokens * g.step_send_s
    with np.errstate(divide="ignore"):
        links = np.where(busy_s > 0.0, 1.0 / np.maximum(busy_s, 1e-12), math.inf)
    onward = np.zeros((len(places), count))
    for q in range(count):
        there = np.flatnonzero(g.place == q)
        onward[:, q] = np.minimum(links[:, there].sum(axis=1), 1e9)
    return rates, places, onward
