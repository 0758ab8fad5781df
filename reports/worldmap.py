"""The map: land, servers by device and load, clients, chains as great-circle arcs.

Equirectangular, cropped to where the machines are. Machines nearer to each other than a mark are
drawn as one mark with their number; whatever has no known place is listed beside the map.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import NamedTuple

from .svg import CHARACTER, SERIES, marker, points, tag, text

WIDTH, MARGIN = 960.0, 34.0
#: The land outline is in tenths of a degree from 180 W, 90 N.
_UNITS = 10.0
#: Arcs beyond this many are left out, the least used first.
MOST_ARCS = 80
#: Beyond this many machines marks stand for all of a neighbourhood; their size is their number.
MOST_SINGLE = 150
Place = tuple[float, float]
#: Left, top, right, bottom in pixels.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A machine on the map.

    Attributes
    ----------
    place : (latitude, longitude), None when unknown.
    kind : row of its device in the legend; -1 = a client.
    load : 0 idle ... 1 the busiest.
    detail : what a pointer over it says.
    """

    name: str
    place: Place | None
    kind: int
    load: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arc:
    """A chain: places in the order of the hops, how much it is used (0 ... 1), its words."""

    stops: tuple[Place, ...]
    use: float
    detail: str
    series: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """The part of the world that is shown, in degrees; longitudes may pass 180."""

    west: float
    north: float
    scale: float
    height: float

    def at(self, place: Place) -> tuple[float, float]:
        """Pixels of a place."""
        lat, lon = place
        return (self.turned(lon) - self.west) * self.scale, (self.north - lat) * self.scale

    def turned(self, lon: float) -> float:
        """A longitude within 360 degrees east of the western edge."""
        return self.west + (lon - self.west) % 360.0


class Outline(NamedTuple):
    """One piece of land: its SVG path, its corners and how far they reach west and east."""

    path: str
    corners: tuple[Place, ...]
    west: float
    east: float


@cache
def land() -> tuple[Outline, ...]:
    """The outlines of the land (Natural Earth 1:110m, public domain).

    None is cut at the date line: Eurasia reaches to 190 E.
    """
    lines = files(__package__).joinpath("land.txt").read_text(encoding="ascii")
    return tuple(_outline(ring + "z") for ring in lines.replace("\n", "").split("z")[:-1])


def _outline(path: str) -> Outline:
    """The piece of a path ``Mx yldx dy dx dy...z``."""
    start, _, steps = path.partition("l")
    x, y = map(int, start[1:].split())
    moves = list(map(int, re.findall(r"-?\d+", steps)))
    xs = [x / _UNITS - 180.0 for x in accumulate(moves[::2], initial=x)]
    ys = [90.0 - y / _UNITS for y in accumulate(moves[1::2], initial=y)]
    return Outline(path, tuple(zip(ys, xs, strict=True)), min(xs), max(xs))


def view_of(places: Sequence[Place]) -> View:
    """A window around all places, never narrower than a sixth of the world.

    The window is cut where the widest empty strip of longitudes is, so that a Pacific swarm is
    shown in one piece.
    """
    if not places:
        return View(-180.0, 84.0, WIDTH / 360.0, 144.0 * WIDTH / 360.0)
    lons = sorted(lon for _, lon in places)
    gaps = [(b - a, b) for a, b in zip(lons, [*lons[1:], lons[0] + 360.0], strict=True)]
    widest, first = max(gaps)
    first = (first + 180.0) % 360.0 - 180.0
    span = 360.0 - widest
    low, high = min(p[0] for p in places), max(p[0] for p in places)
    wide = min(360.0, max(60.0, span * 1.22 + 8.0))
    tall = min(144.0, max(wide * 0.42, (high - low) * 1.25 + 12.0))
    wide = min(360.0, max(wide, tall * 1.5))
    west = first + span / 2 - wide / 2 if wide < 360.0 else -180.0
    north = min(84.0, max((low + high) / 2 + tall / 2, -60.0 + tall))
    scale = WIDTH / wide
    return View(west, north, scale, tall * scale)


def world(marks: Sequence[Mark], arcs: Sequence[Arc]) -> tuple[float, list[str]]:
    """Height of the map and its parts, from the back to the front."""
    known = [m for m in marks if m.place is not None]
    view = view_of([m.place for m in known if m.place is not None])
    parts = [
        tag("rect", x=0, y=0, width=WIDTH, height=view.height, class_="sea"),
        *_land(view),
    ]
    shown = sorted(arcs, key=lambda a: -a.use)[:MOST_ARCS]
    parts += [_arc(view, a) for a in reversed(shown)]
    blocked: list[Box] = []
    rings = []
    if len(known) > MOST_SINGLE:
        rings = _clusters(view, [m for m in known if m.kind >= 0])
        blocked = [_box(x, y, 18.0) for x, y, _ in rings]
        known = [m for m in known if m.kind < 0]
    at = _grouped(view, known)
    groups = _aside(at, blocked, view.height)
    parts += [
        tag("line", x1=a.x, y1=a.y, x2=b.x, y2=b.y, class_="lead")
        for a, b in zip(at, groups, strict=True)
        if (a.x, a.y) != (b.x, b.y)
    ]
    most = max((len(members) for *_, members in rings), default=1)
    parts += [_ring(x, y, members, most) for x, y, members in rings]
    parts += [_mark(g) for g in groups]
    parts += _labels(groups, blocked, view.height)
    return view.height, parts


def _land(view: View) -> list[str]:
    """The outlines, once or more often, wherever they meet the window."""
    scale, east = view.scale / _UNITS, view.west + WIDTH / view.scale
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        met = [o for o in land() if o.west + turn < east and o.east + turn > view.west]
        if not met:
            continue
        x, y = (turn - 180.0 - view.west) * view.scale, (view.north - 90.0) * view.scale
        move = f"translate({x:.1f} {y:.1f}) scale({scale:.5f})"
        path = "".join(o.path for o in met)
        parts.append(tag("path", d=path, class_="land", transform=move))
    return parts


def great_circle(a: Place, b: Place, steps: int = 24) -> list[Place]:
    """Places along the shortest way over the globe, ends included."""
    (la, lo), (lb, lp) = ((math.radians(v) for v in p) for p in (a, b))
    u = (math.cos(la) * math.cos(lo), math.cos(la) * math.sin(lo), math.sin(la))
    v = (math.cos(lb) * math.cos(lp), math.cos(lb) * math.sin(lp), math.sin(lb))
    angle = math.acos(max(-1.0, min(1.0, sum(p * q for p, q in zip(u, v, strict=True)))))
    if angle < 1e-9 or math.pi - angle < 1e-9:
        return [a, b]
    way = []
    for i in range(steps + 1):
        t = i / steps
        p, q = math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
        x, y, z = (p * m + q * n for m, n in zip(u, v, strict=True))
        way.append((math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))))
    return way


def _arc(view: View, arc: Arc) -> str:
    """A chain as one line, broken where it leaves the window on one side."""
    way: list[tuple[float, float]] = []
    pieces: list[list[tuple[float, float]]] = []
    for a, b in zip(arc.stops, arc.stops[1:], strict=False):
        for place in great_circle(a, b):
            x, y = view.at(place)
            if way and abs(x - way[-1][0]) > 180.0 * view.scale:
                pieces.append(way)
                way = []
            way.append((x, y))
    pieces.append(way)
    lines = "".join(tag("polyline", points=points(p)) for p in pieces if len(p) > 1)
    return tag(
        "g",
        tag("title", text(arc.detail)) + lines,
        class_=f"arc l{arc.series}",
        stroke_width=1.2 + 3.2 * arc.use,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Machines of one kind that would cover each other."""

    x: float
    y: float
    kind: int
    size: float
    names: tuple[str, ...]
    detail: str
    idle: bool


def _grouped(view: View, marks: Sequence[Mark]) -> list[_Group]:
    """One mark per kind and cell; kinds of one cell stand side by side."""
    cell = 13.0
    found: dict[tuple[int, int], dict[int, list[tuple[float, float, Mark]]]] = {}
    for mark in marks:
        assert mark.place is not None
        x, y = view.at(mark.place)
        key = (round(x / cell), round(y / cell))
        found.setdefault(key, {}).setdefault(mark.kind, []).append((x, y, mark))
    groups = []
    for kinds in found.values():
        for step, (kind, members) in enumerate(sorted(kinds.items(), key=lambda k: -len(k[1]))):
            turn, away = 1.26 * step, 17.0 if step else 0.0
            load = max(m.load for *_, m in members)
            lines = [m.detail for *_, m in members[:12]]
            if len(members) > 12:
                lines.append(f"and {len(members) - 12} more")
            groups.append(
                _Group(
                    x=sum(x for x, _, _ in members) / len(members) + away * math.cos(turn),
                    y=sum(y for _, y, _ in members) / len(members) + away * math.sin(turn),
                    kind=kind,
                    size=max(
                        5.0 + 5.0 * math.sqrt(load) + min(4.0, math.log2(len(members))),
                        8.5 if len(members) > 1 else 0.0,  # room for the number
                    ),
                    names=tuple(m.name for *_, m in members),
                    detail="\n".join(lines),
                    idle=load <= 0,
                )
            )
    return sorted(groups, key=lambda g: (g.kind < 0, -g.size))  # clients last


def _mark(group: _Group) -> str:
    if group.kind < 0:
        ring = tag("circle", cx=group.x, cy=group.y, r=8.0, class_="client")
        dot = tag(
            "circle", tag("title", text(group.detail)), cx=group.x, cy=group.y, r=3.0, class_="dot"
        )
        return ring + dot
    style = f"mark f{group.kind % SERIES}" + (" idle" if group.idle else "")
    drawn = marker(group.kind, group.x, group.y, group.size, class_=style, title=group.detail)
    if len(group.names) > 1:
        drawn += tag(
            "text",
            str(len(group.names)),
            x=group.x,
            y=group.y + 4,
            text_anchor="middle",
            class_="many" if group.idle else "count",
        )
    return drawn


def _clusters(view: View, marks: Sequence[Mark]) -> list[tuple[float, float, list[Mark]]]:
    """Machines gathered around the first of each neighbourhood; rings then never meet."""
    found: list[tuple[float, float, list[Mark]]] = []
    for mark in marks:
        assert mark.place is not None
        x, y = view.at(mark.place)
        near = next((c for c in found if math.hypot(c[0] - x, c[1] - y) < 34.0), None)
        if near is None:
            found.append((x, y, [mark]))
        else:
            near[2].append(mark)
    return found


def _aside(groups: Sequence[_Group], blocked: Sequence[Box], height: float) -> list[_Group]:
    """Marks moved off each other, the large ones least; clients to where their names fit too."""
    placed: list[_Group] = []
    taken = list(blocked)
    for group in groups:
        half = 9.0 if group.kind < 0 else group.size
        free = [
            moved
            for moved in _around(group)
            if not any(_meet(_box(moved.x, moved.y, half), other) for other in taken)
            and (moved == group or _inside(_box(moved.x, moved.y, half), height))
        ]
        chosen, label = free[0] if free else group, None
        if group.kind < 0:
            named = ((g, next(_name_boxes(g, taken, height), None)) for g in free)
            chosen, label = next(((g, n) for g, n in named if n), (chosen, None))
        taken.append(_box(chosen.x, chosen.y, half))
        if label is not None:
            taken.append(label[0])
        placed.append(chosen)
    return placed


def _around(group: _Group) -> Iterator[_Group]:
    """The group where it is, then ever farther from there."""
    yield group
    for away in (14.0, 20.0, 26.0, 32.0, 40.0, 50.0, 62.0):
        for step in range(16):
            turn = math.pi * step / 8
            x, y = group.x + away * math.cos(turn), group.y + away * math.sin(turn)
            yield replace(group, x=x, y=y)


def _box(x: float, y: float, half: float) -> Box:
    return (x - half, y - half, x + half, y + half)


def _inside(box: Box, height: float) -> bool:
    return box[0] > 2 and box[2] < WIDTH - 2 and box[1] > 2 and box[3] < height - 2


def _ring(x: float, y: float, members: Sequence[Mark], most: int) -> str:
    """How many machines, and in the ring around the number of which devices."""
    count = Counter(m.kind for m in members)
    r = max(9.0 + 5.0 * math.sqrt(len(members) / most), 4.0 + 3.4 * len(str(len(members))))
    used = sum(m.load > 0 for m in members)
    lines = [f"{len(members)} servers, {used} in use", *(m.detail for m in members[:8])]
    parts = [tag("title", text("\n".join([*lines, *(["..."] if len(members) > 8 else [])])))]
    parts.append(tag("circle", cx=x, cy=y, r=r, class_="hole"))
    around, at = 2 * math.pi * r, 0.0
    for kind, number in sorted(count.items()):
        share = number / len(members) * around
        parts.append(
            tag(
                "circle",
                cx=x,
                cy=y,
                r=r,
                class_=f"l{kind % SERIES}",
                stroke_width=4.5,
                stroke_dasharray=f"{share:.2f} {around - share:.2f}",
                stroke_dashoffset=f"{-at:.2f}",
            )
        )
        at += share
    parts.append(tag("text", str(len(members)), x=x, y=y + 4, text_anchor="middle", class_="many"))
    return tag("g", "".join(parts))


def _labels(groups: Sequence[_Group], blocked: Sequence[Box], height: float) -> list[str]:
    """Names where they fit without covering a mark or another name; clients first."""
    taken = [*blocked, *(_box(g.x, g.y, g.size) for g in groups)]
    parts = []
    for group in sorted(groups, key=lambda g: (g.kind >= 0, len(g.names), -g.size)):
        found = next(_name_boxes(group, taken, height), None)
        if found is not None:
            box, x, y, anchor = found
            taken.append(box)
            style = "label who" if group.kind < 0 else "label"
            name = text(group.names[0])
            parts.append(tag("text", name, x=x, y=y, text_anchor=anchor, class_=style))
    return parts


def _name_boxes(
    group: _Group, taken: Sequence[Box], height: float
) -> Iterator[tuple[Box, float, float, str]]:
    """Free places for the name of a single machine: its box, and where the text is anchored."""
    name = group.names[0] if len(group.names) == 1 else ""
    if not name or len(name) > 28:
        return
    wide = CHARACTER * len(name) * (1.06 if group.kind < 0 else 1.0) + 2
    for x, y, anchor in _beside(group):
        left = {"start": x, "end": x - wide, "middle": x - wide / 2}[anchor]
        box = (left, y - 11, left + wide, y + 3)
        if _inside(box, height) and not any(_meet(box, other) for other in taken):
            yield box, x, y, anchor


def _beside(group: _Group) -> Iterator[tuple[float, float, str]]:
    """Where a name may stand: around the mark, then a little farther for a client."""
    for far in (1.0, 2.2) if group.kind < 0 else (1.0,):
        gap = max(group.size, 8.0) * far + 3
        yield group.x + gap, group.y + 4, "start"
        yield group.x - gap, group.y + 4, "end"
        yield group.x, group.y - gap, "middle"
        yield group.x, group.y + gap + 9, "middle"
        yield group.x + gap * 0.8, group.y - gap * 0.8, "start"
        yield group.x + gap * 0.8, group.y + gap * 0.8 + 8, "start"
        yield group.x - gap * 0.8, group.y - gap * 0.8, "end"
        yield group.x - gap * 0.8, group.y + gap * 0.8 + 8, "end"


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
