"""One request on its way through the swarm, and the arithmetic of its progress."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from ..core.plan import Hop, Route
from ..core.workload import Request
from ..perfmodel.hops import HopCost


@dataclass(frozen=True, slots=True)
class Segment:
    """Undisturbed work on one chain: prompt (or replay) first, then equal steps.

    Attributes
    ----------
    begin_s : instant of the start.
    lead_s : seconds until the first token: set-up and prompt.
    step_s : seconds per later token.
    tokens : tokens to make.
    """

    begin_s: float
    lead_s: float
    step_s: float
    tokens: int

    def token_at_s(self, number: int) -> float:
        """Instant at which token ``number`` (from 1) is there."""
        return self.begin_s + self.lead_s + (number - 1) * self.step_s

    @property
    def finish_s(self) -> float:
        """Instant of the last token."""
        return self.token_at_s(self.tokens)

    def made_by(self, now_s: float) -> int:
        """Tokens that are there at an instant, that of their making included."""
        if now_s < self.token_at_s(1):
            return 0
        if self.step_s <= 0:
            return self.tokens
        ratio = (now_s - self.token_at_s(1)) / self.step_s
        made = min(self.tokens, 1 + math.floor(min(ratio, float(self.tokens))))
        # The division rounds; the instants of the tokens decide.
        while made < self.tokens and self.token_at_s(made + 1) <= now_s:
            made += 1
        while made > 1 and self.token_at_s(made) > now_s:
            made -= 1
        return made


@dataclass(slots=True)
class Session:
    """A request while it lives (mutable: the simulator's own record).

    Attributes
    ----------
    row : row of the result table.
    origin : the request as it arrived.
    request : what is left of it: after a replay, tokens already made count as prompt.
    route : the chain it holds or held last; None before the first.
    epoch : grows when planned events of the session become void.
    made : output tokens made before the present segment.
    tries : failed tries since the last (re-)admission; ``tries_in_all`` over the whole life.
    lost : servers of the chain that failed and whose loss is not yet mended.
    """

    row: int
    origin: Request
    request: Request
    route: Route | None = None
    epoch: int = 0
    segment: Segment | None = None
    cost: HopCost | None = None
    kept: int = 0
    made: int = 0
    tries: int = 0
    tries_in_all: int = 0
    replays: int = 0
    overflows: int = 0
    start_s: float = math.nan
    first_token_s: float = math.nan
    raw_wait_s: float = math.nan
    cost_s: float = math.nan
    lost: set[int] = field(default_factory=set)

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Hops of the present chain."""
        assert self.route is not None
        return self.route.hops

    def stop(self, now_s: float) -> int:
        """End the present segment at an instant; tokens that it made.

        What is left becomes a request of its own: the tokens made so far are prompt now.
        """
        segment = self.segment
        assert segment is not None
        fresh = segment.made_by(now_s)
        if fresh and math.isnan(self.first_token_s):
            self.first_token_s = segment.token_at_s(1)
        self.made += fresh
        self.segment = None
        self.epoch += 1
        if fresh:
            expected = self.request.expected_tokens
            self.request = replace(
                self.request,
                prompt_tokens=self.request.prompt_tokens + fresh,
                output_tokens=self.request.output_tokens - fresh,
                expected_tokens=expected if expected is None else max(1, expected - fresh),
            )
        return fresh
