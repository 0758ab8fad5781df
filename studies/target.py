"""Targets that a swarm should meet: their name, their limit, what bounds them from below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray
from ..core.errors import ScenarioError
from ..core.problem import Problem
from ..perfmodel.expense import price_per_s, work_w
from ..perfmodel.hops import HopCost
from ..perfmodel.runs import Runs
from ..simulator.figures import EXPENSES, FIGURES, Figure

Alone = Callable[[HopCost], tuple[FloatArray, Runs]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One figure and its limit.

    Attributes
    ----------
    share : the share of requests that must be within the limit (a quantile), None for a mean.
    alone : cost per hop and per block of the figure for a request alone; None = no bound known.
    """

    figure: Figure
    limit: float
    share: float | None = None
    alone: Alone | None = None

    @property
    def name(self) -> str:
        """Its figure's."""
        return self.figure.id

    @property
    def least(self) -> bool:
        """Whether the figure must be at least the limit, not at most."""
        return not self.figure.less_is_better

    @property
    def response_limit(self) -> float | None:
        """The limit where the figure is a response time."""
        return self.limit if self.name.endswith("response_s") else None

    def done_within(self) -> Iterator[tuple[float, float]]:
        """(share, seconds): so many requests must be done so long after their arrival."""
        if self.share is not None:
            yield self.share, self.limit
            return
        for times in (1.5, 2.0, 3.0, 5.0, 10.0):  # Markov: a mean of x leaves 1/t above t x
            yield 1.0 - 1.0 / times, times * self.limit

    def excess(self, value: float) -> float:
        """How far off a figure is, relative; 0 when it is met, inf when there is none."""
        if value != value:
            return float("inf")
        short = self.limit - value if self.least else value - self.limit
        return max(0.0, short / self.limit)

    def __str__(self) -> str:
        return f"{self.name} {'>=' if self.least else '<='} {self.limit:g}"


def _response(cost: HopCost) -> tuple[FloatArray, Runs]:
    return cost.hop_s, cost.run_s


def _ttft(cost: HopCost) -> tuple[FloatArray, Runs]:
    return cost.prefill_hop_s, cost.prefill_run_s


def _step(cost: HopCost) -> tuple[FloatArray, Runs]:
    return cost.step_hop_s, cost.step_run_s


#: Figures that can be targets: the share of requests that a quantile speaks of, and the cost alone.
_KNOWN: dict[str, tuple[float | None, Alone | None]] = {
    "response_s": (None, _response),
    "p95_response_s": (0.95, _response),
    "ttft_s": (None, _ttft),
    "p95_ttft_s": (0.95, _ttft),
    "tpot_s": (None, _step),
    "p95_tpot_s": (0.95, _step),
    "wait_s": (None, None),
    "tokens_per_s": (None, None),
    "requests_per_s": (None, None),
    **{f.id: (None, None) for f in EXPENSES},
}


def check_known(targets: Sequence[Target], problem: Problem) -> None:
    """Energy and money can be targets only where they are known of every server, the price of what
    leaves uplinks where one of them has any.

    Raises
    ------
    ScenarioError
        Naming servers without the figures.
    """
    priced = any(u.egress_price_per_byte is not None for u in problem.network.uplinks)
    *of_servers, egress = EXPENSES
    if not priced and any(t.figure == egress for t in targets):
        message = f"{egress.id} needs egress_price_per_gb of an uplink in [[network.uplinks]]"
        raise ScenarioError.single("--target", message)
    needs = (("idle_watts and busy_watts", work_w), ("price_per_hour", price_per_s))
    for figure, (words, known) in zip(of_servers, needs, strict=True):
        without = [problem.servers[j].id for j in np.flatnonzero(np.isnan(known(problem)))]
        if without and any(t.figure == figure for t in targets):
            shown = ", ".join(without[:5]) + (" ..." if len(without) > 5 else "")
            message = f"{figure.id} needs {words} of all servers and offers; missing of {shown}"
            raise ScenarioError.single("--target", message)


def parse_target(text: str) -> Target:
    """A target from ``name=limit``.

    Raises
    ------
    ScenarioError
        For an unknown name or a limit that is not above 0.
    """
    name, _, value = text.partition("=")
    try:
        limit = float(value)
    except ValueError:
        limit = 0.0
    if name not in _KNOWN:
        raise ScenarioError.single("--target", f"no figure {name!r}; there are {', '.join(_KNOWN)}")
    if not 0 < limit < float("inf"):
        raise ScenarioError.single("--target", f"{text!r} is not {name}=LIMIT with a limit above 0")
    share, alone = _KNOWN[name]
    return Target(figure=FIGURES[name], limit=limit, share=share, alone=alone)
