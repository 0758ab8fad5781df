"""Device profiles from own measurements: a CSV table or PETALS' throughput file.

The table has the columns ``phase,prompt_tokens,context_tokens,batch,ms_per_block``: phase is
``prefill`` (prompt_tokens = new tokens of the step) or ``decode`` (context_tokens = tokens already
in the cache, batch = sequences in the step). Formulas: docs/perfmodel.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.content import FloatArray
from ..core.errors import CalibrationError
from ..core.problem import Timing
from .fitting import fit_decode, fit_prefill
from .measurements import Measurement, read_measurements, read_petals_rates, read_text
from .timing import timing_ms, timing_of

LONG_PROMPT_TOKENS = 1_024
_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPoint:
    """One measured setting against the formula fitted without it.

    ``tokens`` is the prompt for prefill and the context for decode.
    """

    phase: str
    tokens: int
    batch: int
    measured_s: float
    predicted_s: float

    @property
    def error_percent(self) -> float:
        """Signed relative error of the prediction."""
        return 100.0 * (self.predicted_s / self.measured_s - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted profile and how far to trust it.

    Attributes
    ----------
    points : every measurement with its held-out prediction; empty for PETALS' file, whose two
        figures fix the two coefficients.
    mean_error_percent, max_error_percent : absolute, over ``points``; None without points.
    largest_prompt_tokens, largest_context_tokens : end of the measured range.
    forward_rps, inference_rps, network_rps : what PETALS announces, if the file says so.
    warnings : what the user should measure or know.
    """

    name: str
    source: str
    timing: Timing
    points: tuple[CalibrationPoint, ...] = ()
    mean_error_percent: float | None = None
    max_error_percent: float | None = None
    largest_prompt_tokens: int = 0
    largest_context_tokens: int = 0
    forward_rps: float | None = None
    inference_rps: float | None = None
    network_rps: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def terms(self) -> tuple[tuple[str, float], ...]:
        """The coefficients in human units, named, for tables."""
        timing = self.timing
        return (
            ("decode, ms per block", timing.decode_base_s * 1e3),
            ("decode, us per context token", timing.decode_per_context_token_s * 1e6),
            ("decode, ms per further sequence", timing.decode_per_sequence_s * 1e3),
            ("prefill floor, ms", timing.prefill_floor_s * 1e3),
            ("prefill base, ms", timing.prefill_base_s * 1e3),
            ("prefill, us per token", timing.prefill_per_token_s * 1e6),
        )


def calibrate_file(path: Path | str, *, name: str) -> Calibration:
    """Fit a profile to a file of measurements (CSV) or take it from PETALS (``.json``).

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
        return _from_petals(path, name)
    return _fit(read_measurements(path), name=name, source=path.name)


def _fit(measurements: Sequence[Measurement], *, name: str, source: str) -> Calibration:
    prefill = [m for m in measurements if m.phase == "prefill"]
    decode = [m for m in measurements if m.phase == "decode"]
    _require_enough(prefill, decode, source)
    floor, base, per_token = _fit_phase(prefill)
    step, per_context, per_sequence = _fit_phase(decode)
    points = (*_held_out(prefill), *_held_out(decode))
    errors = [abs(p.error_percent) for p in points]
    return Calibration(
        name=name,
        source=source,
        timing=Timing(
            decode_base_s=step,
            decode_per_context_token_s=per_context,
            decode_per_sequence_s=per_sequence,
            prefill_floor_s=floor,
            prefill_base_s=base,
            prefill_per_token_s=per_token,
        ),
        points=points,
        mean_error_percent=float(np.mean(errors)),
        max_error_percent=max(errors),
        largest_prompt_tokens=max(m.tokens for m in prefill),
        largest_context_tokens=max(m.tokens for m in decode),
        warnings=_warnings(prefill, decode, errors),
    )


def _require_enough(
    prefill: Sequence[Measurement], decode: Sequence[Measurement], source: str
) -> None:
    """Refuse what cannot carry the formula, and say what is missing."""
    missing = []
    prompts = {m.tokens for m in prefill}
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
    contexts = {m.tokens for m in decode}
    if len(contexts) < 2:
        missing.append(
            f"decode at 2 or more context lengths (found {len(contexts)}): about 128 and >= 2048 "
            "tokens"
        )
    if missing:
        raise CalibrationError(f"{source}: too little data; measure {'; and '.join(missing)}")


def _fit_phase(measurements: Sequence[Measurement]) -> tuple[float, float, float]:
    """Three coefficients of one phase: those of ``fit_prefill`` or ``fit_decode``, seconds."""
    tokens, batch, measured = _columns(measurements)
    if measurements[0].phase == "prefill":
        fitted = fit_prefill(tokens, measured)
    else:
        fitted = fit_decode(tokens, batch, measured)
    return float(fitted[0]), float(fitted[1]), float(fitted[2])


def _columns(measurements: Sequence[Measurement]) -> tuple[FloatArray, FloatArray, FloatArray]:
    rows = [(m.tokens, m.batch, m.seconds) for m in measurements]
    tokens, batch, measured = np.array(rows, dtype=np.float64).T
    return tokens, batch, measured


def _predict(phase: str, fitted: tuple[float, float, float], m: Measurement) -> float:
    if phase == "prefill":
        return max(fitted[0], fitted[1] + fitted[2] * m.tokens)
    return fitted[0] + fitted[1] * m.tokens + fitted[2] * (m.batch - 1)


def _held_out(measurements: Sequence[Measurement]) -> tuple[CalibrationPoint, ...]:
    """Predict every point from the others; repeats of one setting are left out together."""
    settings = sorted({(m.tokens, m.batch) for m in measurements})
    fold = {setting: i % _FOLDS for i, setting in enumerate(settings)}
    predicted: dict[int, float] = {}
    for k in sorted(set(fold.values())):
        rest = [m for m in measurements if fold[m.tokens, m.batch] != k]
        fitted = _fit_phase(rest)
        for i, m in enumerate(measurements):
            if fold[m.tokens, m.batch] == k:
                predicted[i] = _predict(m.phase, fitted, m)
    return tuple(
        CalibrationPoint(
            phase=m.phase,
            tokens=m.tokens,
            batch=m.batch,
            measured_s=m.seconds,
            predicted_s=predicted[i],
        )
        for i, m in enumerate(measurements)
    )


def _warnings(
    prefill: Sequence[Measurement], decode: Sequence[Measurement], errors: Sequence[float]
) -> tuple[str, ...]:
    longest = max(m.tokens for m in prefill)
    found = [f"do not trust prompts beyond {2 * longest} tokens, twice the longest measured"]
    if min(m.tokens for m in prefill) > 64:
        found.append("no prompt of 64 tokens or fewer: the flat part of prefill is not measured")
    if max(m.batch for m in decode) == 1:
        found.append("no decode step with batch > 1: the batch term is 0")
    if len({m.tokens for m in prefill}) < 5 or len({(m.tokens, m.batch) for m in decode}) < 4:
        found.append("few points: held-out errors include extrapolation")
    if max(errors) > 25.0:
        found.append(f"the worst held-out error is {max(errors):.0f} %: look at the points")
    return tuple(found)


def _from_petals(path: Path, name: str) -> Calibration:
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
        largest_prompt_tokens=LONG_PROMPT_TOKENS,
        largest_context_tokens=1,
        forward_rps=rates.forward_rps,
        inference_rps=rates.inference_rps,
        network_rps=rates.network_rps,
        warnings=(
            "two figures only: context and batch terms are 0, the flat part of prefill is assumed "
            "equal to one decode step, no error can be given",
        ),
    )


def write_profile(path: Path | str, calibration: Calibration) -> None:
    """Write the profile as JSON (times in ms); a crash leaves the old file or the new one.

    Raises
    ------
    CalibrationError
        If the file cannot be written.
    """
    path = Path(path)
    document = {
        "name": calibration.name,
        "source": calibration.source,
        "timing_ms": timing_ms(calibration.timing),
        "fit_mean_error_percent": calibration.mean_error_percent,
        "fit_max_error_percent": calibration.max_error_percent,
        "largest_prompt_tokens": calibration.largest_prompt_tokens,
        "largest_context_tokens": calibration.largest_context_tokens,
        "forward_rps": calibration.forward_rps,
        "inference_rps": calibration.inference_rps,
        "network_rps": calibration.network_rps,
        "warnings": list(calibration.warnings),
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CalibrationError(f"cannot write the profile: {error}") from error


def read_profile(path: Path | str) -> Timing:
    """Timing of a file that ``write_profile`` wrote.

    Raises
    ------
    CalibrationError
        If the file cannot be read or its ``timing_ms`` is malformed.
    """
    path = Path(path)
    return parse_profile(read_text(path), source=path.name).timing


def parse_profile(text: str, *, source: str) -> Calibration:
    """Timing and announced rates of a profile file's text; the measured points are not in it.

    Raises
    ------
    CalibrationError
        If it is not what ``write_profile`` writes.
    """
    try:
        content = json.loads(text)
        given = [content.get(key) for key in ("forward_rps", "inference_rps", "network_rps")]
        forward, inference, network = (None if v is None else _figure(v) for v in given)
        if 0.0 in (forward, inference, network):
            raise ValueError("rates must be positive")
        return Calibration(
            name=str(content.get("name", source)),
            source=source,
            timing=timing_of(content["timing_ms"]),
            forward_rps=forward,
            inference_rps=inference,
            network_rps=network,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"{source}: no profile of swarmplan calibrate ({error!r})"
        raise CalibrationError(message) from error


def _figure(value: object) -> float:
    """A plain number within reason."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e9:
        raise ValueError(f"{value!r:.40} is not a number from 0 to 1e9")
    return float(value)
