"""``swarmplan swarm demo``, as the README shows it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from swarmplan.swarm.loopback import QUIET
from swarmplan.swarm.processes import run_to_end
from swarmplan.tests.extras import needs


@pytest.mark.live(limit_s=630)
def test_the_demo_re_places_servers_under_traffic_and_survives_a_killed_one(tmp_path: Path) -> None:
    needs("swarm")
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "demo", "--json"]
    done = run_to_end(command, tmp_path / "demo.log", limit_s=600, environment=QUIET)
    assert done.code == 0, done.text
    (order,) = json.loads(done.text[done.text.index("{\n") :])["orders"]
    assert order["petals"]["right"]
    assert order["planned"]["right"]
    assert order["drafted"]["right"]
    assert order["drafted"]["tokens_per_pass"] > 1.3
    assert order["moved_requests"] > 0
    assert (order["failed"], order["recovered_right"]) == (0, True)
    assert order["after_spans"] != order["before_spans"]
