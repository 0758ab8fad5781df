"""Tokens through real PETALS servers, on PETALS' routes and on given ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swarmplan.perfmodel.length.online_files import read_online
from swarmplan.swarm.loopback import LoopbackSwarm
from swarmplan.swarm.trial import ClientProcess, answers, opened_spans, operate

pytestmark = pytest.mark.live
PROMPTS = [[1, 2, 3, 4, 5], [7, 9, 11]]


def test_generate_through_the_swarm_equals_the_local_model(
    three_servers: LoopbackSwarm, tiny_model: Path
) -> None:
    from swarmplan.swarm.tiny_model import local_tokens

    wanted = local_tokens(tiny_model, PROMPTS, 24)
    requests = [
        {"id": str(i), "prompt": p, "new_tokens": 24, "generate": True}
        for i, p in enumerate(PROMPTS)
    ]
    with ClientProcess(swarm=three_servers, name="plain", job={"requests": requests}) as client:
        got = answers(client.finish(limit_s=120))
    assert [got[str(i)].get("tokens") for i in range(len(PROMPTS))] == wanted


def test_two_requests_of_one_process_take_two_forced_routes_at_a_time(
    three_servers: LoopbackSwarm, tiny_model: Path
) -> None:
    from swarmplan.swarm.tiny_model import local_tokens

    a, b, c = (three_servers.peers[name] for name in "ABC")
    before = {name: len(opened_spans(three_servers.children[name])) for name in "ABC"}
    wanted = local_tokens(tiny_model, PROMPTS, 12)
    routes = [[(a, 0, 4), (c, 4, 8)], [(a, 0, 3), (b, 3, 8)]]
    job = {
        "routing": "fixed",
        "threads": 2,
        "requests": [
            {"id": str(i), "prompt": PROMPTS[i], "new_tokens": 12, "route": routes[i]}
            for i in range(2)
        ],
    }
    with ClientProcess(swarm=three_servers, name="forced", job=job) as client:
        got = answers(client.finish(limit_s=120))
    assert [got[str(i)].get("tokens") for i in range(2)] == wanted
    opened = {name: opened_spans(three_servers.children[name])[before[name] :] for name in "ABC"}
    assert sorted(opened["A"]) == ["0:3", "0:4"]
    assert opened["B"] == ["3:8"]
    assert opened["C"] == ["4:8"]


def test_a_client_learns_how_long_its_answers_were(
    three_servers: LoopbackSwarm, tmp_path: Path
) -> None:
    """Step by step, and by ``generate``; on PETALS' routes, as no plan is in force."""
    operate(tmp_path / "keygen.log", "keygen", str(tmp_path / "key"))
    lengths = tmp_path / "lengths"
    job = {
        "routing": {"public_key": str(tmp_path / "key.pub"), "lengths": str(lengths)},
        "requests": [
            {"id": "steps", "prompt": PROMPTS[0], "new_tokens": 12},
            {"id": "generate", "prompt": PROMPTS[1], "new_tokens": 24, "generate": True},
            {"id": "petals", "prompt": PROMPTS[1], "new_tokens": 3, "routing": "petals"},
        ],
    }
    with ClientProcess(swarm=three_servers, name="learner", job=job) as client:
        got = answers(client.finish(limit_s=120))
    assert {e["event"] for e in got.values()} == {"done"}
    known = read_online(lengths).known
    assert list(known) == [three_servers.prefix]
    assert np.expm1(known[three_servers.prefix].logs) == pytest.approx([12, 24])
