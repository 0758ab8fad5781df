"""One request on its way through the swarm (the simulator's only mutable record)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.plan import Hop, Route
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.latency import HopCosts, RouteTime, route_time


@dataclass(slots=True)
class Session:
    """State of a request: where it runs, what it holds, how far it is.

    Attributes
    ----------
    tokens : cache tokens held on every block of the route; grows when the output is longer than
        expected.
    done_tokens : output tokens made before ``segment_s``, the start of the present stretch of
        undisturbed decoding.
    attempt : grows whenever the session's future changes, so that events of an abandoned future
        are recognised and dropped.
    """

    request: Request
    tokens: int
    route: Route | None = None
    kept: tuple[Hop, ...] = ()
    start_s: float = float("nan")
    first_token_s: float = float("nan")
    finish_s: float = float("nan")
    segment_s: float = 0.0
    done_tokens: int = 0
    step_s: float = 0.0
    tries: int = 0
    replays: int = 0
    overflows: int = 0
    attempt: int = 0
    running: bool = False
    status: str = "unfinished"
    compute_s: dict[int, float] = field(default_factory=dict)

    @property
    def resume_block(self) -> int:
        """First block that needs a new server after a loss, 0 for a fresh request."""
        return self.kept[-1].end if self.kept else 0

    def tokens_made(self, now_s: float) -> int:
        """Output tokens finished at an instant."""
        if now_s < self.segment_s or not self.running:
            return self.done_tokens
        if self.step_s <= 0:
            return self.request.output_tokens
        # A token due at this very instant counts as made.
        made = self.done_tokens + int((now_s - self.segment_s) / self.step_s + 1e-9)
        return min(made, self.request.output_tokens)


def plain_time(
    problem: Problem, costs: HopCosts, request: Request, route: Route, output_tokens: int
) -> RouteTime:
    """Time of a request of this length on a route, nothing else running."""
    cost = costs(request.client, request.prompt_tokens, output_tokens)
    return route_time(
        problem, request.client, route, request.prompt_tokens, output_tokens, cost=cost
    )
