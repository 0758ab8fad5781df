"""A fitted profile: its timing, every row against it, what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.problem import Timing, Validity
from .overhead import HopOverhead
from .timing import prefill_s, step_s


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
    hop : what a hop costs beside round trip and blocks; None without rows of hops.
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
    hop: HopOverhead | None = None
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
            *self._hop_terms,
        )

    @property
    def _hop_terms(self) -> tuple[tuple[str, float], ...]:
        hop = self.hop
        if hop is None:
            return ()
        return (
            ("hop, delay of a step, ms", hop.step_s * 1e3),
            ("hop, delay of a prompt, ms", hop.prefill_s * 1e3),
            ("hop, delay of a prompt, us per token", hop.per_prompt_token_s * 1e6),
            ("hop, delay of each block of a cut prompt, ms", hop.piece_s * 1e3),
            ("hop, work of each task, ms", hop.task_s * 1e3),
        )
