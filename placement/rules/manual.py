"""The placement that the scenario file itself gives (``span`` of each server)."""

from __future__ import annotations

from ...core.errors import InputProblem, ScenarioError
from ...core.plan import Placement
from ...perfmodel.memory import blocks_alone
from ..task import Task


def manual(task: Task) -> Placement:
    """Every server at its own pinned span; servers without one idle.

    Raises
    ------
    ScenarioError
        Listing every span that is out of range or does not fit its server's memory, or if the
        spans leave blocks without a server.
    """
    problem, length = task.problem, task.cost.num_blocks
    most, memory = blocks_alone(task.cost, 0), problem.memory_bytes
    weights = task.cost.weights_bytes
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
        inside = weights(j, min(span.start, length), min(span.end, length))
        if len(span) > most[j]:
            wrong.append(InputProblem(where, f"{len(span)} blocks, but at most {most[j]} fit"))
        elif inside > memory[j]:
            message = f"takes {inside / 1e9:.4g} GB, the server has {memory[j] / 1e9:.4g} GB"
            wrong.append(InputProblem(where, message))
    if not wrong:
        placement = task.cost.placed(spans)
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
