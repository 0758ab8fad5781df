"""Look-ups whose failure belongs to a field of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..core.errors import InputProblem, ScenarioError

T = TypeVar("T")


def known(look_up: Callable[[], T], path: str, *, within: str = "") -> T:
    """A look-up by name whose failure belongs to one field.

    Parameters
    ----------
    within : the file of which the look-up names the field.
    """
    try:
        return look_up()
    except ScenarioError as error:
        problems = [
            InputProblem(path, f"{within}: {p}" if within else p.message) for p in error.problems
        ]
        raise ScenarioError(problems) from error
