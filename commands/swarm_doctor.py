"""``swarmplan swarm doctor``: what is installed for the live side, and which settings are weak."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import render
from ..core.errors import ScenarioError
from .reading import source_options
from .shared import FILE, handle_errors

if TYPE_CHECKING:
    from ..swarm.weaknesses import Weakness

_COLUMNS = ("what", "found", "verdict", "advice")


@click.command()
@source_options(needs_model=False)
@click.option(
    "--key", "keys", multiple=True, type=FILE, help="A private key: operator's, clients', a peer's."
)
@click.option("--state", type=FILE, help="The file that serve --state remembers versions in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@partial(handle_errors, keeps=True)
def command(keys: tuple[Path, ...], state: Path | None, as_json: bool, **source: Any) -> None:
    """Say what is installed for the live side, what is wrong, and how to mend it.

    With --key, --state, or a swarm to look at (--model with --initial-peers or --health), weak
    settings are told too: keys that others can read, plans in force for weeks, servers without the
    plugin, sessions longer than servers allow, old versions.
    """
    from ..swarm.doctor import examine, is_usable
    from ..swarm.needs import HOW

    findings = examine()
    missing = [f.what for f in findings if f.verdict == "missing"]
    rows: list[tuple[str, ...]] = [(f.what, f.found, f.verdict, f.advice) for f in findings]
    rows += [(w.what, w.found, "weak", w.advice) for w in _weaknesses(keys, state, source)]
    if as_json:
        found = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        render.print_json({"usable": is_usable(findings), "findings": found})
    else:
        render.print_table("live side", _COLUMNS, rows)
    if missing:
        render.note(f"missing: {', '.join(missing)}")
        render.note(HOW)
    sys.exit(0 if is_usable(findings) else 6)


def _weaknesses(
    keys: tuple[Path, ...], state: Path | None, source: dict[str, Any]
) -> tuple[Weakness, ...]:
    """Of the files that are named, and of the swarm where one is."""
    from ..swarm.weaknesses import in_order, of_files, of_monitor

    found = [*of_files(keys, state), *of_monitor(source["health"])]
    if not (source["initial_peers"] or source["health"]):
        if source["model"] is not None:
            raise ScenarioError.single("--model", "needs --initial-peers or --health beside it")
        return in_order(found)
    if source["model"] is None:
        raise ScenarioError.single("--model", "is needed to look at a swarm")
    return in_order([*found, *_of_swarm(source)])


def _of_swarm(source: dict[str, Any]) -> list[Weakness]:
    import time

    from ..scenarios.checkpoint import model_figures
    from ..swarm.inspecting import Wanted, inspect_swarm
    from ..swarm.weaknesses import of_plan, of_servers

    wanted = Wanted(**source)
    _, notes = inspect_swarm(wanted)
    operator = ""
    if wanted.operator_key is not None and wanted.health is None:
        from ..swarm.sealing import fingerprint
        from ..swarm.signing import read_public_key

        operator = fingerprint(read_public_key(wanted.operator_key))
    servers = of_servers(
        notes.servers,
        notes.plan,
        operator=operator,
        asked=wanted.health is None,
        grouped=model_figures(wanted.model, wanted.prefix).grouped_query,
    )
    # A monitor knows nothing of plans.
    return [*([] if wanted.health else of_plan(notes.plan, time.time())), *servers]
