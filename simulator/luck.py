"""Which drafts are right: drawn once for each place of a request's text, whoever asks.

So that methods and numbers of drafts are compared on the same luck: the draft for a place is right
or not for all of them alike (common random numbers).
"""

from __future__ import annotations

from ..core.content import FloatArray
from ..core.jit import compiled
from .drafts import BITS, GUESSED, LUCK, PETALS, RIGHT


@compiled
def _mixed(number: int) -> int:
    """31 bits that look as if they had nothing to do with the number."""
    number ^= number >> 16
    number = number * 0x21F0AAAD & BITS
    number ^= number >> 15
    number = number * 0x735A2D97 & BITS
    return number ^ (number >> 15)


@compiled
def chance(luck: int, place: int, turn: int) -> float:
    """Between 0 and 1, for one place of a request's text and one try."""
    mixed = _mixed(_mixed(_mixed(luck) ^ (place & BITS)) ^ (turn & BITS))
    return (mixed + 0.5) / (BITS + 1.0)


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
