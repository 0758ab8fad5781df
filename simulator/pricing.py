"""When the tokens of a session come, and whether a chain can ever hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..chains.reach import has_chain
from ..core.plan import Placement, Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost
from .session import Segment, Session


class Pricing:
    """Times of sessions by the cost model, set-up included.

    ``alloc_delay_s`` of the problem is part of every opening, for every method alike.
    """

    def __init__(self, cost: CostModel) -> None:
        self._cost = cost
        self._opening_s = cost.problem.session_setup_s + cost.problem.alloc_delay_s
        self._crowds = cost.slows_with_sessions

    def cost(self, request: Request, route: Route, sessions: Sequence[int]) -> HopCost:
        """Costs of what is left of a request that starts now.

        Parameters
        ----------
        sessions : (n,) sessions on every server, this one included. Where decode steps slow down
            with the load, the load at the start stands for the whole run (an approximation).
        """
        shape = self._cost.shape(request.client, request.prompt_tokens, request.output_tokens)
        if not self._crowds:
            return shape
        others = np.array(sessions, dtype=np.float64)
        others[list(route.servers)] -= 1.0
        return self._cost.crowded(shape, others)

    def segment(self, session: Session, route: Route, begin_s: float, cost: HopCost) -> Segment:
        """The tokens that are left, on this chain from an instant on.

        After a loss or a pause the tokens made so far are sent again as prompt, but not to the
        hops that the session kept: those take one decode step instead.
        """
        time = self._cost.route_time(route, cost)
        lead = time.ttft_s
        for h in route.hops[: session.kept] if session.made else ():
            span = (h.server, h.start, h.end)
            lead += float(cost.step_hop_s[h.server] - cost.prefill_hop_s[h.server])
            lead += float(cost.step_run_s(*span) - cost.prefill_run_s(*span))
        return Segment(begin_s, self._opening_s + lead, time.tpot_s, cost.steps + 1)

    def expected(self, session: Session, route: Route, begin_s: float) -> Segment:
        """The same for the length that is expected: routers see no more."""
        request = session.request
        output = request.planned_tokens
        if session.segment is not None and output == request.output_tokens:
            return session.segment
        cost = self._cost.shape(request.client, request.prompt_tokens, output)
        return self.segment(session, route, begin_s, cost)


class ChainTest:
    """Whether the idle swarm, every server up, has a chain that holds a session's tokens."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._placement = cost, placement
        self._known: dict[int, bool] = {}

    def __call__(self, tokens: int) -> bool:
        if tokens not in self._known:
            self._known[tokens] = has_chain(self._cost, self._placement, tokens)
        return self._known[tokens]
