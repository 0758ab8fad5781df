"""What was changed on the page: a scenario and edits as data, with undo and redo."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

from ..core.errors import ScenarioError
from ..scenarios.scenario import Scenario, scenario_of
from ..studies.document import Document, members
from ..studies.edits import KINDS, Edit, edited_document, move, set_value

#: More edits, or more steps back, than anybody makes by hand.
MOST_EDITS, MOST_STEPS = 500, 500
#: A place by latitude and longitude, which depends on nobody else's.
_ON_ITS_OWN = re.compile(r"-?[\d.]+,-?[\d.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An edit as the page sends it.

    Attributes
    ----------
    kind : a name of ``studies.edits.KINDS``.
    value : what that kind takes; for ``set`` and ``move`` two: path and value, name and place.
    """

    kind: str
    value: Any

    def __hash__(self) -> int:
        """Values may be lists and tables, which have none of their own."""
        return hash((self.kind, repr(self.value)))

    def edit(self) -> Edit:
        """The edit that it stands for.

        Raises
        ------
        ScenarioError
            For an unknown kind, a value that is none, and what has no field in a scenario file.
        """
        if self.kind in ("set", "move"):
            if not (isinstance(self.value, list) and len(self.value) == 2):
                raise ScenarioError.single(self.kind, "takes a list of two")
            name, value = self.value
            if value is None or value == "":
                raise ScenarioError.single(self.kind, "takes a value")
            return (
                set_value(str(name), value) if self.kind == "set" else move(str(name), str(value))
            )
        if self.kind not in KINDS:
            raise ScenarioError.single("edit", f"no edit of kind {self.kind!r}")
        if not isinstance(self.value, str | int | float | dict):
            raise ScenarioError.single(self.kind, f"{self.value!r} is no text, number or table")
        made = KINDS[self.kind](self.value)
        if made.document is None:
            message = "no field of a scenario file says that: it could not be saved"
            raise ScenarioError.single(self.kind, message)
        return made


Changes = tuple[Change, ...]


def target_of(change: Change) -> tuple[str, str] | None:
    """What a place or a value is given to; None for changes that do anything else."""
    if change.kind not in ("move", "set"):
        return None
    return change.kind, str(change.value[0])


def with_change(changes: Changes, more: Change) -> Changes:
    """The changes and another one, without an earlier one that it leaves nothing of.

    Whoever drags a server to and fro has moved it once. An earlier change stays where one between
    may depend on it.
    """
    for i in range(len(changes) - 1, -1, -1):
        old = changes[i]
        if target_of(old) is None or not _own(old):
            break
        if target_of(old) == target_of(more) and _own(more):
            return (*changes[:i], *changes[i + 1 :], more)
    return (*changes, more)


def _own(change: Change) -> bool:
    """Whether a change says all by itself: a place by degrees, a value that is no table."""
    given = change.value[1]
    if change.kind == "set":
        return not isinstance(given, dict | list)
    return _ON_ITS_OWN.fullmatch(str(given)) is not None


class Session:
    """A scenario and the changes made to it.

    A state that does not load as a scenario never comes about: whoever asks for it is told what
    is wrong, and nothing has changed.
    """

    def __init__(self, raw: Document, scenario: Scenario) -> None:
        self._raw = copy.deepcopy(raw)
        self._steps: list[Changes] = [()]
        self._at = 0
        self._original = self._scenario = scenario
        self._document = self._raw

    @property
    def original(self) -> Scenario:
        """The scenario as it was opened."""
        return self._original

    @property
    def changes(self) -> Changes:
        """What was changed, in order."""
        return self._steps[self._at]

    @property
    def scenario(self) -> Scenario:
        """The scenario as it is now."""
        return self._scenario

    @property
    def document(self) -> Document:
        """A copy of the plain data of the scenario as it is now."""
        return copy.deepcopy(self._document)

    @property
    def can_undo(self) -> bool:
        """Whether there is a step back."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a step back was taken."""
        return self._at + 1 < len(self._steps)

    def change(self, more: Changes) -> None:
        """Make further changes, all of them or none."""
        changes = self.changes
        for change in more:
            change.edit()
            changes = with_change(changes, change)
        self._go_on(changes)

    def switch_on(self, name: str) -> None:
        """Take back that a server, a group or a region was removed."""
        gone = [i for i, c in enumerate(self.changes) if c == Change(kind="remove", value=name)]
        if not gone:
            raise ScenarioError.single("switch on", f"{name!r} was not switched off")
        self._go_on((*self.changes[: gone[-1]], *self.changes[gone[-1] + 1 :]))

    def take_back(self, index: int) -> None:
        """Take one change back, whichever it was; the later ones stay."""
        if not 0 <= index < len(self.changes):
            raise ScenarioError.single("edit", f"there is no change {index + 1}")
        self._go_on((*self.changes[:index], *self.changes[index + 1 :]))

    def undo(self) -> None:
        """One step back, where there is one."""
        self._go_to(self._steps, max(0, self._at - 1))

    def redo(self) -> None:
        """One step forward again, where there is one."""
        self._go_to(self._steps, min(len(self._steps) - 1, self._at + 1))

    def switched_off(self) -> dict[str, str]:
        """Servers that were removed and could come back: id -> the name they were removed by."""
        found: dict[str, str] = {}
        for i, change in enumerate(self.changes):
            if change.kind == "remove":
                found |= dict.fromkeys(self._named(i, str(change.value)), str(change.value))
        there = {s.id for s in self.scenario.problem.servers}
        return {name: by for name, by in found.items() if name not in there}

    def _named(self, before: int, name: str) -> list[str]:
        """The servers that a name stood for before a change; none where it was a client's."""
        try:
            return members(self._changed(self.changes[:before]), name, "")
        except ScenarioError:
            return []

    def _go_on(self, changes: Changes) -> None:
        if len(changes) > MOST_EDITS:
            message = f"more than {MOST_EDITS} changes: save the scenario and open it again"
            raise ScenarioError.single("edit", message)
        first, *rest = [*self._steps[: self._at + 1], changes]
        steps = [first, *rest[-MOST_STEPS:]]
        self._go_to(steps, len(steps) - 1)

    def _go_to(self, steps: list[Changes], at: int) -> None:
        """Be at a step; where it cannot be loaded all stays as it was."""
        changes = steps[at]
        if changes != self.changes:
            document = self._changed(changes)
            scenario = scenario_of(document, self.original.path) if changes else self.original
            self._document, self._scenario = document, scenario
        self._steps, self._at = steps, at

    def _changed(self, changes: Changes) -> Document:
        return edited_document(self._raw, [c.edit() for c in changes])
