"""What a check finds: where, what, and whether it makes the thing unfit for use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding about a plan.

    Attributes
    ----------
    grave : whether the plan must not be used; else it is worth knowing only.
    """

    where: str
    message: str
    grave: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"
