"""Every table of figures in README and docs says what makes it, and that can be called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmplan.benchmarks.figures import ROOT, listed, of_figures, tables
from swarmplan.tests.test_pages import fault

TABLES = list(tables())
COMMANDS = sorted(
    {c for t in TABLES for c in t.commands} | {entry["command"] for entry in listed()["quick"]}
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_table_of_figures_says_what_makes_it() -> None:
    known = {(e["page"], e["heading"]) for e in listed()["elsewhere"]}
    assert len(TABLES) > 40
    assert [t for t in TABLES if not t.commands and (t.page, t.heading) not in known] == []
    without = {(t.page, t.heading) for t in TABLES if not t.commands}
    assert known == without, "what is listed is there, and its section names no command"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_makes_a_figure_can_be_called(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        assert words[0] in TARGETS
    elif program.endswith("swarmplan"):
        assert fault(words) == ""
    else:
        source = "".join(_sources(ROOT / program))
        options = [w for w in words if w.startswith("--")]
        assert [o for o in options if f'"{o}"' not in source] == []


def _sources(program: Path) -> Iterator[str]:
    """Its text, and that of the benchmarks that it imports: they may add options of their own."""
    text = program.read_text(encoding="utf-8")
    yield text
    for name in re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE):
        if (beside := program.with_name(f"{name}.py")).is_file():
            yield beside.read_text(encoding="utf-8")


def test_tables_of_figures_are_told_from_others() -> None:
    assert of_figures("| a | b |\n|---|---|\n| x | 1.5 s |\n| y | 3 % |\n")
    assert not of_figures("| a | b |\n|---|---|\n| x | a rule |\n| y | 3 % of it, and more | z |\n")
    assert not of_figures("| a | b |\n|---|---|\n")
