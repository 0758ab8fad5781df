"""Waiting rules by their names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..core.errors import SwarmplanError
from ..core.names import Admission, names
from .admission import Queue, Reserve, Retry, Rule
from .line import Ordered
from .sized import Sized

#: What makes the rule of a run.
RULES: dict[Admission, Callable[[], Rule]] = {
    "retry": Retry,
    "queue": Queue,
    "reserve": Reserve,
    "notify": partial(Reserve, rounding="none"),
    "sized": Sized,
    "ordered": Ordered,
}


def rule_named(name: str) -> Rule:
    """A waiting rule by its name, made for one run.

    Raises
    ------
    SwarmplanError
        If there is none of that name.
    """
    for known, make in RULES.items():
        if known == name:
            return make()
    raise SwarmplanError(f"unknown waiting rule {name!r}: use one of {', '.join(names(Admission))}")
