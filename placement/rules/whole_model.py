"""Whole-model hosting: every server that can hold all blocks does, the others idle."""

from __future__ import annotations

from ...core.errors import HeuristicFailedError
from ...core.plan import Placement
from ...perfmodel.memory import whole_model_bytes
from ..task import Task


def whole_model(task: Task) -> Placement:
    """The whole model on every server that has room for it and at least one session.

    Raises
    ------
    HeuristicFailedError
        If no server is large enough.
    """
    problem, length = task.problem, task.cost.num_blocks
    need = whole_model_bytes(task.cost)
    holds = (problem.memory_bytes >= need) & (problem.max_blocks >= length)
    if not holds.any():
        most = int(problem.memory_bytes.max())
        raise HeuristicFailedError(
            f"no server can hold all {length} blocks of {problem.model.name} and one session: that "
            f"takes {int(need.min()) / 1e9:.2f} GB, the largest has {most / 1e9:.2f} GB"
        )
    return task.cost.placed([(0, length) if h else (0, 0) for h in holds])
