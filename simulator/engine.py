"""The discrete-event kernel: arrivals, cache, waiting, prefill, decode, failures, completions.

Every method is run by this one engine with the same requests, constants and waiting rule. A
request's decode steps are not single events: between two disturbances their times are closed
form, so an undisturbed request costs two or three events.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Hop, Placement, Route
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.latency import HopCosts
from ..routing.api import Router
from ..routing.state import SwarmState
from ..routing.waiting import pause_s, retry_instant_s
from .events import ServerEvent
from .result import Recorder, SimulationResult
from .session import Session, plain_time

#: What a request does when its servers are full. ``retry``: as PETALS' clients, try again after
#: 1, 2, 4 ... 60 s and ask the router anew. ``queue``: one central first-come-first-served queue.
#: ``reserve``: the published evaluation of BPRR, a place is booked ahead and taken at the next
#: retry instant; ``notify``: the same, taken at once.
Admission = Literal["retry", "queue", "reserve", "notify"]

# At one instant completions come first, so that what they free can be used.
_FINISH, _SERVER, _START, _TRY, _ARRIVE = range(5)


def simulate(
    problem: Problem,
    placement: Placement,
    router: Router,
    requests: Sequence[Request],
    *,
    admission: Admission = "retry",
    events: Sequence[ServerEvent] = (),
    detection_s: float = 0.0,
) -> SimulationResult:
    """Run requests through a placement with a router.

    Parameters
    ----------
    requests : in any order; served by arrival.
    events : servers that leave or come. Servers whose first event is ``up`` begin down.
    detection_s : how long a client takes to notice that a server of its session is gone (PETALS
        often needs its request time-out of 180 s).

    Returns
    -------
    One row per request, nothing lost: completed, rejected (no chain, or too large for every
    chain) or lost (a server failed and nobody holds its blocks any more).
    """
    return Engine(problem, placement, router, admission, events, detection_s).run(requests)


class Engine:
    """Event queue and handlers of one run; use ``simulate``."""

    def __init__(
        self,
        problem: Problem,
        placement: Placement,
        router: Router,
        admission: Admission,
        events: Sequence[ServerEvent],
        detection_s: float,
    ) -> None:
        self._problem = problem
        self._router = router
        self._admission = admission
        self._detection_s = detection_s
        self._state = SwarmState(problem, placement)
        self._recorder = Recorder(problem, placement)
        self._costs = HopCosts(problem)
        self._queue: list[tuple[float, int, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._waiting: deque[Session] = deque()
        self._sessions: dict[int, Session] = {}
        self._joins_ahead = sum(e.up for e in events)
        seen: set[int] = set()
        for event in sorted(events, key=lambda e: e.time_s):
            if event.up and event.server not in seen:
                self._state.set_down(event.server, True)
            seen.add(event.server)
            self._at(event.time_s, _SERVER, partial(self._server_event, event))

    def run(self, requests: Sequence[Request]) -> SimulationResult:
        """Process every event, in order of time."""
        sessions = [Session(request=r, tokens=r.reserved_tokens) for r in requests]
        for session in sessions:
            self._at(session.request.arrival_s, _ARRIVE, partial(self._arrive, session))
        queue = self._queue
        now = 0.0
        while queue:
            now, _, _, handle = heapq.heappop(queue)
            handle(now)
        return self._recorder.result(sessions, now)

    def _at(self, time_s: float, rank: int, handle: Callable[[float], None]) -> None:
        heapq.heappush(self._queue, (time_s, rank, next(self._order), handle))

    def _later(
        self, session: Session, time_s: float, rank: int, then: Callable[[Session, float], None]
    ) -> None:
        """Schedule a step of a session that is dropped if the session's future changes."""
        attempt = session.attempt

        def handle(now: float) -> None:
            if session.attempt == attempt:
                then(session, now)

        self._at(time_s, rank, handle)

    # Admission -------------------------------------------------------------------------------

    def _arrive(self, session: Session, now: float) -> None:
        if self._admission in ("reserve", "notify"):
            self._book(session, now)
        elif self._admission == "queue":
            self._waiting.append(session)
            if len(self._waiting) == 1:
                self._serve_queue(now)
        else:
            self._try(session, now)

    def _choose(self, session: Session, now: float) -> Route | None:
        """Ask the router; a session without any chain is ended here, or waits for a join."""
        try:
            rest = self._router(session.request, self._state, now, start_block=session.resume_block)
        except RequestTooLargeError:
            self._end(session, "rejected", now)
            return None
        except NoRouteError:
            if self._joins_ahead:
                session.tries += 1
                self._later(session, now + pause_s(session.tries), _TRY, self._try)
            else:
                self._end(session, "lost" if session.replays else "rejected", now)
            return None
        route = Route(hops=(*session.kept, *rest.route.hops))
        if not self._state.fits_ever(route, session.tokens):
            # A router that does not look at pool sizes would send it here for ever.
            self._end(session, "rejected", now)
            return None
        return route

    def _try(self, session: Session, now: float) -> None:
        """Open the session if every server of its chain has room, else come back later."""
        route = self._choose(session, now)
        if route is None:
            return
        if self._state.fits_now(route, session.tokens):
            self._begin(session, route, now)
        else:
            session.tries += 1
            self._later(session, now + pause_s(session.tries), _TRY, self._try)

    def _serve_queue(self, now: float) -> None:
        """Start sessions from the head of the queue while they find room; nobody overtakes."""
        while self._waiting:
            session = self._waiting[0]
            route = self._choose(session, now)
            if route is not None:
                if not self._state.fits_now(route, session.tokens):
                    return
                self._waiting.popleft()
                self._begin(session, route, now)
            else:
                self._waiting.popleft()

    def _book(self, session: Session, now: float) -> None:
        """Reserve ahead: hold the cache from now on, start when the earlier holders have left."""
        route = self._choose(session, now)
        if route is None:
            return
        wait = self._state.wait_s(route, session.tokens, now)
        if self._admission == "reserve":
            wait = retry_instant_s(wait)
        expected = max(1, session.tokens - session.request.prompt_tokens)
        time = plain_time(self._problem, self._costs, session.request, route, expected)
        finish = now + wait + self._setup_s() + time.total_s
        self._state.reserve(session.request.id, route, session.tokens, finish)
        session.route = route
        self._sessions[session.request.id] = session
        self._later(session, now + wait, _START, self._start_booked)

    def _start_booked(self, session: Session, now: float) -> None:
        """Start a booked session; one that others overran waits for the next retry instant."""
        assert session.route is not None
        if self._recorder.has_room(session.route, session.tokens):
            self._run(session, session.route, now)
            return
        session.tries += 1
        self._later(session, now + pause_s(session.tries), _START, self._start_booked)

    def _setup_s(self) -> float:
        return self._problem.session_setup_s + self._problem.alloc_delay_s

    # Running ---------------------------------------------------------------------------------

    def _begin(self, session: Session, route: Route, now: float) -> None:
        """Reserve and start at once."""
        request = session.request
        expected = max(1, session.tokens - request.prompt_tokens)
        time = plain_time(self._problem, self._costs, request, route, expected)
        self._state.reserve(request.id, route, session.tokens, now + self._setup_s() + time.total_s)
        self._sessions[request.id] = session
        self._run(session, route, now)

    def _run(self, session: Session, route: Route, now: float) -> None:
        """Prompt (or replay) and decode from ``now`` to the end or to the end of the cache."""
        request = session.request
        time = plain_time(self._problem, self._costs, request, route, request.output_tokens)
        self._recorder.occupy(session, route, now)
        session.route, session.running = route, True
        if session.replays:
            ready = now + self._setup_s() + self._replay_s(session, route)
        else:
            session.start_s = now
            ready = now + self._setup_s() + time.ttft_s
            session.first_token_s = ready
            session.done_tokens = 1
        session.kept = ()
        session.segment_s, session.step_s = ready, self._step_s(request, time.total_s, time.ttft_s)
        self._schedule_end(session, ready)

    @staticmethod
    def _step_s(request: Request, total_s: float, ttft_s: float) -> float:
        steps = request.output_tokens - 1
        return (total_s - ttft_s) / steps if steps else 0.0

    def _replay_s(self, session: Session, route: Route) -> float:
        """Prefill of prompt and tokens so far on the hops that are new to the session."""
        request = session.request
        tokens = request.prompt_tokens + session.done_tokens
        cost = self._costs(request.client, tokens, 2)
        fresh = route.hops[len(session.kept) :]
        return sum(
            float(cost.prefill_hop_s[h.server] + cost.prefill_block_s[h.server] * len(h))
            for h in fresh
        )

    def _schedule_end(self, session: Session, ready: float) -> None:
        """The next disturbance that is already known: the last token, or a full reservation."""
        request = session.request
        room = session.tokens - request.prompt_tokens
        if room >= request.output_tokens:
            steps = request.output_tokens - session.done_tokens
            self._later(session, ready + steps * session.step_s, _FINISH, self._finish)
            return
        steps = max(0, room - session.done_tokens)
        self._later(session, ready + steps * session.step_s, _FINISH, self._overflow)

    def _finish(self, session: Session, now: float) -> None:
        session.finish_s = now
        self._leave(session, now)
        self._end(session, "completed", now)

    def _overflow(self, session: Session, now: float) -> None:
        """The output outgrew its reservation: take a quarter more on every hop, or pause."""
        assert session.route is not None
        extra = max(1, session.request.reserved_tokens // 4)
        if session.attempt == 0 or session.done_tokens < session.tokens:
            session.done_tokens = max(
                session.done_tokens, session.tokens - session.request.prompt_tokens
            )
        session.segment_s = now
        if self._recorder.has_room(session.route, extra) and self._state.fits_now(
            session.route, extra
        ):
            session.overflows += 1
            self._recorder.vacate(session, now)
            session.tokens += extra
            self._recorder.occupy(session, session.route, now)
            self._state.release(session.request.id)
            finish = now + extra * session.step_s
            self._state.reserve(session.request.id, session.route, session.tokens, finish)
            self._schedule_end(session, now)
            return
        session.tries += 1
        self._later(session, now + pause_s(session.tries), _TRY, self._overflow)

    def _leave(self, session: Session, now: float) -> None:
        """Give back everything that a running or booked session holds."""
        if session.running:
            self._recorder.vacate(session, now)
        self._state.release(session.request.id)
        self._sessions.pop(session.request.id, None)
        session.running = False
        session.attempt += 1

    def _end(self, session: Session, status: str, now: float) -> None:
        session.status = status
        session.attempt += 1
        if status == "completed" and session.route is not None:
            self._recorder.account(session, self._costs)
        if self._waiting and self._waiting[0] is not session:
            self._serve_queue(now)

    # Failures and joins ----------------------------------------------------------------------

    def _server_event(self, event: ServerEvent, now: float) -> None:
        self._state.set_down(event.server, not event.up)
        if event.up:
            self._joins_ahead -= 1
            self._serve_queue(now)
            return
        for number in self._state.sessions_at(event.server):
            self._lose_hop(self._sessions[number], event.server, now)

    def _lose_hop(self, session: Session, server: int, now: float) -> None:
        """Keep the hops before the lost one, re-route the rest, replay, go on."""
        assert session.route is not None
        was_running = session.running
        made = session.tokens_made(now)
        hops = session.route.hops
        lost = next(i for i, h in enumerate(hops) if h.server == server)
        self._leave(session, now)
        if was_running and made:
            session.done_tokens = made
            session.kept = self._still_up(hops[:lost])
            session.replays += 1
        elif was_running:
            session.kept, session.done_tokens = (), 0
        self._later(session, now + self._detection_s, _TRY, self._try)

    def _still_up(self, hops: tuple[Hop, ...]) -> tuple[Hop, ...]:
        kept = itertools.takewhile(lambda h: not self._state.down[h.server], hops)
        return tuple(kept)
