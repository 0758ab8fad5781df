"""Keys and signatures of published plans, with hivemind's own records; no peer is started."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.tests.extras import of_swarm

EXPIRES_S = time.time() + 1e6


@pytest.fixture(scope="module")
def signing() -> Any:
    return of_swarm("signing")


@pytest.fixture(scope="module")
def key_file(signing: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "operator"
    signing.new_key(path)
    return path


@pytest.fixture(scope="module")
def operator(signing: Any, key_file: Path) -> Any:
    """The validator of the key's owner, who can sign."""
    private, public = signing.read_private_key(key_file)
    return signing.PinnedValidator(public, "swarm", private)


@pytest.fixture
def reader(signing: Any, key_file: Path) -> Any:
    """The validator of everybody else, made from the public half."""
    public = signing.read_public_key(str(signing.public_path(key_file)))
    return signing.PinnedValidator(public, "swarm")


@pytest.fixture(scope="module")
def signed(operator: Any) -> Any:
    """A record of a plan as hivemind would store it."""
    from hivemind.dht.validation import DHTRecord

    bare = DHTRecord(operator._table, operator._entry, b"a plan", EXPIRES_S)
    return DHTRecord(bare.key, bare.subkey, operator.sign_value(bare), EXPIRES_S)


def test_a_new_key_is_for_its_owner_alone_and_never_replaces_another(
    signing: Any, key_file: Path
) -> None:
    assert key_file.stat().st_mode & 0o777 == 0o600
    before = key_file.read_bytes()
    with pytest.raises(ScenarioError, match="exists already and is not overwritten"):
        signing.new_key(key_file)
    assert key_file.read_bytes() == before
    with pytest.raises(ScenarioError, match="cannot be written"):
        signing.new_key(key_file / "inside a file")


def test_the_public_half_lies_beside_the_private_one(signing: Any, key_file: Path) -> None:
    line = signing.public_path(key_file).read_text().strip()
    _, public = signing.read_private_key(key_file)
    assert line == public
    assert signing.read_public_key(line) == public


def test_a_private_key_that_others_can_read_is_refused(
    signing: Any, key_file: Path, tmp_path: Path
) -> None:
    open_to_all = tmp_path / "key"
    open_to_all.write_bytes(key_file.read_bytes())
    open_to_all.chmod(0o640)
    with pytest.raises(ScenarioError, match="readable by others: chmod 600"):
        signing.read_private_key(open_to_all)


def test_what_is_no_rsa_key_is_refused_with_the_name_of_its_file(
    signing: Any, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for name, content in (("words", b"no key"), ("ed25519", other)):
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ScenarioError, match=f"{name}: is no RSA key"):
            signing.read_private_key(path)
    for text, words in (("ssh-rsa AAAA", "is no RSA key"), (str(tmp_path / "x"), "cannot be read")):
        with pytest.raises(ScenarioError, match=words):
            signing.read_public_key(text)
    with pytest.raises(ScenarioError, match="cannot be read"):
        signing.read_private_key(tmp_path / "x")


def test_a_signed_plan_is_believed_and_read_without_its_signature(reader: Any, signed: Any) -> None:
    assert reader.validate(signed)
    assert reader.strip_value(signed) == b"a plan"


@pytest.mark.parametrize(
    "change",
    [
        {"value": b"a plan"},
        {"value": b"another plan"},
        {"expiration_time": EXPIRES_S + 1},
    ],
    ids=["unsigned", "other words", "later expiry"],
)
def test_a_plan_that_its_owner_did_not_sign_is_refused(
    change: dict[str, Any], reader: Any, signed: Any
) -> None:
    if change.get("value") == b"another plan":
        change = {"value": signed.value.replace(b"a plan", b"another plan")}
    assert not reader.validate(replace(signed, **change))


def test_a_second_signature_does_not_make_a_plan_better(reader: Any, signed: Any) -> None:
    mark = signed.value[len(b"a plan") :]
    assert not reader.validate(replace(signed, value=signed.value + mark))


def test_a_stranger_cannot_sign_under_the_operators_name(
    signing: Any, reader: Any, signed: Any, tmp_path: Path
) -> None:
    signing.new_key(tmp_path / "stranger")
    private, _ = signing.read_private_key(tmp_path / "stranger")
    public = signing.read_public_key(reader.operator)
    forger = signing.PinnedValidator(public, "swarm", private)
    bare = replace(signed, value=b"a plan")
    assert not reader.validate(replace(bare, value=forger.sign_value(bare)))


def test_other_tables_pass_so_that_nobody_can_spoil_them(reader: Any, signed: Any) -> None:
    other = replace(signed, key=b"another table", value=b"unsigned")
    assert reader.validate(other)
    assert reader.strip_value(other) == b"unsigned"
    signature = signed.value[len(b"a plan") :]
    marked = replace(other, value=b"theirs" + signature)
    assert reader.strip_value(marked) == marked.value


@pytest.mark.parametrize("subkey", [b"\xc0", b"", b"\xa8somebody", b"\xc4\x04else"])
def test_nothing_but_the_plan_is_stored_under_its_key(
    subkey: bytes, reader: Any, signed: Any
) -> None:
    """A value without subkey (nil, or a whole table) would replace it, others crowd it out."""
    assert not reader.validate(replace(signed, subkey=subkey))


@pytest.mark.parametrize("expires_s", [1e300, float("inf"), float("nan")])
def test_a_plan_that_would_stay_for_ever_is_refused_also_when_it_is_signed(
    operator: Any, reader: Any, expires_s: float
) -> None:
    from hivemind.dht.validation import DHTRecord

    bare = DHTRecord(operator._table, operator._entry, b"a plan", expires_s)
    assert not reader.validate(replace(bare, value=operator.sign_value(bare)))


def test_a_value_full_of_openings_costs_no_more_than_another(reader: Any, signed: Any) -> None:
    """By hivemind's own expression a mebibyte of them takes ten minutes and more."""
    flood = b"[signature:" * 95_000
    for value in (flood, flood + b"]", flood + signed.value, signed.value + flood):
        for record in (
            replace(signed, value=value),
            replace(signed, key=b"a block", value=value),
            replace(signed, subkey=b"stranger", value=value),
        ):
            assert reader.validate(record) == (record.key == b"a block")
            assert value.startswith(reader.strip_value(record))


def test_each_operator_has_a_place_of_their_own(signing: Any, reader: Any, tmp_path: Path) -> None:
    other = signing.PinnedValidator(signing.new_key(tmp_path / "other"), "swarm")
    assert other.key != reader.key
    assert other._table != reader._table


def test_who_has_no_private_key_signs_nothing(reader: Any, signed: Any) -> None:
    bare = replace(signed, value=b"a plan")
    assert reader.sign_value(bare) == b"a plan"


def test_the_validators_of_one_plan_are_one_and_it_signs_when_one_of_them_can(
    signing: Any, operator: Any, key_file: Path
) -> None:
    mine = signing.PinnedValidator(operator.operator, "swarm")
    assert mine.merge_with(signing.PinnedValidator(operator.operator, "swarm"))
    assert not mine.merge_with(signing.PinnedValidator(operator.operator, "another swarm"))
    assert mine._private_key is None
    assert mine.merge_with(operator)
    assert mine._private_key is operator._private_key


def test_a_validator_travels_to_the_process_of_the_table(reader: Any, signed: Any) -> None:
    assert pickle.loads(pickle.dumps(reader)).validate(signed)
