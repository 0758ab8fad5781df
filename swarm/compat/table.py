"""Remedies of hivemind's table, in which anybody may store anything.

A reader must survive every entry: one that cannot be decoded, or subkeys that cannot be compared
or parsed, otherwise blind all readers of the whole record for as long as it lives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def table_is_fragile() -> bool:
    """Whether one bad entry of a record makes the whole record unreadable."""
    return any(_fails(probe) for probe in (_decode, _compare, _parse)) or _takes_any_item()


def harden_table() -> None:
    """Bad entries become None or are left out; the others stay readable."""
    from hivemind.dht import storage
    from hivemind.dht.protocol import DHTProtocol
    from hivemind.p2p import PeerID
    from hivemind.utils import timed_storage

    from ..bounded import BoundedSerializer

    DHTProtocol.serializer = BoundedSerializer
    # Entries that expire at the same instant are compared by subkey; types may differ.
    timed_storage.HeapEntry = _TimedEntry  # type: ignore[misc, unused-ignore]
    if _takes_any_item():
        storage.DictionaryDHTValue.unpackb = classmethod(_unpack)
    if _fails(_parse):
        PeerID.from_base58 = classmethod(_strict(PeerID.from_base58.__func__))


@dataclass(frozen=True)
class _TimedEntry:
    """An entry of hivemind's queue, ordered by its time alone."""

    expiration_time: float
    key: Any

    def __lt__(self, other: _TimedEntry) -> bool:
        return self.expiration_time < other.expiration_time


def _unpack(cls: Any, raw: bytes) -> Any:
    """Whole entries of a record: text or bytes as subkey, bytes as value, a time."""
    from hivemind.utils import MSGPackSerializer

    most, latest, items = MSGPackSerializer.loads(raw)
    with cls(most).freeze() as record:
        for subkey, value, expires_s in filter(_is_whole, items):
            record.store(subkey, value, expires_s)
        record.latest_expiration_time = latest
        return record


def _is_whole(item: Any) -> bool:
    if not isinstance(item, list | tuple) or len(item) != 3:
        return False
    subkey, value, expires_s = item
    timed = isinstance(expires_s, float) and not math.isnan(expires_s)
    return isinstance(subkey, str | bytes) and isinstance(value, bytes) and timed


def _strict(parse: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def from_base58(cls: Any, text: Any) -> Any:
        """As before, with a ValueError for what is no text; PETALS skips entries on that."""
        if not isinstance(text, str):
            raise ValueError(f"{type(text).__name__} is no peer id")
        return parse(cls, text)

    return from_base58


def _decode() -> None:
    from hivemind.dht.protocol import DHTProtocol

    DHTProtocol.serializer.loads(b"\xc1")


def _compare() -> None:
    from hivemind.utils import timed_storage

    _ = timed_storage.HeapEntry(1.0, "text") < timed_storage.HeapEntry(1.0, b"bytes")


def _parse() -> None:
    from hivemind.p2p import PeerID

    try:
        PeerID.from_base58(7)
    except (TypeError, ValueError):
        return


def _takes_any_item() -> bool:
    from hivemind.dht.storage import DictionaryDHTValue
    from hivemind.utils import MSGPackSerializer

    raw = MSGPackSerializer.dumps([None, 2.0, [["good", b"1", 2.0], ["bad", 7, 2.0]]])
    return "bad" in DictionaryDHTValue.unpackb(raw).data


def _fails(probe: Callable[[], None]) -> bool:
    """Whether a harmless call raises; hivemind and msgpack raise many kinds, some bare."""
    try:
        probe()
    except Exception:
        return True
    return False
