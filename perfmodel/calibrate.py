"""Device profiles from own measurements: a CSV table of block times or PETALS' throughput file.

The table has the columns ``phase, prompt_tokens, new_tokens, context_tokens, batch, precision,
style, ms_per_block`` and, where it holds several, ``model`` and ``gpu``. Every model and precision
becomes a profile of its own. Rows of phase ``step`` and ``first`` tell what clients saw of a hop,
in more columns, ``clients, blocks, tasks, rtt_ms, ms``. Formulas: docs/perfmodel.md.

Where the model is known what its blocks take is estimated first, then fitted to the rows; terms
that no row shows stay estimates and are named. Where it is not known the rows must show all terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.blocks import Block
from ..core.errors import CalibrationError
from ..core.problem import Timing, Validity
from .blockfit import Fit, expected_timing, fit_alone, fit_near_expected, held_out
from .calibration import Calibration, CalibrationPoint
from .catalogue import model_spec, shipped_architecture
from .kernelfit import SHORTEST_PROMPT, Point, fit_kernels
from .kernels import DataSheet, Kernels, petals_kernels
from .measurements import (
    HopMeasurement,
    Measurement,
    of_blocks,
    of_hops,
    read_measurements,
    read_petals_rates,
)
from .overhead import fit_overhead
from .roofline import data_sheet, sheet_of_device
from .shape import shape_of
from .shortfall import (
    LONG_PROMPT_TOKENS,
    measured_ranges,
    missing_points,
    require_enough,
    wanting,
    warnings_of,
)
from .timing import decode_s, prefill_s

#: Eager attention, as PETALS runs it.
PETALS_STYLE = "petals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a table does not say in its columns: None = it does, or nobody knows."""

    model: str | None = None
    gpu: str | None = None
    precision: str | None = None
    style: str | None = None


NOTHING = Given()


def calibrate_file(path: Path | str, *, name: str, given: Given = NOTHING) -> Calibration:
    """The one profile of a file; see ``calibrate_all``.

    Raises
    ------
    CalibrationError
        As there; or if the file holds several models or precisions.
    """
    found = calibrate_all(path, name=name, given=given)
    if len(found) > 1:
        kinds = ", ".join(f"{c.model or 'model not said'} {c.precision}" for c in found)
        raise CalibrationError(f"{Path(path).name}: holds several profiles: {kinds}")
    return found[0]


def calibrate_all(
    path: Path | str, *, name: str, given: Given = NOTHING
) -> tuple[Calibration, ...]:
    """Fit profiles to a file of measurements (CSV) or take one from PETALS (``.json``).

    Parameters
    ----------
    name : name of the new profile; in a PETALS file with several entries it also selects the
        entry whose key contains it.

    Raises
    ------
    CalibrationError
        If the file cannot be read, a row is malformed, or there is too little data; the message
        says where or what to measure.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        return (_from_petals(path, name, given),)
    rows = read_measurements(path)
    blocks = [_completed(m, given) for m in of_blocks(rows)]
    found = calibrate_rows(blocks, name=name, source=path.name)
    return _with_hops(found, of_hops(rows), path.name)


def _with_hops(
    found: Sequence[Calibration], hops: Sequence[HopMeasurement], source: str
) -> tuple[Calibration, ...]:
    """The profiles with what hops cost beside their blocks, where rows tell it."""
    made = list(found)
    mine: dict[int, list[HopMeasurement]] = {}
    for hop in hops:
        fitting = [i for i, one in enumerate(made) if _may_be_of(hop, one)]
        if len(fitting) != 1:
            raise CalibrationError(
                f"{source}: rows of phase {hop.what} must say by model, precision and gpu which "
                f"block times of the file they belong to; {len(fitting)} profiles match"
            )
        mine.setdefault(fitting[0], []).append(hop)
    for i, own in mine.items():
        timing = made[i].timing
        made[i] = replace(made[i], hop=fit_overhead([(h, timing) for h in own], source=source))
    return tuple(made)


def _may_be_of(hop: HopMeasurement, one: Calibration) -> bool:
    """Whether nothing that is said of both differs."""
    both = ((hop.model, one.model), (hop.precision, one.precision), (hop.gpu, one.gpu))
    return all("" in pair or pair[0] == pair[1] for pair in both)


def calibrate_rows(
    rows: Sequence[Measurement], *, name: str, source: str, prior: Kernels | None = None
) -> tuple[Calibration, ...]:
    """Fit a profile to every model and precision among measurements of one host and GPU."""
    if not rows:
        require_enough((), source)
    if len(gpus := sorted({m.gpu for m in rows if m.gpu})) > 1:
        raise CalibrationError(f"{source}: rows of several GPUs, one file each: {', '.join(gpus)}")
    style = _main_style(rows)
    sheet, known_gpu = _sheet(gpus)
    points = kernel_points([m for m in rows if m.style == style])
    kernels = prior or petals_kernels()
    if points and style in ("", PETALS_STYLE):
        kernels = fit_kernels(points, sheet, kernels)
    kinds = sorted({(m.model, m.precision) for m in rows})
    found = []
    for model, precision in kinds:
        mine = [m for m in rows if (m.model, m.precision) == (model, precision)]
        expected = None
        main = [m for m in mine if m.style == style] or mine
        shape = _shape(model, precision)
        # Without a data sheet rows that show everything are better than a guess.
        if shape is not None and (known_gpu or wanting(main)):
            expected = expected_timing(shape, precision, sheet, kernels, style)
        label = name if len(kinds) == 1 else "/".join(filter(None, (name, model, precision)))
        made = _calibration(mine, style, expected, label, source)
        if expected is not None and not known_gpu:
            note = "no data sheet of the GPU: terms that no row shows are those of an H100"
            made = replace(made, warnings=(*made.warnings, note))
        found.append(made)
    return tuple(found)


def _calibration(
    rows: Sequence[Measurement], style: str, expected: Timing | None, name: str, source: str
) -> Calibration:
    """The profile of one model at one precision."""
    main = [m for m in rows if m.style == style] or list(rows)
    missing = missing_points(main, rows)
    if expected is None:
        require_enough(main, source)
        fit: Fit = fit_alone
    else:
        fit = fit_near_expected(expected)
    timing = fit(main, rows)
    points = tuple(
        CalibrationPoint(
            phase=m.phase,
            tokens=m.tokens,
            batch=m.batch,
            new_tokens=m.new_tokens,
            measured_s=m.seconds,
            fitted_s=_predicted_s(timing, m),
            predicted_s=_predicted_s(without, m),
        )
        for m, without in held_out(fit, main, rows)
    )
    errors = [abs(p.error_percent) for p in points]
    fitted = [abs(p.fit_error_percent) for p in points]
    median = float(np.median(fitted))
    first = main[0]
    return Calibration(
        name=name,
        source=source,
        timing=timing,
        model=first.model,
        precision=first.precision,
        style=style,
        gpu=first.gpu,
        validity=measured_ranges(main, rows, f"fit error {median:.0f} % (median)"),
        points=points,
        mean_error_percent=float(np.mean(errors)),
        max_error_percent=max(errors),
        median_fit_error_percent=median,
        mean_fit_error_percent=float(np.mean(fitted)),
        max_fit_error_percent=max(fitted),
        missing=missing,
        warnings=warnings_of(main, rows, errors, estimated=bool(missing) and expected is not None),
    )


def _predicted_s(timing: Timing, m: Measurement) -> float:
    if m.phase == "prefill":
        return float(prefill_s(timing, m.tokens))
    return float(decode_s(timing, m.tokens, m.batch, m.new_tokens))


def _completed(m: Measurement, given: Given) -> Measurement:
    """A row with what was said beside the table, where the table does not say it."""
    return replace(
        m,
        model=m.model or given.model or "",
        gpu=m.gpu or given.gpu or "",
        precision=m.precision or given.precision or "",
        style=m.style or given.style or "",
    )


def _main_style(rows: Sequence[Measurement]) -> str:
    """PETALS' own style where it was measured, else the most frequent."""
    counted = Counter(m.style for m in rows)
    if PETALS_STYLE in counted:
        return PETALS_STYLE
    return min(counted, key=lambda style: (-counted[style], style))


def _sheet(gpus: Sequence[str]) -> tuple[DataSheet, bool]:
    """The data sheet of the measured GPU, and whether there is one."""
    known = sheet_of_device(gpus[0]) if gpus else None
    return (known or data_sheet("H100-SXM")), known is not None


def _shape(model: str, precision: str) -> Block | None:
    if not precision or shipped_architecture(model) is None:
        return None
    return shape_of(model_spec(model, precision))


def kernel_points(rows: Sequence[Measurement]) -> list[Point]:
    """The measurements that tell what kernels take: of known models, prompts and single steps."""
    return [point for m in rows if (point := _point(m)) is not None]


def _point(m: Measurement) -> Point | None:
    """The measurement as one that kernels are fitted to, None where it is none."""
    prompt = m.phase == "prefill"
    shape = _shape(m.model, m.precision)
    if shape is None or m.rows != 1 or (prompt and m.tokens < SHORTEST_PROMPT):
        return None
    return Point(
        shape=shape, precision=m.precision, prompt=prompt, tokens=m.tokens, seconds=m.seconds
    )


def _from_petals(path: Path, name: str, given: Given) -> Calibration:
    """Level from PETALS' two figures: 1/inference_rps per step, 1/forward_rps per prompt token.

    The flat part of prefill cannot be known from them; the one-token step stands for it.
    """
    rates = read_petals_rates(path, name)
    step_s = 1.0 / rates.inference_rps
    return Calibration(
        name=name,
        source=f"{path.name}: {rates.key}",
        timing=Timing(
            decode_base_s=step_s,
            prefill_floor_s=step_s,
            prefill_per_token_s=1.0 / rates.forward_rps,
        ),
        model=given.model or "",
        precision=given.precision or "",
        style=PETALS_STYLE,
        validity=Validity(
            origin="measured",
            remark="two figures of PETALS",
            prompt_tokens=(1, LONG_PROMPT_TOKENS),
            context_tokens=(0, 1),
            rows=(1, 1),
        ),
        forward_rps=rates.forward_rps,
        inference_rps=rates.inference_rps,
        network_rps=rates.network_rps,
        warnings=(
            "two figures only: context and batch terms are 0, the flat part of prefill is assumed "
            "equal to one decode step, no error can be given",
        ),
    )
