"""What every server is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..render import number, print_lines, print_table
from ..studies.outcome import Outcome
from ..studies.worth import Worth
from .change import outcome_document
from .text import assumed, interval, span


def print_worth(base: Outcome, found: Sequence[Worth]) -> None:
    """Servers by their worth; those that harm are said again at the end."""
    print_table(
        f"Worth of each server: response without it minus with it ({number(base.response_s)} s), "
        f"mean over {len(base.runs)} seeds",
        ["server", "worth s", "verdict", "blocks", "requests", "if it fails now", "why"],
        [
            [
                w.server,
                "-" if w.verdict == "needed" else interval(w.response_s),
                w.verdict,
                span(*w.blocks),
                f"{w.share * 100:.0f} %",
                "blocks are lost" if w.critical else "others cover" if base.served else "-",
                w.why,
            ]
            for w in found
        ],
    )
    harmful = [w.server for w in found if w.verdict == "harms"]
    useless = [w.server for w in found if w.verdict == "useless"]
    lines = []
    if harmful:
        lines.append(f"better without: {', '.join(harmful)}")
    if useless:
        lines.append(f"not used: {', '.join(useless)}")
    if not base.served:
        lines.append(f"nothing is served with all of them: {base.error}")
    lines = lines or ["every server is used and none makes things worse"]
    print_lines([*lines, *assumed(base.problem)])


def worth_document(base: Outcome, found: Sequence[Worth]) -> dict[str, Any]:
    """The same for programs."""
    return {"with_all": outcome_document(base), "servers": [asdict(w) for w in found]}
