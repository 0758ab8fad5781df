"""Methods side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..render import print_lines, print_table
from ..simulator.compare import Comparison, Row
from ..simulator.metrics import Interval, Summary
from .text import key, mean_of, percent

Figure = Callable[[Summary], float]

FIGURES: tuple[tuple[str, Figure], ...] = (
    ("response s", lambda s: s.response_s.mean),
    ("p95", lambda s: s.response_s.p95),
    ("TTFT s", lambda s: s.ttft_s.mean),
    ("per token ms", lambda s: s.tpot_s.mean * 1e3),
    ("waiting s", lambda s: s.wait_s.mean),
    ("tokens/s", lambda s: s.tokens_per_s),
    ("hops", lambda s: s.mean_hops),
)


def print_comparison(comparison: Comparison) -> None:
    """One row per method: mean and 95 % interval of each figure, gain over the first method."""
    base = comparison.rows[0].method
    columns = ["method", *(name for name, _ in FIGURES), "completed", f"gain over {base}"]
    rows: list[list[object]] = []
    for row in comparison.rows:
        if row.error:
            rows.append([row.method, *["-"] * len(FIGURES), "-", row.error])
            continue
        size = comparison.per_seed(row)
        cells = [mean_of(row.interval(figure, size)) for _, figure in FIGURES]
        done = sum(r.completed for r in row.runs) / sum(r.requests for r in row.runs)
        gain = comparison.gain(row, lambda s: s.response_s.mean)
        rows.append(
            [row.method, *cells, percent(done), "" if row is comparison.rows[0] else _gain(gain)]
        )
    print_table(
        f"Mean over {len(comparison.seeds)} seeds (95 % interval), waiting rule "
        f"'{comparison.admission}', {comparison.join_orders} join orders for PETALS",
        columns,
        rows,
    )
    if comparison.alloc_delay_s:
        print_lines([f"testbed constant in force: {comparison.alloc_delay_s:g} s per request"])


def _gain(value: Interval) -> str:
    if value.mean != value.mean:
        return "-"
    spread = "" if value.half_width != value.half_width else f" ± {value.half_width * 100:.1f}"
    return f"{value.mean * 100:+.1f}{spread} %"


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Everything that the table shows and every run behind it."""
    return {
        "admission": comparison.admission,
        "seeds": list(comparison.seeds),
        "join_orders": comparison.join_orders,
        "testbed_alloc_delay_s": comparison.alloc_delay_s,
        "methods": [_row_document(comparison, row) for row in comparison.rows],
    }


def _row_document(comparison: Comparison, row: Row) -> dict[str, Any]:
    document: dict[str, Any] = {"method": row.method, "note": row.note, "error": row.error}
    if row.error:
        return document
    size = comparison.per_seed(row)
    for name, figure in FIGURES:
        document[key(name)] = asdict(row.interval(figure, size))
    document["gain_over_first"] = asdict(comparison.gain(row, lambda s: s.response_s.mean))
    document["runs"] = [asdict(r) for r in row.runs]
    return document
