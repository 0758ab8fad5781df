"""Sessions that come up with tokens: they end, go on, or take more cache, which somebody may lack.

By default a session reserves what its output is expected to need, and takes more only where it
turns out to be longer; without room it gives up all and comes back. Where cache is taken by pages
(docs/model.md 4.1) it holds what it has made, and where there is no page left the session that was
opened last gives up all of its: engines with paged caches do so, since the oldest then always ends,
and nobody has to know how long answers are. What was made is sent again as part of the prompt.
"""

from __future__ import annotations

from dataclasses import replace

from ..core.plan import Route
from ..core.workload import Request
from .session import CLOSE_TOKENS, Limits, Session
from .swarm import Swarm


def has_made(swarm: Swarm, session: Session) -> None:
    """A session has made the tokens at which something is to be decided."""
    made, request = swarm.work.made(session.row), session.request
    if made >= request.output_tokens:
        swarm.finish(session)
    elif session.lost:  # it finds that out before its next token: no more room is needed
        whole = request.output_tokens
        swarm.work.go_on(session.row, Limits(whole, max(whole, session.room_tokens), whole))
    elif made >= session.room_tokens:
        overflow(swarm, session)
    else:
        outlast(swarm, session, made)


def outlast(swarm: Swarm, session: Session, made: int) -> None:
    """A session is not done by its expected end: expect half of the room that is left.

    Otherwise it would look to routers as if it freed its cache at any moment.
    """
    room = max(session.room_tokens, session.whole_tokens - session.request.prompt_tokens)
    expected = room if room - made < CLOSE_TOKENS else made + (room - made) // 2
    session.request = replace(session.request, expected_tokens=expected)
    assert session.estimate is not None
    left, now = expected - made, swarm.now_s
    steps = left * session.estimate.passes
    swarm.state.retime(session.row, swarm.later_s(session, left), steps=steps, now_s=now)
    swarm.work.go_on(session.row, session.limits())


def overflow(swarm: Swarm, session: Session) -> None:
    """A session that has made all tokens for which it has room makes more, or comes back later.

    How much more it reserves is the next page, or the next step of the request's ladder; nobody
    knows where it will end.
    """
    request, page = session.request, session.next_page(swarm.page_tokens)
    if not page:
        session.overflows += 1
        session.whole_tokens = _next_reservation(session)
    total = page or session.whole_tokens
    if swarm.page_tokens:
        total = min(total, request.reserved_tokens + swarm.page_tokens)
    extra, route, gone = total - request.reserved_tokens, Route(hops=session.hops), list[Session]()
    before = len(swarm.running)
    while not swarm.state.fits_now(route, extra, request.reserved_tokens):
        newest = _newest(swarm, session, extra) if swarm.page_tokens else session
        if newest is not session:
            swarm.work.take_out(newest.row, swarm.now_s)
        swarm.stop(newest)
        swarm.release(newest)
        if newest.request.output_tokens == 0:  # its last token has come at this instant
            swarm.complete(newest)
            continue
        gone.insert(0, newest)
        if newest is session:
            session.request = _grown(session, page, total)
            break
    else:
        _grow(swarm, session, _grown(session, page, total), page)
    fewer = len(swarm.running) < before
    for other in gone:
        swarm.come_back(other)
    if fewer:
        swarm.rule.freed(swarm)


def _grow(swarm: Swarm, session: Session, grown: Request, page: int) -> None:
    """Take more cache in place and go on."""
    request, made = session.request, swarm.work.made(session.row)
    extra = grown.reserved_tokens - request.reserved_tokens
    swarm.ledger.grow(session.hops, request.reserved_tokens, extra, swarm.now_s)
    session.request = grown
    if request.ladder_tokens and not page:
        # More was made than expected: by now about half of the new room is.
        session.request = replace(grown, expected_tokens=made + max(1, extra // 2))
    more = session.request.planned_tokens - made
    swarm.hold(session, Route(hops=session.hops), swarm.later_s(session, more))
    swarm.work.go_on(session.row, session.limits())


def _newest(swarm: Swarm, session: Session, extra: int) -> Session:
    """Who was opened last of those whose cache would make room for a session's next page."""
    held = session.request.reserved_tokens
    hops = [Route(hops=(hop,)) for hop in session.hops]
    full = {r.hops[0].server for r in hops if not swarm.state.fits_now(r, extra, held)}
    for other in reversed(swarm.running.values()):
        if other is session:
            break
        if swarm.work.runs(other.row) and any(h.server in full for h in other.hops):
            return other
    return session


def _next_reservation(session: Session) -> int:
    """Tokens to reserve after an overflow: the ladder's next step, or all that is needed."""
    steps = session.request.ladder_tokens
    whole = session.origin.prompt_tokens + session.origin.output_tokens
    return steps[0] if steps else whole


def _grown(session: Session, page: int, total: int) -> Request:
    """The request with so much cache; what was expected is exceeded unless it is a page more."""
    request = session.request
    if page:
        return replace(request, reserved_tokens=total)
    whole = session.whole_tokens
    steps = tuple(t for t in request.ladder_tokens if t > whole)
    if not request.ladder_tokens:
        return replace(request, reserved_tokens=total)
    expected = max(1, (whole - request.reserved_tokens) // 2)
    return replace(request, reserved_tokens=total, ladder_tokens=steps, expected_tokens=expected)
