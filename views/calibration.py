"""A fitted device profile."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..perfmodel.calibrate import Calibration
from ..render import milliseconds, number, print_lines, print_table


def print_calibration(fitted: Calibration) -> None:
    """The fitted profile and how well it predicts points it has not seen."""
    print_table(
        f"Profile {fitted.name} from {fitted.source}",
        ["figure", "value"],
        [
            *([name, number(value)] for name, value in fitted.terms),
            ["held-out error, mean %", number(fitted.mean_error_percent)],
            ["held-out error, worst %", number(fitted.max_error_percent)],
        ],
    )
    print_table(
        "Points, each predicted by a fit without it",
        ["phase", "tokens", "batch", "measured ms", "predicted ms", "error %"],
        [
            [
                p.phase,
                p.tokens,
                p.batch,
                milliseconds(p.measured_s),
                milliseconds(p.predicted_s),
                number(p.error_percent, 3),
            ]
            for p in fitted.points
        ],
    )
    print_lines([f"warning: {w}" for w in fitted.warnings] or ["no warnings"])


def calibration_document(fitted: Calibration) -> dict[str, Any]:
    """The same for programs."""
    return asdict(fitted)
