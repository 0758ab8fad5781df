"""What a server does about a plan: stay, wait for others, or move; plain data in, plain data out.

The order of the moves was found for the swarm as it was when the plan was published. Beside that
order a server keeps one rule of its own: it goes out of service only while every block it serves
is announced ONLINE by somebody else, unless the plan says that no order could have kept a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .announce import Announcement
from .record import LivePlan

#: A server ahead in the order that is announced nowhere is waited for so long.
PATIENCE_S = 60.0

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``stay``, ``wait``, ``move`` to ``span``, or ``petals``: no plan speaks of this server."""

    action: Literal["stay", "wait", "move", "petals"]
    reason: str
    span: Span | None = None


@dataclass(kw_only=True)
class Follower:
    """One server's view of the plan; remembers since when others have been missing."""

    peer: str
    patience_s: float = PATIENCE_S
    _missing_since_s: dict[str, float] = field(default_factory=dict)

    def decide(
        self,
        plan: LivePlan | None,
        serving: Span | None,
        live: Sequence[Announcement],
        now_s: float,
    ) -> Verdict:
        """What to do now.

        Parameters
        ----------
        serving : own span, None while nothing is served yet.
        live : what all servers announce, own entries included.
        """
        if plan is None:
            return Verdict(action="petals", reason="no plan is in force")
        target = plan.spans.get(self.peer)
        if target is None:
            known = any(s.id == self.peer for s in plan.problem.servers)
            reason = "the plan leaves it idle" if known else "the plan does not know it"
            return Verdict(action="stay" if serving else "petals", reason=reason)
        if target == serving:
            return Verdict(action="stay", reason="serves what is planned")
        if serving is None:
            return Verdict(action="move", reason="joins", span=target)
        others = [e for e in live if e.peer != self.peer]
        ahead = self._pending_ahead(plan, others, now_s)
        if ahead is not None:
            return Verdict(action="wait", reason=f"{ahead} moves first", span=target)
        bare = _bare(serving, others) - self._unavoidable(plan)
        if bare:
            text = f"nobody else serves blocks {sorted(bare)}"
            return Verdict(action="wait", reason=text, span=target)
        return Verdict(action="move", reason="it is its turn", span=target)

    def _pending_ahead(
        self, plan: LivePlan, others: Sequence[Announcement], now_s: float
    ) -> str | None:
        """The first server ahead in the order that has not arrived and may still do so."""
        announced = {e.peer: e for e in others}
        for step in plan.moves:
            if step.peer == self.peer:
                return None
            target, entry = plan.spans.get(step.peer), announced.get(step.peer)
            if target is None or _arrived(entry, target):
                self._missing_since_s.pop(step.peer, None)
                continue
            if entry is not None and entry.state != "offline":
                self._missing_since_s.pop(step.peer, None)
                return step.peer
            since = self._missing_since_s.setdefault(step.peer, now_s)
            if now_s - since < self.patience_s:
                return step.peer
        return None

    def _unavoidable(self, plan: LivePlan) -> set[int]:
        return {b for step in plan.moves if step.peer == self.peer for b in step.dark}


def _arrived(entry: Announcement | None, target: Span) -> bool:
    return entry is not None and entry.state == "online" and (entry.start, entry.end) == target


def _bare(serving: Span, others: Sequence[Announcement]) -> set[int]:
    """Blocks of a span that nobody else has online."""
    held = {b for e in others if e.state == "online" for b in range(e.start, e.end)}
    return set(range(*serving)) - held


def spans_of(live: Sequence[Announcement]) -> Mapping[str, Span]:
    """Peer -> span of everybody who is online."""
    return {e.peer: (e.start, e.end) for e in live if e.state == "online"}
