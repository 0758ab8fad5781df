"""A problem's servers as kinds of the flow programme, and its layout as a placement."""

from __future__ import annotations

import math

import numpy as np

from ..chains.compose import client_shares
from ..core.content import FloatArray
from ..core.errors import HeuristicFailedError
from ..core.plan import Placement
from ..perfmodel.fluid import stages_of
from ..solve.deadline import Deadline
from .flow import FlowLayout, Kind, largest_flow
from .task import Task


def flow_placement(task: Task, *, deadline: Deadline) -> tuple[Placement, FlowLayout]:
    """The placement of largest flow, in requests per second.

    A server that works on one task at a time does ``1 / (k w)`` requests per second, whatever else
    goes on. One that batches does what it is rated at (``rated_per_s``), else what it would with as
    many sequences in a step as its share of those that its cache has room for.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        As ``largest_flow``; also where blocks are not alike.
    """
    if not task.cost.alike:
        raise HeuristicFailedError("flow: blocks that differ are not planned for")
    rates, places, onward = _figures(task)
    groups: dict[tuple[tuple[float, ...], int], list[int]] = {}
    for j, (rate, place) in enumerate(zip(rates, places, strict=True)):
        groups.setdefault((rate, place), []).append(j)
    kinds = [
        Kind(
            count=len(rows),
            rate_per_s=rate,
            place=place,
            onward_per_s=tuple(onward[rows].max(axis=0).tolist()),
        )
        for (rate, place), rows in groups.items()
    ]
    found = largest_flow(
        kinds, task.cost.num_blocks, deadline=deadline, gap=max(task.gap, 1e-6), seed=task.seed
    )
    spans = [(0, 0)] * task.problem.num_servers
    for rows, mine in zip(groups.values(), found.spans, strict=True):
        for j, span in zip(rows, mine, strict=False):
            spans[j] = span
    return task.cost.placed(spans), found


def _figures(task: Task) -> tuple[list[tuple[float, ...]], list[int], FloatArray]:
    """Requests per second by blocks hosted, places, and (n, places) what each sends elsewhere."""
    g = stages_of(task.cost, client_shares(task.problem))
    length, tokens = int(g.length[0]), float(g.tokens[0])
    rates: list[tuple[float, ...]] = []
    for j in range(task.problem.num_servers):
        mine = g.rated[j, 1:]
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
