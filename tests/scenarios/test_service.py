"""How servers that batch take prompts and cache, as scenario files say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.scenario import Scenario, scenario_of

PATH = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"


def scenario(sharing: str, **fields: Any) -> Scenario:
    """The tiny scenario, its devices with some fields."""
    found = dict(parse_file(PATH))
    found["sharing"] = sharing
    found["devices"] = {name: {**d, **fields} for name, d in found["devices"].items()}
    return scenario_of(found, PATH)


def test_chunks_are_of_servers_that_batch() -> None:
    servers = scenario("batched", chunk_tokens=256, batch_prompts=4).problem.servers
    assert {(s.chunk_tokens, s.batch_prompts) for s in servers} == {(256, 4)}
    with pytest.raises(ScenarioError, match="needs sharing = 'batched'") as caught:
        scenario("serial", chunk_tokens=256)
    assert caught.value.problems[0].path.endswith(".chunk_tokens")


def test_pages_are_of_servers_that_batch_and_the_same_for_all() -> None:
    servers = scenario("batched", preempting_page_tokens=16).problem.servers
    assert {s.page_tokens for s in servers} == {16}
    with pytest.raises(ScenarioError, match="needs sharing = 'batched'"):
        scenario("independent", preempting_page_tokens=16)
    found = dict(parse_file(PATH))
    first, *_ = found["devices"]
    devices = {**found["devices"], first: {**found["devices"][first], "preempting_page_tokens": 8}}
    with pytest.raises(ScenarioError, match="the same of all servers' devices, here 8") as caught:
        scenario_of({**found, "sharing": "batched", "devices": devices}, PATH)
    assert caught.value.problems[0].path == f"devices.{first}.preempting_page_tokens"
