"""Statements of serving peers: signed with the peer's own key, kept by the peer, asked of it.

The id of a peer is the digest of its public key, so whoever has a statement can tell by itself who
made it. It lies in the peer's own part of the table, where nobody else can write, and is asked of
the peer: what others store elsewhere under its name is not looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.p2p import PeerID
from hivemind.proto import crypto_pb2, dht_pb2
from hivemind.utils import get_dht_time
from hivemind.utils.crypto import RSAPrivateKey, RSAPublicKey

from ..core.errors import ScenarioError, SwarmUnreachableError
from .compat.remedies import REMEDIES
from .pipe import result_of
from .plan_table import ask
from .sealing import opened, sealed
from .statement import (
    FORMAT,
    RECORD_LIMIT_BYTES,
    RefusedStatementError,
    Statement,
    packed,
    read_statement,
)

logger = logging.getLogger(__name__)

_KEY = "_swarmplan.{prefix}.server.{peer}"
#: With public key and signature.
_MOST_BYTES = RECORD_LIMIT_BYTES + 2_048
_ASKED_AT_ONCE = 100
#: Of a SHA-256 multihash: the code of the function and the length.
_MULTIHASH = bytes([0x12, 0x20])


def read_identity(path: Path) -> RSAPrivateKey:
    """The private key of a peer, as hivemind keeps it.

    Raises
    ------
    ScenarioError
        If the file holds none.
    """
    try:
        data = crypto_pb2.PrivateKey.FromString(path.read_bytes()).data
        key = RSAPrivateKey.__new__(RSAPrivateKey)
        key._private_key = serialization.load_der_private_key(data, password=None)
        RSAPublicKey.from_bytes(key.get_public_key().to_bytes())
    except OSError as error:
        raise ScenarioError.single("", f"cannot be read: {error}", source=str(path)) from error
    # What protobuf raises is its own.
    except Exception as error:
        message = f"is no identity of a peer: {type(error).__name__}"
        raise ScenarioError.single("", message, source=str(path)) from error
    return key


def peer_of(public: RSAPublicKey) -> str:
    """The id of the peer that has this key."""
    content = public._public_key.public_bytes(
        encoding=serialization.Encoding.DER,
        format=serialization.PublicFormat.SubjectPublicKeyInfo,
    )
    key = crypto_pb2.PublicKey(key_type=crypto_pb2.RSA, data=content).SerializeToString()
    return str(PeerID(_MULTIHASH + hashlib.sha256(key).digest()).to_base58())


def signed(private: RSAPrivateKey, statement: Statement) -> bytes:
    """A statement with its public key and signature."""
    return sealed(private, private.get_public_key().to_bytes() + b"\n" + packed(statement))


def read_signed(value: bytes, *, prefix: str, peer: str, now_s: float) -> Statement:
    """The statement of a peer.

    Raises
    ------
    RefusedStatementError
        If another key signed it, or for what ``read_statement`` refuses.
    """
    if len(value) > _MOST_BYTES:
        raise RefusedStatementError(f"it takes more than {RECORD_LIMIT_BYTES} bytes")
    try:
        public = RSAPublicKey.from_bytes(value.partition(b"\n")[0])
        if peer_of(public) != peer:
            raise RefusedStatementError("another peer's key signed it")
    except ValueError as error:
        raise RefusedStatementError("it bears no key") from error
    content = opened(public, value)
    if content is None:
        raise RefusedStatementError("it bears no valid signature")
    return read_statement(content.partition(b"\n")[2], prefix=prefix, peer=peer, now_s=now_s)


class OwnEntry(RecordValidatorBase):
    """Lets nobody write under the key of this peer's statement; it writes there itself, past this.

    Not even an older statement of its own: somebody could bring that back.
    """

    def __init__(self, key: str) -> None:
        self._table = DHTID.generate(key).to_bytes()

    def validate(self, record: DHTRecord) -> bool:
        """False for the own key."""
        return bool(record.key != self._table)

    @property
    def priority(self) -> int:
        """Before validators that decode the record."""
        return 11


class Speaker:
    """Signs what a serving peer announces and keeps it where others ask for it.

    Parameters
    ----------
    about : what else to state; asked for each time.
    """

    def __init__(
        self, dht: Any, prefix: str, identity: Path, about: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._dht, self._prefix, self._about = dht, prefix, about
        self._peer = dht.peer_id.to_base58()
        self._private = read_identity(identity)
        if peer_of(self._private.get_public_key()) != self._peer:
            message = "is the identity of another peer"
            raise ScenarioError.single("", message, source=str(identity))
        self._key = _KEY.format(prefix=prefix, peer=self._peer)
        result_of(dht, partial(_guard, key=self._key))

    def say(self, info: Any, expires_s: float) -> None:
        """State what PETALS is announcing; a table that does not answer is told in the log."""
        state, throughput, fields = info.to_tuple()
        statement = Statement(
            format=FORMAT,
            prefix=self._prefix,
            peer=self._peer,
            issued_s=float(get_dht_time()),
            expires_s=float(expires_s),
            announced={**fields, "state": state, "throughput": throughput},
            **self._about(),
        )
        call = partial(
            _keep, key=self._key, value=signed(self._private, statement), expires_s=expires_s
        )
        try:
            result_of(self._dht, call)
        except SwarmUnreachableError as error:
            logger.warning("nothing is stated: %s", error)


def speak_with(declare: Callable[..., Any], speaker: Callable[[], Speaker | None]) -> Any:
    """PETALS' announcing function, after which the speaker states the same."""

    def announcing(dht: Any, uids: Any, info: Any, expiration_time: float, **rest: Any) -> Any:
        answer = declare(dht, uids, info, expiration_time=expiration_time, **rest)
        own = speaker()
        if own is not None:
            own.say(info, expiration_time)
        return answer

    return announcing


def abilities() -> list[str]:
    """Optional parts of the plugin that this server runs with."""
    optional = [r for r in REMEDIES if not r.default and r.needed_by in ("server", "both")]
    return [r.name for r in optional if not r.is_needed()]


def fetch_statements(dht: Any, prefix: str, peers: Collection[str]) -> dict[str, Statement]:
    """What the peers that make statements say; others are left out.

    Raises
    ------
    SwarmUnreachableError
        If the process of the table does not answer.
    """
    found, every, now_s = {}, list(peers), float(get_dht_time())
    for at in range(0, len(every), _ASKED_AT_ONCE):
        part = every[at : at + _ASKED_AT_ONCE]
        for peer, value in result_of(dht, partial(_ask_all, prefix=prefix, peers=part)).items():
            try:
                found[peer] = read_signed(value, prefix=prefix, peer=peer, now_s=now_s)
            except RefusedStatementError as error:
                logger.warning("the statement of %s does not count: %s", peer, error)
    return found


async def _guard(_dht: Any, node: Any, key: str) -> None:
    """Runs in the process of the DHT."""
    node.protocol.record_validator.extend([OwnEntry(key)])
    _clear(node, DHTID.generate(key))  # was there before the validator


async def _keep(_dht: Any, node: Any, key: str, value: bytes, expires_s: float) -> bool:
    """Runs in the process of the DHT."""
    key_id = DHTID.generate(key)
    _clear(node, key_id)
    return bool(node.protocol.storage.store(key_id, value, expires_s))


def _clear(node: Any, key_id: DHTID) -> None:
    if node.protocol.storage.get(key_id) is not None:
        del node.protocol.storage[key_id]


async def _ask_all(_dht: Any, node: Any, prefix: str, peers: list[str]) -> dict[str, bytes]:
    """Runs in the process of the DHT."""

    async def one(peer: str) -> bytes | None:
        key_id = DHTID.generate(_KEY.format(prefix=prefix, peer=peer))
        if PeerID.from_base58(peer) == node.peer_id:
            own = node.protocol.storage.get(key_id)
            return None if own is None or not isinstance(own.value, bytes) else own.value
        answer = await ask(node, PeerID.from_base58(peer), key_id)
        if answer is None or answer.type != dht_pb2.FOUND_REGULAR:
            return None
        return bytes(answer.value) if len(answer.value) <= _MOST_BYTES else None

    answers = zip(peers, await asyncio.gather(*map(one, peers)), strict=True)
    return {peer: value for peer, value in answers if value is not None}
