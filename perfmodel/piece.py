"""A problem cut to some consecutive blocks of its model."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from ..core.problem import Problem

T = TypeVar("T")


def piece(problem: Problem, start: int, end: int) -> Problem:
    """The problem of running blocks ``[start, end)`` only; they count from 0 in it."""

    def cut(figure: T | tuple[T, ...]) -> T | tuple[T, ...]:
        return figure[start:end] if isinstance(figure, tuple) else figure

    model = problem.model
    return replace(
        problem,
        model=replace(
            model,
            num_blocks=end - start,
            cache_bytes_per_token=cut(model.cache_bytes_per_token),
        ),
        servers=tuple(
            replace(s, block_bytes=cut(s.block_bytes), timing=cut(s.timing), pinned=None)
            for s in problem.servers
        ),
    )
