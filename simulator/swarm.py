"""The simulated swarm: what happens to a session between arrival and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

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
from .pricing import AloneTime, ChainTest, Pricing
from .result import Reason, Table
from .session import Session

if TYPE_CHECKING:
    from .work import Work

#: A step of a session's life.
Step = Callable[["Swarm", Session], None]


class Swarm:
    """State of one run and the steps of a session's life.

    Two books are kept: ``state`` holds what routers see, sessions that were promised cache
    included; ``ledger`` holds who really occupies cache. The second is part of the first.

    Attributes
    ----------
    waiting : sessions that wait for cache to be freed, in order.
    work : what runs, task by task.
    running, booked : by row, sessions that occupy cache, who was opened last last; and that were
        promised some.
    page_tokens : of a page of cache, 0 = all that is reserved is taken at once.
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
        self.work: Work = _work(cost)
        self.router = router
        self.rule = rule
        self.detection_s = detection_s
        self.waiting: list[Session] = []
        self.running: dict[int, Session] = {}
        self.booked: dict[int, Session] = {}
        self.ups_to_come = 0
        self._table = table
        self._cost = cost
        self.page_tokens = cost.problem.page_tokens
        self._pricing = Pricing(cost)
        self._chain_exists = ChainTest(cost, placement)
        self._alone_s = AloneTime(cost, placement)
        self._why = ""

    # ------------------------------------------------------------------ admission

    def arrive(self, request: Request, row: int) -> None:
        """A request arrives; one that no chain can ever hold is refused at once."""
        session = Session(row=row, origin=request, request=request)
        session.in_pages(self.page_tokens)
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
        session.cost_s, session.stake = decision.cost_s, decision.stake
        return decision.route

    def assign(self, sessions: Sequence[Session]) -> Sequence[Decision | None]:
        """Ask a router that decides for all requests of a slot."""
        router = cast("SlotRouter", self.router)
        return router.assign([s.request for s in sessions], self.state, self.now_s)

    def admit(self, session: Session, decision: Decision) -> bool:
        """Open a session on the chain that was decided for it, if that has room now."""
        if not self.state.fits_now(decision.route, session.request.reserved_tokens):
            return False
        session.cost_s, session.stake = decision.cost_s, decision.stake
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
        self._table.refused(session, reason, why, self.now_s)

    def wait_s(self, session: Session, route: Route) -> float:
        """Longest expected wait over the hops of a chain, seconds from now; inf when too large."""
        return self.state.wait_s(route, session.request.reserved_tokens, self.now_s)

    def alone_s(self, session: Session) -> float:
        """What a session is expected to take on the chain that is fastest if nobody else runs."""
        return self._alone_s(session.request)

    def pause(self, session: Session, again: Handler, *, times: float = 1.0) -> None:
        """Come back after PETALS' pause for the failed tries so far, times a factor."""
        session.tries += 1
        session.tries_in_all += 1
        when = self.now_s + times * pause_s(session.tries)
        self.kernel.at(when, Rank.RETRY, again, self, session)

    def book(self, session: Session, route: Route, start_s: float) -> None:
        """Hold cache from now on for a session that starts later."""
        session.route = route
        self._expect(session, route, start_s)
        self.booked[session.row] = session
        if start_s <= self.now_s:
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
        assert session.estimate is not None
        self.state.release(session.row)
        self.state.reserve(
            session.row,
            route,
            session.request.reserved_tokens,
            finish_s,
            pace=session.estimate.pace(route, session.request.planned_tokens, session.stake),
            client=session.request.client,
        )

    def _expect(self, session: Session, route: Route, begin_s: float) -> None:
        """Hold the chain until the last token is expected of a session that begins then."""
        self.state.release(session.row)
        waits_s = self.state.crowd.wait_s(self.now_s)
        session.estimate = self._pricing.estimate(session, route, begin_s, waits_s)
        self.hold(session, route, session.estimate.token_at_s(session.request.planned_tokens))

    def open(self, session: Session, route: Route, *, kept: int = 0) -> None:
        """Start work on a chain whose first ``kept`` hops the session already holds."""
        now, request = self.now_s, session.request
        if math.isnan(session.start_s):
            session.start_s = now
        else:
            session.replays += 1
        session.route, session.kept, session.tries = route, kept, 0
        self.ledger.enter(route.hops[kept:], request.reserved_tokens, now)
        self._expect(session, route, now)
        self.running[session.row] = session
        tasks = self._pricing.tasks(session, route)
        begin_s = now + self._cost.opening_s
        drafts = self._pricing.drafts(session, route)
        limits = session.limits()
        self.work.open(session.row, tasks, request.prompt_tokens, limits, begin_s, drafts)

    def later_s(self, session: Session, tokens: int) -> float:
        """When a running session is expected to have made so many tokens more."""
        assert session.estimate is not None
        return self.now_s + tokens * session.estimate.step_s

    def stop(self, session: Session) -> None:
        """A session works no more for the present."""
        session.stopped(*self._closed(session))

    def _closed(self, session: Session) -> tuple[int, float]:
        """Take a session off the servers: as ``Work.close`` tells of it."""
        session.passes += self.work.passes(session.row)
        return self.work.close(session.row, self.now_s)

    def release(self, session: Session) -> None:
        """Give back all that a running session holds on servers that are not lost."""
        held = [h for h in session.hops if h.server not in session.lost]
        self.ledger.leave(held, session.request.reserved_tokens, self.now_s)
        self.state.release(session.row)
        del self.running[session.row]

    def finish(self, session: Session) -> None:
        """The last token is there."""
        session.ended(*self._closed(session))
        self.release(session)
        self.complete(session)
        self.rule.freed(self)

    def complete(self, session: Session) -> None:
        """A session that was stopped and gave its cache back has made all its tokens."""
        self._table.completed(session, self.now_s)

    def readmit(self, session: Session, request: Request) -> None:
        """Give up all cache and come back under the waiting rule; tokens are sent again."""
        self.release(session)
        session.request = request
        self.come_back(session)
        self.rule.freed(self)

    def come_back(self, session: Session) -> None:
        """One that gave up its cache wants in again."""
        session.lost.clear()
        session.kept = session.tries = 0
        session.in_pages(self.page_tokens)
        if not self._refuse_oversized(session):
            self.rule.arrive(self, session, again=True)

    def close(self) -> None:
        """The end: note how far the sessions are that still run."""
        for session in self.running.values():
            if self.work.runs(session.row):
                self.stop(session)
            self._table.note(session)


def _work(cost: CostModel) -> Work:
    from .work import Work  # numba takes a while to load: only when something is simulated

    return Work(cost)


def _start_booked(swarm: Swarm, session: Session) -> None:
    if not swarm.start_if_room(session):
        swarm.waiting.append(session)
