"""Which records of a swarm's table are the operator's plan: signed, sized and dated as it must be.

hivemind has a validator of its own that looks for signatures with a regular expression in whatever
anybody stored; its time grows with the square of the size of a value full of openings, and the
process of the table stands still meanwhile. Here the place of a signature follows from its key's
size, and nothing but the plan's own key is looked at.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import time
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils import MSGPackSerializer, get_dht_time
from hivemind.utils.crypto import RSAPrivateKey, RSAPublicKey

from .record import RECORD_LIMIT_BYTES, VALID_LIMIT_S

logger = logging.getLogger(__name__)

#: PETALS' own keys are "<prefix>.<block>"; this one cannot be mistaken for a block. Each operator
#: has one of their own, so that servers can refuse there whatever is not this operator's.
_KEY = "_swarmplan.{prefix}.{operator}"
_OWNER = b"[owner:_key_]"
_OPEN, _CLOSE = b"[signature:", b"]"
#: A stored plan is renewed or replaced by one that lives longer in the table, so twice as long.
STORED_LIMIT_S = 2 * VALID_LIMIT_S
#: A flood of bad records is told so often.
_SAID_EVERY_S = 60.0


class PinnedValidator(RecordValidatorBase):
    """Lets nothing but the operator's signed plan under the plan's key, and passes all other keys.

    hivemind drops a whole table when one entry of it fails, so entries of other tables always
    pass. Picklable: it travels to the process of the DHT.
    """

    def __init__(
        self, public_key: str, prefix: str, private_key: RSAPrivateKey | None = None
    ) -> None:
        self.key = plan_key(public_key, prefix)
        self.subkey = _OWNER.replace(b"_key_", public_key.encode())
        self._table = DHTID.generate(self.key).to_bytes()
        self._entry = MSGPackSerializer.dumps(self.subkey)
        self._public = public_key
        self._prefix = prefix
        self._private_key = private_key
        self._width = _signature_width(public_key)
        self._said_s = -math.inf

    @property
    def operator(self) -> str:
        """The public key, as one line."""
        return self._public

    def reader(self) -> PinnedValidator:
        """The same without the private key."""
        return PinnedValidator(self._public, self._prefix)

    def validate(self, record: DHTRecord) -> bool:
        """False for what lies under the plan's key and is not the operator's plan."""
        if record.key != self._table:
            return True
        why = self._wrong(record)
        if why and time.monotonic() > self._said_s + _SAID_EVERY_S:
            self._said_s = time.monotonic()
            logger.warning("plan refused: a record under the operator's key %s", why)
        return not why

    def _wrong(self, record: DHTRecord) -> str:
        """Why a record under the plan's key is not the operator's plan, cheap reasons first."""
        if record.subkey != self._entry:
            return "is not the operator's"
        if len(record.value) > RECORD_LIMIT_BYTES + 2 * self._width:
            return "is too large"
        if not (record.expiration_time < get_dht_time() + STORED_LIMIT_S):
            return "is to live for too long"
        content, signature = self._parted(record.value)
        key = RSAPublicKey.from_bytes(self._public.encode())
        bare = dataclasses.replace(record, value=content)
        if signature is None or not key.verify(_serialised(bare), signature):
            return "bears no valid signature"
        return ""

    def sign_value(self, record: DHTRecord) -> bytes:
        """Signed when this process holds the private key and the record is its own plan."""
        if self._private_key is None or not self._is_plan(record):
            return bytes(record.value)
        return bytes(record.value + _OPEN + self._private_key.sign(_serialised(record)) + _CLOSE)

    def strip_value(self, record: DHTRecord) -> bytes:
        """The plan without its signature; other records as they are."""
        return self._parted(record.value)[0] if self._is_plan(record) else bytes(record.value)

    def _is_plan(self, record: DHTRecord) -> bool:
        return bool(record.key == self._table and record.subkey == self._entry)

    def _parted(self, value: bytes) -> tuple[bytes, bytes | None]:
        """Content and signature; the signature, if any, has one length and one place."""
        at = len(value) - self._width
        if at < 0 or not value.startswith(_OPEN, at) or not value.endswith(_CLOSE):
            return bytes(value), None
        return bytes(value[:at]), bytes(value[at + len(_OPEN) : -len(_CLOSE)])

    @property
    def priority(self) -> int:
        """Before validators that decode the record."""
        return 10

    def merge_with(self, other: Any) -> bool:
        """Each operator's plan is checked once: a second check would find the signature gone."""
        if not isinstance(other, PinnedValidator) or other._table != self._table:
            return False
        self._private_key = self._private_key or other._private_key
        return True


def plan_key(public_key: str, prefix: str) -> str:
    """Under which an operator's plan for a swarm lies in its table."""
    return _KEY.format(prefix=prefix, operator=fingerprint(public_key))


def fingerprint(public_key: str) -> str:
    """A short name of a key."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def sealed(private: Any, body: bytes) -> bytes:
    """A body and its signature, for what is no record of hivemind's."""
    return body + b"\n" + bytes(private.sign(body))


def opened(public: Any, value: bytes) -> bytes | None:
    """The body of what the key's owner sealed, None if somebody else did."""
    body, _, signature = value.rpartition(b"\n")
    return body if public.verify(body, signature) else None


def _signature_width(public_key: str) -> int:
    """Bytes that a signature adds to a value: base64 of as many bytes as the key's modulus."""
    size = int(RSAPublicKey.from_bytes(public_key.encode())._public_key.key_size)
    return len(_OPEN) + 4 * math.ceil(math.ceil(size / 8) / 3) + len(_CLOSE)


def _serialised(record: DHTRecord) -> bytes:
    return bytes(MSGPackSerializer.dumps(dataclasses.astuple(record)))
