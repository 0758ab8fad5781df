"""The command's first lines: Ctrl-C is heard before anything is loaded."""

from __future__ import annotations

from . import interrupt


def main() -> None:
    """Run the command line."""
    interrupt.from_now_on()
    from .cli import main as command

    try:
        command()
    finally:
        interrupt.over()
