"""The chain of one session: the plan's router over the servers that are online now, and over who
is at work at them. Plain Python, no hivemind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..core.content import FloatArray
from ..core.errors import NoRouteError
from ..core.plan import Placement, Route
from ..core.problem import Problem
from ..core.workload import Request
from ..methods.routers import router_named
from ..perfmodel.announced import announced_cache_bytes
from ..perfmodel.cost import CostModel
from ..perfmodel.piece import piece
from ..routing.state import SwarmState
from .answers import AnswerLengths
from .harm import Chain, accuracy_left, as_announced, harm_of
from .present import OwnHop, Present
from .record import LivePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRequest:
    """What a session asks for: blocks ``[start, end)``, its length, and whom to leave out.

    Attributes
    ----------
    prompt_tokens : of its first step; 0 = not known.
    kept : hops outside those blocks that the session goes on with.
    """

    start: int
    end: int
    max_tokens: int
    exclude: frozenset[str]
    retry: bool
    prompt_tokens: int = 0
    kept: Chain = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServer:
    """What the client knows of one server now.

    Attributes
    ----------
    precision : of its blocks, as it announces; None = it does not.
    """

    span: tuple[int, int]
    cache_tokens_left: int | None
    rtt_s: float | None
    precision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A chain, with what a step takes on each hop.

    Attributes
    ----------
    steps : tokens after the first one that are expected.
    """

    hops: tuple[OwnHop, ...]
    steps: int

    @property
    def chain(self) -> Chain:
        """As sessions take it."""
        return [hop[:3] for hop in self.hops]


def choose_chain(
    plan: LivePlan,
    client: str | None,
    live: Mapping[str, LiveServer],
    request: ChainRequest,
    *,
    lengths: AnswerLengths | None = None,
    present: Present | None = None,
    number: int | None = None,
    now_s: float = 0.0,
) -> Choice:
    """The router's chain over the servers that are online.

    Parameters
    ----------
    client : which of the plan's clients this is; its round trips are replaced by measured ones.
    lengths : of the answers that this client saw; without it all that is asked for is expected.
    present : who is at work; without it nobody. number : of the session there.

    Raises
    ------
    NoRouteError, RequestTooLargeError
        When the servers that the plan knows cannot serve the request.
    """
    problem, placement = _piece(plan, client, live, request)
    if not all(placement.coverage(problem.model.num_blocks)):
        raise NoRouteError(f"blocks {request.start} to {request.end} are not all online")
    cost = CostModel.of(problem)
    router = router_named(plan.router)(cost, placement)
    asked = _asked(problem, request, lengths)
    state = SwarmState(cost, placement)
    if present is not None:
        present.join(
            state.crowd,
            {s.id: j for j, s in enumerate(problem.servers)},
            now_s,
            most_work_s=_most_work_s(plan, live),
            stranger_steps=float(problem.planning.output_tokens),
            without=number,
        )
    route = router(asked, state, now_s).route
    hops = _hops(cost, asked, route)
    moved = [h._replace(start=h.start + request.start, end=h.end + request.start) for h in hops]
    return Choice(hops=tuple(moved), steps=asked.planned_tokens - 1)


def _asked(problem: Problem, request: ChainRequest, lengths: AnswerLengths | None) -> Request:
    prompt = request.prompt_tokens or problem.planning.prompt_tokens
    prompt = max(1, min(prompt, request.max_tokens - 1))
    output = max(1, request.max_tokens - prompt)
    return Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=prompt,
        output_tokens=output,
        reserved_tokens=request.max_tokens,
        expected_tokens=None if lengths is None else lengths.expected(output),
    )


def _most_work_s(plan: LivePlan, live: Mapping[str, LiveServer]) -> FloatArray:
    """(n,) work of a representative step on the whole span of each server; none where it is off."""
    cost = CostModel.of(plan.problem)
    known = [live.get(s.id) for s in plan.problem.servers]
    spans = np.array([(0, 0) if k is None else k.span for k in known], dtype=np.int64)
    start, end = spans.T
    work_s = cost.step_work_s(cost.planned(0), np.arange(len(known)), start, end)
    most: FloatArray = np.where(end > start, work_s, 0.0)
    return most


def _hops(cost: CostModel, asked: Request, route: Route) -> list[OwnHop]:
    shape = cost.shape(asked.client, asked.prompt_tokens, asked.planned_tokens)
    return [
        OwnHop(
            peer=cost.problem.servers[h.server].id,
            start=h.start,
            end=h.end,
            delay_s=float(cost.step_delay_s[asked.client, h.server]),
            work_s=float(cost.step_work_s(shape, h.server, h.start, h.end)),
        )
        for h in route.hops
    ]


def _piece(
    plan: LivePlan, client: str | None, live: Mapping[str, LiveServer], request: ChainRequest
) -> tuple[Problem, Placement]:
    """The planner's problem cut to the blocks asked for, with live spans, caches and round trips.

    A retry asks for the blocks of the failed hop only, so the cut may begin and end anywhere; the
    budget of accuracy is what the other hops leave of it.
    """
    row = plan.client_row(client)
    announced = {peer: s.precision for peer, s in live.items()}
    problem = as_announced(plan.problem, announced)
    spent = harm_of(problem, announced, request.kept)
    near = problem.network.client_rtt_s[row].copy()
    cost = CostModel.of(plan.problem)
    spans, free = [], []
    for j, server in enumerate(problem.servers):
        known = None if server.id in request.exclude else live.get(server.id)
        if known is None:
            spans.append((0, 0))
            free.append(0)
            continue
        if known.rtt_s is not None:
            near[j] = known.rtt_s
        start = max(known.span[0], request.start) - request.start
        end = min(known.span[1], request.end) - request.start
        spans.append((start, end) if end > start else (0, 0))
        left = known.cache_tokens_left
        # Unknown = the planned pool.
        planned = int(plan.placement.cache_bytes[j])
        free.append(planned if left is None else announced_cache_bytes(cost, left))
    cut = replace(
        piece(problem, request.start, request.end),
        clients=(problem.clients[row],),
        network=replace(problem.network.of_client(row), client_rtt_s=near[None, :]),
        workload=replace(problem.workload, classes=(), trace=()),
        drafting=problem.drafting[row : row + 1],
        accuracy=accuracy_left(problem, row, spent, request.start, request.end),
    )
    return cut, CostModel.of(cut).placed(spans, cache_bytes=free)
