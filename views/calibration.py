"""A fitted device profile."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..perfmodel.calibration import Calibration
from ..render import milliseconds, number, print_lines, print_table

COLUMNS = (
    "phase", "tokens", "batch", "new", "measured ms", "fit ms", "fit error %", "held out ms",
    "error %",
)  # fmt: skip


def print_calibration(fitted: Calibration) -> None:
    """The fitted profile, the fit against the rows, and how well it predicts unseen ones."""
    print_table(
        f"Profile {fitted.name} from {fitted.source}",
        ["figure", "value"],
        [
            *([name, number(value)] for name, value in fitted.terms),
            ["fit error, median %", number(fitted.median_fit_error_percent)],
            ["fit error, worst %", number(fitted.max_fit_error_percent)],
            ["held-out error, mean %", number(fitted.mean_error_percent)],
            ["held-out error, worst %", number(fitted.max_error_percent)],
        ],
    )
    print_table("Points, by the fit and by a fit without them", COLUMNS, point_rows(fitted))
    remarks = [f"missing: {line}" for line in fitted.missing]
    print_lines(remarks + [f"warning: {w}" for w in fitted.warnings] or ["no warnings"])


def point_rows(fitted: Calibration) -> list[list[object]]:
    """Every measured point against the fit and against a fit without it."""
    return [
        [
            p.phase,
            p.tokens,
            p.batch,
            p.new_tokens,
            milliseconds(p.measured_s),
            milliseconds(p.fitted_s),
            number(p.fit_error_percent, 3),
            milliseconds(p.predicted_s),
            number(p.error_percent, 3),
        ]
        for p in fitted.points
    ]


def calibration_document(fitted: Calibration) -> dict[str, Any]:
    """The same for programs."""
    return asdict(fitted)
