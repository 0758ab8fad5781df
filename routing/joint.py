"""Joint: the requests of a slot of time decided together, by how long everybody will take.

docs/model.md 13. It begins one by one, by the same value; rounds only improve on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .offers import Desk, Offer
from .overlap import Overlap
from .queueing import Queueing, Rest, Rows, rows_of
from .slot import WAIT, Assignment, Slot, Value, iterate, one_by_one, remembered

#: Length of a slot, seconds: a request waits half of it on average.
TICK_S = 0.5
#: Requests that are decided in a slot at most; the others wait for the next one.
MOST_REQUESTS = 64
#: Nobody overtakes a request that has waited for so long, seconds.
PATIENCE_S = 900.0
#: Chains from which a request takes its pick when its turn comes, and that are looked at besides
#: when all have: as if none of the others were there, and as they are.
PICKED_OF, CALM, CROWDED = 4, 2, 2
#: Waiting costs so many times as long as those who run or could start take on average, and the
#: request's time alone. With 1, bursts end sooner and first tokens come later in a steady stream;
#: with more nobody is held back (benchmarks/slots.py).
HOLD = 1.5
#: Exchanges that are tried after one another.
EXCHANGES = 32
#: The choice of a slot without requests.
NOBODY: IntArray = np.zeros(0, dtype=np.int64)
#: What a decision depends on besides the time.
Seen = tuple[object, ...]


class Joint:
    """Router: least time of all requests of a slot and of all who run.

    Memory is hard: who finds no chain with room waits for the next slot. Who would delay others by
    more than waiting costs it waits too, but not for longer than ``PATIENCE_S``. A session that
    lost a server is a slot by itself.

    Parameters
    ----------
    rounds : whether to improve on one by one.
    hold : ``HOLD``; a large one holds nobody back.
    """

    tick_s = TICK_S

    def __init__(
        self,
        cost: CostModel,
        placement: Placement,
        *,
        rounds: bool = True,
        hold: float = HOLD,
    ) -> None:
        self._rounds, self._hold = rounds, hold
        self._desk, self._rest = Desk(cost, placement), Rest(cost)
        self._alone = Overlap(cost, placement)
        self._held: Seen | None = None

    def assign(
        self, requests: Sequence[Request], view: SwarmView, now_s: float
    ) -> list[Decision | None]:
        """A decision for each request, in order of arrival; None = wait for the next slot."""
        late = [i for i, r in enumerate(requests) if now_s - r.arrival_s > PATIENCE_S]
        decided: list[Decision | None] = [None] * len(requests)
        swarm = (view.version.tobytes(), view.free_bytes.tobytes(), view.down.tobytes())
        seen = (*(r.id for r in requests), len(late), *swarm)
        if seen == self._held:  # all waited, and nothing has changed
            return decided
        rows = (late or list(range(len(requests))))[:MOST_REQUESTS]
        line = _Line(self._desk, self._rest(view.running(now_s)), view)
        for i in rows:
            if not line.take(requests[i]) and late:
                break
        if not late:
            line.decide(rounds=self._rounds, hold=self._hold)
        for i, decision in zip(rows, line.decisions(), strict=False):
            decided[i] = decision
        self._held = seen if not any(decided) else None
        return decided

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain that costs it and those who run the least; without room as ``Overlap``."""
        runs = self._rest(view.running(now_s))
        line = _Line(self._desk, runs, view, start=start_block, exclude=exclude)
        line.take(request)
        (decision,) = line.decisions()
        if decision is None:
            return self._alone(request, view, now_s, start_block=start_block, exclude=exclude)
        return decision


class _Line:
    """One slot in the making: requests and what each takes so far.

    Attributes
    ----------
    offers, choice : the chains of those who had their turn, and which each takes.
    """

    def __init__(
        self,
        desk: Desk,
        runs: Rows,
        view: SwarmView,
        *,
        start: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> None:
        self._desk, self._runs, self._start = desk, runs, start
        free = view.free_bytes.astype(np.float64)
        closed = view.closed(exclude)
        if closed is not None:
            free[closed] = -1.0
        self._free = free
        self._requests: list[Request] = []
        self.offers: list[list[Offer]] = []
        self.choice: list[int] = []
        self._costs: list[float] = []  # of the last one, on the chains that it looked at
        self._decided: Queueing | None = None

    def take(self, request: Request) -> bool:
        """The chain that costs it and all before it the least; whether there is one with room."""
        begun = self._begun()
        others = self._beside(begun)
        left = self._free - sum(o.uses for o in begun)
        lines_s = self._lines_s(others) if begun else self._calm_s
        offers = self._offers(request, left, lines_s, PICKED_OF)
        value = self._desk.value([offers], others)
        costs = self._costs = [value(np.array([p])) for p in range(len(offers))]
        self._requests.append(request)
        self.offers.append(offers)
        self.choice.append(int(np.argmin(costs)) if costs else WAIT)
        return bool(costs)

    def decide(self, *, rounds: bool, hold: float) -> None:
        """All requests together, each with the chains it may take as the others stand by now."""
        lines_s = self._lines_s(self._beside(self._begun()))
        for i, (request, offers) in enumerate(zip(self._requests, self.offers, strict=True)):
            calm = (self._calm_s, CALM if i else 0)  # the first one has looked at them
            for at_s, most in (calm, (lines_s, CROWDED)):
                more = self._offers(request, self._free, at_s, most) if most else []
                offers += [o for o in more if o not in offers]
        taken: IntArray = np.array(self.choice, dtype=np.int64)
        slot = self._desk.slot(self.offers, self._free)
        value = self._desk.value(self.offers, self._runs)
        ends_s = value.ends_s(taken)
        until_s = hold * float(ends_s.mean()) if len(ends_s) else 0.0
        self._decided = value.waiting(until_s + value.alone_s())
        known = remembered(self._decided, self._known())
        found = together(slot, known, taken) if rounds else one_by_one(slot, known)
        self.choice = found.choice.tolist()

    def _known(self) -> dict[bytes, float]:
        """What a slot's only request costs on the chains that it has looked at."""
        if len(self._requests) > 1:
            return {}
        return {np.array([p]).tobytes(): cost for p, cost in enumerate(self._costs)}

    def decisions(self) -> list[Decision | None]:
        """The chain of each request, and when it will be done by the value of the slot."""
        value = self._decided or self._desk.value(self.offers, self._runs)
        ends = iter(value.ends_s(np.array(self.choice, dtype=np.int64)).tolist())
        return [
            None if p == WAIT else Decision(route=offers[p].route, cost_s=next(ends))
            for offers, p in zip(self.offers, self.choice, strict=True)
        ]

    def _begun(self) -> list[Offer]:
        """The chains of those who start."""
        taken = zip(self.offers, self.choice, strict=True)
        return [offers[p] for offers, p in taken if p != WAIT]

    def _beside(self, begun: Sequence[Offer]) -> Rows:
        """Those who run, then those who start."""
        return self._runs.beside(rows_of(o.course for o in begun)) if begun else self._runs

    @cached_property
    def _calm_s(self) -> FloatArray:
        """The lines as if nobody started."""
        return self._lines_s(self._runs)

    def _lines_s(self, others: Rows) -> FloatArray:
        return self._desk.value([], others).lines_s(NOBODY)

    def _offers(
        self, request: Request, free: FloatArray, lines_s: FloatArray, most: int
    ) -> list[Offer]:
        return self._desk.offers(request, self._start, free, lines_s, most)


def together(slot: Slot, value: Value, other: IntArray) -> Assignment:
    """The better of what rounds make of one by one and of another start."""
    first = one_by_one(slot, value)
    if slot.requests == 1:  # which has looked at all that there is
        return first
    starts = [first.choice] if np.array_equal(first.choice, other) else [first.choice, other]
    found = [iterate(slot, value, start, exchanges=EXCHANGES) for start in starts]
    return min(found, key=lambda a: a.value_s)
