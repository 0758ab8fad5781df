"""The operator's key, and the swarm's own table as the place where the plan is published.

hivemind protects a record whose subkey names an RSA public key: peers with the validator store
and return it only with a valid signature over key, subkey, value and expiry. Plain PETALS peers
have no validator and store anything, so every reader checks for itself, against the one key it
was given.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from hivemind.dht.crypto import RSASignatureValidator
from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord
from hivemind.utils import MSGPackSerializer, get_dht_time
from hivemind.utils.crypto import RSAPrivateKey, RSAPublicKey

from ..core.errors import ScenarioError, SwarmUnreachableError
from .live_dht import READ_LIMIT_S, BoundedSerializer, result_of

logger = logging.getLogger(__name__)

#: PETALS' own keys are "<prefix>.<block>"; this one cannot be mistaken for a block.
_KEY = "_swarmplan.{prefix}"


class PinnedValidator(RSASignatureValidator):
    """Checks records that name the pinned key, and lets everything else pass.

    hivemind drops a whole table when one entry of it fails, so nothing may fail but the record
    of the plan itself: anybody can put the key's name on entries of other tables. Picklable: it
    travels to the process of the DHT.
    """

    def __init__(
        self, public_key: str, prefix: str, private_key: RSAPrivateKey | None = None
    ) -> None:
        self._table = DHTID.generate(_KEY.format(prefix=prefix)).to_bytes()
        self._mark = self.PUBLIC_KEY_FORMAT.replace(b"_key_", public_key.encode())
        self._local_public_key = self._mark
        self._private_key = private_key
        self._key = public_key.encode()
        self._entry = MSGPackSerializer.dumps(self.subkey)

    @property
    def subkey(self) -> bytes:
        """Under which the key's owner publishes."""
        return bytes(self._mark)

    def validate(self, record: DHTRecord) -> bool:
        """False for a record under the pinned key that its owner did not sign."""
        if record.key != self._table or record.subkey != self._entry:
            return True
        signatures = self._SIGNATURE_RE.findall(record.value)
        stripped = DHTRecord(
            record.key, record.subkey, self.strip_value(record), record.expiration_time
        )
        key = RSAPublicKey.from_bytes(self._key)
        good = len(signatures) == 1 and key.verify(self._serialize_record(stripped), signatures[0])
        if not good:
            logger.warning(
                "plan refused: a record under the operator's key bears no valid signature"
            )
        return bool(good)

    def sign_value(self, record: DHTRecord) -> bytes:
        """Signed when this process holds the private key."""
        if self._private_key is None:
            return bytes(record.value)
        return bytes(super().sign_value(record))

    def merge_with(self, other: Any) -> bool:
        """Each key keeps its own validator."""
        return (
            isinstance(other, PinnedValidator)
            and other._mark == self._mark
            and other._table == self._table
            and (other._private_key is None)
        )


def new_key(path: Path) -> str:
    """Write a new private key (mode 0600, never over a file) and its public half beside it.

    Returns
    -------
    The public key as one line.
    """
    key = RSAPrivateKey()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ScenarioError.single(
            "", "exists already and is not overwritten", source=str(path)
        ) from error
    except OSError as error:
        raise ScenarioError.single("", f"cannot be written: {error}", source=str(path)) from error
    with os.fdopen(handle, "wb") as file:
        file.write(
            key._private_key.private_bytes(
                encoding=serialization.Encoding.PEM,
                format=serialization.PrivateFormat.PKCS8,
                encryption_algorithm=serialization.NoEncryption(),
            )
        )
    public = str(key.get_public_key().to_bytes().decode())
    public_path(path).write_text(public + "\n", encoding="utf-8")
    return public


def public_path(path: Path) -> Path:
    """Where the public half of a key lies."""
    return path.with_name(path.name + ".pub")


def read_private_key(path: Path) -> tuple[RSAPrivateKey, str]:
    """The key and its public half.

    Raises
    ------
    ScenarioError
        If it is no RSA key in PEM form, or readable by others.
    """
    try:
        content, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise ScenarioError.single("", f"cannot be read: {error}", source=str(path)) from error
    if mode & 0o077:
        raise ScenarioError.single("", "is readable by others: chmod 600", source=str(path))
    key = RSAPrivateKey.__new__(RSAPrivateKey)
    try:
        key._private_key = serialization.load_pem_private_key(content, password=None)
        public = str(key.get_public_key().to_bytes().decode())
        RSAPublicKey.from_bytes(public.encode())
    except (ValueError, TypeError) as error:
        raise ScenarioError.single("", f"is no RSA key: {error}", source=str(path)) from error
    return key, public


def read_public_key(text: str) -> str:
    """A public key given as a line or as the name of a file that holds it.

    Raises
    ------
    ScenarioError
        If it is neither.
    """
    line = text if text.startswith("ssh-rsa ") else _line_of(Path(text))
    try:
        return str(RSAPublicKey.from_bytes(line.encode()).to_bytes().decode())
    except ValueError as error:
        raise ScenarioError.single("public key", f"is no RSA key: {error}") from error


def _line_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ScenarioError.single("", f"cannot be read: {error}", source=str(path)) from error


def trust(
    dht: Any, public_key: str, prefix: str, private_key: RSAPrivateKey | None = None
) -> PinnedValidator:
    """Let a running DHT check (and sign, with the private key) one operator's plans for a swarm."""
    validator = PinnedValidator(public_key, prefix, private_key)
    dht.add_validators([validator])
    return validator


def store_plan(
    dht: Any, validator: PinnedValidator, prefix: str, packed: bytes, expires_s: float
) -> None:
    """Publish a record until ``expires_s``.

    Raises
    ------
    SwarmUnreachableError
        If no peer took it.
    """
    call = partial(
        _store,
        key=_KEY.format(prefix=prefix),
        subkey=validator.subkey,
        value=packed,
        expires_s=expires_s,
    )
    if not result_of(dht, call, READ_LIMIT_S):
        raise SwarmUnreachableError("no peer of the swarm stored the plan")


def fetch_plan(dht: Any, validator: PinnedValidator, prefix: str) -> bytes | None:
    """The newest validly signed record of the pinned key, None when there is none."""
    call = partial(_fetch, key=_KEY.format(prefix=prefix), subkey=validator.subkey)
    value = result_of(dht, call, READ_LIMIT_S)
    return value if isinstance(value, bytes) else None


def dht_now_s() -> float:
    """The swarm's time, seconds since the epoch."""
    return float(get_dht_time())


async def _store(
    _dht: Any, node: Any, key: str, subkey: bytes, value: bytes, expires_s: float
) -> bool:
    return bool(await node.store(key, value, expires_s, subkey=subkey))


async def _fetch(_dht: Any, node: Any, key: str, subkey: bytes) -> object:
    node.protocol.serializer = BoundedSerializer
    found = await node.get(key, latest=True)
    if found is None or not isinstance(found.value, dict):
        return None
    entry = found.value.get(subkey)
    return None if entry is None else entry.value
