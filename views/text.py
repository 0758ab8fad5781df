"""Small pieces of text that tables share."""

from __future__ import annotations

from ..core.names import blocks
from ..core.plan import Route
from ..core.problem import Problem
from ..render import number
from ..simulator.metrics import Interval


def chain(problem: Problem, route: Route | None) -> str:
    """A route in one line."""
    if route is None:
        return "-"
    return " > ".join(f"{problem.servers[h.server].id}[{h}]" for h in route.hops)


def assumed(problem: Problem) -> list[str]:
    """What is assumed of servers that no server does, in a line; none where nothing is."""
    independent = problem.independent
    if not independent:
        return []
    who = "all servers" if len(independent) == problem.num_servers else ", ".join(independent)
    return [f"assumed, as the papers do: sessions do not slow each other down at {who}"]


def span(start: int, end: int) -> str:
    """The blocks of a server."""
    return blocks(start, end) if end > start else "idle"


def percent(fraction: float | None) -> str:
    """A share as a percentage."""
    return "-" if fraction is None or fraction != fraction else f"{fraction * 100:.1f} %"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign."""
    if value != value:
        return "-"
    if abs(value) < 1e-12:  # what rounding leaves of equal sums
        return "0"
    return ("+" if value > 0 else "-") + number(abs(value), digits)


def mean_of(value: Interval) -> str:
    """A mean and its 95 % interval."""
    return _spread(number(value.mean), value)


def interval(value: Interval) -> str:
    """A difference and its 95 % interval."""
    return _spread(signed(value.mean), value)


def is_rounding(value: Interval) -> bool:
    """Whether an interval is no wider than what rounding leaves of equal figures."""
    return abs(value.half_width) <= max(1e-12, 1e-9 * abs(value.mean))


def _spread(text: str, value: Interval) -> str:
    if value.half_width != value.half_width or is_rounding(value):
        return text
    return f"{text} ± {number(value.half_width, 2)}"


def spent(kwh: float | None, money: float | None) -> list[str]:
    """Energy and money of a million tokens in a line, as far as they are known; none at all: []."""
    told = [] if kwh is None else [f"{number(kwh)} kWh"]
    told += [] if money is None else [f"{number(money)} in the currency of the prices"]
    return [f"{' and '.join(told)} per million output tokens"] if told else []
