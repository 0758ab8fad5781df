"""How clients draft: a small model guesses tokens, the swarm looks at several in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .names import Semantics

#: Drafts of a pass at most.
MOST_DRAFTS = 64


#: Rows of the servers of a chain, in order.
Chain = tuple[int, ...]


class Use(NamedTuple):
    """How a client drafts at present: drafts of a pass, k, and by which of its models.

    ``chains`` are those on which it drafts another number; of a client that drafts.
    """

    tokens: int
    model: int = 0
    chains: tuple[tuple[Chain, int], ...] = ()

    def on(self, chain: Sequence[int]) -> int:
        """Drafts of a pass on a chain of servers."""
        return dict(self.chains).get(tuple(chain), self.tokens) if self.chains else self.tokens

    @property
    def everywhere(self) -> Use:
        """The same number on all chains."""
        return Use(self.tokens, self.model)


#: Nothing is drafted.
NO_USE = Use(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftModel:
    """A small model on a client's device.

    Attributes
    ----------
    acceptance : a_1, a_2, ...: probability that a draft is right where all before it in the pass
        were; the last one is that of all further drafts.
    draft_s : what one draft takes.
    """

    name: str = ""
    acceptance: tuple[float, ...]
    draft_s: float

    def __post_init__(self) -> None:
        if not self.acceptance or not all(0 <= a <= 1 for a in self.acceptance):
            raise ValueError(f"acceptance needs values from 0 to 1, got {self.acceptance}")
        if not 0 <= self.draft_s < math.inf:
            raise ValueError(f"draft_s must be finite and not negative, got {self.draft_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafting:
    """What one client can draft with, and how it does.

    Attributes
    ----------
    models : that it can run; empty = it cannot draft.
    use : what is in force.
    free : whether ``use`` is for the planner to choose.
    ahead : whether the next drafts are made while these are looked at; of use where all turn out
        right and the token after them was guessed too.
    """

    models: tuple[DraftModel, ...] = ()
    use: Use = NO_USE
    free: bool = False
    semantics: Semantics = "standard"
    ahead: bool = False

    def __post_init__(self) -> None:
        for drafts in (self.use.tokens, *(k for _, k in self.use.chains)):
            if not 0 <= drafts <= MOST_DRAFTS:
                raise ValueError(f"drafts must lie in 0 .. {MOST_DRAFTS}, got {drafts}")
        if self.use.chains and not self.use.tokens:
            raise ValueError("a client that drafts nothing drafts nothing on any chain")
        if self.use.tokens and not 0 <= self.use.model < len(self.models):
            raise ValueError(f"there is no draft model {self.use.model}")
        if self.ahead and self.semantics != "standard":
            raise ValueError("only standard passes can be drafted ahead")

    @property
    def tokens(self) -> int:
        """Drafts of a pass, k; 0 = none, one token a pass."""
        return self.use.tokens

    @property
    def model(self) -> DraftModel:
        """The model in use; one that is never right where there is none."""
        return self.models[self.use.model] if self.models else _NONE


_NONE = DraftModel(acceptance=(0.0,), draft_s=0.0)
