"""Routers where some servers cannot take tokens back: chains through them are not drafted."""

from __future__ import annotations

from collections.abc import Callable

from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, Router, SlotRouter, SwarmView


def drafting_where_possible(
    factory: Callable[[CostModel, Placement], Router], cost: CostModel, placement: Placement
) -> Router:
    """A router that knows which chains are drafted; the router itself where all are, or none.

    One that decides for all requests of a slot at once takes every chain for a drafted one.
    """
    inner = factory(cost, placement)
    problem = cost.problem
    drafted = any(use.tokens for use in problem.drafts) and problem.forward_only
    if not drafted or isinstance(inner, SlotRouter):
        return inner
    return _Forward(inner, factory(cost.undrafted, placement), cost)


class _Forward:
    """Of two chains the one that promises less time: the best of those where sessions can go back,
    drafted, and the best of all, not drafted."""

    def __init__(self, drafted: Router, plain: Router, cost: CostModel) -> None:
        self._drafted, self._plain, self._cost = drafted, plain, cost

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        problem = self._cost.problem
        if not problem.drafts[request.client].tokens:
            return self._drafted(request, view, now_s, start_block=start_block, exclude=exclude)
        plain = self._plain(request, view, now_s, start_block=start_block, exclude=exclude)
        able = exclude | problem.forward_only
        try:
            drafted = self._drafted(request, view, now_s, start_block=start_block, exclude=able)
        except (NoRouteError, RequestTooLargeError):
            return plain
        shape = self._cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
        # Routers count the swarm's time; the client's own is the same on all of its chains.
        own_s = shape.steps * shape.draft_s
        return drafted if drafted.cost_s + own_s <= plain.cost_s else plain
