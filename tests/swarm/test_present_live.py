"""Live: a client that has only its own step times leaves a server that strangers load."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmplan.swarm.loaded import run_loaded

pytestmark = [pytest.mark.live, pytest.mark.alone]


def test_next_sessions_leave_a_server_that_strangers_load(tiny_model: Path, tmp_path: Path) -> None:
    loaded = run_loaded(tmp_path, tiny_model)
    print(f"\n{loaded}")
    assert set(loaded.taken["quiet"]) == {"near"}  # nobody there: the faster one
    assert set(loaded.taken["unaware"]) == {"near"}  # it cannot know yet
    assert set(loaded.taken["aware"]) == {"far"}
    assert loaded.alike
    assert 0.5 * loaded.computed_s <= loaded.seen_s <= 2.0 * loaded.computed_s
