"""What passes over drafts are: how many a client needs, what more positions take at a server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.content import FloatArray, frozen_array
from ..core.drafting import MOST_DRAFTS, Drafting
from ..core.problem import ModelSpec, Problem, Server, per_block
from .speculation import law, passes_needed, positions, survival, tokens_per_pass
from .timing import StepCurves, extra_s

#: Positions of a pass, and how often a step of one it takes, where nobody measured it: medians of
#: H100 blocks (docs/perfmodel.md). It is a step, not a slope: other kernels from two positions on.
VERIFY = {
    "bf16": ((2.0, 1.05),),
    "int8": ((1.0, 1.0), (9.0, 1.36)),
    "nf4": ((2.0, 1.46), (3.0, 1.76), (4.0, 2.06)),
}
VERIFY_MIXTURE = ((2.0, 1.3), (3.0, 1.5), (4.0, 1.8), (8.0, 2.15))

#: Tokens up to which passes are counted one by one; from there on each needs as many as the last.
LONGEST = 4_096


def usual_verify(model: ModelSpec) -> tuple[tuple[float, float], ...]:
    """The table of a server of which nothing else is known."""
    blocks = per_block(model.blocks, model.num_blocks)
    mixture = any(block is not None and block.experts for block in blocks)
    return VERIFY_MIXTURE if mixture else VERIFY[model.quantisation]


class Passes:
    """The passes of one client.

    Attributes
    ----------
    drafts, positions : of one pass. work_s : of the draft model for it.
    tokens : expected of one pass.
    ahead : probability that the next drafts are made while these are looked at.
    """

    def __init__(self, drafting: Drafting | None) -> None:
        self.drafts = drafting.tokens if drafting else 0
        semantics = drafting.semantics if drafting else "standard"
        self.positions = positions(self.drafts, semantics)
        self.work_s = self.drafts * drafting.model.draft_s if drafting else 0.0
        alive = survival(drafting.model.acceptance if drafting else (0.0,), MOST_DRAFTS + 1)
        ahead = drafting is not None and drafting.ahead and self.drafts > 0
        self.ahead = float(alive[self.drafts + 1]) if ahead else 0.0
        self.tokens = tokens_per_pass(alive, self.drafts, semantics)
        self._chances = law(alive, self.drafts, semantics)
        self._needed = np.zeros(1)

    def per_token(self, tokens: int) -> float:
        """Passes for each of so many tokens, on average."""
        if not self.drafts or tokens < 1:
            return 1.0
        counted = min(tokens, LONGEST)
        if counted >= len(self._needed):
            self._needed = passes_needed(self._chances, max(counted, 2 * len(self._needed)))
        return (float(self._needed[counted]) + (tokens - counted) / self.tokens) / tokens


def passes_of(problem: Problem) -> tuple[Passes, ...]:
    """The passes of every client."""
    drafts = [own if own.tokens else None for own in problem.drafting]
    each = drafts or [None] * len(problem.clients)
    known: dict[Drafting | None, Passes] = {}
    for one in each:
        if one not in known:
            known[one] = Passes(one)
    return tuple(known[one] for one in each)


def most_positions(problem: Problem) -> int:
    """Of any pass that some client makes on some chain."""
    return max(
        (
            positions(k, own.semantics)
            for own in problem.drafting
            for k in (own.use.tokens, *(k for _, k in own.use.chains))
        ),
        default=1,
    )


def verify_table(servers: Sequence[Server], curves: StepCurves, most: int) -> FloatArray:
    """(2, n, most + 1) by the positions of a pass: it takes ``[0]`` times as long as a step of one,
    and ``[1]`` seconds more on each block.

    A server that batches takes positions as it takes sequences, by its curve.
    """
    table = np.zeros((2, len(servers), most + 1))
    table[0] = 1.0
    for j, server in enumerate(servers):
        if server.verify and server.sharing != "batched":
            at, times = zip((1.0, 1.0), *server.verify, strict=True)
            table[0, j, 2:] = np.interp(np.arange(2, most + 1), at, times)
            continue
        knots = curves.rows[j], curves.more_s[j], int(curves.knots[j]), float(curves.beyond_s[j])
        table[1, j, 2:] = [extra_s(*knots, float(q)) for q in range(2, most + 1)]
    return frozen_array(table, np.float64)
