"""The sessions under way: what the compiled task engine works on, and how the rest talks to it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray, IntArray
from ..perfmodel.cost import CostModel
from ..perfmodel.tasks import Tasks
from ..perfmodel.uplinks import Uplinks
from . import tasks as engine
from .chunks import CHUNK
from .drafts import END, PASSES, POSITIONS, RIGHT, ROOM, row_width
from .heap import EVENT
from .passes import PASS
from .session import Limits
from .transfers import BY_CLIENT, BY_SERVERS, LANE, LEG, PIPELINE

#: Events after which the engine comes up at the latest, so that Ctrl-C is heard.
MOST_EVENTS = 1_000_000
#: Hops of like sessions that are remembered.
MOST_KNOWN = 4_096
#: Slots for sessions to begin with.
FEWEST_SLOTS = 64
_SHARING = {
    "serial": engine.SERIAL,
    "batched": engine.BATCHED,
    "independent": engine.INDEPENDENT,
}


#: Why the engine paused, in the order of its codes: nothing is left to do until then; a session
#: made its tokens, or came to a hop that is lost; it has run for long.
Why = Literal["quiet", "made", "lost", "tired"]
_WHY: tuple[Why, ...] = ("quiet", "made", "lost", "tired")


class Pause(NamedTuple):
    """Why the engine paused, when, and the row of the session that it hands back, or -1."""

    why: Why
    time_s: float
    row: int


class Work:
    """Sessions at work on chains, told apart by their rows.

    A session runs by itself until it has made the tokens at which it is to stop; then it either
    ends or goes on.
    """

    def __init__(self, cost: CostModel) -> None:
        self._length = cost.num_blocks
        self._state = idle_state(cost, FEWEST_SLOTS, 4)
        self._slots: dict[int, int] = {}
        self._known: dict[int, tuple[Tasks, NDArray[np.void], bool]] = {}
        self._rows = [-1] * FEWEST_SLOTS
        self._free = list(range(FEWEST_SLOTS - 1, -1, -1))

    def open(
        self,
        row: int,
        tasks: Tasks,
        prompt_tokens: int,
        limits: Limits,
        begin_s: float,
        drafts: FloatArray | None = None,
    ) -> None:
        """Send a session's prompt on its way; it comes back with so many tokens made."""
        if not self._free or len(tasks.server) > self._state.hops.shape[1]:
            self._grow(len(tasks.server))
        slot = self._free.pop()
        self._slots[row], self._rows[slot] = slot, row
        count = len(tasks.server)
        hops, cut = self._hops_of(tasks)
        if tasks.parts.size:
            self._state.parts[slot, :count] = tasks.parts
        if cut:
            self._state.piece_s[slot] = tasks.piece_s
        if self._state.chunks.size:
            chunks = self._state.chunks[slot, :count]
            chunks["done"], chunks["worth"], chunks["task_s"] = 0, tasks.worth, tasks.task_s
        if not isinstance(self._state, engine.State):
            if drafts is not None:
                self._state.drafts[slot] = drafts
            self._limit(slot, limits)
            for name in PASS.names or ():
                self._state.passes[slot, :count][name] = getattr(tasks, name)
        if isinstance(self._state, engine.SharedState):
            legs = self._state.legs[slot]
            legs["tokens"][:count] = tasks.sent_tokens
            legs["message"][:count], legs["token"][:count] = tasks.message_bytes, tasks.token_bytes
            legs[0]["home"], legs[0]["open"] = len(self._state.servers) + tasks.client, 0
        engine.start(self._state, hops, row, slot, prompt_tokens, limits.stop, begin_s)

    def _hops_of(self, tasks: Tasks) -> tuple[NDArray[np.void], bool]:
        """(hops,) of HOP, and whether a prompt is cut there; the same for many sessions."""
        known = self._known.get(id(tasks))
        if known is not None and known[0] is tasks:
            return known[1:]
        hops = np.zeros(len(tasks.server), engine.HOP)
        for name in engine.HOP.names or ():
            if name != "lost":
                hops[name] = getattr(tasks, name)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[id(tasks)] = tasks, hops, bool(tasks.cut.any())
        return self._known[id(tasks)][1:]

    def go_on(self, row: int, limits: Limits) -> None:
        """Let a session that made its tokens make more, until there are so many."""
        slot = self._slots[row]
        self._limit(slot, limits)
        engine.go_on(self._state, slot)

    def _limit(self, slot: int, limits: Limits) -> None:
        self._state.sessions[slot]["stop"] = limits.stop
        if not isinstance(self._state, engine.State):
            self._state.drafts[slot, ROOM], self._state.drafts[slot, END] = limits.room, limits.end

    def runs(self, row: int) -> bool:
        """Whether a session is under way."""
        return row in self._slots

    def made(self, row: int) -> int:
        """Tokens of a session that came up with them."""
        return int(self._state.sessions[self._slots[row]]["made"])

    def passes(self, row: int) -> int:
        """Passes over drafts of a session so far."""
        if isinstance(self._state, engine.State):
            return 0
        return int(self._state.drafts[self._slots[row], PASSES])

    def close(self, row: int, now_s: float) -> tuple[int, float]:
        """Take a session out: the tokens it made until an instant, and when the first was there.

        Nothing of it may be under way, unless the run is over.
        """
        slot = self._slots.pop(row)
        session = self._state.sessions[slot]
        made, first_s = int(session["made"]), float(session["first_s"])
        if session["due"] and session["token_s"] <= now_s:
            first_s = float(session["token_s"]) if made == 0 else first_s
            made += int(session["due"])
        self._undo(slot, now_s)
        if isinstance(self._state, engine.SharedState) and self._state.legs[slot, 0]["open"]:
            engine.forget(self._state, slot)  # answers that nobody waits for any more
        session["key"] = -1
        self._rows[slot] = -1
        self._free.append(slot)
        return made, first_s

    def fail(self, row: int, server: int, now_s: float) -> bool:
        """A server takes a session's cache with it; whether the session was there just then.

        Then nothing of it is under way any more. Otherwise it finds out when it comes there.
        """
        slot = self._slots[row]
        session, hops = self._state.sessions[slot], self._state.hops[slot]
        count = int(session["hops"])
        hops["lost"][:count][hops["server"][:count] == server] = 1
        at = hops["server"][engine.hop_of_task(session, hops)]
        if session["leave_s"] <= now_s or at != server:
            return False
        self._undo(slot, now_s)
        engine.forget(self._state, slot)
        return True

    def take_out(self, row: int, now_s: float) -> None:
        """A session that is under way works no more: what it was at is not finished."""
        engine.take_out(self._state, self._slots[row], now_s)

    def _undo(self, slot: int, now_s: float) -> None:
        """Take back the compute time of a task that an independent server does not finish."""
        session, hops = self._state.sessions[slot], self._state.hops[slot]
        server = self._state.servers[hops["server"][engine.hop_of_task(session, hops)]]
        if session["leave_s"] > now_s and server["sharing"] == engine.INDEPENDENT:
            server["busy_s"] -= session["leave_s"] - now_s

    def stop_server(self, server: int, now_s: float) -> None:
        """A server works on nothing from now on, and what it was given is not worked on."""
        engine.stop_server(self._state, server, now_s)

    def advance(self, until_s: float) -> Pause:
        """Run until the first session stops, or until an instant, what happens then included."""
        why, now_s, slot = engine.advance(self._state, until_s, MOST_EVENTS)
        return Pause(_WHY[why], now_s, self._rows[slot] if slot >= 0 else -1)

    def busy_s(self, end_s: float) -> FloatArray:
        """(n,) compute time until the end of the run."""
        servers = self._state.servers
        # A serial server that has work beyond the end has it without a break.
        late = np.where(servers["sharing"] == engine.INDEPENDENT, 0.0, servers["free_s"] - end_s)
        busy: FloatArray = servers["busy_s"] - np.maximum(late, 0.0)
        return busy

    def shared(self, end_s: float) -> tuple[FloatArray, FloatArray]:
        """(U, 2) bytes that went out of each uplink and into it, and how long it sent, until the
        end of the run."""
        if not isinstance(self._state, engine.SharedState):
            return np.zeros((0, 2)), np.zeros((0, 2))
        lanes = self._state.lanes
        busy = lanes["busy_s"] - np.maximum(lanes["free_s"] - end_s, 0.0)
        return lanes["sent"].reshape(-1, 2).copy(), np.maximum(busy, 0.0).reshape(-1, 2)

    def _grow(self, hops: int) -> None:
        """Twice as many slots, or longer chains."""
        old = self._state
        slots, most = old.hops.shape
        more = slots if self._free else 2 * slots
        _, n, knots = old.curve.shape
        links = len(old.links_s)
        longest = max(hops, most)
        plain = _empty(more, longest, n, self._length, knots, links, old.parts.shape[2])
        plain = _chunking(plain, old.chunk_s, old.square_s)
        state: engine.AnyState = plain
        if not isinstance(old, engine.State):
            wider = _drafting(plain, old.drafts.shape[1], old.verify)
            wider.drafts[:slots], wider.passes[:slots, :most] = old.drafts, old.passes
            state = wider
        if isinstance(old, engine.SharedState) and isinstance(state, engine.DraftingState):
            state = _sharing(state, *old[-4:])
            state.legs[:slots, : most + 1] = old.legs
        state.curve[:] = old.curve
        if old.chunks.size:
            state.chunks[:slots, :most] = old.chunks
        state.sessions[:slots], state.hops[:slots, :most] = old.sessions, old.hops
        state.servers[:], state.piece_s[:slots] = old.servers, old.piece_s
        state.parts[:slots, :most] = old.parts
        state.events[: len(old.events)] = old.events
        state.size[:], state.links_s[:] = old.size, old.links_s
        self._state = state
        self._rows += [-1] * (more - slots)
        self._free[:0] = range(more - 1, slots - 1, -1)


def idle_state(cost: CostModel, slots: int, hops: int) -> engine.AnyState:
    """The servers of a problem, idle, with room for so many sessions of so many hops."""
    curves = cost.step_curves
    n, knots = curves.rows.shape
    links, parts = cost.num_links, cost.steps.most_parts
    state = _empty(slots, hops, n, cost.num_blocks, knots, links, parts)
    chunks = cost.chunk_tables
    state = _chunking(state, chunks.work_s, chunks.square_s)
    state.curve[0], state.curve[1] = curves.rows, curves.more_s
    servers = state.servers
    servers["knots"], servers["row_s"] = curves.knots, curves.beyond_s
    servers["sharing"] = [_SHARING[s.sharing] for s in cost.problem.servers]
    servers["prompts"] = [s.batch_prompts for s in cost.problem.servers]
    servers["chunk"], servers["row"] = [s.chunk_tokens for s in cost.problem.servers], chunks.row
    servers["head"] = servers["tail"] = servers["work"] = -1
    width = row_width(cost.problem)
    if not width and cost.uplinks is None:
        return state
    verify = cost.verify.copy()
    verify[1, servers["sharing"] == engine.BATCHED] = 0.0  # of a batch its curve tells all rows
    drafting = _drafting(state, width or RIGHT, verify)
    return drafting if cost.uplinks is None else _sharing(drafting, *_uplinks(cost, cost.uplinks))


def _chunking(state: engine.State, chunk_s: FloatArray, square_s: FloatArray) -> engine.State:
    """The same where some servers work on prompts in chunks."""
    shape = state.hops.shape if len(square_s) else (0, 0)
    return state._replace(chunks=np.zeros(shape, CHUNK), chunk_s=chunk_s, square_s=square_s)


def _drafting(state: engine.State, width: int, verify: FloatArray) -> engine.DraftingState:
    """The same where sessions draft; rows of ``drafts.row_of`` are so wide."""
    drafts, passes = np.zeros((len(state.sessions), width)), np.zeros_like(state.hops, PASS)
    drafts[:, POSITIONS] = 1
    return engine.DraftingState(*state, drafts=drafts, passes=passes, verify=verify)


def _sharing(
    state: engine.DraftingState,
    lanes: NDArray[np.void],
    behind: IntArray,
    inside: IntArray,
    by: IntArray,
) -> engine.SharedState:
    """The same where transfers share uplinks; each answer of a session has an event of its own."""
    slots, hops = state.hops.shape
    legs = np.zeros((slots, hops + 1), LEG)
    events = np.zeros(slots * (hops + 2) + len(state.servers), EVENT)
    rest = lanes, behind, inside, by
    return engine.SharedState(*state._replace(events=events), legs, *rest)


def _uplinks(
    cost: CostModel, uplinks: Uplinks
) -> tuple[NDArray[np.void], IntArray, IntArray, IntArray]:
    """Idle lanes, who is behind them, and who relays."""
    lanes = np.zeros(2 * uplinks.count, LANE)
    lanes["byte_s"][0::2], lanes["byte_s"][1::2] = uplinks.up_s, uplinks.down_s
    inside = np.concatenate([uplinks.servers, uplinks.clients], axis=1).astype(np.int64)
    order = np.argsort(inside.sum(axis=1), kind="stable")
    behind = np.full((inside.shape[1], max(1, int(inside.sum(axis=0).max()))), -1)
    for machine, row in enumerate(inside[order].T):
        own = order[row > 0]
        behind[machine, : len(own)] = own
    relay = cost.relaying
    by = [PIPELINE if relay.pushes_prompts else BY_CLIENT]
    by.append(PIPELINE if relay.pushes_prompts else BY_SERVERS if relay.pairs else BY_CLIENT)
    return lanes, behind, inside, np.array(by, dtype=np.int64)


def _empty(
    slots: int, hops: int, servers: int, length: int, knots: int, links: int, parts: int
) -> engine.State:
    """A state with nothing under way; on the calendar every session and server has one event."""
    events = slots + servers
    return engine.State(
        sessions=np.zeros(slots, engine.SESSION),
        hops=np.zeros((slots, hops), engine.HOP),
        servers=np.zeros(servers, engine.SERVER),
        curve=np.zeros((2, servers, knots)),
        piece_s=np.zeros((slots, length)),
        parts=np.zeros((slots, hops, parts, 4)),
        events=np.zeros(events, EVENT),
        size=np.zeros(1, np.int64),
        links_s=np.zeros(links),
        chunks=np.zeros((0, 0), CHUNK),
        chunk_s=np.zeros((0, 0)),
        square_s=np.zeros(0),
    )
