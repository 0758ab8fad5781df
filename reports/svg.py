"""Small pieces of SVG and HTML: elements, scales, axes, series that differ in more than colour."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

#: Dash patterns beside the colours ``--s0`` ... of the style sheet (Okabe and Ito's palette).
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "5 2 1 2", "1 4", "14 3 3 3")
SERIES = len(DASHES)
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "down", "hexagon", "bar")
#: Width of a character of the 12-pixel text in pixels, on average; for labels that must not meet.
CHARACTER = 6.6


def text(value: object) -> str:
    """Escaped for HTML and SVG."""
    return html.escape(str(value), quote=True)


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """An element; ``_`` in names becomes ``-``, attributes that are None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def _short(value: object) -> object:
    """One decimal is enough on a screen."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def drawing(
    width: float,
    height: float,
    title: str,
    description: str,
    parts: Iterable[str],
    name: str,
    *,
    fits: bool = False,
) -> str:
    """An SVG image with a name and a description for screen readers.

    Parameters
    ----------
    fits : whether it shrinks with its column; otherwise it is scrolled, its text stays readable.
    """
    head = tag("title", text(title), id=f"{name}-t") + tag(
        "desc", text(description), id=f"{name}-d"
    )
    image = tag(
        "svg",
        head + "".join(parts),
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{name}-t",
        aria_describedby=f"{name}-d",
        class_="fits" if fits else None,
        style=f"max-width:{width:g}px" + ("" if fits else f";min-width:{0.95 * width:.0f}px"),
    )
    return tag("div", image, class_="scroll", tabindex="0", role="group", aria_label=title)


def points(pairs: Iterable[tuple[float, float]]) -> str:
    """The ``points`` of a polyline."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def marker(shape: int, x: float, y: float, r: float, **attributes: object) -> str:
    """A mark whose area hardly depends on its shape."""
    kind = SHAPES[shape % len(SHAPES)]
    title = attributes.pop("title", None)
    inner = "" if title is None else tag("title", text(title))
    if kind == "circle":
        return tag("circle", inner, cx=x, cy=y, r=r, **attributes)
    if kind == "square":
        side = 1.8 * r
        return tag(
            "rect", inner, x=x - side / 2, y=y - side / 2, width=side, height=side, **attributes
        )
    if kind == "bar":
        return tag("rect", inner, x=x - r / 2, y=y - 1.4 * r, width=r, height=2.8 * r, **attributes)
    return tag("path", inner, d=_outline(kind, x, y, r), **attributes)


def _outline(kind: str, x: float, y: float, r: float) -> str:
    if kind == "cross":
        a, b = 1.2 * r, 0.45 * r
        corners = [(-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b)]
        corners += [(b, a), (-b, a), (-b, b), (-a, b), (-a, -b), (-b, -b)]
    else:
        sides, turn, size = {
            "triangle": (3, -90.0, 1.35),
            "down": (3, 90.0, 1.35),
            "diamond": (4, -90.0, 1.25),
            "hexagon": (6, 0.0, 1.1),
        }[kind]
        angles = [math.radians(turn + 360 / sides * i) for i in range(int(sides))]
        corners = [(size * r * math.cos(a), size * r * math.sin(a)) for a in angles]
    return "M" + "L".join(f"{x + a:.1f} {y + b:.1f}" for a, b in corners) + "Z"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span a range."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def figure(value: float) -> str:
    """A tick in as few characters as say it."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


class Axes:
    """A frame with scales: data to pixels, grid, ticks and names of both axes."""

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        *,
        width: float = 640.0,
        height: float = 300.0,
        left: float = 58.0,
        right: float = 16.0,
        log_x: bool = False,
    ) -> None:
        self.width, self.height = width, height
        self.left, self.top = left, 12.0
        self.right, self.bottom = width - right, height - 46.0
        self.log_x = log_x and x_range[0] > 0
        self.x_range, self.y_range = _open(x_range), _open(y_range)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x_range
        if self.log_x:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def frame(self, x_name: str, y_name: str, x_ticks: Sequence[float] | None = None) -> list[str]:
        """Grid lines, tick labels and axis names; without a name of y only those of x."""
        parts = []
        for value in x_ticks or (self._log_ticks() if self.log_x else ticks(*self.x_range, 6)):
            at = self.x(value)
            parts.append(tag("line", x1=at, x2=at, y1=self.top, y2=self.bottom, class_="grid"))
            parts.append(tag("text", figure(value), x=at, y=self.bottom + 16, text_anchor="middle"))
        for value in ticks(*self.y_range, 5) if y_name else ():
            at = self.y(value)
            parts.append(tag("line", x1=self.left, x2=self.right, y1=at, y2=at, class_="grid"))
            parts.append(tag("text", figure(value), x=self.left - 7, y=at + 4, text_anchor="end"))
        middle, centre = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        parts.append(
            tag(
                "text",
                text(x_name),
                x=middle,
                y=self.height - 8,
                text_anchor="middle",
                class_="axis",
            )
        )
        if not y_name:
            return parts
        parts.append(
            tag(
                "text",
                text(y_name),
                transform=f"translate(13 {centre:.0f}) rotate(-90)",
                text_anchor="middle",
                class_="axis",
            )
        )
        return parts

    def _log_ticks(self) -> list[float]:
        low, high = self.x_range
        found = [
            m * 10.0**e
            for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for m in (1, 2, 5)
        ]
        inside = [v for v in found if low <= v <= high]
        return inside if len(inside) <= 9 else inside[::3]


def _open(span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def legend(names: Sequence[str], *, marks: bool = False) -> str:
    """Names beside their colour and dash (or shape); wraps on narrow screens."""
    items = []
    for i, name in enumerate(names):
        k = i % SERIES
        if marks:
            sample = marker(k, 14, 8, 5, class_=f"f{k}")
        else:
            dash = DASHES[k] or None
            sample = tag("line", x1=1, x2=27, y1=8, y2=8, class_=f"l{k}", stroke_dasharray=dash)
        icon = tag("svg", sample, viewBox="0 0 28 16", width=28, height=16, aria_hidden="true")
        items.append(tag("li", icon + tag("span", text(name))))
    return tag("ul", "".join(items), class_="legend")


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    cards: bool = False,
) -> str:
    """A table that scrolls inside its own box; numbers to the right.

    Parameters
    ----------
    cards : whether each row becomes a block of its own on a phone, without its empty cells; else
        the table is scrolled there, too.
    """
    lines = [list(row) for row in rows]
    right = [
        bool(lines) and all(_numeric(row[i]) for row in lines if i < len(row))
        for i in range(len(columns))
    ]
    body = []
    for row in lines:
        cells = [
            tag(
                "td" if i else "th",
                text("" if cell is None else cell) or "&#160;",
                scope=None if i else "row",
                class_=_cell_class(cell, numeric=0 < i < len(right) and right[i], cards=cards),
                data_label=columns[i] if cards and 0 < i < len(columns) else None,
            )
            for i, cell in enumerate(row)
        ]
        body.append(tag("tr", "".join(cells)))
    head = "".join(
        tag("th", text(c) or "&#160;", scope="col", class_="n" if i and right[i] else None)
        for i, c in enumerate(columns)
    )
    inner = (
        tag("caption", text(caption))
        + tag("thead", tag("tr", head))
        + tag("tbody", "".join(body) or " ")
    )
    return tag(
        "div",
        tag("table", inner, class_="cards" if cards else None),
        class_="scroll",
        tabindex="0",
        role="group",
        aria_label=caption,
    )


def _cell_class(cell: object, *, numeric: bool, cards: bool) -> str | None:
    kinds = ["n"] if numeric else []
    kinds += ["none"] if cards and cell in ("", "-", None) else []
    return " ".join(kinds) or None


def _numeric(cell: object) -> bool:
    return str(cell)[:1] in tuple("+-.0123456789") or cell in ("", None)


def folded(summary: str, content: str) -> str:
    """Content that opens on demand, by mouse or keyboard."""
    return tag("details", tag("summary", text(summary)) + content)
