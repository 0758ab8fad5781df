"""How well block times are known: fitted, by the formula alone, for models that were left out.

    python benchmarks/block_times.py GPU_DATA_DIR [--rows]

GPU_DATA_DIR holds own_h100.csv: blocks as PETALS runs them (style ``petals``) on H100s. Minima,
batch 1, contexts to 8,192, prompts from 128 tokens. ``before`` is the formula that scaled by bytes
(bandwidth and arithmetic of the data sheet alone).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from derive_profiles import BEFORE, LONGEST, own_kernels
from rich.console import Console
from rich.table import Table

from swarmplan.core.problem import ModelSpec, Timing
from swarmplan.perfmodel.calibrate import calibrate_rows, kernel_points
from swarmplan.perfmodel.catalogue import block_parameters, model_spec
from swarmplan.perfmodel.kernelfit import ANEW, SHORTEST_PROMPT, fit_kernels
from swarmplan.perfmodel.kernels import DataSheet, Kernels, estimated_timing
from swarmplan.perfmodel.measurements import Measurement, of_blocks, read_measurements
from swarmplan.perfmodel.roofline import GPUS
from swarmplan.perfmodel.timing import prefill_s, step_s

Row = tuple[Measurement, float]
Predict = Callable[[Sequence[Measurement], Sequence[Measurement]], list[float]]
H100 = GPUS["H100-SXM"]
#: GPUs that halves of the rows are calibrated for: constants of H100s, another data sheet.
PRETENDED = {"as H100": "H100-SXM", "as H200": "H200", "as A100": "A100-80GB"}


def rows_of(folder: Path) -> list[Measurement]:
    """The rows that are judged."""
    return [
        m
        for m in of_blocks(read_measurements(folder / "own_h100.csv"))
        if m.style == "petals" and m.batch == 1 and m.phase in ("decode", "prefill")
        if m.tokens <= LONGEST and (m.phase == "decode" or m.tokens >= SHORTEST_PROMPT)
    ]


def predicted_s(timing: Timing, m: Measurement) -> float:
    """What a timing says of a row."""
    return float((prefill_s if m.phase == "prefill" else step_s)(timing, m.tokens))


def scaled_by_bytes(model: ModelSpec, sheet: DataSheet) -> Timing:
    """The estimate as it was: nothing but bandwidth and arithmetic of the data sheet."""
    bandwidth = 0.75 * sheet.bandwidth_bytes_per_s
    weights_s = model.whole_bytes / model.num_blocks / bandwidth
    return Timing(
        decode_base_s=weights_s,
        decode_per_context_token_s=model.mean_cache_bytes_per_token / bandwidth,
        prefill_floor_s=weights_s,
        prefill_per_token_s=2.0 * block_parameters(model) / (0.65 * sheet.flops_per_s),
    )


def before(rows: Sequence[Measurement]) -> list[Row]:
    """Time by bytes."""
    return [(m, predicted_s(scaled_by_bytes(_spec(m), H100), m)) for m in rows]


def fitted(rows: Sequence[Measurement], kernels: Kernels) -> list[Row]:
    """Each model and precision by the profile fitted to it."""
    return _calibrated(rows, rows, kernels)


def by_formula(rows: Sequence[Measurement], kernels: Kernels) -> list[Row]:
    """Nothing but the constants of kernels and hosts, and the configuration of the model."""
    return [(m, predicted_s(estimated_timing(_spec(m), H100, kernels), m)) for m in rows]


def left_out(rows: Sequence[Measurement]) -> list[Row]:
    """Each model by constants that were fitted without it."""
    found: list[Row] = []
    for model in sorted({m.model for m in rows}):
        rest = kernel_points([m for m in rows if m.model != model])
        kernels = fit_kernels(rest, H100, BEFORE, ANEW)
        found += by_formula([m for m in rows if m.model == model], kernels)
    return found


def halves(rows: Sequence[Measurement], kernels: Kernels, gpu: str) -> Iterator[list[Row]]:
    """Calibrated on half of the rows, told of the other half: even, odd and eight random ones."""
    known = [replace(m, gpu=gpu) for m in rows]
    order = [np.arange(len(known)) % 2 == side for side in (0, 1)]
    order += [np.random.default_rng(seed).random(len(known)) < 0.5 for seed in range(8)]
    for half in order:
        learnt = [m for m, mine in zip(known, half, strict=True) if mine]
        asked = [m for m, mine in zip(known, half, strict=True) if not mine]
        yield _calibrated(learnt, asked, kernels)


def _calibrated(
    learnt: Sequence[Measurement], asked: Sequence[Measurement], kernels: Kernels
) -> list[Row]:
    """Rows by the profiles calibrated on others; kinds of which there was none are passed over."""
    profiles = {
        (c.model, c.precision): c.timing
        for c in calibrate_rows(learnt, name="own", source="own_h100.csv", prior=kernels)
    }
    return [
        (m, predicted_s(profiles[m.model, m.precision], m))
        for m in asked
        if (m.model, m.precision) in profiles
    ]


def _spec(m: Measurement) -> ModelSpec:
    return model_spec(m.model, m.precision)


def error(row: Row) -> float:
    """Signed relative error, per cent."""
    m, seconds = row
    return 100.0 * (seconds / m.seconds - 1.0)


def summary(rows: Sequence[Row], phase: str) -> list[str]:
    """Rows, median and worst error of a phase."""
    errors = [abs(error(r)) for r in rows if r[0].phase == phase]
    return [str(len(errors)), f"{np.median(errors):.1f}", f"{max(errors):.0f}"]


def word(m: Measurement, off: float) -> str:
    """Why a row may be far off."""
    if abs(off) < 30:
        return ""
    if m.precision == "int8":
        return "8-bit layers of this size were measured in no other model"
    if m.model == "Llama-3.1-8B":
        return "bound by launches; this host took 0.7 to 1.7 ms for the same kernels"
    return "launches of many small experts"


def main(folder: Path, *, each: bool) -> None:
    """Print the tables."""
    console = Console(width=120)
    if not (folder / "own_h100.csv").exists():
        console.print(f"skipped: {folder} has no own_h100.csv")
        return
    rows, kernels = rows_of(folder), own_kernels(folder)
    without = left_out(rows)
    ways = {
        "before: by bytes": before(rows),
        "fitted": fitted(rows, kernels),
        "formula": by_formula(rows, kernels),
        "formula, model left out": without,
    }
    for label, gpu in PRETENDED.items():
        found = [row for half in halves(rows, kernels, gpu) for row in half]
        ways[f"half calibrated, {label}"] = found
    table = Table("error, %", "decode rows", "median", "worst", "prefill rows", "median", "worst")
    for label, made in ways.items():
        table.add_row(label, *summary(made, "decode"), *summary(made, "prefill"))
    console.print(table)
    if each:
        table = Table("model left out", "precision", "phase", "tokens", "ms", "said", "error", "")
        for m, seconds in without:
            off = error((m, seconds))
            cells = (m.model, m.precision, m.phase, str(m.tokens), f"{m.seconds * 1e3:.2f}")
            table.add_row(*cells, f"{seconds * 1e3:.2f}", f"{off:+.0f} %", word(m, off))
        console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", action="store_true", help="every row of the models left out")
    arguments = parser.parse_args()
    main(arguments.folder, each=arguments.rows)
