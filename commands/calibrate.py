"""``swarmplan calibrate``: fit a device profile to measurements."""

from __future__ import annotations

from pathlib import Path

import click

from .. import render
from .outputs import writes, written
from .shared import FILE, handle_errors


@click.command()
@click.argument("measurements", type=FILE)
@click.option("--name", help="Name of the device profile [the file's name].")
@click.option("-o", "--output", type=FILE, help="Write the device profile (JSON).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
@writes(output="profile")
def command(measurements: Path, name: str | None, output: Path | None, as_json: bool) -> None:
    """Fit a device profile to measured block times.

    MEASUREMENTS is a CSV of phase, prompt_tokens, context_tokens, batch and ms_per_block, or
    PETALS' own throughput_v5.json.
    """
    from ..perfmodel.calibrate import calibrate_file, write_profile
    from ..views.calibration import calibration_document, print_calibration

    fitted = calibrate_file(measurements, name=name or measurements.stem)
    if output is not None:
        written(output, lambda path: write_profile(path, fitted))
    if as_json:
        render.print_json(calibration_document(fitted))
    else:
        print_calibration(fitted)
