"""The operator's key: made, read, and trusted by a running table.

What a signature makes of a record is in ``sealing``, where the plan lies in ``plan_table``.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from hivemind.utils import get_dht_time
from hivemind.utils.crypto import RSAPrivateKey, RSAPublicKey

from ..core.errors import ScenarioError
from ..scenarios.files import write_text
from .bounded import BoundedSerializer
from .pipe import result_of
from .plan_table import fetch_plan, store_plan
from .sealing import PinnedValidator

__all__ = [
    "PinnedValidator",
    "dht_now_s",
    "fetch_plan",
    "new_key",
    "public_path",
    "read_private_key",
    "read_public_key",
    "store_plan",
    "trust",
]


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
    write_text(public_path(path), public + "\n")
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
    result_of(dht, partial(_add, validator=validator))
    return validator


def dht_now_s() -> float:
    """The swarm's time, seconds since the epoch."""
    return float(get_dht_time())


async def _add(_dht: Any, node: Any, validator: PinnedValidator) -> None:
    """Runs in the process of the DHT."""
    node.protocol.serializer = BoundedSerializer
    node.protocol.record_validator.extend([validator])
