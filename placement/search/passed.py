"""Plans that a search comes by: near its best one by what they cost, and each another one.

Which of them does best where requests come and go is for the simulator to tell; their cost says
little of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...core.plan import Placement
from .state import State

#: How much dearer than the best plan so far, relative, and how many are kept.
NEAR, MOST = 0.05, 16


@dataclass(slots=True)
class Passed:
    """States at even distances, which double when there are too many (mutable: a record)."""

    _seen: int = 0
    _states: list[State] = field(default_factory=list)
    _apart: int = 1

    def offer(self, state: State) -> None:
        """Keep a state, which does not change any more, if it is its turn."""
        self._seen += 1
        if self._seen % self._apart:
            return
        self._states.append(state)
        if len(self._states) > 2 * MOST:
            del self._states[::2]
            self._apart *= 2

    def placements(self) -> list[Placement]:
        """The placements of ``MOST`` of them, each once."""
        apart = -(-len(self._states) // MOST)
        every = [state.plan()[0] for state in self._states[:: max(apart, 1)]]
        return [p for i, p in enumerate(every) if p not in every[:i]]
