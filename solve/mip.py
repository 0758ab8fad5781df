"""Solve a mixed-integer programme with HiGHS, and be back in time whatever HiGHS is doing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..core.content import FloatArray
from ..core.errors import SolverError
from .deadline import Deadline
from .messages import Failure, Task
from .outcome import Outcome
from .process import worker
from .programme import Programme

#: HiGHS may be this late, and its process may take as long to start; then it is ended.
GRACE_S = 0.5

#: Told seconds since the beginning, and the cost of the best solution and the best bound in the
#: programme's own unit, None while not known.
OnBetter = Callable[[float, float | None, float | None], None]


@dataclass(slots=True)
class _Known:
    """The best solution and the best bound that anybody has told."""

    programme: Programme
    values: FloatArray | None = None
    objective: float = math.inf
    bound: float = -math.inf

    def hear(self, values: FloatArray | None, bound: float | None) -> None:
        """Take a solution or a bound if it is better; an exhausted tree has a bound of inf."""
        if bound is not None and math.isfinite(bound):
            self.bound = max(self.bound, bound)
        if values is not None and (cost := self.programme.objective(values)) < self.objective:
            self.values, self.objective = values, cost

    def tell(self, elapsed_s: float, on_better: OnBetter) -> None:
        """Tell where the run stands."""
        cost, bound = (v if math.isfinite(v) else None for v in (self.objective, self.bound))
        on_better(elapsed_s, cost, bound)

    def outcome(self, *, interrupted: bool = False) -> Outcome:
        """The outcome of a run that was cut off."""
        return Outcome(
            state="nothing" if self.values is None else "feasible",
            values=self.values,
            bound=self.bound if math.isfinite(self.bound) else None,
            interrupted=interrupted,
        )


def solve_programme(
    programme: Programme,
    *,
    deadline: Deadline,
    gap: float,
    seed: int = 0,
    start: FloatArray | None = None,
    target: float | None = None,
    on_better: OnBetter | None = None,
) -> Outcome:
    """Solve a programme on one thread of a process of its own.

    Parameters
    ----------
    deadline : kept within about ``GRACE_S``; what was found until then comes back.
    gap : stop when solution and bound are this near, relative.
    start : (n,) a full solution to begin with; a sound one is never lost.
    target : stop at a solution that costs no more.
    on_better : called from this thread whenever there is a better solution or bound.

    Returns
    -------
    The outcome. After Ctrl-C, which is heard at once, it is marked ``interrupted``.

    Raises
    ------
    SolverError
        When HiGHS fails, or its process dies, before there is any solution.
    """
    known, began_s = _Known(programme), time.monotonic()
    if start is not None and programme.accepts(start):
        known.hear(start, None)
    task = Task(programme=programme, gap=gap, seed=seed, start=start, target=target)
    try:
        with worker() as mine:
            mine.begin(task, deadline)
            late = Deadline(max(deadline.at_s, began_s + GRACE_S) + GRACE_S)
            while (message := mine.hear(late)) is not None:
                if isinstance(message, Failure):
                    if known.values is None:
                        raise SolverError(message.reason)
                    break
                known.hear(message.values, message.bound)
                if isinstance(message, Outcome):
                    return _settled(message, known)
                if on_better is not None:
                    known.tell(time.monotonic() - began_s, on_better)
    except KeyboardInterrupt:
        return known.outcome(interrupted=True)
    return known.outcome()


def _settled(ended: Outcome, known: _Known) -> Outcome:
    """HiGHS' own outcome; one that has no solution may have lost a better one."""
    if ended.state in ("optimal", "infeasible"):
        return ended
    return known.outcome()
