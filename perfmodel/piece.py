"""A problem cut to some consecutive blocks of its model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.problem import BY_BLOCK, Problem


def piece(problem: Problem, start: int, end: int) -> Problem:
    """The problem of running blocks ``[start, end)`` only; they count from 0 in it.

    Budgets of accuracy stay those of whole routes: what blocks outside harm is not counted.
    """

    def cut(figure: Any) -> Any:
        return figure[start:end] if isinstance(figure, tuple) else figure

    model, accuracy = problem.model, problem.accuracy
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
                variants=tuple(
                    replace(v, block_bytes=cut(v.block_bytes), timing=cut(v.timing))
                    for v in s.variants
                ),
            )
            for s in problem.servers
        ),
        accuracy=None
        if accuracy is None
        else replace(accuracy, harm=tuple((p, cut(each)) for p, each in accuracy.harm)),
        adapters=tuple(replace(a, block_bytes=cut(a.block_bytes)) for a in problem.adapters),
    )
