"""``swarmplan swarm drive``: answers of a live swarm, drafted if there is a draft model."""

from __future__ import annotations

import functools
import sys
from typing import Any, Literal

import click

from .. import render
from ..core.drafting import MOST_DRAFTS
from .shared import Command, FiniteRange, handle_errors


class _Drafts(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``auto`` or a number."""

    name = "auto|N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Literal["auto"] | int:
        """The number, or a usage error."""
        if value == "auto":
            return "auto"
        return int(click.IntRange(0, MOST_DRAFTS).convert(value, param, ctx))


def _ending_at_once(command: Command) -> Command:
    """The process ends with the command, whatever came of it: PETALS' own clean-up may hang."""

    @functools.wraps(command)
    def ending(*args: Any, **kwargs: Any) -> None:
        code: Any = 0
        try:
            command(*args, **kwargs)
        except SystemExit as stop:
            code = stop.code
        if "petals" not in sys.modules:  # nothing is there that would have to be cleaned up
            sys.exit(code)
        from ..swarm.drive import leave

        leave(int(code or 0))

    return ending  # type: ignore[return-value]


@click.command()
@click.option("--model", required=True, help="Folder or repository, as the servers name it.")
@click.option("--initial-peers", multiple=True, metavar="MADDR", help="None = the public swarm.")
@click.option("--prefix", help="DHT prefix of the model [PETALS' own for this name].")
@click.option("--operator-key", metavar="KEY", help="Public key (line or file) whose plans count.")
@click.option("--client", help="Which client of the plan's scenario this is [the first].")
@click.option("--adapter", metavar="NAME", help="Repository or folder, as servers load it.")
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="May be given repeatedly.")
@click.option("--ids", multiple=True, metavar="'1 2 3'", help="A prompt as ids of tokens.")
@click.option("--new-tokens", type=click.IntRange(1, 10**6), default=64, show_default=True)
@click.option("--draft", metavar="MODEL", help="A small model of the same vocabulary that drafts.")
@click.option("--draft-tokens", type=_Drafts(), default="auto", show_default=True)
@click.option("--temperature", type=FiniteRange(0.01, 100), help="Draw tokens [take the best].")
@click.option("--top-p", type=FiniteRange(0.001, 1), help="Draw from the likeliest tokens.")
@click.option("--seed", type=click.IntRange(0), help="Of what is drawn.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@_ending_at_once
@functools.partial(handle_errors, keeps=True)
def command(as_json: bool, **options: Any) -> None:
    """Ask a live swarm, by the operator's plan, and say how long it took.

    With --draft a small model on this machine guesses tokens and the swarm looks at several in one
    pass: the tokens are the swarm's own, and come faster. What was learned of the drafts is told in
    the end, as a scenario's table [speculation].
    """
    from ..swarm.needs import prepare

    prepare("client")
    from ..swarm.driving import Ask, ask

    answers, report = ask(Ask(**options))
    if as_json:
        found: dict[str, Any] = {"answers": [a.document() for a in answers]}
        if report is not None:
            found["drafts"] = report.document()
        render.print_json(found)
    else:
        for answer in answers:
            print(answer.text if answer.text is not None else " ".join(map(str, answer.ids)))
            render.note(answer.line())
        for line in () if report is None else report.lines():
            render.note(line)
