"""The figures of a run by name: one list for tables, documents, targets and sweeps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.names import Quality
from .metrics import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of a summary.

    Attributes
    ----------
    id : as documents and targets name it, in seconds.
    title : as tables name it; they show ``factor`` times the figure.
    path : where it stands in a ``Summary``, and in one that was stored.
    """

    id: str
    title: str
    path: tuple[str, ...]
    factor: float = 1.0
    less_is_better: bool = True

    def of(self, summary: Summary) -> float:
        """Its value in a run; nan where it is not known."""
        value: Any = summary
        for part in self.path:
            value = getattr(value, part)
        return math.nan if value is None else float(value)

    def shown(self, summary: Summary) -> float:
        """Its value in a run, as tables show it."""
        return self.factor * self.of(summary)

    def stored(self, document: Mapping[str, Any]) -> float:
        """Its value in a summary that was written down; nan where there is none."""
        value: Any = document
        for part in self.path:
            value = None if value is None else value.get(part)  # older versions knew fewer figures
        return math.nan if value is None else float(value)


def _all() -> Iterable[Figure]:
    for name, title in (("response_s", "response"), ("ttft_s", "TTFT")):
        yield Figure(id=name, title=f"{title} s", path=(name, "mean"))
        yield Figure(id=f"p95_{name}", title=f"{title} p95 s", path=(name, "p95"))
    yield Figure(id="tpot_s", title="per token ms", path=("tpot_s", "mean"), factor=1e3)
    yield Figure(id="p95_tpot_s", title="per token p95 ms", path=("tpot_s", "p95"), factor=1e3)
    yield Figure(id="wait_s", title="waiting s", path=("wait_s", "mean"))
    for name, title in (("tokens_per_s", "tokens/s"), ("requests_per_s", "requests/s")):
        yield Figure(id=name, title=title, path=(name,), less_is_better=False)
    yield Figure(id="slow_down", title="slow-down", path=("service", "slow_down", "mean"))
    yield Figure(id="late_s", title="late s", path=("service", "late_s"))
    yield Figure(
        id="on_time_share",
        title="on time %",
        path=("service", "on_time_share"),
        factor=100.0,
        less_is_better=False,
    )
    for name, title in (("fair", "clients' mean"), ("worst", "worst client's mean")):
        yield Figure(
            id=f"{name}_response_s", title=f"{title} s", path=("service", f"{name}_response_s")
        )
    yield Figure(id="hops", title="hops", path=("mean_hops",))
    yield Figure(
        id="completed_share",
        title="completed %",
        path=("completed_share",),
        factor=100.0,
        less_is_better=False,
    )
    for name, title in (
        ("kwh", "kWh per M tokens"),
        ("money", "money per M tokens"),
        ("egress", "egress money per M tokens"),
    ):
        yield Figure(
            id=f"{name}_per_million_tokens", title=title, path=(f"{name}_per_million_tokens",)
        )


FIGURES: dict[str, Figure] = {f.id: f for f in _all()}


def figures(*names: str) -> tuple[Figure, ...]:
    """Figures by name, in the order asked for."""
    return tuple(FIGURES[name] for name in names)


RESPONSE = FIGURES["response_s"]
#: What service is judged by.
JUDGED_BY: dict[Quality, Figure] = {
    "mean": RESPONSE,
    "p95": FIGURES["p95_response_s"],
    "slow-down": FIGURES["slow_down"],
    "late": FIGURES["late_s"],
    "fair": FIGURES["fair_response_s"],
}
#: What tells methods and configurations apart.
COMPARED = figures(
    "response_s", "p95_response_s", "ttft_s", "tpot_s", "wait_s", "tokens_per_s", "hops"
)
#: What serving takes, known where watts and prices are.
EXPENSES = figures(
    "kwh_per_million_tokens", "money_per_million_tokens", "egress_per_million_tokens"
)


#: Whether deadlines were met, known where there are any.
PUNCTUAL = figures("late_s", "on_time_share")


def known(summaries: Iterable[Summary], of: tuple[Figure, ...] = EXPENSES) -> tuple[Figure, ...]:
    """Those of some figures that are known of some of these runs."""
    runs = list(summaries)
    return tuple(f for f in of if any(not math.isnan(f.of(r)) for r in runs))


def compared(summaries: Iterable[Summary], quality: Quality = "mean") -> tuple[Figure, ...]:
    """What tells methods apart in these runs; what service is judged by is among it."""
    judged = JUDGED_BY[quality]
    shown = COMPARED if judged in COMPARED else (judged, *COMPARED)
    more = known(summaries, (*PUNCTUAL, *EXPENSES))
    return (*shown, *(f for f in more if f not in shown))
