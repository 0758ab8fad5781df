"""Round trips of machines by where they stand, each worked out when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray, frozen_array
from .network import DistanceMode, apart_km, rtt_over_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ByPlace(ByContent):
    """(N, N) round trips of machines (``core.between.PairTimes``).

    Two machines at nodes of a graph are as far apart as these; others by the distance of their
    places. To all of that come their last miles; none is apart from itself.

    Attributes
    ----------
    lat_lon : (N, 2) degrees, nan = unknown.
    mode : what a distance takes.
    last_s : (N,) last miles, seconds of a round trip.
    node : (N,) the row of each machine's node, -1 = none.
    graph_s : (m, m) seconds between nodes, the diagonal those of two machines at one.
    factor : of all times.
    """

    lat_lon: FloatArray
    mode: DistanceMode
    last_s: FloatArray
    node: IntArray
    graph_s: FloatArray
    factor: float = 1.0

    def __post_init__(self) -> None:
        for name in ("lat_lon", "last_s", "graph_s"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))
        object.__setattr__(self, "node", frozen_array(self.node, np.int64))

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        return len(self), len(self)

    def __len__(self) -> int:
        return len(self.last_s)

    def __getitem__(self, at: Any) -> Any:
        """Seconds as of a matrix: single pairs, rows, or a part (``numpy.ix_``)."""
        every = np.arange(len(self))
        one, other = at if isinstance(at, tuple) else (at, slice(None))
        rows, columns = every[one], every[other]
        if isinstance(one, slice) or isinstance(other, slice):
            rows, columns = rows.reshape(*rows.shape, *(1,) * columns.ndim), columns
        return self._between_s(rows, columns)

    def __array__(self, dtype: Any = None, copy: Any = None) -> FloatArray:
        every: FloatArray = self[:, :]
        return every

    def __mul__(self, factor: float) -> ByPlace:
        return replace(self, factor=self.factor * factor)

    def part(self, rows: IntArray) -> ByPlace:
        """Those between some of the machines."""
        return replace(
            self, lat_lon=self.lat_lon[rows], last_s=self.last_s[rows], node=self.node[rows]
        )

    def _between_s(self, one: Any, other: Any) -> Any:
        a, b = self.node[one], self.node[other]
        if len(self.graph_s) and (min(np.min(a, initial=0), np.min(b, initial=0)) >= 0):
            found = self.graph_s[a, b]
        else:
            found = rtt_over_s(apart_km(self.lat_lon[one], self.lat_lon[other]), self.mode)
            if len(self.graph_s):
                found = np.where((a < 0) | (b < 0), found, self.graph_s[a, b])
        apart = found + (self.last_s[one] + self.last_s[other])
        return np.where(one == other, 0.0, self.factor * apart)[()]
