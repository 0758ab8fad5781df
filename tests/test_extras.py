"""Where an optional part has to be there, its tests fail instead of being skipped."""

from __future__ import annotations

import pytest

from swarmplan.tests.extras import PACKAGES, VARIABLE, needs


@pytest.fixture
def _absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "swarm", ("json", "no_such_package"))


@pytest.mark.usefixtures("_absent")
@pytest.mark.parametrize("asked", ["", "length"])
def test_an_absent_part_that_nobody_asks_for_is_skipped(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, asked)
    with pytest.raises(pytest.skip.Exception, match="make swarm-env"):
        needs("swarm")


@pytest.mark.usefixtures("_absent")
@pytest.mark.parametrize("asked", ["swarm", "length,swarm"])
def test_an_absent_part_that_is_asked_for_fails(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, asked)
    with pytest.raises(pytest.fail.Exception, match=VARIABLE):
        needs("swarm")


def test_what_is_installed_is_neither_skipped_nor_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "length", ("json",))
    monkeypatch.setenv(VARIABLE, "length")
    needs("length")
