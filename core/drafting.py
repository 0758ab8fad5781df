"""How clients draft: a small model guesses tokens, the swarm looks at several in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .names import Semantics


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafting:
    """One client's draft model, and how it is used.

    Attributes
    ----------
    acceptance : a_1, a_2, ...: probability that a draft is right where all before it in the pass
        were; the last one is that of all further drafts.
    draft_s : what one draft takes the client.
    tokens : drafts of a pass, k; 0 = none, one token a pass.
    free : whether ``tokens`` is for the planner to choose.
    """

    acceptance: tuple[float, ...]
    draft_s: float
    tokens: int = 0
    free: bool = False
    semantics: Semantics = "standard"

    def __post_init__(self) -> None:
        if not self.acceptance or not all(0 <= a <= 1 for a in self.acceptance):
            raise ValueError(f"acceptance needs values from 0 to 1, got {self.acceptance}")
        if not 0 <= self.draft_s < math.inf:
            raise ValueError(f"draft_s must be finite and not negative, got {self.draft_s}")
        if not 0 <= self.tokens <= MOST_DRAFTS:
            raise ValueError(f"tokens must lie in 0 .. {MOST_DRAFTS}, got {self.tokens}")


#: Drafts of a pass at most.
MOST_DRAFTS = 64
