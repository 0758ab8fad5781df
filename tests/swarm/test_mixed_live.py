"""A swarm of two precisions, chosen by a plan, on real servers: ``swarm demo --mixed``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from swarmplan.swarm.loopback import QUIET
from swarmplan.swarm.processes import run_to_end
from swarmplan.tests.extras import needs


@pytest.mark.live(limit_s=200)
def test_servers_host_the_planned_precisions_with_the_tokens_of_the_same_mixture(
    tmp_path: Path,
) -> None:
    needs("swarm")
    needs("quantised")
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "demo", "--mixed", "--json"]
    done = run_to_end(command, tmp_path / "demo.log", limit_s=180, environment=QUIET)
    assert done.code == 0, done.text
    found = json.loads(done.text[done.text.index("{\n") :])
    assert found["precisions"] == {"small": "int8", "whole": "bf16"}
    assert found["announced"] == found["precisions"]
    assert 0 < found["harm_percent"] <= 0.7
    assert found["chains"] == [["small", "whole"]]
    assert found["as_mixed"] == found["asked"] == 3
    # Else nothing would show that there is a mixture.
    assert found["as_whole"] < 3
