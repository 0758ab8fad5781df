"""Clients that tell each other of their work: signatures, hostile entries, when it is told."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarmplan.core.errors import ScenarioError, SwarmUnreachableError
from swarmplan.swarm.present import OwnHop, Present
from swarmplan.swarm.shares import Share
from swarmplan.tests.extras import of_swarm

ONE = Share(peer="A", sessions=3, work_s=0.08, alone_s=0.11, step_s=0.11, steps=40.0)
HOP = OwnHop(peer="A", start=0, end=8, delay_s=0.03, work_s=0.08)


class Table:
    """A DHT of one table; stores whatever it is given."""

    def __init__(self) -> None:
        self.entries: dict[Any, Any] = {}
        self.protocol = SimpleNamespace()
        self.takes = True
        self.stored = 0

    async def store(self, _key: str, value: Any, _expires_s: float, *, subkey: Any) -> bool:
        self.entries[subkey] = SimpleNamespace(value=value)
        self.stored += 1
        return self.takes

    async def get(self, _key: str, *, latest: bool) -> Any:
        assert latest
        return SimpleNamespace(value=dict(self.entries)) if self.entries else None

    def run_coroutine(self, call: Any, *, return_future: bool) -> Future[Any]:
        assert return_future
        done: Future[Any] = Future()
        done.set_result(asyncio.run(call(None, self)))
        return done


@pytest.fixture(scope="module")
def sharing() -> Any:
    return of_swarm("sharing")


@pytest.fixture(scope="module")
def key_file(sharing: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from swarmplan.swarm.signing import new_key

    path = tmp_path_factory.mktemp("keys") / "clients"
    new_key(path)
    return path


def two(sharing: Any, key_file: Path) -> tuple[Table, Any, Any]:
    table = Table()
    return (table, *(sharing.Sharing(table, "p", key_file, "operator", 15.0) for _ in range(2)))


def test_a_client_hears_what_others_tell_and_not_itself(sharing: Any, key_file: Path) -> None:
    table, one, other = two(sharing, key_file)
    assert other.hear() == {}
    one.tell([ONE])
    heard = other.hear()
    assert list(heard) == [one.client]
    assert heard[one.client].shares == (ONE,)
    assert one.hear() == {}
    assert one.client != other.client
    table.takes = False
    with pytest.raises(SwarmUnreachableError, match="no peer of the swarm stored"):
        one.tell([ONE])


def test_the_operators_own_key_is_not_for_clients(sharing: Any, key_file: Path) -> None:
    from swarmplan.swarm.signing import read_private_key

    _, public = read_private_key(key_file)
    with pytest.raises(ScenarioError, match="clients_key: is the operator's, which moves servers"):
        sharing.Sharing(Table(), "p", key_file, public, 15.0)


def test_hostile_entries_are_left_out_with_a_line_each_and_spoil_no_other(
    sharing: Any, key_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from swarmplan.swarm.signing import new_key

    table, one, other = two(sharing, key_file)
    one.tell([ONE])
    good = table.entries[one.client].value
    new_key(tmp_path / "stranger")
    sharing.Sharing(table, "p", tmp_path / "stranger", "operator", 15.0).tell([ONE])
    for name, value in (
        ("unsigned", good.rpartition(b"\n")[0]),
        ("no bytes", "text"),
        ("garbled", good.replace(b'"sessions":3', b'"sessions":9')),
        ("of another", good),  # validly signed, under a name that is not its own
        ("huge", good + b" " * 100_000),
        (b"bytes", good),
        ("n" * 1000, good),
    ):
        table.entries[name] = SimpleNamespace(value=value)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert list(other.hear()) == [one.client]
    lines = [r.message for r in caplog.records]
    assert len(lines) == 4  # one for each that could be looked at, once
    assert sum("no valid signature" in line for line in lines) == 3
    assert sum("another client" in line for line in lines) == 1


def test_who_was_heard_before_is_not_pushed_out_by_a_flood(
    sharing: Any, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, one, other = two(sharing, key_file)
    one.tell([ONE])
    assert list(other.hear()) == [one.client]
    monkeypatch.setattr(sharing, "MOST_ENTRIES", 3)
    for i in range(10):
        table.entries[f"!{i}"] = SimpleNamespace(value=b"flood")  # sorts before every client
    assert list(other.hear()) == [one.client]


def test_sessions_are_told_when_they_come_or_go_and_renewed_while_they_last(
    sharing: Any, key_file: Path
) -> None:
    table, one, other = two(sharing, key_file)
    present, heard = Present(), Present()
    telling = sharing.Exchange(one, present, 15.0, lambda: 0.0)
    hearing = sharing.Exchange(other, heard, 15.0, lambda: 0.0)
    for _ in range(10):
        telling.look()
    assert table.stored == 0
    present.begin(1, [HOP], steps=20)
    telling.look()
    assert table.stored == 1
    hearing.look()
    assert set(heard.waits(0.0, stranger_steps=50.0)) == {"A"}
    for _ in range(2 * telling.LOOKS):
        telling.look()
    assert table.stored == 3
    present.end(1)
    telling.look()
    hearing.look()
    assert heard.waits(0.0, stranger_steps=50.0) == {}
