"""Adapters: small matrices beside those of a model (LoRA), which servers load by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter of the model.

    Attributes
    ----------
    id : by which clients ask for it.
    block_bytes : what it takes of memory on one block, one figure for all or one for each; 0 where
        nobody said.
    source : by what servers load it and announce it: a repository, or a folder.
    """

    id: str
    block_bytes: int | tuple[int, ...]
    source: str = ""

    @property
    def name(self) -> str:
        """What servers call it."""
        return self.source or self.id
