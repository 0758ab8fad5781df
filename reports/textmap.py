"""The map in characters, for a terminal: land, servers, clients, chains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from shutil import get_terminal_size
from typing import NamedTuple

from ..core.plan import Placement, Plan
from ..core.problem import Problem
from ..render import print_lines, writes
from .sections import Chain, arcs_of, marks_of, planned_chains
from .worldmap import WIDTH, Arc, Mark, Place, View, great_circle, land, view_of

COLUMNS = 80
#: A character is this many times as high as it is wide.
TALL = 2.0
#: Names that are longer are left out.
LONGEST_NAME = 18
Cell = tuple[int, int]


class Signs(NamedTuple):
    """What stands for what. lines : level, upright, falling, rising."""

    land: str
    used: str
    idle: str
    client: str
    lines: tuple[str, str, str, str]


DRAWN = Signs("·", "●", "○", "◆", ("─", "│", "╲", "╱"))  # noqa: RUF001
PLAIN = Signs(".", "#", "o", "@", ("-", "|", "\\", "/"))


def print_map(problem: Problem, plan: Plan) -> None:
    """The map of a plan, as wide as the terminal and with signs that it can write."""
    print_places(problem, plan.placement, planned_chains(plan))


def print_places(problem: Problem, placement: Placement, chains: Sequence[Chain]) -> None:
    """The map of machines and of the chains that are used."""
    marks = marks_of(problem, placement, chains)
    signs = DRAWN if writes("".join((*DRAWN[:4], *DRAWN.lines))) else PLAIN
    columns = min(COLUMNS, get_terminal_size().columns)
    print_lines(["", *text_map(marks, arcs_of(problem, chains), signs=signs, columns=columns)])


def text_map(
    marks: Sequence[Mark], arcs: Sequence[Arc], *, signs: Signs, columns: int = COLUMNS
) -> list[str]:
    """Lines of at most ``columns`` characters, and a legend."""
    known = [m for m in marks if m.place is not None]
    if not known:
        return ["no map: no server and no client has a known place"]
    view = view_of([m.place for m in known if m.place is not None])
    sheet = _Sheet(view, columns, signs)
    sheet.draw_land()
    for arc in sorted(arcs, key=lambda a: a.use):
        sheet.draw_chain(arc)
    sheet.draw_marks(known)
    legend = (
        f"{signs.client} client  {signs.used} server on a planned chain  {signs.idle} not on one  "
        "3 three servers"
    )
    lost = len(marks) - len(known)
    return [*sheet.lines(), legend, *([f"{lost} without a known place"] if lost else [])]


class _Sheet:
    """Characters over a window of the world."""

    def __init__(self, view: View, columns: int, signs: Signs) -> None:
        self._view, self._signs = view, signs
        self._columns = columns
        self._rows = max(6, round(columns * view.height / WIDTH / TALL))
        self._cells: dict[Cell, str] = {}
        self._land: set[Cell] = set()
        self._marked: set[Cell] = set()

    def lines(self) -> list[str]:
        """Row by row, without blanks at the ends."""
        rows = range(self._rows)
        return ["".join(self._at(row, c) for c in range(self._columns)).rstrip() for row in rows]

    def _at(self, row: int, column: int) -> str:
        bare = self._signs.land if (row, column) in self._land else " "
        return self._cells.get((row, column), bare)

    def _cell(self, place: Place) -> Cell:
        x, y = self._view.at(place)
        row, column = y / self._view.height * self._rows, x / WIDTH * self._columns
        return min(max(int(row), 0), self._rows - 1), min(max(int(column), 0), self._columns - 1)

    def draw_land(self) -> None:
        """Every cell whose middle is on land."""
        wide = WIDTH / self._view.scale / self._columns
        tall = self._view.height / self._view.scale / self._rows
        for row in range(self._rows):
            lat = self._view.north - (row + 0.5) * tall
            for west, east in _on_land(lat):
                for turn in (-360.0, 0.0, 360.0):
                    first = (west + turn - self._view.west) / wide - 0.5
                    last = (east + turn - self._view.west) / wide - 0.5
                    inside = range(max(0, _above(first)), min(self._columns, _above(last)))
                    self._land.update((row, column) for column in inside)

    def draw_chain(self, arc: Arc) -> None:
        """Along great circles, broken where they leave the window on one side."""
        for a, b in pairwise(arc.stops):
            way = [self._cell(place) for place in great_circle(a, b, steps=60)]
            cells = way[:1]
            for one, other in pairwise(way):
                if abs(one[1] - other[1]) > self._columns / 2:
                    self._draw_line(cells)
                    cells = [other]
                else:
                    cells += _line(one, other)
            self._draw_line(cells)

    def _draw_line(self, cells: Sequence[Cell]) -> None:
        """Each cell by where its neighbours on the line are."""
        level, upright, falling, rising = self._signs.lines
        for i, cell in enumerate(cells):
            before, after = cells[max(i - 1, 0)], cells[min(i + 1, len(cells) - 1)]
            down, right = after[0] - before[0], after[1] - before[1]
            leaning = falling if (down > 0) == (right > 0) else rising
            self._cells[cell] = level if not down else upright if not right else leaning

    def draw_marks(self, marks: Sequence[Mark]) -> None:
        """Clients and servers, each kind of a cell as one sign, then the names that fit."""
        found: dict[tuple[Cell, bool], list[Mark]] = {}
        for mark in marks:
            assert mark.place is not None
            found.setdefault((self._cell(mark.place), mark.kind < 0), []).append(mark)
        groups = sorted(found.items(), key=lambda f: (not f[0][1], f[0][0]))  # clients first
        placed = [(self._free(cell), members) for (cell, _), members in groups]
        for cell, members in placed:
            for at in _beside(cell, members[0].name):
                if len(members) == 1 and self._is_free(at, over_chains=members[0].kind < 0):
                    self._write(at, members[0].name)
                    break
        for cell, members in placed:
            self._cells[cell] = self._sign(members)

    def _sign(self, members: Sequence[Mark]) -> str:
        if members[0].kind < 0:
            return self._signs.client
        if len(members) > 1:
            return str(len(members)) if len(members) < 10 else "+"
        return self._signs.used if members[0].load > 0 else self._signs.idle

    def _free(self, cell: Cell) -> Cell:
        """The cell itself or the nearest that has no mark; it has one from now on."""
        around = [(r, c) for r in range(self._rows) for c in range(self._columns)]
        free = [at for at in around if at not in self._marked] if cell in self._marked else [cell]
        nearest = min(
            free,
            key=lambda at: (TALL * (at[0] - cell[0])) ** 2 + (at[1] - cell[1]) ** 2,
            default=cell,
        )
        self._marked.add(nearest)
        return nearest

    def _is_free(self, cells: Sequence[Cell], *, over_chains: bool) -> bool:
        """Whether a name can stand there without hiding anything."""
        return len(cells) <= LONGEST_NAME and all(
            0 <= c < self._columns and (r, c) not in self._marked
            and (over_chains or (r, c) not in self._cells)
            for r, c in cells
        )  # fmt: skip

    def _write(self, cells: Sequence[Cell], name: str) -> None:
        self._cells.update(zip(cells, name, strict=True))
        row, first, last = cells[0][0], cells[0][1], cells[-1][1]
        self._marked.update((row, c) for c in range(first - 1, last + 2))


def _beside(cell: Cell, name: str) -> Iterator[list[Cell]]:
    """Where a name may stand: right or left of its mark."""
    row, column = cell
    for first in (column + 2, column - 1 - len(name)):
        yield [(row, first + i) for i in range(len(name))]


def _above(value: float) -> int:
    """The first whole number that is not below."""
    return -int(-value // 1)


def _line(one: Cell, other: Cell) -> list[Cell]:
    """The cells after one on the way to another."""
    down, right = other[0] - one[0], other[1] - one[1]
    steps = max(abs(down), abs(right))
    return [
        (round(one[0] + down * i / steps), round(one[1] + right * i / steps))
        for i in range(1, steps + 1)
    ]


def _on_land(lat: float) -> Iterator[tuple[float, float]]:
    """Longitudes between which a parallel runs over land."""
    for ring in (outline.corners for outline in land()):
        crossed = sorted(
            a[1] + (lat - a[0]) / (b[0] - a[0]) * (b[1] - a[1])
            for a, b in pairwise((*ring, ring[0]))
            if (a[0] > lat) != (b[0] > lat)
        )
        yield from zip(crossed[::2], crossed[1::2], strict=True)
