"""The simulated swarm: what happens to a session between arrival and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Placement, Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..routing.api import Decision, Router, SlotRouter
from ..routing.state import SwarmState
from ..routing.waiting import pause_s
from .admission import Handler, Rule
from .kernel import Kernel, Rank
from .ledger import Ledger
from .pricing import ChainTest, Pricing
from .result import Reason, Table
from .session import Segment, Session

#: A step of a session's life.
Step = Callable[["Swarm", Session], None]
#: Expectations that end this near to the reservation are taken to be the reservation.
CLOSE_TOKENS = 8


class Swarm:
    """State of one run and the steps of a session's life.

    Two books are kept: ``state`` holds what routers see, sessions that were promised cache
    included; ``ledger`` holds who really occupies cache. The second is part of the first.

    Attributes
    ----------
    waiting : sessions that wait for cache to be freed, in order.
    running, booked : by row, sessions that occupy cache, and that were promised some.
    ups_to_come : servers that will still join or return.
    """

    def __init__(
        self,
        cost: CostModel,
        placement: Placement,
        router: Router,
        rule: Rule,
        table: Table,
        *,
        span_s: float,
        detection_s: float,
    ) -> None:
        self.kernel = Kernel()
        self.state = SwarmState(cost, placement)
        self.ledger = Ledger(cost, placement, span_s)
        self.router = router
        self.rule = rule
        self.detection_s = detection_s
        self.waiting: list[Session] = []
        self.running: dict[int, Session] = {}
        self.booked: dict[int, Session] = {}
        self.ups_to_come = 0
        self._table = table
        self._pricing = Pricing(cost)
        self._chain_exists = ChainTest(cost, placement)
        self._why = ""

    # ------------------------------------------------------------------ admission

    def arrive(self, request: Request, row: int) -> None:
        """A request arrives; one that no chain can ever hold is refused at once."""
        session = Session(row=row, origin=request, request=request)
        if not self._refuse_oversized(session):
            self.rule.arrive(self, session)

    def _refuse_oversized(self, session: Session) -> bool:
        if self._chain_exists(session.request.reserved_tokens):
            return False
        if self._chain_exists(0):
            self.refuse_size(session)
        else:
            self._refuse(session, "no-route", "no chain of hosted blocks covers the model")
        return True

    @property
    def now_s(self) -> float:
        """The present instant."""
        return self.kernel.now_s

    @property
    def idle(self) -> bool:
        """Whether nothing runs and no server is still to come."""
        return not (self.running or self.ups_to_come)

    def choose(self, session: Session) -> Route | None:
        """Ask the router; None when it knows no chain at present."""
        try:
            decision = self.router(session.request, self.state, self.now_s)
        except (NoRouteError, RequestTooLargeError) as error:
            self._why = str(error)
            return None
        session.cost_s = decision.cost_s
        return decision.route

    def assign(self, sessions: Sequence[Session]) -> Sequence[Decision | None]:
        """Ask a router that decides for all requests of a slot."""
        assert isinstance(self.router, SlotRouter)
        return self.router.assign([s.request for s in sessions], self.state, self.now_s)

    def admit(self, session: Session, decision: Decision) -> bool:
        """Open a session on the chain that was decided for it, if that has room now."""
        if not self.state.fits_now(decision.route, session.request.reserved_tokens):
            return False
        session.cost_s = decision.cost_s
        self.open(session, decision.route)
        return True

    def at(self, time_s: float, then: Callable[[], None]) -> None:
        """Call ``then`` at an instant, after all that frees cache then."""
        self.kernel.at(time_s, Rank.TICK, then)

    def attempt(self, session: Session, *, patient: bool = False) -> bool:
        """Open the session now if its chain has room.

        Returns
        -------
        Whether it is settled: opened, or refused because no event can still help it. A session
        that an idle swarm cannot take is refused, unless ``patient``.
        """
        route = self.choose(session)
        if route is None:
            return self.give_up(session)
        if self.state.fits_now(route, session.request.reserved_tokens):
            self.open(session, route)
            return True
        if patient or not self.idle:
            return False
        self.refuse_size(session)
        return True

    def give_up(self, session: Session) -> bool:
        """Refuse a session without a chain, unless a server may still come."""
        if self.ups_to_come:
            return False
        self._refuse(session, "no-route", self._why)
        return True

    def refuse_size(self, session: Session) -> None:
        """End a session that is larger than what it is offered can ever hold."""
        why = (
            f"request {session.origin.id} reserves {session.request.reserved_tokens} tokens of "
            "attention cache, more than some server of every chain on offer can ever hold"
        )
        self._refuse(session, "too-large", why)

    def _refuse(self, session: Session, reason: Reason, why: str) -> None:
        self._table.refused(session, reason, why, self.kernel.now_s)

    def wait_s(self, session: Session, route: Route) -> float:
        """Longest expected wait over the hops of a chain, seconds from now; inf when too large."""
        return self.state.wait_s(route, session.request.reserved_tokens, self.now_s)

    def pause(self, session: Session, again: Handler) -> None:
        """Come back after PETALS' pause for the failed tries so far."""
        session.tries += 1
        session.tries_in_all += 1
        when = self.kernel.now_s + pause_s(session.tries)
        self.kernel.at(when, Rank.RETRY, again, self, session)

    def book(self, session: Session, route: Route, start_s: float) -> None:
        """Hold cache from now on for a session that starts later."""
        session.route = route
        self.hold(session, route, self._pricing.expected(session, route, start_s).finish_s)
        self.booked[session.row] = session
        if start_s <= self.kernel.now_s:
            _start_booked(self, session)
        else:
            self.plan(session, start_s, Rank.START, _start_booked)

    def start_if_room(self, session: Session) -> bool:
        """Start a booked session unless sessions before it still hold the cache."""
        if not self.ledger.fits(session.hops, session.request.reserved_tokens):
            return False
        del self.booked[session.row]
        self.open(session, Route(hops=session.hops))
        return True

    def cancel(self, session: Session) -> None:
        """Take back what a booked session was promised."""
        del self.booked[session.row]
        self.waiting = [s for s in self.waiting if s is not session]
        self.state.release(session.row)
        session.epoch += 1

    # ------------------------------------------------------------------ work

    def plan(self, session: Session, time_s: float, rank: Rank, then: Step) -> None:
        """Schedule a step of a session's life; void once the session is stopped."""
        self.kernel.at(time_s, rank, self._step, session, session.epoch, then)

    def _step(self, session: Session, epoch: int, then: Step) -> None:
        if session.epoch == epoch:
            then(self, session)

    def hold(self, session: Session, route: Route, finish_s: float) -> None:
        """What routers see of a session: the hops it holds and its expected end."""
        self.state.release(session.row)
        self.state.reserve(session.row, route, session.request.reserved_tokens, finish_s)

    def open(self, session: Session, route: Route, *, kept: int = 0) -> None:
        """Start work on a chain whose first ``kept`` hops the session already holds."""
        now, request = self.kernel.now_s, session.request
        if math.isnan(session.start_s):
            session.start_s = now
        else:
            session.replays += 1
        session.route, session.kept, session.tries = route, kept, 0
        self.ledger.enter(route.hops[kept:], request.reserved_tokens, now)
        session.cost = self._pricing.cost(request, route, self.ledger.sessions)
        segment = self._pricing.segment(session, route, now, session.cost)
        session.segment = segment
        self.hold(session, route, self._pricing.expected(session, route, now).finish_s)
        self.running[session.row] = session
        self._plan_end(session, segment)

    def _plan_end(self, session: Session, segment: Segment) -> None:
        """Schedule the last token, or the one with which the reservation is full."""
        request = session.request
        # A reservation below the prompt is taken at its word until the first token.
        room = max(1, request.reserved_tokens - request.prompt_tokens)
        if room >= request.output_tokens:
            self.plan(session, segment.finish_s, Rank.FINISH, _finish)
        else:
            self.plan(session, segment.token_at_s(room), Rank.OVERFLOW, _overflow)
        if request.expected_tokens is not None and request.planned_tokens < room:
            self.plan(
                session, segment.token_at_s(request.planned_tokens), Rank.OVERFLOW, _outlasted
            )

    def outlast(self, session: Session) -> None:
        """A session is not done by its expected end: expect half of the room that is left.

        Otherwise it would look to routers as if it freed its cache at any moment.
        """
        request, segment = session.request, session.segment
        assert segment is not None
        room, made = request.reserved_tokens - request.prompt_tokens, request.planned_tokens
        expected = room if room - made < CLOSE_TOKENS else made + (room - made) // 2
        session.request = replace(request, expected_tokens=expected)
        self.state.retime(session.row, segment.token_at_s(expected))
        if expected < room:
            self.plan(session, segment.token_at_s(expected), Rank.OVERFLOW, _outlasted)

    def stop(self, session: Session) -> None:
        """End the present segment; the compute time of the tokens it made is accounted."""
        cost, kept, replayed = session.cost, session.kept, session.made > 0
        fresh = session.stop(self.kernel.now_s)
        assert cost is not None
        if not fresh:
            return
        busy = self.ledger.busy_s
        for i, h in enumerate(session.hops):
            step = cost.step_run_s(h.server, h.start, h.end)
            again = replayed and i < kept
            first = step if again else cost.prefill_run_s(h.server, h.start, h.end)
            busy[h.server] += float(first + (fresh - 1) * step)

    def release(self, session: Session) -> None:
        """Give back all that a running session holds on servers that are not lost."""
        held = [h for h in session.hops if h.server not in session.lost]
        self.ledger.leave(held, session.request.reserved_tokens, self.kernel.now_s)
        self.state.release(session.row)
        del self.running[session.row]

    def finish(self, session: Session) -> None:
        """The last token is there."""
        self.stop(session)
        self.release(session)
        self._table.completed(session, self.kernel.now_s)
        self.rule.freed(self)

    def overflow(self, session: Session) -> None:
        """The output outgrows its reservation: take more cache in place, or come back later.

        How much more is the next step of the request's ladder; nobody knows where it will end.
        """
        session.overflows += 1
        request, segment = session.request, session.segment
        assert segment is not None
        total = _next_reservation(session)
        extra = total - request.reserved_tokens
        route = Route(hops=session.hops)
        if not self.state.fits_now(route, extra):
            self.stop(session)
            self.readmit(session, _widened(session.request, total))
            return
        self.ledger.grow(route.hops, extra, self.kernel.now_s)
        session.request = _widened(request, total)
        if not request.ladder_tokens:
            self.hold(session, route, segment.finish_s)
            self.plan(session, segment.finish_s, Rank.FINISH, _finish)
            return
        # More was made than expected: by now about half of the new room is.
        room = request.reserved_tokens - request.prompt_tokens
        session.request = replace(session.request, expected_tokens=room + max(1, extra // 2))
        self.hold(session, route, segment.token_at_s(session.request.planned_tokens))
        self._plan_end(session, segment)

    def readmit(self, session: Session, request: Request) -> None:
        """Give up all cache and come back under the waiting rule; tokens are sent again."""
        self.release(session)
        session.lost.clear()
        session.request = request
        session.kept = session.tries = 0
        if not self._refuse_oversized(session):
            self.rule.arrive(self, session, again=True)
        self.rule.freed(self)

    def close(self) -> None:
        """The end: note how far the sessions are that still run."""
        for session in self.running.values():
            if session.segment is not None:
                self.stop(session)
            self._table.note(session)


def _next_reservation(session: Session) -> int:
    """Tokens to reserve after an overflow: the ladder's next step, or all that is needed."""
    steps = session.request.ladder_tokens
    whole = session.origin.prompt_tokens + session.origin.output_tokens
    return steps[0] if steps else whole


def _widened(request: Request, total: int) -> Request:
    """The request with its next reservation; what was expected is exceeded by now."""
    steps = tuple(t for t in request.ladder_tokens if t > total)
    if not request.ladder_tokens:
        return replace(request, reserved_tokens=total)
    expected = max(1, (total - request.reserved_tokens) // 2)
    return replace(request, reserved_tokens=total, ladder_tokens=steps, expected_tokens=expected)


def _start_booked(swarm: Swarm, session: Session) -> None:
    if not swarm.start_if_room(session):
        swarm.waiting.append(session)


def _finish(swarm: Swarm, session: Session) -> None:
    swarm.finish(session)


def _outlasted(swarm: Swarm, session: Session) -> None:
    swarm.outlast(session)


def _overflow(swarm: Swarm, session: Session) -> None:
    swarm.overflow(session)
