"""A serving peer's side of its statements: signed with every announcement, kept where it is asked.

They lie in the peer's own part of the table, where its validator lets nobody else write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils import get_dht_time

from ..core.errors import ScenarioError, SwarmUnreachableError
from ..perfmodel.devices import Device
from .compat.remedies import REMEDIES
from .limits import FLAGS
from .meter import Meter
from .pipe import result_of
from .statement import FORMAT, Statement, Work, measured_of
from .stating import KEY, peer_of, read_identity, signed

logger = logging.getLogger(__name__)


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
        self._key = KEY.format(prefix=prefix, peer=self._peer)
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


def facts_of(server: Any, measured: Device | None, meter: Meter) -> dict[str, Any]:
    """What is to be stated of a server of PETALS' beside its announcement."""
    busy, step_s = meter.figures(server.num_blocks)
    return {
        "measured": None if measured is None else measured_of(measured),
        "limits": {flag: int(getattr(server, flag)) for flag in sorted(FLAGS)},
        "cache_tokens": _cache_tokens(server),
        "abilities": abilities(),
        "work": Work(busy=busy, step_s=step_s),
    }


def _cache_tokens(server: Any) -> int:
    """The whole cache as PETALS counts what is left of it: K and V of each block apart."""
    config = server.block_config
    value_bytes = config.hidden_size // config.num_key_value_groups * server.torch_dtype.itemsize
    return int(server.attn_cache_bytes // value_bytes)


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
