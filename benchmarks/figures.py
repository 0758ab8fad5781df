"""Which command makes each printed figure of README and docs, and the quick ones run.

    python benchmarks/figures.py           # run those that take little time, named in docs/made
    python benchmarks/figures.py --list    # every table of figures: page, heading, commands
    python benchmarks/figures.py --all     # run all that need neither a live swarm nor own data
    python benchmarks/figures.py --live    # run those on real servers, in the environment for that

A table of figures is one with decimals or intervals in most of its cells; what makes it is named in
its section, or else in ``docs/made/figures.toml``.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTED = ROOT / "docs" / "made" / "figures.toml"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HEADING = re.compile(r"^(#+ .*)$", re.MULTILINE)
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
FIGURE = re.compile(r"\d\.\d|\d ?%|±|\d,\d{3}|^\s*\d+\s*$")
#: Of the cells beside the first column, how many are figures where a table is one of figures.
MOST = 0.4
COMMAND = re.compile(
    r"benchmarks/\w+\.py(?: [^`\n|;,)]+)?|(?:`|\$ |    )make [a-z-]+|`(?:\S*/)?swarmplan [^`\n]+`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of figures: where it stands, and the commands that its section names."""

    page: str
    heading: str
    commands: tuple[str, ...]


def tables() -> Iterator[Table]:
    """Every table of figures in README and docs."""
    for page in PAGES:
        heading = ""
        for i, part in enumerate(HEADING.split(page.read_text(encoding="utf-8"))):
            if i % 2:
                heading = part.lstrip("# ")
                continue
            for found in TABLE.findall(part):
                if of_figures(found):
                    named = dict.fromkeys(c.strip("`$ ") for c in COMMAND.findall(part))
                    name = str(page.relative_to(ROOT))
                    yield Table(page=name, heading=heading, commands=tuple(named))


def of_figures(table: str) -> bool:
    """Whether most cells are figures."""
    rows = table.splitlines()[2:]
    cells = [c for row in rows for c in row.strip().strip("|").split("|")[1:]]
    return bool(cells) and sum(bool(FIGURE.search(c)) for c in cells) > MOST * len(cells)


def listed() -> dict[str, list[dict[str, str]]]:
    """What ``docs/made/figures.toml`` says."""
    found: dict[str, list[dict[str, str]]] = tomllib.loads(LISTED.read_text(encoding="utf-8"))
    return found


def run(command: str) -> bool:
    """Run a command of this checkout; whether it ended well."""
    words = shlex.split(command)
    if words[0] == "swarmplan":
        words = ["-m", "swarmplan.cli", *words[1:]]
    print(f"\n$ {command}", flush=True)
    began_s = time.monotonic()
    status = subprocess.run([sys.executable, *words], cwd=ROOT, check=False).returncode
    print(f"ended with {status} after {time.monotonic() - began_s:.0f} s", flush=True)
    return status == 0


def main() -> int:
    """List or run; the exit status tells whether every command ended well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--live", action="store_true")
    given = parser.parse_args()
    if given.list:
        elsewhere = {(e["page"], e["heading"]): e["made"] for e in listed()["elsewhere"]}
        for t in tables():
            made = "; ".join(t.commands) or elsewhere.get((t.page, t.heading), "NOTHING")
            print(f"{t.page}, {t.heading}: {made}")
        return 0
    named = [c for t in tables() for c in t.commands if c.startswith("benchmarks/")]
    commands = [] if given.live else [entry["command"] for entry in listed()["quick"]]
    if given.all or given.live:  # words in capitals are the reader's to fill in
        commands += [
            c for c in named if ("live_" in c) == given.live and not re.search(r"\b[A-Z]{3,}", c)
        ]
    return min(1, sum(not run(c) for c in dict.fromkeys(commands)))


if __name__ == "__main__":
    sys.exit(main())
