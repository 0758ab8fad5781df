"""A model's ``config.json`` as typed look-ups: what is missing or absurd is one clear message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import ScenarioError

#: No width, count or vocabulary of a model comes near.
MOST = 10**8
#: Blocks of the largest model that files may describe.
MOST_BLOCKS = 1_000


class Config:
    """One configuration; null says nothing.

    Attributes
    ----------
    source : the file, for messages.
    """

    def __init__(self, given: Mapping[str, Any], source: str) -> None:
        self.source = source
        self._given = {key: value for key, value in given.items() if value is not None}

    def defect(self, field: str, message: str) -> ScenarioError:
        """The error for one field."""
        return ScenarioError.single(field, message, source=self.source)

    def has(self, name: str) -> bool:
        """Whether anything is said of a field."""
        return name in self._given

    def word(self, name: str) -> str:
        """A text, empty where there is none."""
        value = self._given.get(name, "")
        return value if isinstance(value, str) else ""

    def count(self, *names: str, default: int | None = None, least: int = 1) -> int:
        """A whole number under the first name that is there.

        Raises
        ------
        ScenarioError
            If it is missing without a default, no whole number, or absurd.
        """
        for name in names:
            if name in self._given:
                value = self._given[name]
                if isinstance(value, bool) or not isinstance(value, int):
                    raise self.defect(name, f"is no whole number: {value!r:.40}")
                if not least <= value <= MOST:
                    raise self.defect(name, f"is {value!r:.40}, expected {least} to {MOST}")
                return value
        if default is None:
            raise self.defect(names[0], "is missing")
        return default

    def optional(self, name: str) -> int | None:
        """A whole number, or None where nothing is said."""
        return self.count(name) if name in self._given else None

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise self.defect(name, f"is neither true nor false: {value!r:.40}")
        return value

    def rows(self, name: str) -> set[int]:
        """A list of block numbers, empty where nothing is said."""
        value = self._given.get(name, [])
        whole = isinstance(value, list) and all(type(row) is int and row >= 0 for row in value)
        if not whole:
            raise self.defect(name, f"is no list of block numbers: {value!r:.40}")
        return set(value)

    def inner(self, name: str) -> Config:
        """A part of the configuration."""
        value = self._given.get(name)
        if not isinstance(value, dict):
            raise self.defect(name, "is missing or no object")
        return Config(value, self.source)

    def part(self, name: str) -> Config | None:
        """The same where it is there."""
        return self.inner(name) if isinstance(self._given.get(name), dict) else None

    def num_blocks(self) -> int:
        """How many blocks there are."""
        blocks = self.count("num_hidden_layers", "n_layer", "n_layers")
        if blocks > MOST_BLOCKS:
            raise self.defect("num_hidden_layers", f"is {blocks}, at most {MOST_BLOCKS} are known")
        return blocks

    def kinds_of_attention(self, usual: tuple[str, ...]) -> tuple[str, ...]:
        """The attention of every block: ``layer_types``, or what is usual."""
        given = self._given.get("layer_types")
        if given is None:
            return usual
        known = ("full_attention", "sliding_attention", "chunked_attention", "linear_attention")
        if not isinstance(given, list) or len(given) != len(usual):
            raise self.defect("layer_types", f"is no list of {len(usual)} kinds of attention")
        for kind in given:
            if kind not in known:
                raise self.defect("layer_types", f"has {kind!r:.40}; known: {', '.join(known)}")
        return tuple(given)
