"""Parts of the report about several runs: comparisons, changes, worths, sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.objective import SERVICE
from ..render import number
from ..simulator.compare import Comparison
from ..simulator.figures import EXPENSES, JUDGED_BY, compared, figures
from ..studies.change import Change, changed, difference, reason
from ..studies.outcome import PARTS
from ..studies.roles import Roles
from ..studies.sweepgroups import Group, compared_in, groups_of
from ..studies.worth import Worth
from ..views.roles import role_columns, role_rows, verdict_lines
from ..views.text import interval, mean_of, signed
from . import charts
from .page import Section
from .sections import long_table
from .svg import SERIES, folded, legend, table, tag, text


def comparison_section(comparison: Comparison) -> Section:
    """Every method with its intervals and its gain over the first."""
    base = comparison.rows[0].method
    shown = compared(comparison.runs, comparison.quality)
    judged = JUDGED_BY[comparison.quality]
    rows: list[list[object]] = []
    for row in comparison.rows:
        if row.error:
            rows.append([row.method, row.error])
            continue
        size = comparison.per_seed(row)
        cells = [mean_of(row.interval(f.shown, size)) for f in shown]
        gain = comparison.gain(row, judged.of)
        rows.append([row.method, *cells, "" if row.method == base else f"{gain.mean * 100:+.1f} %"])
    columns = ["method", *(f.title for f in shown), f"gain over {base}"]
    body = tag(
        "p",
        text(
            f"Mean over {len(comparison.seeds)} seeds with 95 % intervals; waiting rule "
            f"'{comparison.admission}'. Every method serves the same requests. Judged by: "
            f"{SERVICE[comparison.quality].words}."
        ),
        class_="note",
    )
    body += table("Methods side by side", columns, rows)
    notes = "".join(tag("li", text(f"{r.method}: {r.note}")) for r in comparison.rows)
    return Section(
        name="comparison",
        title="Methods side by side",
        body=body + tag("ul", notes, class_="plain"),
    )


def change_section(change: Change) -> Section:
    """Before and after, the parts of the response, the reason."""
    body = tag("ol", "".join(tag("li", text(t)) for t in change.edits) or " ")
    body += "".join(tag("p", text(reason(change.before, a))) for a in change.after)
    outcomes = [o for o in (change.before, *change.after) if o.served]
    if outcomes:
        stacks = {o.label: dict(zip(PARTS, o.parts_s, strict=True)) for o in outcomes}
        body += tag("h3", "Where the response time goes")
        body += charts.shares("parts-chart", "Parts of the mean response", "seconds", stacks)
        body += legend_boxes(PARTS)
    for after in change.after:
        if not (after.served and change.before.served):
            continue
        rows = []
        for figure in changed(change.before, after):
            a, b = (
                float(np.mean([figure.shown(r) for r in o.runs])) for o in (change.before, after)
            )
            rows.append(
                [
                    figure.title,
                    number(a),
                    number(b),
                    interval(difference(change.before, after, figure.shown)),
                ]
            )
        for part, a, b in zip(PARTS, change.before.parts_s, after.parts_s, strict=True):
            rows.append([f"of the response: {part} s", number(a), number(b), signed(b - a)])
        body += table(
            f"Before and {after.label}", ["metric", "before", after.label, "difference"], rows
        )
        body += folded(
            "Clients",
            table(
                "Clients",
                ["client", "response s before", after.label, "difference"],
                _client_rows(change, after.clients),
            ),
        )
    return Section(name="change", title="What changes", body=body)


def _client_rows(change: Change, clients: Sequence[Any]) -> list[list[object]]:
    was = {c.client: c for c in change.before.clients}
    return [
        [
            c.client,
            number(was[c.client].response_s),
            number(c.response_s),
            signed(c.response_s - was[c.client].response_s),
        ]
        for c in clients
        if c.client in was and c.requests
    ]


def legend_boxes(names: Sequence[str]) -> str:
    """A legend of filled boxes."""
    items = []
    for k, name in enumerate(names):
        box = tag("rect", x=2, y=2, width=24, height=12, class_=f"f{k % SERIES}")
        icon = tag("svg", box, viewBox="0 0 28 16", width=28, height=16, aria_hidden="true")
        items.append(tag("li", icon + tag("span", text(name))))
    return tag("ul", "".join(items), class_="legend")


def worth_section(found: Sequence[Worth]) -> Section:
    """Servers by what is lost without each."""
    rows = [
        (w.server, w.response_s.mean, w.response_s.half_width)
        for w in found
        if w.response_s.mean == w.response_s.mean
    ]
    body = tag(
        "p",
        "Response time without a server minus with it; below zero it makes things worse.",
        class_="note",
    )
    if rows:
        body += charts.bars("worth-chart", "Worth of each server", "seconds", rows)
    lines = [[w.server, w.verdict, interval(w.response_s), w.why] for w in found]
    body += long_table("Worth of each server", ["server", "verdict", "worth s", "why"], lines)
    return Section(name="worth", title="Worth of each server", body=body)


def roles_section(roles: Roles) -> Section:
    """What each server of a plan is for, and who could go."""
    body = "".join(tag("p", text(f"{line[0].upper()}{line[1:]}.")) for line in verdict_lines(roles))
    body += long_table("What each server is for", role_columns(roles), role_rows(roles))
    return Section(name="roles", title="What each server is for", body=body)


#: Reasons of failures that are listed.
MOST_REASONS = 30


def sweep_section(records: Sequence[dict[str, Any]]) -> Section:
    """Figures along the longest numeric list of the sweep, and the Pareto front."""
    groups = groups_of(records)
    axis = _axis(groups)
    body = ""
    names = list(dict.fromkeys(_series(g, axis) for g in groups))
    if axis is not None:
        body += _lines(groups, axis, names[:SERIES])
        if len(names) > SERIES:
            body += tag(
                "p",
                f"The first {SERIES} of {len(names)} series are drawn; the table has all.",
                class_="note",
            )
    spots = [
        (
            g.figures["tokens_per_s"].mean,
            g.figures["p95_response_s"].mean,
            names.index(_series(g, axis)),
            ", ".join([*([g.variant] if g.variant else []), *(f"{k} = {v}" for k, v in g.values)]),
            g.pareto,
        )
        for g in groups
    ]
    title = "Throughput and response: the Pareto front"
    body += tag("h3", title)
    body += charts.pareto(
        "pareto-chart", title, "output tokens per second", "response, 95th percentile, s", spots
    )
    body += legend(names[:SERIES], marks=True)
    keys = list(dict.fromkeys(k for g in groups for k, _ in g.values))
    named = any(g.variant for g in groups)
    told = figures("response_s", "p95_response_s", "ttft_s", "tokens_per_s")
    told += tuple(f for f in compared_in(groups) if f in EXPENSES)
    columns = [
        *(["variant"] if named else []),
        *keys,
        *(f.title for f in told),
        "completed",
        "Pareto",
    ]
    rows = []
    for g in groups:
        values = dict(g.values)
        cells = [mean_of(g.figures[f.id]) for f in told]
        rows.append(
            [
                *([g.variant] if named else []),
                *(values.get(k, "") for k in keys),
                *cells,
                f"{g.completed * 100:.1f} %",
                "yes" if g.pareto else "no",
            ]
        )
    body += long_table("All configurations, mean over seeds", columns, rows)
    failed = list(dict.fromkeys(e for g in groups for e in g.errors))
    if failed:
        body += tag("h3", "What failed")
        body += tag(
            "ul", "".join(tag("li", text(e)) for e in failed[:MOST_REASONS]), class_="plain"
        )
    return Section(name="sweep", title="Sweep", body=body)


def _axis(groups: Sequence[Group]) -> str | None:
    """The key with most different numbers."""
    found: dict[str, set[float]] = {}
    for group in groups:
        for key, value in group.values:
            if isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(key, set()).add(float(value))
    many = {k: len(v) for k, v in found.items() if len(v) > 1}
    return max(many, key=lambda k: many[k]) if many else None


def _series(group: Group, axis: str | None) -> str:
    rest = [f"{k} {v}" if not isinstance(v, str) else v for k, v in group.values if k != axis]
    return ", ".join([*([group.variant] if group.variant else []), *rest]) or "all"


def _lines(groups: Sequence[Group], axis: str, names: Sequence[str]) -> str:
    body = ""
    for i, figure in enumerate(figures("response_s", "ttft_s", "tokens_per_s")):
        series: dict[str, list[tuple[float, float, float]]] = {}
        for g in groups:
            name = _series(g, axis)
            if name in names:
                v = g.figures[figure.id]
                series.setdefault(name, []).append(
                    (float(dict(g.values)[axis]), v.mean, v.half_width)
                )
        title = f"{figure.title} by {axis}"
        chart = charts.bands(f"sweep-chart-{i}", title, axis, figure.title, series)
        body += tag("div", tag("h3", text(title)) + chart + legend(names))
    return tag("div", body, class_="pair")
