"""Runs that are given up: where requests pile up a router decides again and again, for minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..routing.api import Decision, Router, RouterFactory, SlotRouter, SwarmView
from ..solve.deadline import Deadline


class GivenUpError(Exception):
    """A run that was not worth its time; caught where such runs are begun."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run may take.

    Attributes
    ----------
    decisions : that may be asked for; a request that waits asks again.
    until : and when it has to be over.
    """

    decisions: float
    until: Deadline

    def with_router(self, make: RouterFactory) -> RouterFactory:
        """The same router, which gives up then."""

        def made(cost: CostModel, placement: Placement) -> Router:
            inner = make(cost, placement)
            kind = _HurriedSlot if isinstance(inner, SlotRouter) else _Hurried
            return kind(inner, self)

        return made


class _Hurried:
    """Takes another router's decisions, and counts them.

    Raises
    ------
    GivenUpError
        When there were too many, or time is over.
    """

    def __init__(self, inner: Router, patience: Patience) -> None:
        self._inner, self._left, self._until = inner, patience.decisions, patience.until

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        self._count(1)
        return self._inner(request, view, now_s, start_block=start_block, exclude=exclude)

    def _count(self, decisions: int) -> None:
        self._left -= decisions
        if self._left < 0 or self._until.passed:
            raise GivenUpError


class _HurriedSlot(_Hurried):
    """The same for one that decides slot by slot."""

    @property
    def tick_s(self) -> float:
        """Length of a slot, seconds."""
        assert isinstance(self._inner, SlotRouter)
        return self._inner.tick_s

    def assign(
        self, requests: Sequence[Request], view: SwarmView, now_s: float
    ) -> Sequence[Decision | None]:
        """As the other one decides."""
        assert isinstance(self._inner, SlotRouter)
        self._count(len(requests))
        return self._inner.assign(requests, view, now_s)
