"""Watts, prices and long-term budgets of a scenario file, in SI units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.allowance import Allowance
from ..core.content import FloatArray
from ..core.errors import InputProblem, ScenarioError
from ..core.problem import Problem
from ..perfmodel.devices import board_w
from ..perfmodel.expense import price_per_s, work_w
from . import schema
from .kinds import Kind

_HOUR_S = 3_600.0
#: So many servers are named in a warning.
_MOST_NAMED = 5


def power_w(given: schema.Server, kind: Kind, where: str) -> tuple[float | None, float | None]:
    """Idle and busy power of a server: its own, its device's, for busy the profile's board power.

    Raises
    ------
    ScenarioError
        If it takes more while it waits than while it computes.
    """
    device = f"devices.{given.device}"
    at, idle = _first((f"{where}.idle_watts", given.idle_watts), (device, kind.given.idle_watts))
    _, busy = _first((where, given.busy_watts), (device, kind.given.busy_watts))
    whose = ""
    if busy is None:
        busy, whose = board_w(kind.base), ", the board power of its profile"
    if idle is not None and busy is not None and idle > busy:
        field = at if at.endswith("watts") else f"{at}.idle_watts"
        raise ScenarioError.single(
            field, f"is {idle:g}, more than busy_watts, {busy:g}{whose}: give both of the server"
        )
    return idle, busy


def _first(*given: tuple[str, float | None]) -> tuple[str, float | None]:
    """The first figure that is given, and where."""
    return next((found for found in given if found[1] is not None), given[-1])


def price_of(given: schema.Server, kind: Kind) -> float | None:
    """Price of a second of a server: its own, else its device's."""
    _, price = _first(("", given.price_per_hour), ("", kind.given.price_per_hour))
    return None if price is None else price / _HOUR_S


def build_allowance(problem: Problem, given: schema.Budget | None) -> Allowance | None:
    """The budgets of a document.

    Raises
    ------
    ScenarioError
        For a table without budgets, and for budgets of what is known of no server.
    """
    if given is None:
        return None
    wrong = list(_wrong(problem, given))
    if wrong:
        raise ScenarioError(wrong)
    money = given.money_per_hour
    return Allowance(
        energy_w=given.energy_watts,
        money_per_s=None if money is None else money / _HOUR_S,
        weight=given.weight,
        slot_s=given.slot_s,
    )


def _wrong(problem: Problem, given: schema.Budget) -> Iterator[InputProblem]:
    if given.energy_watts is None and given.money_per_hour is None:
        yield InputProblem("planning.budget", "needs energy_watts or money_per_hour")
    for field, needs, each in _figures(problem, given):
        if np.isnan(each).all():
            message = f"no server has {needs}: give them in devices or servers"
            yield InputProblem(f"planning.budget.{field}", message)


def _figures(problem: Problem, given: schema.Budget) -> Iterator[tuple[str, str, FloatArray]]:
    """(field, figures that it needs, (n,) what a second of work spends or nan)."""
    if given.energy_watts is not None:
        yield "energy_watts", "idle_watts and busy_watts", work_w(problem)
    if given.money_per_hour is not None:
        yield "money_per_hour", "price_per_hour", price_per_s(problem)


def check_budget(problem: Problem, given: schema.Budget | None) -> Iterator[str]:
    """Warnings about servers that spend nothing of a budget, because nobody said what."""
    for field, needs, each in () if given is None else _figures(problem, given):
        missing = [problem.servers[j].id for j in np.flatnonzero(np.isnan(each))]
        if missing:
            more = " ..." if len(missing) > _MOST_NAMED else ""
            yield (
                f"planning.budget.{field}: {len(missing)} server(s) without {needs} spend nothing "
                f"of it: {', '.join(missing[:_MOST_NAMED])}{more}"
            )
