"""A swarm of two precisions, chosen by a plan, on real servers: ``swarm demo --mixed``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from swarmplan.api import plan
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.planfile import write_plan
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import run_to_end
from swarmplan.swarm.trial import ClientProcess, Event, answers, operate, read_scenario
from swarmplan.tests.extras import needs

PROMPT, TOKENS = [3, 1, 4, 1, 5], 24


@pytest.mark.live(limit_s=300)
def test_servers_host_the_planned_precisions_with_the_tokens_of_the_same_mixture(
    tmp_path: Path,
) -> None:
    needs("swarm")
    needs("quantised")
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "demo", "--mixed", "--json"]
    done = run_to_end(command, tmp_path / "demo.log", limit_s=280, environment=QUIET)
    assert done.code == 0, done.text
    found = json.loads(done.text[done.text.index("{\n") :])
    assert found["precisions"] == {"small": "int8", "whole": "bf16"}
    assert found["announced"] == found["precisions"]
    assert 0 < found["harm_percent"] <= 0.7
    assert found["chains"] == [["small", "whole"]]
    assert found["as_mixed"] == found["asked"] == 3
    # Else nothing would show that there is a mixture.
    assert found["as_whole"] < 3


def publish(swarm: LoopbackSwarm, folder: Path) -> None:
    """A plan for where the servers are: half of the model at 8 bit is more than is allowed."""
    operate(folder / "keygen.log", "keygen", str(folder / "key"))
    document = read_scenario(swarm, folder, memory_gb=0.1, more=("--sessions", "1"))
    assert [s.get("quantisation") for s in document["servers"]].count("int8") == 1
    document["accuracy"] = {"harm": {"int8": 1.0}, "budget": 0.3}
    write_document(folder / "scenario.json", document)
    scenario = load_scenario(folder / "scenario.json")
    write_plan(folder / "plan.json", plan(scenario.problem, "manual"), scenario)
    operate(
        folder / "publish.log",
        *("publish", str(folder / "plan.json"), str(folder / "scenario.json")),
        *("--key", str(folder / "key"), "--prefix", swarm.prefix),
        *("--initial-peers", swarm.initial_peer),
    )


@pytest.mark.live
def test_a_session_that_lost_a_server_ends_rather_than_go_on_above_its_budget(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The only other server has them at 8 bit. A session that knows no budget goes on there."""
    needs("quantised")

    def middle(events: list[Event]) -> bool:
        return len([e for e in events if e["event"] == "token"]) >= 8

    with LoopbackSwarm(folder=tmp_path / "swarm", model=tiny_model) as swarm:
        swarm.start_servers(
            [
                ServerSpec(name="A", blocks=(0, 4)),
                ServerSpec(name="B", blocks=(4, 8)),
                ServerSpec(name="C", blocks=(4, 8), quant_type="int8"),
            ]
        )
        publish(swarm, tmp_path)
        a, b, c = (swarm.peers[name] for name in "ABC")
        config = {"request_timeout": 10, "max_retries": 3, "update_period": 5}
        # Long enough for the client that starts first to be on its way when the other one is.
        request = {"id": "0", "prompt": PROMPT, "new_tokens": 4 * TOKENS, "pause_s": 0.2}
        careful = {
            "routing": {"public_key": f"{tmp_path / 'key'}.pub", "refresh_s": 2.0},
            "config": config,
            "requests": [request],
        }
        other = {"config": config, "requests": [{**request, "route": [(a, 0, 4), (b, 4, 8)]}]}
        with (
            ClientProcess(swarm=swarm, name="careful", job=careful) as keeps,
            ClientProcess(swarm=swarm, name="other", job=other) as goes_on,
        ):
            keeps.wait_for(middle, limit_s=90)
            goes_on.wait_for(middle, limit_s=90)
            swarm.children["B"].kill()
            told = answers(keeps.finish(limit_s=60))["0"]
            done = answers(goes_on.finish(limit_s=60))["0"]
            route = next(e["chain"] for e in keeps.events() if e["event"] == "route")[-1]
    assert [hop[0] for hop in route] == [a, b]
    assert done["event"] == "done"
    assert done["chains"][-1][0][0] == c
    assert told["event"] == "failed"
    assert "NoRouteError" in told["error"]
    assert "bears: this one harms 0.497" in told["error"]
    assert "at most 0.299551 is allowed (accuracy)" in told["error"]
