"""The value of a slot by pairs: whoever meets at a server delays the other. docs/model.md 13.

Every pair counts as if two steps always met, so it tells far too much where servers are not
saturated (2 to 3 times); but it is exact to enumerate, linear once pairs are variables, and what
the solver is tested on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray
from .slot import WAIT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs(ByContent):
    """R requests with P chains each over J servers.

    Attributes
    ----------
    cost_s : (R, P) response alone; ``wait_s`` (R,) what waiting costs.
    blocks : (R, P, J) block-runs; ``steps`` (R,) steps of each request.
    sigma_s : (J,) how long a block-run of one delays a step of another.
    running, running_steps_blocks : (J,) sessions that run, and their steps left times block-runs.
    """

    cost_s: FloatArray
    wait_s: FloatArray
    blocks: FloatArray
    steps: FloatArray
    sigma_s: FloatArray
    running: FloatArray
    running_steps_blocks: FloatArray

    def alone_s(self) -> FloatArray:
        """(R, P) what each chain costs beside those who run, without the others of the slot."""
        met = self.steps[:, None, None] * self.blocks * self.running
        caused = self.running_steps_blocks * (self.blocks > 0)
        alone: FloatArray = self.cost_s + (met + caused) @ self.sigma_s
        return alone

    def pair_s(self, one: tuple[int, int], other: tuple[int, int]) -> float:
        """What two requests on their chains cost each other."""
        mine, yours = self.blocks[one], self.blocks[other]
        met = (mine > 0) & (yours > 0)
        delay = self.steps[one[0]] * mine + self.steps[other[0]] * yours
        return float((self.sigma_s * delay)[met].sum())

    def __call__(self, choice: IntArray) -> float:
        """The cost of an assignment."""
        on = np.flatnonzero(choice != WAIT)
        blocks = self.blocks[on, choice[on]]
        here = blocks > 0
        count = here.sum(axis=0)
        own = self.steps[on] @ blocks
        delays = (count - 1 + self.running) * own + self.running_steps_blocks * count
        alone = self.cost_s[on, choice[on]].sum() + self.wait_s[choice == WAIT].sum()
        return float(alone + self.sigma_s @ np.where(count > 0, delays, 0.0))
