"""Methods side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..core.objective import SERVICE
from ..methods.certify import load_in_words
from ..perfmodel.cost import CostModel
from ..render import print_lines, print_table
from ..simulator.compare import Comparison, Row
from ..simulator.figures import JUDGED_BY, compared
from ..simulator.metrics import Interval
from .text import assumed, mean_of, percent


def print_comparison(comparison: Comparison) -> None:
    """One row per method: mean and 95 % interval of each figure, gain over the first method."""
    base, judged = comparison.rows[0].method, JUDGED_BY[comparison.quality]
    shown = compared(comparison.runs, comparison.quality)
    columns = ["method", *(f.title for f in shown), "completed", f"gain over {base}"]
    rows: list[list[object]] = []
    for row in comparison.rows:
        if row.error:
            rows.append([row.method, *["-"] * len(shown), "-", row.error])
            continue
        size = comparison.per_seed(row)
        cells = [mean_of(row.interval(f.shown, size)) for f in shown]
        done = sum(r.completed for r in row.runs) / sum(r.requests for r in row.runs)
        gain = comparison.gain(row, judged.of)
        rows.append(
            [row.method, *cells, percent(done), "" if row is comparison.rows[0] else _gain(gain)]
        )
    print_table(
        f"Mean over {len(comparison.seeds)} seeds (95 % interval), waiting rule "
        f"'{comparison.admission}', {comparison.join_orders} join orders for PETALS",
        columns,
        rows,
    )
    goal = SERVICE[comparison.quality]
    lines = [f"judged by, and routed for where a method's router can: {goal.words}"]
    lines += [load_in_words(CostModel.of(comparison.problem)), *assumed(comparison.problem)]
    if comparison.alloc_delay_s:
        lines.append(f"testbed constant in force: {comparison.alloc_delay_s:g} s per request")
    print_lines(lines)


def _gain(value: Interval) -> str:
    if value.mean != value.mean:
        return "-"
    spread = "" if value.half_width != value.half_width else f" ± {value.half_width * 100:.1f}"
    return f"{value.mean * 100:+.1f}{spread} %"


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Everything that the table shows and every run behind it."""
    return {
        "admission": comparison.admission,
        "judged_by": JUDGED_BY[comparison.quality].id,
        "seeds": list(comparison.seeds),
        "join_orders": comparison.join_orders,
        "testbed_alloc_delay_s": comparison.alloc_delay_s,
        "independent_servers": list(comparison.problem.independent),
        "methods": [_row_document(comparison, row) for row in comparison.rows],
    }


def _row_document(comparison: Comparison, row: Row) -> dict[str, Any]:
    document: dict[str, Any] = {"method": row.method, "note": row.note, "error": row.error}
    if row.error:
        return document
    size = comparison.per_seed(row)
    for figure in compared(row.runs, comparison.quality):
        document[figure.id] = asdict(row.interval(figure.of, size))
    document["gain_over_first"] = asdict(comparison.gain(row, JUDGED_BY[comparison.quality].of))
    document["runs"] = [asdict(r) for r in row.runs]
    return document
