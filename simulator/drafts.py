"""Which drafts are right: drawn once for each place of a request's text, whoever asks.

So that methods and numbers of drafts are compared on the same luck: the draft for a place is right
or not for all of them alike (common random numbers).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ..core.content import FloatArray
from ..core.jit import compiled
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.speculation import each_acceptance

_BITS = (1 << 31) - 1
#: How a session drafts, a row of plain numbers: drafts of a pass at most, positions of the present
#: one; tokens that its reservation holds, and that it makes at most; which drafts are right, what
#: is kept of them (``tokens_made``); what one takes; whether the next ones are made meanwhile, when
#: these were sent, whether the next ones turned out to be the right ones to make; passes so far;
#: from RIGHT on how likely each is right.
DRAFTS, POSITIONS, ROOM, END, LUCK, PETALS, DRAFT_S = 0, 1, 2, 3, 4, 5, 6
AHEAD, SENT_S, GUESSED, PASSES, RIGHT = 7, 8, 9, 10, 11


def row_width(problem: Problem) -> int:
    """Numbers in a row; 0 where nobody drafts."""
    most = max(use.tokens for use in problem.drafts)
    return RIGHT + most + 1 if most else 0


def row_of(problem: Problem, request: Request) -> FloatArray:
    """How a request's session drafts, its limits apart."""
    own, row = problem.drafting[request.client], np.zeros(row_width(problem))
    row[DRAFTS], row[POSITIONS], row[DRAFT_S] = own.tokens, 1, own.model.draft_s
    row[LUCK], row[PETALS] = luck_of(request), own.semantics == "petals"
    row[AHEAD] = own.ahead
    row[RIGHT:] = each_acceptance(request.acceptance or own.model.acceptance, len(row) - RIGHT)
    return row


def luck_of(request: Request) -> int:
    """A number that tells a request apart from others, and from those of other draws."""
    return zlib.crc32(struct.pack("<qd", request.id, request.arrival_s)) & _BITS


@compiled
def _mixed(number: int) -> int:
    """31 bits that look as if they had nothing to do with the number."""
    number ^= number >> 16
    number = number * 0x21F0AAAD & _BITS
    number ^= number >> 15
    number = number * 0x735A2D97 & _BITS
    return number ^ (number >> 15)


@compiled
def chance(luck: int, place: int, turn: int) -> float:
    """Between 0 and 1, for one place of a request's text and one try."""
    mixed = _mixed(_mixed(_mixed(luck) ^ (place & _BITS)) ^ (turn & _BITS))
    return (mixed + 0.5) / (_BITS + 1.0)


@compiled
def tokens_made(rows: FloatArray, at: int, positions: int, place: int) -> int:
    """Tokens of a pass: the drafts that are right and one token of the target's own.

    PETALS' class judges as many drafts as positions and keeps the target's own token only where no
    draft was right; there a draft that was wrong is tried anew, as its law has it.

    Parameters
    ----------
    rows, at : of ``row_of``, and which of them.
    place : of the first draft in the text.

    Notes
    -----
    Whether the token after the drafts was guessed too is written down for who drafts ahead.
    """
    rows[at, GUESSED] = 0
    petals, luck = rows[at, PETALS] > 0, int(rows[at, LUCK])
    drafts = positions if petals else positions - 1
    for i in range(drafts):
        if chance(luck, place + i, place if petals else 0) >= rows[at, RIGHT + i]:
            return max(1, i) if petals else i + 1
    guessed = drafts > 0 and chance(luck, place + drafts, 0) < rows[at, RIGHT + drafts]
    rows[at, GUESSED] = 1.0 if guessed else 0.0
    return drafts if petals else drafts + 1
