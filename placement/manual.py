"""The placement that the scenario file itself gives (``span`` of each server)."""

from __future__ import annotations

from ..core.errors import InputProblem, ScenarioError
from ..core.plan import Placement
from ..core.problem import Problem


def manual(problem: Problem, *, seed: int = 0) -> Placement:
    """Every server at its own pinned span; servers without one idle.

    Raises
    ------
    ScenarioError
        Listing every span that is out of range or does not fit its server's memory, or if the
        spans leave blocks without a server.
    """
    length = problem.model.num_blocks
    wrong: list[InputProblem] = []
    spans = []
    for j, server in enumerate(problem.servers):
        span = server.pinned
        spans.append((span.start, span.end) if span else (0, 0))
        if span is None:
            continue
        where = f"servers[{server.id}].span"
        if span.end > length:
            wrong.append(InputProblem(where, f"ends at {span.end}, the model has {length} blocks"))
        most = min(int(problem.memory_bytes[j] // problem.block_bytes[j]), problem.max_blocks[j])
        if len(span) > most:
            wrong.append(InputProblem(where, f"{len(span)} blocks, but at most {most} fit"))
    if not wrong:
        placement = Placement.of(problem, spans)
        bare = [b for b, count in enumerate(placement.coverage(length)) if count == 0]
        if not bare:
            return placement
        wrong.append(
            InputProblem(
                "servers[*].span",
                f"{len(bare)} of {length} blocks have no server, the first is block {bare[0]}",
            )
        )
    raise ScenarioError(wrong)
