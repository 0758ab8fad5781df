"""One request on its way through the swarm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..core.plan import Hop, Route
from ..core.workload import Request
from ..perfmodel.contention import Pace
from ..perfmodel.stake import Stake

#: Expectations that end this near to the reservation are taken to be the reservation.
CLOSE_TOKENS = 8


class Estimate(NamedTuple):
    """When the tokens of a session are expected: what policies know of it, never the truth.

    Attributes
    ----------
    begin_s : instant of the start.
    lead_s : seconds until the first token: set-up and prompt.
    alone_s, waits_s : seconds per later token without others, and of waiting for them.
    route : the chain.
    work_s : of a whole pass the compute on each hop, without waiting, in so many ``tasks``.
    passes : of each later token.
    """

    begin_s: float
    lead_s: float
    alone_s: float
    waits_s: float
    route: Route
    work_s: tuple[float, ...]
    tasks: tuple[float, ...]
    passes: float = 1.0

    @property
    def step_s(self) -> float:
        """Seconds per later token."""
        return self.alone_s + self.waits_s

    def pace(self, route: Route, tokens: int, stake: Stake) -> Pace:
        """What is expected of a session of so many tokens on the hops that it holds."""
        work_s, tasks = self.work_s, self.tasks
        if route is not self.route:
            rows = [self.route.hops.index(h) for h in route.hops]
            work_s, tasks = tuple(work_s[i] for i in rows), tuple(tasks[i] for i in rows)
        return Pace(
            alone_s=self.alone_s / self.passes,
            waits_s=self.waits_s / self.passes,
            work_s=work_s,
            tasks=tasks,
            steps=(tokens - 1) * self.passes,
            from_s=self.token_at_s(1),
            stake=stake,
        )

    def token_at_s(self, number: int) -> float:
        """Instant at which token ``number`` (from 1) is expected."""
        return self.begin_s + self.lead_s + (number - 1) * self.step_s


class Limits(NamedTuple):
    """Tokens at which a session is to stop; that its reservation holds; that it makes at most."""

    stop: int
    room: int
    end: int


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
    stake : what a second of it counts, as its router told.
    estimate : when its tokens were expected when it was opened.
    made : output tokens made before it was opened last.
    tries : failed tries since the last (re-)admission; ``tries_in_all`` over the whole life.
    passes : over drafts, before it was opened last.
    lost : servers of the chain that failed and whose loss is not yet mended.
    whole_tokens : what it would reserve if it did not take cache by pages; 0 until it does.
    """

    row: int
    origin: Request
    request: Request
    route: Route | None = None
    epoch: int = 0
    stake: Stake = field(default_factory=Stake)
    estimate: Estimate | None = None
    kept: int = 0
    made: int = 0
    tries: int = 0
    tries_in_all: int = 0
    replays: int = 0
    overflows: int = 0
    passes: int = 0
    start_s: float = math.nan
    first_token_s: float = math.nan
    raw_wait_s: float = math.nan
    cost_s: float = math.nan
    lost: set[int] = field(default_factory=set)
    whole_tokens: int = 0

    def in_pages(self, page_tokens: int) -> None:
        """Ask for the pages of the prompt and of a first token, no more than for what would be
        reserved at once; for that where there are no pages."""
        request = self.request
        if not page_tokens:
            return
        self.whole_tokens = max(self.whole_tokens, request.reserved_tokens)
        first = -(-(request.prompt_tokens + 1) // page_tokens) * page_tokens
        expected = request.expected_tokens
        if first < self.whole_tokens and expected is None:
            expected = max(1, self.whole_tokens - request.prompt_tokens)
        self.request = replace(
            request, reserved_tokens=min(first, self.whole_tokens), expected_tokens=expected
        )

    def next_page(self, page_tokens: int) -> int:
        """Tokens that it holds with a page more; 0 where it has all that it would reserve at
        once."""
        more = min(self.request.reserved_tokens + page_tokens, self.whole_tokens)
        return more if page_tokens and more > self.request.reserved_tokens else 0

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Hops of the present chain."""
        assert self.route is not None
        return self.route.hops

    @property
    def room_tokens(self) -> int:
        """Output tokens that the reservation holds; below the prompt it is taken at its word."""
        return max(1, self.request.reserved_tokens - self.request.prompt_tokens)

    def stop_at(self) -> int:
        """Tokens at which to decide: the last, the last with room, the last that was expected."""
        request, room = self.request, self.room_tokens
        stop = min(request.output_tokens, room)
        if request.expected_tokens is not None and request.planned_tokens < room:
            stop = min(stop, request.planned_tokens)
        return stop

    def limits(self) -> Limits:
        """Until when it makes tokens."""
        room = self.room_tokens
        return Limits(self.stop_at(), room, min(self.request.output_tokens, room))

    def ended(self, fresh: int, first_token_s: float) -> None:
        """It made so many tokens since it was opened, and makes no more of that chain."""
        if fresh and math.isnan(self.first_token_s):
            self.first_token_s = first_token_s
        self.made += fresh
        self.epoch += 1

    def stopped(self, fresh: int, first_token_s: float) -> None:
        """What it made since it was opened is prompt now; what is left is a request of its own."""
        self.ended(fresh, first_token_s)
        if fresh:
            expected = self.request.expected_tokens
            self.request = replace(
                self.request,
                prompt_tokens=self.request.prompt_tokens + fresh,
                output_tokens=self.request.output_tokens - fresh,
                expected_tokens=expected if expected is None else max(1, expected - fresh),
            )
