"""How a session drafts, as a row of numbers for the compiled part (``luck``, ``passes``)."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ..core.content import FloatArray
from ..core.plan import Route
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.speculation import each_acceptance

#: Luck is a number of so many bits.
BITS = (1 << 31) - 1
#: How a session drafts, a row of plain numbers: drafts of a pass at most, positions of the present
#: one; tokens that its reservation holds, and that it makes at most; which drafts are right, what
#: is kept of them (``tokens_made``); what one takes; whether the next ones are made meanwhile, when
#: these were sent, whether the next ones turned out to be the right ones to make; passes so far;
#: from RIGHT on how likely each is right.
DRAFTS, POSITIONS, ROOM, END, LUCK, PETALS, DRAFT_S = 0, 1, 2, 3, 4, 5, 6
AHEAD, SENT_S, GUESSED, PASSES, RIGHT = 7, 8, 9, 10, 11


def row_width(problem: Problem) -> int:
    """Numbers in a row; 0 where nobody drafts."""
    most = max(k for use in problem.drafts for k in (use.tokens, *(k for _, k in use.chains)))
    return RIGHT + most + 1 if most else 0


def row_of(problem: Problem, request: Request, route: Route | None = None) -> FloatArray:
    """How a request's session drafts, its limits apart; on a chain where that is known."""
    own, row = problem.drafting[request.client], np.zeros(row_width(problem))
    row[DRAFTS], row[POSITIONS], row[DRAFT_S] = own.tokens, 1, own.model.draft_s
    if route is not None:
        row[DRAFTS] = problem.drafts_on(request.client, route.servers)
    row[LUCK], row[PETALS] = luck_of(request), own.semantics == "petals"
    row[AHEAD] = own.ahead
    row[RIGHT:] = each_acceptance(request.acceptance or own.model.acceptance, len(row) - RIGHT)
    return row


def luck_of(request: Request) -> int:
    """A number that tells a request apart from others, and from those of other draws."""
    return zlib.crc32(struct.pack("<qd", request.id, request.arrival_s)) & BITS
