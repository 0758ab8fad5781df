"""Reproduce the published reference, case by case: ``python benchmarks/parity.py DIR``.

Every case of the golden schema in DIR runs through swarmplan's own code, with the reference's
constants (allocation delays, its count of free sessions, its missing zero-cost links) switched on
by name. One row per case and method; the last line is ``N passed, M failed``. Where the
reference itself crashes or loops, the row says what swarmplan answers instead.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from golden import Case, is_online
from parity_figures import Mismatch
from parity_offline import offline_checks
from parity_online import online_checks

from swarmplan.core.errors import SwarmplanError, SwarmplanWarning

#: Errors that mean "an earlier step failed" or "not run": they say nothing about this method.
NOT_RUN = ("no R", "no CG_BP", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Outcome of one method on one case."""

    case: str
    method: str
    ok: bool
    text: str


def rows_of(case: Case) -> Iterator[Row]:
    """One row per method of a case."""
    checks = online_checks(case) if is_online(case) else offline_checks(case)
    for method, expected, check in checks:
        yield _row(str(case["name"]), method, str(expected.get("error") or ""), check)


def _row(name: str, method: str, error: str, check: Callable[[], str]) -> Row:
    """Where the reference fails, any typed answer or a sound run is right, and is told."""
    if error in NOT_RUN:
        return Row(case=name, method=method, ok=True, text=f"not run by the reference ({error})")
    try:
        text = check()
    except SwarmplanError as answer:
        kind = type(answer).__name__
        if error:
            said = str(answer).splitlines()[0][:90]
            return Row(case=name, method=method, ok=True, text=f"reference fails; {kind}: {said}")
        return Row(case=name, method=method, ok=False, text=f"{kind}: {answer}")
    except Mismatch as difference:
        return Row(case=name, method=method, ok=False, text=str(difference))
    if error:
        text = f"reference fails; swarmplan: {text}"
    return Row(case=name, method=method, ok=True, text=text)


def main(folder: Path) -> int:
    """Print the table; 0 only when every row agrees and there is at least one."""
    warnings.simplefilter("ignore", SwarmplanWarning)
    passed = failed = 0
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        for row in rows_of(case):
            passed, failed = passed + row.ok, failed + (not row.ok)
            print(f"{'ok  ' if row.ok else 'FAIL'} {row.case:24} {row.method:20} {row.text}")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/parity.py DIR")
    sys.exit(main(Path(sys.argv[1])))
