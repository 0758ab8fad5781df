"""``swarmplan calibrate``: fit device profiles to measurements."""

from __future__ import annotations

from pathlib import Path

import click

from .. import render
from .outputs import writes, written
from .shared import FILE, handle_errors


@click.command()
@click.argument("measurements", type=FILE)
@click.option("--name", help="Name of the device profile [the file's name].")
@click.option("--model", help="Model of the catalogue, where no column says it.")
@click.option("--gpu", help="GPU, where no column says it: a data sheet's or the driver's name.")
@click.option("--precision", type=click.Choice(["bf16", "int8", "nf4"]), help="Likewise.")
@click.option("--style", help="How attention runs, likewise [petals where it is there].")
@click.option("-o", "--output", type=FILE, help="Write the device profile (JSON).")
@click.option("--report", "html", type=FILE, help="Write a self-contained HTML report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
@writes(output="profile", html="report")
def command(
    measurements: Path,
    name: str | None,
    model: str | None,
    gpu: str | None,
    precision: str | None,
    style: str | None,
    output: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Fit a device profile to measured block times.

    MEASUREMENTS is a CSV of phase, prompt_tokens, new_tokens, context_tokens, batch, precision,
    style and ms_per_block (with columns model and gpu where it holds several), or PETALS' own
    throughput_v5.json. Every model and precision is fitted for itself.
    """
    from ..perfmodel.calibrate import Given, calibrate_all
    from ..perfmodel.profilefile import write_profiles
    from ..views.calibration import calibration_document, print_calibration

    label = name or measurements.stem
    given = Given(model=model, gpu=gpu, precision=precision, style=style)
    found = calibrate_all(measurements, name=label, given=given)
    if output is not None:
        written(output, lambda path: write_profiles(path, label, found))
    if html is not None:
        from ..reports.calibration import report_calibration

        written(html, lambda path: report_calibration(path, label, found))
    if as_json:
        documents = [calibration_document(one) for one in found]
        render.print_json(documents[0] if len(documents) == 1 else {"profiles": documents})
    else:
        for one in found:
            print_calibration(one)
