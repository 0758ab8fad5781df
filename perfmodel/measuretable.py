"""Writing measurements as the table that ``swarmplan calibrate`` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from .measurements import Measurement

HEADER = (
    "gpu", "model", "precision", "style", "phase", "prompt_tokens", "new_tokens", "context_tokens",
    "batch", "ms_per_block",
)  # fmt: skip


def table_of(rows: Sequence[Measurement]) -> str:
    """The table as CSV text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for m in rows:
        prompt = m.phase == "prefill"
        tokens = (m.tokens, "", "") if prompt else ("", m.new_tokens, m.tokens)
        ms = f"{m.seconds * 1e3:.6g}"
        writer.writerow((m.gpu, m.model, m.precision, m.style, m.phase, *tokens, m.batch, ms))
    return text.getvalue()
