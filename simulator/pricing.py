"""When the tokens of a session come, and whether a chain can ever hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..core.plan import Placement, Route
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.latency import HopCost, HopCosts, route_time
from .session import Segment, Session

#: Costs of this many request shapes are remembered.
KNOWN_SHAPES = 4096


class Pricing:
    """Times of sessions by ``perfmodel.latency``, set-up included.

    ``alloc_delay_s`` of the problem is part of every opening, for every method alike.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._opening_s = problem.session_setup_s + problem.alloc_delay_s
        self._costs = HopCosts(problem, limit=KNOWN_SHAPES)
        slowdown = np.array([s.timing.decode_per_sequence_s for s in problem.servers])
        self._slowdown_s = slowdown if slowdown.any() else None

    def cost(self, request: Request, route: Route, sessions: Sequence[int]) -> HopCost:
        """Costs of what is left of a request that starts now.

        Parameters
        ----------
        sessions : (n,) sessions on every server, this one included. Where decode steps slow down
            with the load, the load at the start stands for the whole run (an approximation).
        """
        cost = self._costs(request.client, request.prompt_tokens, request.output_tokens)
        if self._slowdown_s is None:
            return cost
        others = np.array(sessions, dtype=np.float64)
        others[list(route.servers)] -= 1.0
        return replace(cost, step_block_s=cost.step_block_s + self._slowdown_s * others)

    def segment(self, session: Session, route: Route, begin_s: float, cost: HopCost) -> Segment:
        """The tokens that are left, on this chain from an instant on.

        After a loss or a pause the tokens made so far are sent again as prompt, but not to the
        hops that the session kept: those take one decode step instead.
        """
        request = session.request
        output = cost.steps + 1
        time = route_time(
            self._problem, request.client, route, request.prompt_tokens, output, cost=cost
        )
        lead = time.ttft_s
        for h in route.hops[: session.kept] if session.made else ():
            j = h.server
            lead += float(cost.step_hop_s[j] - cost.prefill_hop_s[j])
            lead += float(cost.step_block_s[j] - cost.prefill_block_s[j]) * len(h)
        return Segment(begin_s, self._opening_s + lead, time.tpot_s, output)

    def expected(self, session: Session, route: Route, begin_s: float) -> Segment:
        """The same for the length that is expected: routers see no more."""
        request = session.request
        output = request.planned_tokens
        if session.segment is not None and output == request.output_tokens:
            return session.segment
        cost = self._costs(request.client, request.prompt_tokens, output)
        return self.segment(session, route, begin_s, cost)


class ChainTest:
    """Whether the idle swarm, every server up, has a chain that holds a session's tokens."""

    def __init__(self, problem: Problem, placement: Placement) -> None:
        self._length = problem.model.num_blocks
        self._token_bytes = problem.model.cache_bytes_per_token
        columns = (placement.end, placement.start, placement.cache_bytes)
        self._spans = sorted(zip(*(c.tolist() for c in columns), strict=True))
        self._known: dict[int, bool] = {}

    def __call__(self, tokens: int) -> bool:
        if tokens not in self._known:
            self._known[tokens] = self._search(tokens * self._token_bytes)
        return self._known[tokens]

    def _search(self, each_bytes: int) -> bool:
        reached = {0}
        for end, start, pool in self._spans:
            if any(start <= at < end and each_bytes * (end - at) <= pool for at in reached):
                reached.add(end)
        return self._length in reached
