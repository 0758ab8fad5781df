"""What a check of a plan found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.findings import Finding
from ..render import print_lines


def print_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Sound or not, and every finding on a line."""
    grave = [f for f in findings if f.grave]
    verdict = f"{len(grave)} violation(s)" if grave else "sound, no violations"
    notes = [f"  note: {f}" for f in findings if not f.grave]
    print_lines([f"{path}: {verdict}", *(f"  {f}" for f in grave), *notes])


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """The same for programs."""
    grave = [asdict(f) for f in findings if f.grave]
    notes = [asdict(f) for f in findings if not f.grave]
    return {"sound": not grave, "violations": grave, "notes": notes}
