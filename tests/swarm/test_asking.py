"""What servers say themselves: exactly these blocks, or nothing that counts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from swarmplan.tests.extras import of_swarm

SPAN = (2, 8)


@pytest.fixture(scope="module")
def asking() -> Any:
    return of_swarm("asking")


def said(asking: Any, claim: tuple[int, int], *, silent: tuple[int, ...] = ()) -> bool:
    """Whether a server of ``SPAN`` confirms a claim; it says nothing about ``silent`` blocks."""
    from hivemind.p2p import P2PHandlerError, PeerID

    async def call(_peer: Any, _name: str, request: Any, _kind: Any) -> None:
        block = int(request.uid.rpartition(".")[2])
        if block in silent:
            raise ConnectionError("lost")
        if not SPAN[0] <= block < SPAN[1]:
            raise P2PHandlerError(f"KeyError: {request.uid}")

    async def ping(_request: Any, timeout: float) -> None:
        if silent:
            raise ConnectionError("lost")

    protocol = SimpleNamespace(
        node_info=None,
        p2p=SimpleNamespace(call_protobuf_handler=call),
        get_stub=lambda _peer: SimpleNamespace(rpc_ping=ping),
    )
    name = str(PeerID(b"\x12\x20" + bytes(32)).to_base58())
    node = SimpleNamespace(protocol=protocol)
    (answer,) = asyncio.run(asking._ask_all(None, node, "swarm", [(name, *claim)]))
    return bool(answer)


def test_a_server_confirms_its_own_span_alone(asking: Any) -> None:
    """One that is to move from 2:8 to 4:8 serves all of 4:8 before it has moved."""
    spans = [(a, z) for a in range(10) for z in range(a + 1, 11)]
    assert [span for span in spans if said(asking, span)] == [SPAN]


@pytest.mark.parametrize("silent", [1, 2, 7, 8])
def test_an_answer_that_is_lost_confirms_nothing(silent: int, asking: Any) -> None:
    assert not said(asking, SPAN, silent=(silent,))


def test_a_server_is_there_when_it_answers_a_ping(asking: Any) -> None:
    assert said(asking, (0, 0))
    assert not said(asking, (0, 0), silent=(1,))
