"""The cheapest chain of every class under prices: a knapsack over (servers, blocks)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...core.content import FloatArray, IntArray
from .instance import Data
from .legs import Legs, OrderedChains
from .levels import Charge
from .limits import NO_LIMITS, Limits

#: (server, blocks) of every visit of a chain, in no particular order.
Visits = tuple[tuple[int, int], ...]


class Price(NamedTuple):
    """Prices of one server: (C, K) what a class pays for running 1..K blocks there, inf = never."""

    server: int
    extra: FloatArray


class Chains:
    """Knapsack tables of all classes; ``cost[c]`` is the cheapest chain, inf if there is none.

    Servers without prices come first; their tables are kept by the caller as ``prefix`` and used
    again as long as the set of priced servers stays the same.
    """

    def __init__(
        self, data: Data, prices: list[Price], prefix: tuple[IntArray, FloatArray]
    ) -> None:
        self._data = data
        self._free, self._start = prefix
        self._prices = prices
        tables = np.empty((len(prices) + 1, *self._start.shape[1:]))
        tables[0] = self._start[-1]
        for i, price in enumerate(prices):
            np.minimum(tables[i], _taken(data, price, tables[i]), out=tables[i + 1])
        self._tables = tables
        self.cost: FloatArray = tables[-1, :, -1] + data.base

    def chain(self, row: int) -> Visits:
        """Visits of the cheapest chain of a class, which must exist."""
        data, at = self._data, self._data.length
        visits: list[tuple[int, int]] = []
        layer = _origin(self._tables[:, row, at], len(self._prices))
        while layer:
            server, extra = self._prices[layer - 1]
            run = np.arange(1, min(extra.shape[1], at) + 1)
            cost = self._tables[layer - 1, row, at - run] + data.run.table(server)[row, run]
            blocks = int(run[(cost + extra[row, run - 1]).argmin()])
            visits.append((server, blocks))
            at -= blocks
            layer = _origin(self._tables[:, row, at], layer - 1)
        layer = len(self._free)
        while at:
            layer = _origin(self._start[:, row, at], layer)
            server = int(self._free[layer - 1])
            run = np.arange(1, min(int(data.most[row, server]), at) + 1)
            cost = self._start[layer - 1, row, at - run] + data.run.table(server)[row, run]
            blocks = int(run[cost.argmin()])
            visits.append((server, blocks))
            at, layer = at - blocks, layer - 1
        return tuple(visits)


def _origin(values: FloatArray, layer: int) -> int:
    """The layer that gave the value: tables only fall, so the first one that is as low."""
    return int((values[: layer + 1] <= values[layer]).argmax())


def _taken(data: Data, price: Price, reach: FloatArray) -> FloatArray:
    """``out[c, q] = min_k reach[c, q - k] + cost of k blocks`` at a priced server."""
    server, extra = price
    width = extra.shape[1]
    cost = data.visits(server, width) + extra
    padded = np.full((reach.shape[0], width + reach.shape[1]), np.inf)
    padded[:, width:] = reach
    window = np.lib.stride_tricks.sliding_window_view(padded[:, :-1], width, axis=1)
    best: FloatArray = (window + cost[:, None, ::-1]).min(axis=2)
    return best


def prefix_tables(data: Data, servers: IntArray) -> tuple[IntArray, FloatArray]:
    """Tables (len + 1, C, L + 1) of servers without prices, one layer after another."""
    tables = np.empty((len(servers) + 1, len(data.sessions), data.length + 1))
    tables[0] = np.inf
    tables[0, :, 0] = 0.0
    for i, j in enumerate(servers):
        reach = tables[i]
        tables[i + 1] = reach
        for blocks in set(data.most[:, j].tolist()) - {0}:
            rows = data.most[:, j] == blocks
            taken = data.run.after(reach[rows], int(j), blocks, data.hop[rows, j], rows)
            tables[i + 1, rows] = np.minimum(reach[rows], taken)
    return servers, tables


def every_price(
    data: Data, charges: Mapping[int, Charge], limits: Limits = NO_LIMITS
) -> list[Price]:
    """Prices of all usable servers; what is not charged pays nothing for what it can run within
    the limits."""
    found = []
    for j in np.flatnonzero(data.top).tolist():
        extra = charges[j].least if j in charges else _free(data, j)
        if short := max(limits.least_gap(j) - 1, 0):
            extra = extra.copy()
            extra[:, :short] = np.inf
        found.append(Price(j, extra))
    return found


def _free(data: Data, j: int) -> FloatArray:
    """(C, K) no charge for what one session can run."""
    run = np.arange(1, int(data.top[j]) + 1)
    return np.where(run <= data.most[:, j, None], 0.0, np.inf)


def ordered(data: Data, legs: Legs, prices: list[Price]) -> OrderedChains:
    """The cheapest chains where order matters; all usable servers must be among ``prices``."""
    costs = [data.visits(p.server, p.extra.shape[1]) + p.extra for p in prices]
    return OrderedChains(legs, costs, data.base, data.length)


def through_costs(data: Data, prices: list[Price]) -> list[FloatArray]:
    """(C, K) for every priced server: the cheapest chain that runs just 1..K blocks there.

    All servers must be among ``prices``.
    """
    if data.legs is not None:
        through = ordered(data, data.legs, prices).through()
        return [found + data.base[:, None] for found in through]
    length = data.length
    forward, backward = _tables(data, prices), _tables(data, prices[::-1])
    position = np.arange(length + 1)
    other = length + position[:, None] - position
    found = []
    for i, price in enumerate(prices):
        after = np.pad(backward[len(prices) - 1 - i], ((0, 0), (length, 0)), constant_values=np.inf)
        joint = (forward[i][:, None, :] + after[:, other]).min(axis=2)
        width = price.extra.shape[1]
        visit = data.visits(price.server, width) + price.extra
        run = np.arange(1, width + 1)
        found.append(joint[:, length - run] + visit + data.base[:, None])
    return found


def _tables(data: Data, prices: list[Price]) -> list[FloatArray]:
    start = np.full((len(data.sessions), data.length + 1), np.inf)
    start[:, 0] = 0.0
    tables = [start]
    for price in prices:
        tables.append(np.minimum(tables[-1], _taken(data, price, tables[-1])))
    return tables
