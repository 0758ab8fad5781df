"""The decision to move or to stay, and the steps."""

from __future__ import annotations

from typing import Any

from ..render import note, number, print_lines, print_table
from .text import span


def print_migration(document: dict[str, Any]) -> None:
    """The decision, the options and the steps."""
    for label, names in (("gone", document["gone_servers"]), ("new", document["new_servers"])):
        if names:
            note(f"{label} since the plan was made: {', '.join(names)}")
    hours = number(document["horizon_s"] / 3600.0)
    print_table(
        f"Best plan by number of moves; request-seconds over {hours} h", *_options(document)
    )
    if document["steps"]:
        print_table("Migration", *_steps(document))
    verdict = "move" if document["move"] else "stay"
    print_lines([f"{verdict}: {reason}" for reason in document["reasons"]])


def _endless(value: float | None) -> str:
    return "without end" if value is None else number(value)


def _options(document: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of the options."""
    columns = ["moves", "expected response s", "sustains 1/s", "gain", "cost", "net"]
    rows = [
        [
            o["moves"],
            "overload" if o["response_s"] is None else number(o["response_s"]),
            number(o["sustained_per_s"]),
            *(_endless(o[f"{name}_request_s"]) for name in ("gain", "cost", "net")),
            *(number(o[name]) for name in ("lost_sessions", "duration_s", "dark_s")),
            o["verdict"],
        ]
        for o in document["options"]
    ]
    return [*columns, "cut off", "takes s", "dark s", "verdict"], rows


def _steps(document: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of the migration."""
    rows: list[list[object]] = [
        [
            number(s["begin_s"]),
            number(s["end_s"]),
            "-" if s["first_token_s"] is None else number(s["first_token_s"]),
            s["server"],
            span(s["old_start"], s["old_end"]),
            span(s["new_start"], s["new_end"]),
        ]
        for s in document["steps"]
    ]
    return ["begins s", "serves again s", "first token s", "server", "from", "to"], rows
