"""Statements of serving peers: signed with the peer's own key, and asked of the peer.

The id of a peer is the digest of its public key, so whoever has a statement can tell by itself who
made it. It lies in the peer's own part of the table (``speaking``) and is asked of the peer: what
others store elsewhere under its name is not looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID
from hivemind.proto import crypto_pb2, dht_pb2
from hivemind.utils import get_dht_time
from hivemind.utils.crypto import RSAPrivateKey, RSAPublicKey

from ..core.errors import ScenarioError
from .claim import RefusedClaimError
from .pipe import result_of
from .plan_table import ask
from .sealing import opened, sealed
from .statement import (
    RECORD_LIMIT_BYTES,
    Statement,
    packed,
    read_statement,
)

logger = logging.getLogger(__name__)

KEY = "_swarmplan.{prefix}.server.{peer}"
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
    RefusedClaimError
        If another key signed it, or for what ``read_statement`` refuses.
    """
    if len(value) > _MOST_BYTES:
        raise RefusedClaimError(f"it takes more than {RECORD_LIMIT_BYTES} bytes")
    try:
        public = RSAPublicKey.from_bytes(value.partition(b"\n")[0])
        if peer_of(public) != peer:
            raise RefusedClaimError("another peer's key signed it")
    except ValueError as error:
        raise RefusedClaimError("it bears no key") from error
    content = opened(public, value)
    if content is None:
        raise RefusedClaimError("it bears no valid signature")
    return read_statement(content.partition(b"\n")[2], prefix=prefix, peer=peer, now_s=now_s)


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
            except RefusedClaimError as error:
                logger.warning("the statement of %s does not count: %s", peer, error)
    return found


async def _ask_all(_dht: Any, node: Any, prefix: str, peers: list[str]) -> dict[str, bytes]:
    """Runs in the process of the DHT."""

    async def one(peer: str) -> bytes | None:
        key_id = DHTID.generate(KEY.format(prefix=prefix, peer=peer))
        try:
            name = PeerID.from_base58(peer)
        except ValueError:
            return None
        if name == node.peer_id:
            own = node.protocol.storage.get(key_id)
            return own.value if own is not None and isinstance(own.value, bytes) else None
        answer = await ask(node, name, key_id)
        if answer is None or answer.type != dht_pb2.FOUND_REGULAR:
            return None
        return bytes(answer.value) if len(answer.value) <= _MOST_BYTES else None

    answers = zip(peers, await asyncio.gather(*map(one, peers)), strict=True)
    return {peer: value for peer, value in answers if value is not None}
