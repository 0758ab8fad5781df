"""What a server does about a plan: stay, wait for others, or move; plain data in, plain data out.

The order of the moves was found for the swarm as it was when the plan was published. Beside that
order a server keeps one rule of its own: it goes out of service only while every block it serves
is served by somebody else, unless the plan says that no order could have kept a block. Loading the
same blocks at another precision, or with other adapters, is a move like others.

Anybody can announce anything under another's name. So an announcement makes a server ask, and only
what the other confirmed itself lets it move.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .announce import Announcement, Warnings, read_entry
from .record import LivePlan, Step
from .statement import Statement

#: A server ahead in the order that does not answer is waited for so long.
PATIENCE_S = 60.0
#: One that answers, but does not arrive, so long: it may drain sessions and load many blocks.
MOVING_PATIENCE_S = 900.0

Span = tuple[int, int]
#: A peer and the blocks ``[start, end)`` that it may serve; of no block: that it is there.
Claim = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``stay``, ``wait``, ``move`` to ``span``, or ``petals``: no plan speaks of this server."""

    action: Literal["stay", "wait", "move", "petals"]
    reason: str
    span: Span | None = None


@dataclass(kw_only=True)
class Follower:
    """One server's view of the plan; remembers since when others have been waited for."""

    peer: str
    patience_s: float = PATIENCE_S
    moving_patience_s: float = MOVING_PATIENCE_S
    #: (version, peer) -> since when it is waited for. Coming and going starts no new wait.
    _since_s: dict[tuple[int, str], float] = field(default_factory=dict)

    def claims(
        self,
        plan: LivePlan | None,
        serving: Span | None,
        live: Sequence[Announcement],
        *,
        as_planned: bool = True,
    ) -> tuple[Claim, ...]:
        """What others have to confirm before this server may move; nothing when it need not ask."""
        target = None if plan is None else plan.spans.get(self.peer)
        if plan is None or target is None or serving is None:
            return ()
        if target == serving and (as_planned or not self._has_a_turn(plan)):
            return ()
        # Clients find servers by the table alone, so what is not announced there does not count
        # either, whatever its server would answer.
        ahead = {step.peer: plan.spans[step.peer] for step in self._ahead(plan)}
        announced = [
            (e.peer, e.start, e.end)
            for e in live
            if e.peer != self.peer
            and e.state == "online"
            and (
                (e.start < serving[1] and serving[0] < e.end)
                or ahead.get(e.peer) == (e.start, e.end)
            )
        ]
        there = [(peer, 0, 0) for peer in ahead]
        return tuple(dict.fromkeys((*there, *announced)))

    def decide(
        self,
        plan: LivePlan | None,
        serving: Span | None,
        confirmed: Collection[Claim],
        now_s: float,
        *,
        as_planned: bool = True,
        unlike: Collection[str] = (),
    ) -> Verdict:
        """What to do now.

        Parameters
        ----------
        serving : own span, None while nothing is served yet.
        confirmed : those of ``claims`` that their peers confirmed.
        as_planned : whether the own blocks are at the planned precision, with the planned adapters;
            a server that has its span already loads it anew else, when it is its turn.
        unlike : peers that say themselves that theirs are not.
        """
        if plan is None:
            return Verdict(action="petals", reason="no plan is in force")
        target = plan.spans.get(self.peer)
        if target is None:
            known = any(s.id == self.peer for s in plan.problem.servers)
            reason = "the plan leaves it idle" if known else "the plan does not know it"
            return Verdict(action="stay" if serving else "petals", reason=reason)
        if target == serving and as_planned:
            return Verdict(action="stay", reason="serves what is planned")
        if target == serving and not self._has_a_turn(plan):
            text = "serves the planned blocks; the plan has no turn for loading them otherwise"
            return Verdict(action="stay", reason=text)
        if serving is None:
            return Verdict(action="move", reason="joins", span=target)
        confirmed = self._arrived(plan, confirmed, unlike)
        ahead = self._pending_ahead(plan, confirmed, now_s)
        if ahead is not None:
            return Verdict(action="wait", reason=f"{ahead} moves first", span=target)
        bare = set(range(*serving)) - self._held(plan, confirmed) - self._unavoidable(plan)
        if not bare:
            return Verdict(action="move", reason="it is its turn", span=target)
        # A block is never left dark, however long it takes; but that is no waiting any more.
        text = f"nobody else serves blocks {sorted(bare)}"
        if self._waited_s(plan, self.peer, now_s) < self.moving_patience_s:
            return Verdict(action="wait", reason=text, span=target)
        return Verdict(action="stay", reason=f"{text}; the plan cannot be followed", span=target)

    def _ahead(self, plan: LivePlan) -> list[Step]:
        """Those who move before this server."""
        peers = [step.peer for step in plan.moves]
        before = plan.moves[: peers.index(self.peer)] if self.peer in peers else plan.moves
        return [step for step in before if step.peer in plan.spans]

    def _has_a_turn(self, plan: LivePlan) -> bool:
        return any(step.peer == self.peer for step in plan.moves)

    def _arrived(
        self, plan: LivePlan, confirmed: Collection[Claim], unlike: Collection[str]
    ) -> Collection[Claim]:
        """Without the planned spans of those ahead who still host them otherwise: they are about to
        load them anew."""
        going = {
            (step.peer, *plan.spans[step.peer]) for step in self._ahead(plan) if step.peer in unlike
        }
        return [claim for claim in confirmed if claim not in going]

    def _held(self, plan: LivePlan, confirmed: Collection[Claim]) -> set[int]:
        """Blocks that others serve and will go on serving: not those of one that is to move before
        this server and has not, for it may be leaving at this moment."""
        leaving = {
            step.peer
            for step in self._ahead(plan)
            if (step.peer, *plan.spans[step.peer]) not in confirmed
        } | {self.peer}
        return {b for peer, a, z in confirmed if peer not in leaving for b in range(a, z)}

    def _pending_ahead(
        self, plan: LivePlan, confirmed: Collection[Claim], now_s: float
    ) -> str | None:
        """The first server ahead in the order that has not arrived and may still do so."""
        answering = {peer for peer, _, _ in confirmed}
        for step in self._ahead(plan):
            if (step.peer, *plan.spans[step.peer]) in confirmed:
                continue
            waited_s = self._waited_s(plan, step.peer, now_s)
            answers = step.peer in answering
            if waited_s < (self.moving_patience_s if answers else self.patience_s):
                return step.peer
        return None

    def _waited_s(self, plan: LivePlan, peer: str, now_s: float) -> float:
        self._since_s = {k: t for k, t in self._since_s.items() if k[0] == plan.version}
        return now_s - self._since_s.setdefault((plan.version, peer), now_s)

    def _unavoidable(self, plan: LivePlan) -> set[int]:
        return {b for step in plan.moves if step.peer == self.peer for b in step.dark}


def otherwise(plan: LivePlan, told: Mapping[str, Statement]) -> frozenset[str]:
    """Peers that by their own word do not host their blocks as the plan says, or not yet; one that
    follows it and has done what it can is not waited for."""
    blocks = plan.problem.model.num_blocks
    found = set()
    for peer, one in told.items():
        done = one.plan_version == plan.version and one.as_planned
        own = read_entry(peer, one.announced, blocks, Warnings())
        so = own is not None and plan.hosting.is_so(peer, own.quant_type, own.adapters)
        if not (done or so):
            found.add(peer)
    return frozenset(found)


def spans_of(live: Sequence[Announcement]) -> Mapping[str, Span]:
    """Peer -> span of everybody who is online."""
    return {e.peer: (e.start, e.end) for e in live if e.state == "online"}
