"""Statements with hivemind's own keys: who signed them, and who can write where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.swarm.claim import RefusedClaimError
from swarmplan.swarm.statement import FORMAT, Statement
from swarmplan.tests.extras import of_swarm

NOW_S = 1_795_900_000.0


@pytest.fixture(scope="module")
def stating() -> Any:
    return of_swarm("stating")


@pytest.fixture(scope="module")
def speaking(stating: Any) -> Any:
    """The server's side."""
    from swarmplan.swarm import speaking

    return speaking


@pytest.fixture(scope="module")
def identity(stating: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hivemind.p2p import P2P

    path = tmp_path_factory.mktemp("identity") / "id"
    P2P.generate_identity(str(path))
    return path


def told(peer: str, **more: Any) -> Statement:
    figures: dict[str, Any] = {
        "format": FORMAT,
        "prefix": "swarm",
        "peer": peer,
        "issued_s": NOW_S,
        "expires_s": NOW_S + 60,
        "announced": {"state": 2},
    }
    return Statement(**{**figures, **more})


def test_a_peers_id_follows_from_its_key(stating: Any, identity: Path) -> None:
    from hivemind.p2p import PeerID

    private = stating.read_identity(identity)
    wanted = PeerID.from_identity(identity.read_bytes()).to_base58()
    assert stating.peer_of(private.get_public_key()) == wanted


def test_a_statement_counts_as_the_word_of_who_signed_it_alone(
    stating: Any, identity: Path
) -> None:
    from hivemind.utils.crypto import RSAPrivateKey

    private, stranger = stating.read_identity(identity), RSAPrivateKey()
    peer = stating.peer_of(private.get_public_key())
    asked = {"prefix": "swarm", "peer": peer, "now_s": NOW_S}
    value = stating.signed(private, told(peer))
    assert stating.read_signed(value, **asked) == told(peer)
    forged = {
        "another peer's key": stating.signed(stranger, told(peer)),
        "no valid signature": value.replace(b'"state":2', b'"state":1'),
        "no key": b"nonsense",
        "bears no valid": value.rpartition(b"\n")[0] + b"\n" + b"A" * 344,
        "takes more": b"x" * 100_000,
    }
    for words, bad in forged.items():
        with pytest.raises(RefusedClaimError, match=words):
            stating.read_signed(bad, **asked)
    # Signed by the key of the right peer's neighbour under the right peer's public key.
    public = private.get_public_key().to_bytes()
    mixed = stating.sealed(stranger, public + b"\n" + stating.packed(told(peer)))
    with pytest.raises(RefusedClaimError, match="no valid signature"):
        stating.read_signed(mixed, **asked)


def test_nobody_writes_under_the_key_of_a_peers_statement(speaking: Any) -> None:
    from hivemind.dht.routing import DHTID
    from hivemind.dht.validation import DHTRecord

    guard = speaking.OwnEntry("_swarmplan.swarm.server.me")

    def record(key: str) -> Any:
        return DHTRecord(DHTID.generate(key).to_bytes(), b"", b"value", 1e10)

    assert not guard.validate(record("_swarmplan.swarm.server.me"))
    assert guard.validate(record("_swarmplan.swarm.server.you"))
    assert guard.validate(record("swarm.0"))


def test_a_file_that_is_no_identity_is_told(stating: Any, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        stating.read_identity(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"\x08\x00\x12\x03abc")
    with pytest.raises(ScenarioError, match="is no identity of a peer"):
        stating.read_identity(tmp_path / "bad")


def test_announcing_states_the_same_afterwards(speaking: Any) -> None:
    done: list[Any] = []

    class Own:
        def say(self, info: Any, expires_s: float) -> None:
            done.append(("said", info, expires_s))

    def declare(dht: Any, uids: Any, info: Any, expiration_time: float) -> str:
        done.append(("declared", info, expiration_time))
        return "stored"

    own = Own()
    announcing = speaking.speak_with(declare, lambda: own)
    assert announcing("dht", ["swarm.0"], "info", expiration_time=5.0) == "stored"
    assert done == [("declared", "info", 5.0), ("said", "info", 5.0)]
    silent = speaking.speak_with(declare, lambda: None)
    assert silent("dht", ["swarm.0"], "info", 6.0) == "stored"
    assert done[2:] == [("declared", "info", 6.0)]
