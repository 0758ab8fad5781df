"""Printing results: tables on a terminal, TSV in a pipe, one JSON document with ``--json``.

stdout carries results only; progress, warnings and logs go to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

from .solve.progress import OnProgress
from .solve.progress import Progress as SearchState

if TYPE_CHECKING:
    from rich.table import Table

Progress = Callable[[int, int, str], None]

#: Characters of one message, cell or line; longer ones are nobody's names.
_LONGEST = 4_000
_LAYOUT = "\n\t"


def plain(text: str, *, keeps: str = "") -> str:
    """Text that a terminal does nothing about but show it: names may come from strangers.

    Control characters, also those that turn the direction of writing, become question marks;
    a name of a megabyte is cut.

    Parameters
    ----------
    keeps : control characters that stay.
    """
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() or c in keeps else "?" for c in cut)


def number(value: float | None, digits: int = 4) -> str:
    """A figure for people: ``digits`` significant digits, ``-`` when unknown."""
    if value is None or value != value:
        return "-"
    if isinstance(value, int):
        return str(value)
    if abs(value) < 1e-12:  # what rounding leaves of nothing
        return "0"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def milliseconds(seconds: float | None) -> str:
    """Seconds shown in ms."""
    return number(None if seconds is None else seconds * 1e3)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout, keys sorted; NaN and infinity become null."""
    sys.stdout.write(json.dumps(_strict(document), indent=2, sort_keys=True) + "\n")


def _strict(value: Any) -> Any:
    """Replace what strict JSON cannot carry."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(v) for v in value]
    if hasattr(value, "tolist"):
        return _strict(value.tolist())
    return value


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table: drawn on a terminal, tab-separated (after a ``# title`` line) in a pipe."""
    cells = [["" if c is None else plain(str(c)) for c in row] for row in rows]
    if not sys.stdout.isatty():
        lines = [f"# {title}"] if title else []
        lines += ["\t".join(columns), *("\t".join(row) for row in cells)]
        sys.stdout.write("\n".join(lines) + "\n\n")
        return
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    if title:
        print_lines([title])
    free = console.options.update(max_width=100_000)
    for compact in (False, True):
        table = _drawn(columns, cells, compact=compact)
        if Measurement.get(console, free, table).maximum <= console.width:
            console.print(table)
            print_lines([""] if compact else [])
            return
    print_lines([*_stacked(columns, cells), ""])


def _drawn(columns: Sequence[str], cells: Sequence[Sequence[str]], *, compact: bool) -> Table:
    """A table for a terminal; a compact one has no rules and breaks its headings."""
    from rich.box import HEAVY_HEAD, SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD if compact else HEAVY_HEAD,
        header_style="bold",
        pad_edge=not compact,
        show_edge=not compact,
        collapse_padding=compact,
    )
    for i, name in enumerate(columns):
        column = [row[i] for row in cells]
        words = max(map(len, (*column, *name.split())), default=1)
        heading = "\n".join(wrap(name, words)) if compact else name
        justify: Literal["left", "right"] = (
            "right" if i and all(map(_looks_numeric, column)) else "left"
        )
        table.add_column(Text(heading), justify=justify, no_wrap=True)
    for row in cells:
        table.add_row(*(Text(c) for c in row))
    return table


def _stacked(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table that is wider than the terminal, row by row: nothing of it is cut."""
    width = max(map(len, columns[1:]), default=0)
    for first, *rest in cells:
        yield first or "-"
        for name, cell in zip(columns[1:], rest, strict=True):
            if cell:
                yield f"  {name:<{width}}  {cell}"


def _looks_numeric(cell: str) -> bool:
    return not cell or cell[0] in "+-.0123456789"


def print_lines(lines: Sequence[str]) -> None:
    """Plain text on stdout, never interpreted as markup."""
    sys.stdout.write("".join(f"{plain(line, keeps=_LAYOUT)}\n" for line in lines))


def draws(asked: bool | None) -> bool:
    """Whether pictures are drawn: as asked, else where somebody looks."""
    return sys.stdout.isatty() if asked is None else asked


def writes(signs: str) -> bool:
    """Whether stdout can write some signs."""
    try:
        signs.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def note(message: str) -> None:
    """A line for the person at the terminal, on stderr; nothing depends on that it arrives."""
    with suppress(OSError):
        sys.stderr.write(plain(message, keeps=_LAYOUT) + "\n")


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A progress bar on stderr, silent when stderr is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, what: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int, what: str) -> None:
            # rich would read "[eu-1]" in a name as markup.
            text = plain(f"{label} {what}").replace("[", "\\[")
            bar.update(task, completed=done, total=total, description=text)

        yield update


@contextmanager
def solving(*, quiet: bool = False) -> Iterator[OnProgress]:
    """A line on stderr with incumbent, bound and gap, silent when stderr is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda state: None
        return
    from rich.console import Console

    with Console(stderr=True).status("searching") as line:

        def update(state: SearchState) -> None:
            reached = state.objective
            gap = "" if reached.gap is None else f", gap {reached.gap * 100:.3f} %"
            best, bound = number(reached.value), number(reached.bound)
            line.update(f"{state.elapsed_s:.0f} s: best {best}, bound {bound}{gap}")

        yield update
