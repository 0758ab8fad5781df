"""The clients of one operator tell each other of their work in progress, in the swarm's own table.

Each client has an entry of its own, signed with a key that the operator gave to all of its clients.
Peers store what anybody sends them, so every reader checks every entry for itself; a bad one is
left out and spoils no other.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hivemind.utils.crypto import RSAPublicKey

from ..core.errors import ScenarioError, SwarmUnreachableError
from .bounded import BoundedSerializer
from .claim import RefusedClaimError
from .pipe import READ_LIMIT_S, result_of
from .present import Present
from .sealing import opened, sealed
from .shares import RECORD_LIMIT_BYTES, Share, Told, read_work, work_record
from .signing import dht_now_s, read_private_key

logger = logging.getLogger(__name__)

#: Beside the plan's table (``signing``).
_KEY = "_swarmplan.{prefix}.work"
#: Entries of a table that are looked at; signatures and names take so many bytes at most.
MOST_ENTRIES, _SIGNATURE_BYTES, _NAME_CHARS = 1024, 1024, 64
#: A record counts for so many periods.
PERIODS = 2


class Sharing:
    """One client's entry in the table, and what it reads of the others.

    Parameters
    ----------
    key : file of the private key that the operator's clients share.
    operator : the operator's own public key, which must be another one.
    period_s : from one record to the next.

    Raises
    ------
    ScenarioError
        If the key cannot be used.
    """

    def __init__(self, dht: Any, prefix: str, key: Path, operator: str, period_s: float) -> None:
        self._dht = dht
        self._prefix = prefix
        self._private, public = read_private_key(key)
        if public == operator:
            text = "is the operator's, which moves servers: make one for clients (swarm keygen)"
            raise ScenarioError.single("clients_key", text, source=str(key))
        self._public = RSAPublicKey.from_bytes(public.encode())
        self._period_s = period_s
        self._refused: set[str] = set()
        self._known: frozenset[str] = frozenset()
        self.client = secrets.token_hex(8)

    def tell(self, shares: Sequence[Share]) -> None:
        """Publish the own sessions.

        Raises
        ------
        SwarmUnreachableError
            If no peer took the record.
        """
        now_s, valid_s = dht_now_s(), PERIODS * self._period_s
        body = work_record(
            shares, prefix=self._prefix, client=self.client, now_s=now_s, valid_s=valid_s
        )
        call = partial(
            _store,
            key=_KEY.format(prefix=self._prefix),
            subkey=self.client,
            value=sealed(self._private, body),
            expires_s=now_s + valid_s,
        )
        if not result_of(self._dht, call, READ_LIMIT_S):
            raise SwarmUnreachableError("no peer of the swarm stored this client's work")

    def hear(self) -> dict[str, Told]:
        """What the other clients tell, by client."""
        call = partial(_fetch, key=_KEY.format(prefix=self._prefix))
        entries = result_of(self._dht, call, READ_LIMIT_S)
        # Whoever floods the table cannot push out those that were good before.
        names = sorted(entries, key=lambda name: (name not in self._known, name))
        found = {}
        for name in names[:MOST_ENTRIES]:
            if name != self.client:
                told = self._read(name, entries[name])
                if told is not None:
                    found[name] = told
        self._known = frozenset(found)
        return found

    def _read(self, name: str, value: bytes) -> Told | None:
        try:
            body = opened(self._public, value)
            if body is None:
                raise RefusedClaimError("it bears no valid signature")
            return read_work(body, prefix=self._prefix, client=name, now_s=dht_now_s())
        except RefusedClaimError as error:
            if name not in self._refused and len(self._refused) < MOST_ENTRIES:
                self._refused.add(name)
                logger.warning("work told by client %r is not counted: %s", name, error)
            return None


class Exchange(threading.Thread):
    """Tells and hears by the period, for as long as the process runs.

    Parameters
    ----------
    present : whose sessions are told, and who hears of others'.
    """

    #: Looks in a period: who comes or goes is told at the next one.
    LOOKS = 3

    def __init__(
        self, sharing: Sharing, present: Present, period_s: float, clock: Callable[[], float]
    ) -> None:
        super().__init__(daemon=True, name="work-in-progress")
        self._sharing = sharing
        self._present = present
        self._pause_s = period_s / self.LOOKS
        self._clock = clock
        self._told = 0  # changes that others know of
        self._silent_looks = 0

    def run(self) -> None:
        """Look after look."""
        stop = threading.Event()
        while not stop.wait(self._pause_s):
            try:
                self.look()
            except SwarmUnreachableError as error:
                logger.warning("work in progress is not shared: %s", error)

    def look(self) -> None:
        """Tell if somebody came or went, or if the last record gets old; hear."""
        changes = self._present.changes
        self._silent_looks += 1
        if changes != self._told or self._silent_looks >= self.LOOKS:
            shares = self._present.shares()
            if shares or changes != self._told:
                self._sharing.tell(shares)
            self._told, self._silent_looks = changes, 0
        self._present.hear(self._sharing.hear(), self._clock())


async def _store(
    _dht: Any, node: Any, key: str, subkey: str, value: bytes, expires_s: float
) -> bool:
    return bool(await node.store(key, value, expires_s, subkey=subkey))


async def _fetch(_dht: Any, node: Any, key: str) -> dict[str, bytes]:
    """Entries of the right form and size; runs in the process of the DHT."""
    node.protocol.serializer = BoundedSerializer
    found = await node.get(key, latest=True)
    if found is None or not isinstance(found.value, Mapping):
        return {}
    return {
        name: entry.value
        for name, entry in found.value.items()
        if isinstance(name, str)
        and len(name) <= _NAME_CHARS
        and isinstance(entry.value, bytes)
        and len(entry.value) <= RECORD_LIMIT_BYTES + _SIGNATURE_BYTES
    }
