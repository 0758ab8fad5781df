"""A problem cut to some consecutive blocks of its model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.problem import BY_BLOCK, Problem


def piece(problem: Problem, start: int, end: int) -> Problem:
    """The problem of running blocks ``[start, end)`` only; they count from 0 in it."""

    def cut(figure: Any) -> Any:
        return figure[start:end] if isinstance(figure, tuple) else figure

    model = problem.model
    figures: dict[str, Any] = {name: cut(getattr(model, name)) for name in BY_BLOCK}
    return replace(
        problem,
        model=replace(model, num_blocks=end - start, **figures),
        servers=tuple(
            replace(
                s,
                block_bytes=cut(s.block_bytes),
                load_block_bytes=cut(s.load_block_bytes),
                timing=cut(s.timing),
                pinned=None,
            )
            for s in problem.servers
        ),
    )
