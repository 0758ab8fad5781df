"""What a step takes at each server of a live swarm: as predicted, and as measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.plan import Route
from ..perfmodel.cost import CostModel
from .announce import Announcement
from .limits import PROBE_STEPS

#: A step that takes so many times what is predicted, and so many seconds more, is slow.
SLOW, SLACK_S = 1.5, 0.005
#: How a step was measured: from here, or by the server's own clock and the way there.
Clock = Literal["here", "server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One token's way through some blocks of a server, for a session that is alone there.

    Attributes
    ----------
    predicted_s : way there and back, overhead of a hop, and work.
    measured_s, clock : the same as it is now, and by whose clock; None = nobody measured it.
    """

    predicted_s: float
    measured_s: float | None = None
    clock: Clock | None = None

    @property
    def slow(self) -> bool:
        """Whether it takes far longer than predicted."""
        measured_s = self.measured_s
        return measured_s is not None and measured_s > SLOW * self.predicted_s + SLACK_S


@dataclass(frozen=True, slots=True, kw_only=True)
class HopNow:
    """One hop of the chain that a request takes now."""

    server: str
    start: int
    end: int
    step: Step


class Steps:
    """Steps of one token at the servers of a problem, for its first client."""

    def __init__(
        self, cost: CostModel, servers: Sequence[Announcement], probed_s: Mapping[str, float]
    ) -> None:
        self._cost, self._problem = cost, cost.problem
        self._row = {s.id: j for j, s in enumerate(self._problem.servers)}
        self._entries = {e.peer: e for e in servers}
        self._probed_s = probed_s
        planning = self._problem.planning
        lengths = (planning.prompt_tokens, planning.output_tokens)
        prompt, output = (1, PROBE_STEPS) if probed_s else lengths
        self._shape = cost.shape(0, prompt, output)
        self.context_tokens = prompt + output / 2

    def over_span(self, entry: Announcement) -> Step | None:
        """Of a whole span; None for a server that is not in the problem."""
        row = self._row.get(entry.peer)
        return None if row is None else self._step(row, entry.start, entry.end)

    def hops(self, route: Route, names: Mapping[str, str]) -> tuple[HopNow, ...]:
        """Of a chain."""
        return tuple(
            HopNow(
                server=names[self._problem.servers[h.server].id],
                start=h.start,
                end=h.end,
                step=self._step(h.server, h.start, h.end),
            )
            for h in route.hops
        )

    def rtt_s(self, peer: str) -> float | None:
        """Of the first client to a server."""
        row = self._row.get(peer)
        return None if row is None else float(self._problem.network.client_rtt_s[0, row])

    def _step(self, row: int, start: int, end: int) -> Step:
        network = self._problem.network
        way_s = float(network.client_rtt_s[0, row]) + network.step_overhead_s
        predicted_s = way_s + float(self._cost.step_work_s(self._shape, row, start, end))
        entry = self._entries[self._problem.servers[row].id]
        share = (end - start) / (entry.end - entry.start)
        probed_s, stated = self._probed_s.get(entry.peer), entry.stated
        if probed_s is not None:
            measured_s = way_s + max(0.0, probed_s - way_s) * share if share < 1 else probed_s
            return Step(predicted_s=predicted_s, measured_s=measured_s, clock="here")
        if stated is not None and stated.step_s is not None:
            measured_s = way_s + stated.step_s * share
            return Step(predicted_s=predicted_s, measured_s=measured_s, clock="server")
        return Step(predicted_s=predicted_s)
