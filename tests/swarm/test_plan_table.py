"""A plan in a table that others fill: found by who looks, kept by who serves, whatever its size."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from swarmplan.swarm.loopback import QUIET
from swarmplan.swarm.processes import run_to_end
from swarmplan.tests.extras import needs

pytestmark = pytest.mark.live
TABLE = Path(__file__).with_name("table.py")


def told(what: str, folder: Path, limit_s: float = 200) -> str:
    """What a scene of ``table.py`` prints last."""
    needs("swarm")
    run = [sys.executable, "-W", "ignore", str(TABLE), what, str(folder)]
    done = run_to_end(
        run, folder / f"{what}.log", limit_s=limit_s, environment={**os.environ, **QUIET}
    )
    assert done.code == 0, done.text
    return done.text.splitlines()[-1]


def test_commands_of_any_size_reach_the_process_of_the_table(tmp_path: Path) -> None:
    """In parts; PETALS' own, in one piece, by the remedy."""
    assert told("sizes", tmp_path) == "20 of 20 in parts, 20 of 20 in one piece, 800 pings, alive"


def test_a_large_plan_is_published_twenty_times_of_twenty(tmp_path: Path) -> None:
    assert told("large", tmp_path) == "20 of 20"


def test_a_plan_is_found_behind_a_value_without_subkey_and_sixty_large_ones(
    tmp_path: Path,
) -> None:
    """Plain peers store both; a peer with the validator refuses both and answers who asks it."""
    assert told("crowded", tmp_path) == (
        "taken by plain peers: value True, subkeys True; by the serving one: False, False; "
        "found: True; by asking the serving one alone: True"
    )


def test_a_plan_for_a_shorter_time_replaces_one_for_a_longer(tmp_path: Path) -> None:
    assert told("shorter", tmp_path) == "version 2 is found, and until its own end in force"


def test_what_a_serving_peer_states_is_found_whatever_strangers_store_under_its_key(
    tmp_path: Path,
) -> None:
    assert told("stated", tmp_path) == (
        "taken by a plain peer: True, by the serving one: [False, False]; "
        "found {True: 4}, plan 7, by itself True"
    )


def test_three_thousand_announcements_are_read(tmp_path: Path) -> None:
    assert told("many", tmp_path) == "12000 stored, 3000 read, spans of {4}, 0 warned"
