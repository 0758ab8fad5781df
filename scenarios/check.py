"""Checks across the fields of a scenario: ids, references, what is legal but not meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..core.errors import InputProblem
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import blocks_that_fit
from . import schema
from .measured import End


def check_document(
    document: schema.Scenario, ends: list[tuple[End, schema.Server]]
) -> Iterator[InputProblem]:
    """Duplicate ids and events that hit nothing."""
    yield from _duplicates("servers", [(end.where, end.id) for end, _ in ends])
    yield from _duplicates(
        "clients", [(f"clients[{i}]", c.id) for i, c in enumerate(document.clients)]
    )
    servers = {end.id for end, _ in ends} | {server.id for _, server in ends}
    regions = {server.region for _, server in ends} - {""}
    for at, event in enumerate(document.events):
        where = f"events[{at}]"
        if (event.server is None) == (event.region is None):
            yield InputProblem(f"{where}.server", "give either server or region")
        elif event.server is not None and event.server not in servers:
            yield InputProblem(f"{where}.server", f"no server {event.server!r} in this scenario")
        elif event.region is not None and event.region not in regions:
            yield InputProblem(f"{where}.region", f"no server is in region {event.region!r}")


def _duplicates(kind: str, named: list[tuple[str, str]]) -> Iterator[InputProblem]:
    count = Counter(name for _, name in named)
    told: set[str] = set()
    for where, name in named:
        if count[name] > 1 and name not in told:
            told.add(name)
            message = f"the id {name!r} is used {count[name]} times in {kind}; ids must differ"
            yield InputProblem(f"{where}.id", message)


def check_problem(problem: Problem) -> Iterator[str]:
    """Warnings about a problem that can be built: memory that is too small to be of use."""
    cost = CostModel.of(problem)
    usable = blocks_that_fit(cost, 1, capped=False)
    small = [s.id for s, fit in zip(problem.servers, usable, strict=True) if not fit]
    if small:
        shown = ", ".join(small[:8]) + (" ..." if len(small) > 8 else "")
        yield f"{len(small)} server(s) cannot hold one block and one session: {shown}"
    room = int(blocks_that_fit(cost, 0, capped=False).sum())
    if room < problem.model.num_blocks:
        yield (
            f"all servers together hold {room} of the {problem.model.num_blocks} blocks of "
            f"{problem.model.name}: no plan exists"
        )
