"""Servers that fail and join: what their sessions lose, and how they go on.

As PETALS means it: the client keeps what it sent to every hop, asks its router for the rest of
the chain from the failed hop on, sends the new hops the prompt and the tokens so far, and goes
on. (PETALS as published fails at this and starts again: docs/model.md, rule P9.) When the rest
of a chain has no room at once, the session gives up all its cache and is admitted again as a
whole: sessions that hold one server and wait for another could wait for each other for ever.
"""

from __future__ import annotations

from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Route
from .kernel import Rank
from .session import Session
from .swarm import Swarm


def server_up(swarm: Swarm, server: int) -> None:
    """A server comes (back): its blocks can be used, its cache is empty."""
    swarm.ups_to_come -= 1
    swarm.state.set_down(server, False)
    swarm.rule.freed(swarm)


def server_down(swarm: Swarm, server: int) -> None:
    """A server fails: running sessions lose a hop, booked ones choose again."""
    swarm.state.set_down(server, True)
    swarm.work.stop_server(server, swarm.now_s)
    for session in list(swarm.running.values()):
        if server not in session.lost and any(h.server == server for h in session.hops):
            _lose(swarm, session, server)
    homeless = [s for s in swarm.booked.values() if any(h.server == server for h in s.hops)]
    for session in homeless:
        swarm.cancel(session)
    for session in homeless:
        swarm.rule.arrive(swarm, session, again=True)
    swarm.rule.freed(swarm)


def _lose(swarm: Swarm, session: Session, server: int) -> None:
    """The failed server took its part of the cache with it; what runs elsewhere goes on."""
    now, tokens = swarm.now_s, session.request.reserved_tokens
    swarm.ledger.leave([h for h in session.hops if h.server == server], tokens, now)
    session.lost.add(server)
    if swarm.work.runs(session.row) and swarm.work.fail(session.row, server, now):
        meets_loss(swarm, session)
    left = tuple(h for h in session.hops if h.server not in session.lost)
    swarm.hold(session, Route(hops=left), now)


def meets_loss(swarm: Swarm, session: Session) -> None:
    """A session stands at a server that is gone: the client has yet to notice."""
    swarm.stop(session)
    swarm.plan(session, swarm.now_s + swarm.detection_s, Rank.NOTICE, _notice)


def _notice(swarm: Swarm, session: Session) -> None:
    """Re-route from the first lost hop on, replay there and go on; or come back as a whole."""
    now, tokens = swarm.now_s, session.request.reserved_tokens
    hops = session.hops
    first = next(i for i, h in enumerate(hops) if h.server in session.lost)
    later = [h for h in hops[first:] if h.server not in session.lost]
    swarm.ledger.leave(later, tokens, now)
    session.route = Route(hops=hops[:first])
    swarm.hold(session, session.route, now)
    rest = _rest(swarm, session, hops[first].start)
    if rest is None or not swarm.state.fits_now(rest, tokens):
        swarm.readmit(session, session.request)
        return
    session.lost.clear()
    swarm.open(session, Route(hops=(*hops[:first], *rest.hops)), kept=first)
    swarm.rule.freed(swarm)


def _rest(swarm: Swarm, session: Session, start_block: int) -> Route | None:
    """The router's chain from a block to the end of the model, without the lost servers."""
    try:
        return swarm.router(
            session.request,
            swarm.state,
            swarm.now_s,
            start_block=start_block,
            exclude=frozenset(session.lost),
        ).route
    except (NoRouteError, RequestTooLargeError):
        return None
