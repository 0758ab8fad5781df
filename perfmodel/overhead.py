"""What a hop costs beside round trip and blocks, from runs of clients: what delays, what is work.

Part of a hop's overhead is spent by handlers and the network, beside each other for all sessions;
part is work of the server's runtime, for which the next task waits. Clients one at a time cannot
tell them apart, several at once can (docs/perfmodel.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..core.content import FloatArray
from ..core.errors import CalibrationError
from ..core.problem import Timing
from .fitting import fit_nonnegative, fit_steps
from .measurements import HopMeasurement
from .timing import decode_s, figure, prefill_s


@dataclass(frozen=True, slots=True, kw_only=True)
class HopOverhead:
    """Overheads of a hop, seconds.

    Attributes
    ----------
    step_s : delay of a step (``network.step_overhead_ms``).
    task_s : work of the server for each task (``task_overhead_ms``).
    prefill_s, per_prompt_token_s : delay of a prompt (``network.prefill_overhead_ms``,
        ``prefill_overhead_us_per_token``).
    piece_s : delay of each task of a prompt that goes block by block (``piece_delay_ms``).
    """

    step_s: float
    task_s: float
    prefill_s: float
    per_prompt_token_s: float = 0.0
    piece_s: float = 0.0


def overhead_ms(hop: HopOverhead) -> dict[str, float]:
    """Overheads as files keep them, in milliseconds."""
    return {name.removesuffix("_s"): seconds * 1e3 for name, seconds in asdict(hop).items()}


def overhead_of(given: Mapping[str, object]) -> HopOverhead:
    """The overheads of what ``overhead_ms`` returns.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a figure none.
    """
    return HopOverhead(**{f"{name}_s": figure(ms) / 1e3 for name, ms in given.items()})


def fit_overhead(
    rows: Sequence[tuple[HopMeasurement, Timing]], *, source: str = "hops"
) -> HopOverhead:
    """The overheads that explain runs of clients, each with what a block of its server takes.

    Without first tokens a prompt is taken to be delayed as a step is.

    Raises
    ------
    CalibrationError
        If steps were not measured both with one client and with several.
    """
    steps = [(r, t) for r, t in rows if r.what == "step"]
    if {r.clients > 1 for r, _ in steps} != {False, True}:
        raise CalibrationError(
            f"{source}: steps of one client alone and of several at once (1, 2, 4, 8) are needed "
            "to tell what delays a hop from what is work of the server"
        )
    step_s, task_s = fit_steps(
        _column(r.clients for r, _ in steps),
        _column(r.rtt_s for r, _ in steps),
        _column(r.blocks * decode_s(t, r.tokens) for r, t in steps),
        _column(r.seconds for r, _ in steps),
    ).tolist()
    firsts = [(r, t) for r, t in rows if r.what == "first"]
    prefill = _fit_firsts(firsts, task_s) if firsts else (step_s, 0.0, 0.0)
    return HopOverhead(
        step_s=step_s,
        task_s=task_s,
        prefill_s=prefill[0],
        per_prompt_token_s=prefill[1],
        piece_s=prefill[2],
    )


def _fit_firsts(
    rows: Sequence[tuple[HopMeasurement, Timing]], task_s: float
) -> tuple[float, float, float]:
    """Delay of a prompt, per token of it, per task where it is cut."""
    tokens = _column(r.tokens for r, _ in rows)
    pieces = _column(r.tasks if r.tasks > 1 else 0 for r, _ in rows)
    known = _column(r.rtt_s + r.blocks * prefill_s(t, r.tokens) + r.tasks * task_s for r, t in rows)
    columns = np.column_stack([np.ones_like(tokens), tokens, pieces])
    fitted = fit_nonnegative(columns, _column(r.seconds for r, _ in rows), known)
    return float(fitted[0]), float(fitted[1]), float(fitted[2])


def _column(values: Iterable[float]) -> FloatArray:
    return np.array(list(values), dtype=np.float64)
