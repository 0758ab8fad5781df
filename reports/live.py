"""The page of ``swarm watch --page``: the status of a swarm, made anew after every read.

It holds no script and asks for nothing but itself; names come from strangers and are escaped
wherever they stand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..swarm.local import serve_local
from ..swarm.status import Status, status_of
from ..swarm.turn import Turn
from ..swarm.watch import Watch
from ..views.status import (
    HOPS,
    SERVERS,
    clock,
    facts,
    headline,
    hop_rows,
    journal_rows,
    lasting,
    server_rows,
)
from .page import Section, page
from .sections import Chain, coverage_section, long_table, map_section
from .svg import folded, table, tag, text

#: The page asks for itself so often while the swarm is read for the first time, and afterwards.
FIRST_S, REFRESH_S = 2, 15
#: Rounds that are told of.
MOST_ROUNDS = 30
#: Names and reasons of strangers are no longer than this.
_LONGEST = 500
_KIND = "text/html; charset=utf-8"


class LivePage:
    """The page, from its first moment on; safe to show and to ask for in several threads.

    Parameters
    ----------
    model : what is watched.
    confirm : reads in a row that must find a plan worth it.
    every_s : from one read to the next.

    Attributes
    ----------
    content : the whole document as it is now.
    """

    def __init__(self, *, model: str, confirm: int, every_s: float) -> None:
        self._model, self._confirm, self._every_s = model, confirm, every_s
        self._rounds: deque[tuple[float, str, str]] = deque(maxlen=MOST_ROUNDS)
        lead = "The swarm is being read for the first time."
        self.content = page(self._title, lead, [], refresh_s=FIRST_S).encode()

    @property
    def _title(self) -> str:
        return f"Swarm {self._model}"

    def serve(self, port: int) -> str:
        """Serve it on this machine; its address.

        Raises
        ------
        ScenarioError
            If the port cannot be used.
        """
        server = serve_local({"/": (_KIND, lambda: self.content)}, port, "--page")
        return f"http://127.0.0.1:{server.server_address[1]}/"

    def show(self, watch: Watch) -> None:
        """The state after a round."""
        last = watch.last
        assert last is not None
        self._rounds.append((last.at_s, last.action, last.reason[:_LONGEST]))
        seen = watch.seen
        status = None if seen is None else status_of(seen, self._confirm)
        sections = [] if status is None else sections_of(status)
        self.content = page(
            self._title,
            self._lead(last, status),
            [*sections, _rounds(list(self._rounds))],
            refresh_s=REFRESH_S,
            foot=f"Read every {lasting(self._every_s)}, asked for again every {REFRESH_S} s. "
            "Nothing is loaded from anywhere else.",
        ).encode()

    def _lead(self, last: Turn, status: Status | None) -> str:
        told = "" if status is None else headline(status)
        if last.action != "unreachable":
            return told
        why = f"At {clock(last.at_s)} the swarm could not be read: {last.reason[:_LONGEST]}"
        return f"{why}. What follows is older. {told}" if told else why


def sections_of(status: Status) -> list[Section]:
    """Everything that is known, what matters most first."""
    problem, placement = status.problem, status.placement
    chains = [Chain(client=0, route=status.route, weight=1.0)] if status.route else []
    found = [_now(status), _servers(status)]
    if any(s.coordinates for s in problem.servers):
        found.append(map_section(problem, placement, chains))
    return [*found, coverage_section(problem, placement), _doubts(status)]


def _now(status: Status) -> Section:
    """The facts, those that are wrong first seen, and the chain hop by hop."""
    wrong = {
        "blocks": bool(status.dark),
        "plan": status.plan.standing in ("expired", "refused"),
        "watcher": status.action in ("failed", "unreachable"),
        "chain": not status.hops or any(h.step.slow for h in status.hops),
    }
    items = "".join(
        tag("dt", text(what))
        + tag("dd", text(words[:_LONGEST]), class_="bad" if wrong[what] else None)
        for what, words in facts(status)
    )
    body = tag("dl", items, class_="facts")
    if status.hops:
        body += table("The chain of a request that comes now", HOPS, hop_rows(status), cards=True)
        told = (
            f"Milliseconds for a token of a session that is alone, {status.context_tokens:.0f} "
            "tokens in its cache: predicted by the cost model; measured by the servers' own "
            "clocks, to which the way there is added, or from here where --probe was asked for."
        )
        body += tag("p", text(told), class_="note")
    return Section(name="now", title="Now", body=body)


def _servers(status: Status) -> Section:
    rows = server_rows(status)
    body = long_table("Those with something to say come first", SERVERS, rows, cards=True)
    body += tag("p", text(_LEGEND), class_="note")
    return Section(name="servers", title="Servers", body=body)


_LEGEND = (
    "plan: where the operator's plan wants it. signed: what is known of it is its own word, signed "
    "with its key. busy: share of the last minute that it was at work."
)


def _doubts(status: Status) -> Section:
    """What was wrong with announcements, and what had to be estimated."""
    warned, guessed = status.warnings, status.estimated
    body = tag("p", text(f"Estimated: {'; '.join(guessed)}.")) if guessed else ""
    if warned:
        lines = "".join(tag("li", text(w[:_LONGEST])) for w in warned)
        body += folded(f"{len(warned)} warnings", tag("ul", lines, class_="plain"))
    return Section(name="doubts", title="What is not sure", body=body or tag("p", "Nothing."))


def _rounds(rounds: Sequence[tuple[float, str, str]]) -> Section:
    body = table("The last rounds", ("when", "what", "why"), journal_rows(rounds), cards=True)
    return Section(name="rounds", title="Rounds of the watch", body=body)
