"""What a table of measurements shows, what is missing in it, what its user should know."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import CalibrationError
from ..core.problem import Validity
from .kernelfit import SHORTEST_PROMPT
from .measurements import Measurement

LONG_PROMPT_TOKENS, LONG_CONTEXT_TOKENS = 1_024, 2_048


def missing_points(main: Sequence[Measurement], rows: Sequence[Measurement]) -> tuple[str, ...]:
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


def wanting(main: Sequence[Measurement]) -> list[str]:
    """What keeps rows from carrying the formula by themselves."""
    prompts = {m.tokens for m in main if m.phase == "prefill"}
    contexts = {m.tokens for m in main if m.phase == "decode" and m.batch == 1}
    wanted = []
    if len(prompts) < 3 or max(prompts) < LONG_PROMPT_TOKENS:
        wanted += [line for line in missing_points(main, ()) if line.startswith("prefill")]
    if len(contexts) < 2:
        wanted += [line for line in missing_points(main, ()) if line.startswith("decode at 2")]
    return wanted


def require_enough(main: Sequence[Measurement], source: str) -> None:
    """Refuse what cannot carry the formula, and say what is missing."""
    if wanted := wanting(main):
        raise CalibrationError(
            f"{source}: too little data; measure {'; and '.join(wanted)}; or say which model of "
            "the catalogue and which precision it is, so that the rest can be estimated"
        )


def measured_ranges(
    main: Sequence[Measurement], rows: Sequence[Measurement], remark: str
) -> Validity:
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


def warnings_of(
    main: Sequence[Measurement],
    rows: Sequence[Measurement],
    errors: Sequence[float],
    *,
    estimated: bool,
) -> tuple[str, ...]:
    """What to know before a profile is trusted; ``errors`` are those of held-out rows, per cent."""
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
