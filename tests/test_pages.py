"""Every command that the pages show is there, with the options that it is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from swarmplan.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: A command at the beginning of a line of code: indented, or after a prompt.
LINE = re.compile(r"^(?:    |\$ )+(?:\S*/)?swarmplan (.*)$", re.MULTILINE)


def shown(page: Path) -> Iterator[list[str]]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in LINE.findall(text):
        yield shlex.split(line, comments=True)


def fault(words: list[str]) -> str:
    """What is wrong with a command, nothing if it can be called."""
    command: click.Command = main
    ctx = click.Context(main)
    while isinstance(command, click.Group) and words:
        inner = command.get_command(ctx, words[0])
        if inner is None:
            return f"no command {words[0]!r}"
        command, words = inner, words[1:]
    given = words[: words.index("--")] if "--" in words else words
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    used = {w.split("=")[0] for w in given if re.match(r"--?[a-z]", w)}
    return f"no option {sorted(used - options)} of {command.name}" if used - options else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_of_the_page_can_be_called(page: Path) -> None:
    wrong = {" ".join(words): fault(list(words)) for words in shown(page)}
    assert {words: why for words, why in wrong.items() if why} == {}


def test_commands_are_found_and_faults_are_seen() -> None:
    assert sum(1 for page in PAGES for _ in shown(page)) > 60
    assert fault(["plan", "my.toml", "--methods", "auto"]) == "no option ['--methods'] of plan"
    assert fault(["swarm", "servve"]) == "no command 'servve'"
    assert fault(["swarm", "serve", "--", "--initial_peers", "X"]) == ""
