"""Giving commands to the process of the DHT, whatever their size, within limits of time.

hivemind sends commands through one pipe that several processes of a server write to and that its
event loop reads without waiting. A message above 16 KiB is written in two pieces, and a reader that
comes between them loses it and the place of all that follow; a message above the 4,096 bytes that
the kernel writes at once may be torn by another writer. So large commands go in parts that small.
"""

from __future__ import annotations

import pickle
import uuid
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any

from ..core.errors import SwarmUnreachableError

READ_LIMIT_S = 30.0
#: Of one command; the largest carries a plan of a mebibyte.
COMMAND_LIMIT_BYTES = 4 * 2**20
#: Beside the part a message carries some 700 bytes of hivemind's own.
_PART_BYTES = 2_048


def result_of(dht: Any, coroutine: Any, limit_s: float = READ_LIMIT_S) -> Any:
    """What a coroutine function of the DHT process returns; bounded in size and time.

    Raises
    ------
    SwarmUnreachableError
        If it takes longer than the limit, or is too large to be asked.
    """
    packed = bytes(ForkingPickler.dumps(coroutine))
    if len(packed) > COMMAND_LIMIT_BYTES:
        message = f"a command of {len(packed)} bytes is more than the table's process takes"
        raise SwarmUnreachableError(message)
    if len(packed) > _PART_BYTES:
        coroutine = _sent_in_parts(dht, packed, limit_s)
    return _waited(dht, coroutine, limit_s)


def _sent_in_parts(dht: Any, packed: bytes, limit_s: float) -> Any:
    """The short command that runs the long one, once its parts are there."""
    name = uuid.uuid4().hex
    for at in range(0, len(packed), _PART_BYTES):
        _waited(dht, partial(_keep, name=name, part=packed[at : at + _PART_BYTES]), limit_s)
    return partial(_run, name=name)


def _waited(dht: Any, coroutine: Any, limit_s: float) -> Any:
    future = dht.run_coroutine(coroutine, return_future=True)
    try:
        return future.result(timeout=limit_s)
    except (FutureTimeout, TimeoutError) as error:
        raise SwarmUnreachableError(f"the swarm did not answer within {limit_s:.0f} s") from error


async def _keep(dht: Any, _node: Any, name: str, part: bytes) -> None:
    """Runs in the process of the DHT."""
    parts = dht.__dict__.setdefault("_swarmplan_parts", {})
    parts.setdefault(name, []).append(part)
    while len(parts) > 8:  # of callers that gave up
        parts.pop(next(iter(parts)))


async def _run(dht: Any, node: Any, name: str) -> Any:
    """Runs in the process of the DHT."""
    # The parts were pickled by this program itself, a fork of which this is.
    command = pickle.loads(b"".join(dht.__dict__["_swarmplan_parts"].pop(name)))
    return await command(dht, node)
