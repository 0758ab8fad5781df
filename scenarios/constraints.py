"""What an operator demands of placements: names of a file or of options become rows."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.constraints import Constraints, Loss, ServerSpan
from ..core.errors import InputProblem, ScenarioError
from ..core.names import blocks
from ..core.problem import Problem
from . import schema


def build_constraints(problem: Problem, given: schema.Resilience) -> Constraints:
    """The constraints of a document or of the command line.

    A loss is named by a server's id, or by a region, all of whose servers are lost together.

    Raises
    ------
    ScenarioError
        Listing every unknown name and every span outside the model.
    """
    rows = {s.id: j for j, s in enumerate(problem.servers)}
    wrong: list[InputProblem] = []
    survive = [_loss(problem, rows, name, i, wrong) for i, name in enumerate(given.survive)]
    pinned = _spans(problem, rows, given.pinned.items(), "resilience.pinned", wrong, idle=True)
    bans = [(name, span) for name, spans in given.forbidden.items() for span in spans]
    forbidden = _spans(problem, rows, bans, "resilience.forbidden", wrong, idle=False)
    if wrong:
        raise ScenarioError(wrong)
    by_region = given.redundancy_of == "regions"
    return Constraints(
        copies=1 if by_region else given.redundancy,
        regions=given.redundancy if by_region else 1,
        survive=tuple(loss for loss in survive if loss is not None),
        headroom_frac=given.headroom_percent / 100.0,
        pinned=pinned,
        forbidden=forbidden,
    )


def _loss(
    problem: Problem, rows: dict[str, int], name: str, i: int, wrong: list[InputProblem]
) -> Loss | None:
    if name in rows:
        return Loss(name=f"server {name}", servers=frozenset({rows[name]}))
    lost = frozenset(j for j, s in enumerate(problem.servers) if s.region == name)
    if lost:
        return Loss(name=f"region {name}", servers=lost)
    wrong.append(InputProblem(f"resilience.survive[{i}]", f"no server or region {name!r}"))
    return None


def _spans(
    problem: Problem,
    rows: dict[str, int],
    given: Iterable[tuple[str, tuple[int, int]]],
    where: str,
    wrong: list[InputProblem],
    *,
    idle: bool,
) -> tuple[ServerSpan, ...]:
    length = problem.model.num_blocks
    found = []
    for name, (start, end) in given:
        if name not in rows:
            wrong.append(InputProblem(f"{where}.{name}", f"no server {name!r} in the scenario"))
        elif not (0 <= start < end <= length or (idle and start == end)):
            message = f"{blocks(start, end)} is not a span within {blocks(0, length)}"
            wrong.append(InputProblem(f"{where}.{name}", message))
        else:
            empty = start == end
            found.append(
                ServerSpan(server=rows[name], start=0 if empty else start, end=0 if empty else end)
            )
    return tuple(found)
