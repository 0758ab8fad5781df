"""The report of a calibration: fits against their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..perfmodel.calibration import Calibration, CalibrationPoint
from ..render import number
from ..views.calibration import COLUMNS, point_rows
from .charts import fit
from .page import Section, write_report
from .svg import legend, table, tag, text


def report_calibration(path: Path, name: str, found: Sequence[Calibration]) -> None:
    """Every profile: its fit as curves through the rows, its terms, its points."""
    sections = [_section(i, one) for i, one in enumerate(found)]
    lead = f"{len(found)} profiles fitted to {found[0].source}."
    write_report(path, f"Calibration: {name}", lead, sections)


def _section(number_: int, one: Calibration) -> Section:
    parts = []
    for phase, unit in (("decode", "tokens in the cache"), ("prefill", "tokens of the prompt")):
        points = [p for p in one.points if p.phase == phase and p.batch == p.new_tokens == 1]
        if points:
            parts.append(_chart(f"fit-{number_}-{phase}", phase, unit, one, points))
    shown = tag("div", "".join(parts), class_="pair") + legend(("fit", "rows"), marks=True)
    terms = [[term, number(value)] for term, value in one.terms]
    marks = [tag("p", text(f"missing: {line}"), class_="note") for line in one.missing]
    marks += [tag("p", text(f"warning: {line}"), class_="note") for line in one.warnings]
    tables = table("Terms", ["figure", "value"], terms)
    tables += table("Rows, by the fit and by a fit without them", COLUMNS, point_rows(one))
    body = shown + "".join(marks) + tables
    return Section(name=f"profile-{number_}", title=one.name, body=body)


def _chart(
    name: str, phase: str, unit: str, one: Calibration, points: Sequence[CalibrationPoint]
) -> str:
    tokens = np.linspace(1, max(p.tokens for p in points), 400).tolist()
    measured = [(float(p.tokens), p.measured_s * 1e3) for p in points]
    line = [(t, one.said_s(phase, t) * 1e3) for t in tokens]
    return fit(name, f"{one.name}: {phase}, ms per block", unit, line, measured)
