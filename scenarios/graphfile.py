"""Parser of REPETITA's ``.graph`` format.

::

    NODES n                                  EDGES m
    label x y                                label src dest weight bw delay
    <label> <longitude> <latitude>  x n      <label> <row> <row> <weight> <kbit/s> <us>  x m
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

from ..core.errors import ScenarioError

#: All pairs of nodes are compared; the largest published network has 754.
MAX_NODES = 1_000
MAX_LINKS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Content of a file: labels, (latitude, longitude) degrees, (source, target, delay us).

    ``plane`` says why the coordinates are those of a plane and no places; empty = they are places.
    """

    labels: tuple[str, ...]
    lat_lon: tuple[tuple[float, float], ...]
    links: tuple[tuple[int, int, float], ...]
    plane: str = ""


def parse_graph(text: str, *, source: str) -> Graph:
    """Read a ``.graph`` file.

    Raises
    ------
    ScenarioError
        At the first defect, with the line number.
    """
    lines = _Lines(text, source)
    labels, lat_lon, links = [], [], []
    plane = ""
    for _ in range(lines.section("NODES", "label x y", MAX_NODES)):
        label, (x, y) = lines.record("a node", 2)
        if not (-90.0 <= y <= 90.0 and -180.0 <= x <= 180.0):
            where = f"line {lines.number}: longitude {x:g}, latitude {y:g}"
            plane = plane or f"{where} is no place; x is the longitude"
        labels.append(label)
        lat_lon.append((y, x))
    for _ in range(lines.section("EDGES", "label src dest weight bw delay", MAX_LINKS)):
        _, (start, end, _, _, delay) = lines.record("a link", 5)
        for node in (start, end):
            if not (node.is_integer() and 0 <= node < len(labels)):
                lines.fail(f"node {node:g} does not exist; rows count from 0 to {len(labels) - 1}")
        if delay < 0.0:
            lines.fail(f"the delay must not be negative, got {delay:g}")
        links.append((int(start), int(end), delay))
    lines.end()
    return Graph(labels=tuple(labels), lat_lon=tuple(lat_lon), links=tuple(links), plane=plane)


class _Lines:
    """Non-empty lines of a file with their numbers."""

    def __init__(self, text: str, source: str) -> None:
        self._rest = iter([(n, s) for n, s in enumerate(text.splitlines(), 1) if s.strip()])
        self._source = source
        self.number = 0

    def fail(self, message: str) -> NoReturn:
        raise ScenarioError.single(f"line {self.number}", message, source=self._source)

    def _next(self, wanted: str) -> str:
        self.number, line = next(self._rest, (self.number + 1, ""))
        if not line:
            self.fail(f"the file ends where {wanted} should stand")
        return line

    def section(self, keyword: str, header: str, limit: int) -> int:
        """Read ``KEYWORD count`` and the header line, return the count."""
        words = self._next(f"'{keyword} count'").split()
        if len(words) != 2 or words[0] != keyword or not words[1].isdecimal():
            self.fail(f"expected '{keyword} count', got {' '.join(words)!r}")
        if len(words[1]) > 6 or int(words[1]) > limit:
            self.fail(f"{keyword} must not exceed {limit}, got {words[1][:20]}")
        count = int(words[1])
        if count < 1:
            self.fail(f"{keyword} needs at least one row")
        if self._next(f"the header '{header}'").split() != header.split():
            self.fail(f"expected the header {header!r}")
        return count

    def record(self, wanted: str, numbers: int) -> tuple[str, list[float]]:
        """Read one label (spaces allowed) and that many finite numbers."""
        line = self._next(wanted)
        parts = line.rsplit(maxsplit=numbers)
        if len(parts) != numbers + 1:
            self.fail(f"expected {wanted}: a label and {numbers} numbers, got {line.strip()!r}")
        try:
            values = [float(part) for part in parts[1:]]
        except ValueError:
            self.fail(f"expected {numbers} numbers after the label, got {line.strip()!r}")
        if not all(map(math.isfinite, values)):
            self.fail("numbers must be finite")
        return parts[0].strip(), values

    def end(self) -> None:
        """Refuse anything behind the last announced row."""
        self.number, line = next(self._rest, (self.number, ""))
        if line:
            self.fail(f"more rows than announced: {line.strip()!r}")
