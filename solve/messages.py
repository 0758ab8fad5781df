"""What the process that solves is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.content import FloatArray
from .programme import Programme


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """A programme to be solved.

    Attributes
    ----------
    gap : stop when solution and bound are this near, relative.
    start : (n,) a full solution to begin with; HiGHS drops one that it does not accept.
    target : stop at a solution that costs no more.
    """

    programme: Programme
    gap: float
    seed: int
    start: FloatArray | None
    target: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class News:
    """Where a run stands.

    Attributes
    ----------
    values : (n,) a better solution, None when only the bound is new.
    bound : -inf while none is known.
    """

    values: FloatArray | None
    bound: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there will be no result."""

    reason: str
