"""Device profiles from own measurements: a CSV table of block times or PETALS' throughput file.

The table has the columns ``phase, prompt_tokens, new_tokens, context_tokens, batch, precision,
style, ms_per_block`` and, where it holds several, ``model`` and ``gpu``. Every model and precision
becomes a profile of its own. Formulas: docs/perfmodel.md.

Where the model is known what its blocks take is estimated first, then fitted to the rows; terms
that no row shows stay estimates and are named. Where it is not known the rows must show all terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..core.errors import CalibrationError
from ..core.problem import Timing, Validity
from .blockfit import Fit, expected_timing, fit_alone, fit_near_expected, held_out
from .catalogue import model_spec, shipped_architecture
from .kernelfit import SHORTEST_PROMPT, Point, fit_kernels
from .kernels import DataSheet, Kernels, petals_kernels
from .measurements import Measurement, read_measurements, read_petals_rates
from .roofline import data_sheet, sheet_of_device
from .shape import Shape, shape_of
from .timing import decode_s, prefill_s, step_s

LONG_PROMPT_TOKENS, LONG_CONTEXT_TOKENS = 1_024, 2_048
#: Eager attention, as PETALS runs it.
PETALS_STYLE = "petals"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPoint:
    """One measured setting against the fit, and against a fit without it.

    ``tokens`` is the prompt for prefill and the context for decode and verify.
    """

    phase: str
    tokens: int
    batch: int
    new_tokens: int
    measured_s: float
    fitted_s: float
    predicted_s: float

    @property
    def error_percent(self) -> float:
        """Signed relative error of the prediction by a fit without the point."""
        return 100.0 * (self.predicted_s / self.measured_s - 1.0)

    @property
    def fit_error_percent(self) -> float:
        """Signed relative error of the fit."""
        return 100.0 * (self.fitted_s / self.measured_s - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted profile of one model at one precision, and how far to trust it.

    Attributes
    ----------
    model, precision, style, gpu : what was measured, "" = not said.
    points : every measurement with its fit; empty for PETALS' file, whose two figures fix the two
        coefficients.
    mean_error_percent, max_error_percent : absolute, held out, over ``points``; None without.
    median_fit_error_percent, mean_fit_error_percent, max_fit_error_percent : absolute, of the fit
        itself.
    missing : points to measure, without which terms are estimates.
    forward_rps, inference_rps, network_rps : what PETALS announces, if the file says so.
    warnings : what the user should know.
    """

    name: str
    source: str
    timing: Timing
    model: str = ""
    precision: str = ""
    style: str = ""
    gpu: str = ""
    validity: Validity = field(default_factory=Validity)
    points: tuple[CalibrationPoint, ...] = ()
    mean_error_percent: float | None = None
    max_error_percent: float | None = None
    median_fit_error_percent: float | None = None
    mean_fit_error_percent: float | None = None
    max_fit_error_percent: float | None = None
    missing: tuple[str, ...] = ()
    forward_rps: float | None = None
    inference_rps: float | None = None
    network_rps: float | None = None
    warnings: tuple[str, ...] = ()

    def said_s(self, phase: str, tokens: float) -> float:
        """What the profile says of a prompt (prefill) or of one row after a context (decode)."""
        return float((prefill_s if phase == "prefill" else step_s)(self.timing, tokens))

    @property
    def largest_prompt_tokens(self) -> int:
        """End of the measured range."""
        return (self.validity.prompt_tokens or (0, 0))[1]

    @property
    def largest_context_tokens(self) -> int:
        """End of the measured range."""
        return (self.validity.context_tokens or (0, 0))[1]

    @property
    def terms(self) -> tuple[tuple[str, float], ...]:
        """The coefficients in human units, named, for tables."""
        timing = self.timing
        return (
            ("decode, ms per block", timing.decode_base_s * 1e3),
            ("decode, us per context token", timing.decode_per_context_token_s * 1e6),
            ("decode, ms per further sequence", timing.decode_per_sequence_s * 1e3),
            ("decode floor, ms", timing.decode_floor_s * 1e3),
            *((f"decode, ms more for {n:g} rows", s * 1e3) for n, s in timing.step_curve),
            ("prefill floor, ms", timing.prefill_floor_s * 1e3),
            ("prefill base, ms", timing.prefill_base_s * 1e3),
            ("prefill, us per token", timing.prefill_per_token_s * 1e6),
            ("prefill, ns per token squared", timing.prefill_per_token2_s * 1e9),
        )


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
    rows = [_completed(m, given) for m in read_measurements(path)]
    return calibrate_rows(rows, name=name, source=path.name)


def calibrate_rows(
    rows: Sequence[Measurement], *, name: str, source: str, prior: Kernels | None = None
) -> tuple[Calibration, ...]:
    """Fit a profile to every model and precision among measurements of one host and GPU."""
    if not rows:
        _require_enough((), source)
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
        if shape is not None and (known_gpu or _wanting(main)):
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
    missing = _missing(main, rows)
    if expected is None:
        _require_enough(main, source)
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
        validity=_validity(main, rows, f"fit error {median:.0f} % (median)"),
        points=points,
        mean_error_percent=float(np.mean(errors)),
        max_error_percent=max(errors),
        median_fit_error_percent=median,
        mean_fit_error_percent=float(np.mean(fitted)),
        max_fit_error_percent=max(fitted),
        missing=missing,
        warnings=_warnings(main, rows, errors, estimated=bool(missing) and expected is not None),
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


def _shape(model: str, precision: str) -> Shape | None:
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


def _missing(main: Sequence[Measurement], rows: Sequence[Measurement]) -> tuple[str, ...]:
    """Points that are not there and that a term depends on."""
    prompts = {m.tokens for m in main if m.phase == "prefill"}
    contexts = {m.tokens for m in main if m.phase == "decode" and m.batch == 1}
    missing = []
    if len(prompts) < 3:
        missing.append(
            f"prefill at 3 or more prompt lengths (found {len(prompts)}): 1, about 256 and "
            f">= {LONG_PROMPT_TOKENS} tokens"
        )
    elif max(prompts) < LONG_PROMPT_TOKENS:
        missing.append(
            f"prefill at >= {LONG_PROMPT_TOKENS} tokens (longest is {max(prompts)}): short prompts "
            "do not show the slope"
        )
    if len(contexts) < 2:
        missing.append(
            f"decode at 2 or more context lengths (found {len(contexts)}): about 128 and "
            f">= {LONG_CONTEXT_TOKENS} tokens"
        )
    elif max(contexts) < LONG_CONTEXT_TOKENS:
        missing.append(
            f"decode at >= {LONG_CONTEXT_TOKENS} tokens of context (longest is {max(contexts)})"
        )
    if max((m.rows for m in rows if m.phase != "prefill"), default=1) == 1:
        missing.append("decode at batch 8 and 32, or verify at 8 new tokens: what more rows cost")
    return tuple(missing)


def _wanting(main: Sequence[Measurement]) -> list[str]:
    """What keeps rows from carrying the formula by themselves."""
    prompts = {m.tokens for m in main if m.phase == "prefill"}
    contexts = {m.tokens for m in main if m.phase == "decode" and m.batch == 1}
    wanted = []
    if len(prompts) < 3 or max(prompts) < LONG_PROMPT_TOKENS:
        wanted += [line for line in _missing(main, ()) if line.startswith("prefill")]
    if len(contexts) < 2:
        wanted += [line for line in _missing(main, ()) if line.startswith("decode at 2")]
    return wanted


def _require_enough(main: Sequence[Measurement], source: str) -> None:
    """Refuse what cannot carry the formula, and say what is missing."""
    if wanted := _wanting(main):
        raise CalibrationError(
            f"{source}: too little data; measure {'; and '.join(wanted)}; or say which model of "
            "the catalogue and which precision it is, so that the rest can be estimated"
        )


def _validity(main: Sequence[Measurement], rows: Sequence[Measurement], remark: str) -> Validity:
    prompts = [m.tokens for m in main if m.phase == "prefill"]
    contexts = [m.tokens for m in main if m.phase != "prefill"]
    steps = [m.rows for m in rows if m.phase != "prefill"]

    def span(values: Sequence[int]) -> tuple[int, int] | None:
        return (min(values), max(values)) if values else None

    return Validity(
        origin="measured",
        remark=remark,
        prompt_tokens=span(prompts),
        context_tokens=span(contexts),
        rows=(1, max(steps, default=1)),
    )


def _warnings(
    main: Sequence[Measurement],
    rows: Sequence[Measurement],
    errors: Sequence[float],
    *,
    estimated: bool,
) -> tuple[str, ...]:
    prompts = {m.tokens for m in main if m.phase == "prefill"}
    steps = {(m.tokens, m.batch) for m in main if m.phase != "prefill"}
    found = []
    if prompts:
        longest = 2 * max(prompts)
        found.append(f"do not trust prompts beyond {longest} tokens, twice the longest measured")
        if min(prompts) > SHORTEST_PROMPT:
            found.append("no short prompt: the flat part of prefill is not measured")
    if not any(m.rows > 1 and m.phase != "prefill" for m in main):
        other = any(m.rows > 1 and m.phase != "prefill" for m in rows)
        found.append(
            "what more rows cost is of another style of attention"
            if other
            else "no decode step with batch > 1: what more rows cost is not measured"
        )
    if len(prompts) < 5 or len(steps) < 4:
        found.append("few points: held-out errors include extrapolation")
    if estimated:
        found.append("terms that no row shows are estimates")
    if max(errors) > 25.0:
        found.append(f"the worst held-out error is {max(errors):.0f} %: look at the points")
    return tuple(found)


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
