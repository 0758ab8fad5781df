"""What servers take in energy and money: while they are on, and for a second of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray
from ..core.problem import Problem, Server

#: Joules of a kilowatt hour.
KWH_J = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Expense:
    """Energy and money of all servers that are on; None where those of one are not known."""

    energy_j: float | None
    money: float | None

    def per_million(self, tokens: float) -> tuple[float | None, float | None]:
        """Kilowatt hours and money of a million output tokens; None where there are none."""
        if tokens <= 0:
            return None, None
        kwh = None if self.energy_j is None else self.energy_j / KWH_J * 1e6 / tokens
        return kwh, None if self.money is None else self.money * 1e6 / tokens


UNKNOWN = Expense(energy_j=None, money=None)


def expense(problem: Problem, on_s: FloatArray, busy_s: FloatArray) -> Expense:
    """What servers take that are on for ``on_s`` and compute for ``busy_s`` of it, (n,) each.

    A server that is on takes its idle power all the time, and what it takes beyond that while it
    computes; its price is that of the time that it is on.
    """
    on = np.flatnonzero(on_s > 0)
    idle_w = _known([s.idle_w for s in problem.servers])
    power_j = idle_w * on_s + work_w(problem) * np.minimum(busy_s, on_s)
    money = price_per_s(problem) * on_s
    return Expense(energy_j=_told(power_j[on]), money=_told(money[on]))


def egress_money(problem: Problem, sent_bytes: FloatArray) -> float | None:
    """The price of what left the uplinks, (U,) bytes; None where none of them has one."""
    prices = [u.egress_price_per_byte for u in problem.network.uplinks]
    if all(price is None for price in prices):
        return None
    return float(np.array([price or 0.0 for price in prices]) @ sent_bytes)


def work_w(problem: Problem) -> FloatArray:
    """(n,) what computing takes beyond waiting, W; nan where it is not known."""
    return _known([_more_w(s) for s in problem.servers])


def price_per_s(problem: Problem) -> FloatArray:
    """(n,) prices of the servers; nan where they are not known."""
    return _known([s.price_per_s for s in problem.servers])


def _more_w(server: Server) -> float | None:
    if server.idle_w is None or server.busy_w is None:
        return None
    return server.busy_w - server.idle_w


def _told(parts: FloatArray) -> float | None:
    """Their sum, None where one is not known."""
    total = float(parts.sum())
    return None if np.isnan(total) else total


def _known(values: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
