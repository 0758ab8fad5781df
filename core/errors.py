"""The exception tree, with the exit code of the command line beside each class.

::

    SwarmplanError                       1
    ├─ ScenarioError(problems)           2   bad input file: all problems at once
    ├─ CalibrationError                  2   measurements that cannot be fitted
    ├─ InfeasibleError                   3   proven: no plan exists
    ├─ NoRouteError                      3   this placement serves no chain for a client
    ├─ RequestTooLargeError              3   a session that fits no server even when idle
    ├─ HeuristicFailedError              4   this heuristic found nothing; no proof of absence
    ├─ SolverError                       4
    │  ├─ SolverUnavailableError         4
    │  └─ NoSolutionInTimeError          4
    ├─ SwarmUnreachableError             5
    └─ MissingExtraError                 6
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class SwarmplanError(Exception):
    """Base of every error that swarmplan raises on purpose."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One defect of an input file: where it is, what is wrong, how to mend it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ScenarioError(SwarmplanError):
    """An input file (scenario, plan, trace, matrix) that cannot be used."""

    exit_code = 2

    def __init__(self, problems: Iterable[InputProblem], *, source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        lines = [f"{source}: {p}" if source else str(p) for p in self.problems]
        super().__init__("\n".join(lines))

    @classmethod
    def single(cls, path: str, message: str, *, source: str = "") -> ScenarioError:
        """One defect, for the places that can only find one."""
        return cls([InputProblem(path, message)], source=source)


class CalibrationError(SwarmplanError):
    """Measurements that are too few or too odd to fit a profile."""

    exit_code = 2


class InfeasibleError(SwarmplanError):
    """Proof that no plan exists."""

    exit_code = 3


class NoRouteError(SwarmplanError):
    """The placement leaves no chain of servers from block 0 to the last one."""

    exit_code = 3


class RequestTooLargeError(SwarmplanError):
    """A session whose cache fits no chain of servers even when all of them are idle."""

    exit_code = 3


class HeuristicFailedError(SwarmplanError):
    """A heuristic gave up without proving that no plan exists."""

    exit_code = 4


class SolverError(SwarmplanError):
    """The solver failed."""

    exit_code = 4


class SolverUnavailableError(SolverError):
    """The named solver is not installed."""


class NoSolutionInTimeError(SolverError):
    """The limit passed without a feasible solution; carries the bound reached."""

    def __init__(self, message: str, *, bound: float | None = None) -> None:
        super().__init__(message)
        self.bound = bound


class SwarmUnreachableError(SwarmplanError):
    """No peer of the live swarm answered."""

    exit_code = 5


class MissingExtraError(SwarmplanError):
    """An optional dependency is not installed."""

    exit_code = 6

    def __init__(self, extra: str, *, what: str = "this") -> None:
        super().__init__(f'{what} needs an optional part: pip install "swarmplan[{extra}]"')
        self.extra = extra


class SwarmplanWarning(UserWarning):
    """Something the user should know and can act on."""
