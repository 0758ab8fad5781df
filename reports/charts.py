"""Charts as inline SVG: distributions, coverage, occupancy, shares, sweeps, Pareto fronts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.plan import Placement
from ..core.problem import Problem
from .svg import CHARACTER, DASHES, SERIES, Axes, drawing, marker, points, tag, text

#: Rows of the coverage chart that get a name of their own; more are put together by span.
MOST_ROWS = 48


def distribution(name: str, title: str, unit: str, values: Mapping[str, FloatArray]) -> str:
    """Cumulative distributions, one line per method; each point is a percentile."""
    shares = np.linspace(0, 1, 101)
    lines = {m: np.quantile(v, shares) for m, v in values.items() if len(v)}
    if not lines:
        return tag("p", "No request completed.", class_="note")
    low, high = (f([f(q) for q in lines.values()]) for f in (min, max))
    span = float(low), float(high)
    axes = Axes(span, (0, 100), width=480.0, log_x=bool(high > 20 * max(low, 1e-9)))
    parts = axes.frame(unit, "% of requests", None)
    for i, quantiles in enumerate(lines.values()):
        way = [(axes.x(float(q)), axes.y(100 * s)) for q, s in zip(quantiles, shares, strict=True)]
        parts.append(_line(i, way))
    told = "; ".join(
        f"{m}: half within {q[50]:.3g}, 95 % within {q[95]:.3g}" for m, q in lines.items()
    )
    return drawing(axes.width, axes.height, title, told, parts, name)


def _line(series: int, way: Sequence[tuple[float, float]]) -> str:
    k = series % SERIES
    return tag(
        "polyline", points=points(way), class_=f"line l{k}", stroke_dasharray=DASHES[k] or None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    name: str
    kind: int
    start: int
    end: int


def coverage(name: str, problem: Problem, placement: Placement, kinds: Mapping[str, int]) -> str:
    """Which server holds which blocks, under how often each block is held."""
    length = problem.model.num_blocks
    rows, together = _rows(problem, placement, kinds)
    step = 17.0 if len(rows) <= 2 * MOST_ROWS else max(1.2, 560.0 / len(rows))
    shown = [r.name for r in rows] if step >= 12 else []
    wide = min(230.0, max((CHARACTER * len(n) + 20 for n in shown), default=60.0))
    axes = Axes((0, length), (0, 1), width=960.0, height=200.0, left=max(58.0, wide))
    counts = placement.coverage(length)
    top = _redundancy(axes, counts)
    first = axes.bottom + 52.0
    parts = list(top)
    for i, row in enumerate(rows):
        y = first + i * step
        parts.append(
            tag(
                "rect",
                tag("title", text(f"{row.name}: blocks {row.start} to {row.end - 1}")),
                x=axes.x(row.start),
                y=y,
                width=axes.x(row.end) - axes.x(row.start),
                height=max(1.2, step - 3) if step > 5 else step,
                class_=f"f{row.kind % SERIES}",
                fill_opacity=0.85,
            )
        )
        if shown:
            cut = int((wide - 10) / CHARACTER)
            label = row.name if len(row.name) <= cut else row.name[: cut - 1] + "…"
            parts.append(
                tag("text", text(label), x=axes.left - 6, y=y + step - 5, text_anchor="end")
            )
            span = f"{row.start}:{row.end}"
            if axes.x(row.end) - axes.x(row.start) > CHARACTER * len(span) + 8:
                parts.append(
                    tag("text", span, x=axes.x(row.start) + 4, y=y + step - 5, class_="inside")
                )
    height = first + len(rows) * step + 8
    told = (
        f"{length} blocks; the rarest is held by {int(counts.min())} servers, the most common by "
        f"{int(counts.max())}"
        + ("; servers with the same device and blocks are drawn as one row" if together else "")
    )
    return drawing(axes.width, height, "Blocks and who holds them", told, parts, name)


def _redundancy(axes: Axes, counts: IntArray) -> list[str]:
    most = int(counts.max())
    axes.y_range = (0.0, float(max(1, most)))
    parts = axes.frame("block", "servers holding it")
    for b, count in enumerate(counts.tolist()):
        if count:
            parts.append(
                tag(
                    "rect",
                    x=axes.x(b),
                    y=axes.y(float(count)),
                    width=max(0.8, axes.x(b + 1) - axes.x(b) - 0.8),
                    height=axes.bottom - axes.y(float(count)),
                    class_="f0",
                    fill_opacity=0.85,
                )
            )
    return parts


def _rows(
    problem: Problem, placement: Placement, kinds: Mapping[str, int]
) -> tuple[list[_Row], bool]:
    """Servers by their first block; on large swarms those with the same device and span as one."""
    busy = [j for j in range(problem.num_servers) if placement.span(j) is not None]
    busy.sort(key=lambda j: (int(placement.start[j]), int(placement.end[j]), j))
    found: dict[tuple[int, int, str], list[int]] = {}
    together = len(busy) > MOST_ROWS
    for j in busy:
        server = problem.servers[j]
        own = server.device if together else f"{server.device}\n{server.id}"
        found.setdefault((int(placement.start[j]), int(placement.end[j]), own), []).append(j)
    rows = [
        _Row(
            name=(
                problem.servers[members[0]].id
                if len(members) == 1
                else f"{len(members)} x {problem.servers[members[0]].device}"
            ),
            kind=kinds.get(problem.servers[members[0]].device, 0),
            start=start,
            end=end,
        )
        for (start, end, _), members in found.items()
    ]
    return rows, together


def occupancy(name: str, times_s: FloatArray, share: FloatArray) -> str:
    """Caches over time: the whole swarm, and the middle 80 % and the fullest of the servers.

    ``share``: (T, n) of each server's own pool, columns without a pool left out by the caller.
    """
    if not len(times_s) or not share.size:
        return tag("p", "No cache was in use.", class_="note")
    axes = Axes((0.0, float(times_s[-1]) or 1.0), (0.0, 100.0), width=960.0)
    parts = axes.frame("seconds since the first request", "% of the cache in use")
    low, middle, high, most = np.quantile(100 * share, [0.1, 0.5, 0.9, 1.0], axis=1)
    xs = [axes.x(float(t)) for t in times_s]
    band = [(x, axes.y(float(v))) for x, v in zip(xs, high, strict=True)]
    band += [(x, axes.y(float(v))) for x, v in zip(reversed(xs), reversed(low), strict=True)]
    parts.append(tag("polygon", points=points(band), class_="band f0"))
    for k, values in enumerate((middle, most)):
        parts.append(_line(k, [(x, axes.y(float(v))) for x, v in zip(xs, values, strict=True)]))
    told = f"median server at most {middle.max():.0f} %, fullest server at most {most.max():.0f} %"
    return drawing(axes.width, axes.height, "Cache in use over time", told, parts, name)


def shares(name: str, title: str, unit: str, parts_of: Mapping[str, Mapping[str, float]]) -> str:
    """Stacked bars: what a total is made of, one bar per row."""
    totals = {row: sum(max(0.0, v) for v in values.values()) for row, values in parts_of.items()}
    left = min(260.0, max(CHARACTER * len(r) + 22 for r in parts_of))
    axes = Axes(
        (0.0, max([*totals.values(), 1e-9])),
        (0, 1),
        height=58.0 + 34.0 * len(parts_of),
        left=left,
        right=60.0,
    )
    parts = axes.frame(unit, "")
    for i, (row, values) in enumerate(parts_of.items()):
        y, at = axes.top + 6 + 34.0 * i, 0.0
        parts.append(tag("text", text(row), x=left - 8, y=y + 16, text_anchor="end"))
        for k, (part, value) in enumerate(values.items()):
            if value > 0:
                x = axes.x(at)
                parts.append(
                    tag(
                        "rect",
                        tag("title", text(f"{row}: {part} {value:.3g} {unit}")),
                        x=x,
                        y=y,
                        width=max(0.5, axes.x(at + value) - x - 1),
                        height=24,
                        class_=f"f{k % SERIES}",
                    )
                )
                at += value
        parts.append(tag("text", f"{totals[row]:.3g}", x=axes.x(at) + 5, y=y + 16))
    told = "; ".join(f"{r}: {t:.3g} {unit}" for r, t in totals.items())
    return drawing(axes.width, axes.height, title, told, parts, name)


def bars(
    name: str, title: str, unit: str, rows: Sequence[tuple[str, float, float]], most: int = 60
) -> str:
    """Values around zero with their intervals, one bar per row; the ends of a long list."""
    if len(rows) > most:
        rows = [*rows[: most // 2], *rows[-most // 2 :]]
    reach = [v + d * (0 if math.isnan(h) else h) for _, v, h in rows for d in (-1, 1)]
    left = min(260.0, max(CHARACTER * len(r[0]) + 22 for r in rows))
    axes = Axes(
        (min([0.0, *reach]), max([0.0, *reach, 1e-9])),
        (0, 1),
        height=58.0 + 20.0 * len(rows),
        left=left,
    )
    parts = axes.frame(unit, "")
    for i, (row, value, half) in enumerate(rows):
        y = axes.top + 4 + 20.0 * i
        a, b = sorted((axes.x(0.0), axes.x(value)))
        parts.append(tag("text", text(row), x=left - 8, y=y + 11, text_anchor="end"))
        series = 0 if value >= 0 else 1
        parts.append(tag("rect", x=a, y=y, width=max(1.0, b - a), height=13, class_=f"f{series}"))
        if half == half and half > 0:
            ends = axes.x(value - half), axes.x(value + half)
            parts.append(
                tag("line", x1=ends[0], x2=ends[1], y1=y + 6.5, y2=y + 6.5, class_="client")
            )
    told = f"from {rows[0][0]} with {rows[0][1]:.3g} to {rows[-1][0]} with {rows[-1][1]:.3g} {unit}"
    return drawing(axes.width, axes.height, title, told, parts, name)


def bands(
    name: str,
    title: str,
    x_name: str,
    y_name: str,
    series: Mapping[str, Sequence[tuple[float, float, float]]],
) -> str:
    """Lines of (x, mean, half-width of the 95 % interval) with their bands."""
    known = [p for values in series.values() for p in values if p[1] == p[1]]
    if not known:
        return tag("p", "Nothing was served.", class_="note")
    halves = [0.0 if h != h else h for _, _, h in known]
    xs = sorted({p[0] for p in known})
    top = max(m + h for (_, m, _), h in zip(known, halves, strict=True))
    low = min(m - h for (_, m, _), h in zip(known, halves, strict=True))
    axes = Axes(
        (xs[0], xs[-1]),
        (max(0.0, low - 0.08 * (top - low)), top),
        width=480.0,
        log_x=len(xs) > 2 and xs[0] > 0 and xs[-1] / xs[0] >= 8,
    )
    parts = axes.frame(x_name, y_name, xs if len(xs) <= 8 else None)
    for i, values in enumerate(series.values()):
        way = sorted(p for p in values if p[1] == p[1])
        edge = [(axes.x(x), axes.y(m + (0 if h != h else h))) for x, m, h in way]
        edge += [
            (axes.x(x), axes.y(max(axes.y_range[0], m - (0 if h != h else h))))
            for x, m, h in reversed(way)
        ]
        parts.append(tag("polygon", points=points(edge), class_=f"band f{i % SERIES}"))
        line = [(axes.x(x), axes.y(m)) for x, m, _ in way]
        parts.append(_line(i, line))
        parts += [marker(i, x, y, 3.6, class_=f"mark f{i % SERIES}") for x, y in line]
    told = "; ".join(f"{n}: from {v[0][1]:.3g} to {v[-1][1]:.3g}" for n, v in series.items() if v)
    return drawing(axes.width, axes.height, title, told, parts, name)


def pareto(
    name: str,
    title: str,
    x_name: str,
    y_name: str,
    spots: Sequence[tuple[float, float, int, str, bool]],
) -> str:
    """Points (x, y, series, words, on the front) and the front as steps; low y, high x is best."""
    known = [s for s in spots if s[0] == s[0] and s[1] == s[1]]
    if not known:
        return tag("p", "Nothing was served.", class_="note")
    xs, ys = [s[0] for s in known], [s[1] for s in known]
    pad = 0.06 * (max(xs) - min(xs)), 0.08 * (max(ys) - min(ys))
    axes = Axes(
        (min(xs) - pad[0], max(xs) + pad[0]),
        (max(0.0, min(ys) - pad[1]), max(ys) + pad[1]),
        width=640.0,
        height=360.0,
    )
    parts = axes.frame(x_name, y_name)
    front = sorted((x, y) for x, y, _, _, on in known if on)
    way: list[tuple[float, float]] = []
    for x, y in front:
        if way:
            way.append((way[-1][0], axes.y(y)))
        way.append((axes.x(x), axes.y(y)))
    if len(way) > 1:
        parts.append(tag("polyline", points=points(way), class_="front"))
    for x, y, series, words, on in sorted(known, key=lambda s: s[4]):
        style = f"mark f{series % SERIES}"
        parts.append(
            marker(
                series,
                axes.x(x),
                axes.y(y),
                6.5 if on else 4.0,
                class_=style,
                fill_opacity=None if on else 0.55,
                title=words,
            )
        )
    told = f"{len(front)} of {len(known)} are on the front, drawn larger and joined by a line"
    return drawing(axes.width, axes.height, title, told, parts, name)


def fit(
    name: str,
    title: str,
    x_name: str,
    line: Sequence[tuple[float, float]],
    measured: Sequence[tuple[float, float]],
) -> str:
    """A fitted curve and what was measured, milliseconds."""
    every = [*line, *measured]
    x_span = 0.0, max(x for x, _ in every)
    axes = Axes(x_span, (0.0, 1.05 * max(y for _, y in every)), width=480.0)
    parts = axes.frame(x_name, "ms per block")
    parts.append(_line(0, [(axes.x(x), axes.y(y)) for x, y in line]))
    parts += [
        marker(1, axes.x(x), axes.y(y), 4.5, class_="mark f1", title=f"{x:g}: {y:.3g} ms")
        for x, y in measured
    ]
    told = "; ".join(f"{x:g}: {y:.3g} ms" for x, y in sorted(measured))
    return drawing(axes.width, axes.height, title, told, parts, name)
