"""What peers sign of themselves: one reader for the size, form, swarm and instants of a record.

A signature says who wrote a record, not that it can be used. The kinds of record that peers make
(``statement``: of a server; ``shares``: of a client) have the same frame and are read here; what
their figures say is looked at by each. The operator's plan, which is larger and rarer, has a reader
of its own (``record``). Plain Python, no hivemind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from ..core.errors import SwarmplanError


class RefusedClaimError(SwarmplanError):
    """A signed record that does not count, and why."""

    exit_code = 5


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The frame of a record.

    Attributes
    ----------
    issued_s, expires_s : by the clock of the swarm's table.
    """

    format: str
    prefix: str
    issued_s: float
    expires_s: float


Some = TypeVar("Some", bound=Claim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[Some]):
    """A kind of record.

    Attributes
    ----------
    maker : the field that names who made it.
    most_bytes : of a record without its signature.
    most_valid_s : nothing it says counts for longer.
    slack_s : clocks of peers may differ by this much.
    """

    type: type[Some]
    format: str
    maker: str
    most_bytes: int
    most_valid_s: float
    slack_s: float

    def read(self, content: bytes, *, prefix: str, maker: str, now_s: float) -> Some:
        """The record of a document whose signature was checked; it may have expired.

        Raises
        ------
        RefusedClaimError
            Saying what is wrong: size, form, another swarm or maker, from the future.
        """
        if len(content) > self.most_bytes:
            raise RefusedClaimError(f"it takes more than {self.most_bytes} bytes")
        try:
            found = msgspec.json.decode(content, type=self.type)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise RefusedClaimError(f"it cannot be read: {error}") from error
        if found.format != self.format:
            raise RefusedClaimError(f"it has the unknown format {found.format[:40]!r}")
        if found.prefix != prefix:
            raise RefusedClaimError("it was made for another swarm")
        if getattr(found, self.maker) != maker:
            raise RefusedClaimError(f"it was made by another {self.maker}")
        if not found.issued_s <= now_s + self.slack_s:
            raise RefusedClaimError("it was issued in the future")
        return found

    def holds(self, record: Some, now_s: float) -> bool:
        """Whether a record has not expired."""
        return min(record.expires_s, record.issued_s + self.most_valid_s) > now_s
