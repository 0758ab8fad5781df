"""Drafts on real servers: the tokens of the swarm alone, whatever happens to its servers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import run_to_end
from swarmplan.swarm.trial import ClientProcess, Event, answers, operate, publish_spans

pytestmark = pytest.mark.live
PROMPTS = ([3, 1, 4, 1, 5], [7, 9, 11, 13], [2, 7, 1, 8, 2, 8])
TOKENS = 40
PLAIN = ("rollback", "short-steps")
SPANS = {"A": (0, 3), "B": (3, 8), "C": (3, 8), "old-A": (0, 3), "old-B": (3, 8)}


@pytest.fixture(scope="module")
def draft(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The target with a disturbed head."""
    from swarmplan.swarm.tiny_model import save_disturbed

    return str(save_disturbed(tiny_model, tmp_path_factory.mktemp("draft"), share=0.25))


@pytest.fixture(scope="module")
def five(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSwarm]:
    """Three servers with the remedy, and two without it that announce to be slow."""
    folder = tmp_path_factory.mktemp("five")
    with LoopbackSwarm(folder=folder, model=tiny_model, handlers=1, update_period_s=20.0) as swarm:
        swarm.start_servers(
            [
                ServerSpec(name=n, blocks=SPANS[n], without=PLAIN, inference_rps=1.0)
                if n.startswith("old")
                else ServerSpec(name=n, blocks=SPANS[n])
                for n in SPANS
            ]
        )
        yield swarm


@pytest.fixture(scope="module")
def wanted(tiny_model: Path) -> list[list[int]]:
    """The local model's tokens."""
    from swarmplan.swarm.tiny_model import local_tokens

    return local_tokens(tiny_model, PROMPTS, TOKENS)


def chain(swarm: LoopbackSwarm, *names: str) -> list[tuple[str, int, int]]:
    return [(swarm.peers[n], *SPANS[n]) for n in names]


def request(swarm: LoopbackSwarm, number: int, *names: str, **more: Any) -> dict[str, Any]:
    """A drafted request over a chain."""
    return {
        "id": str(number),
        "prompt": PROMPTS[number],
        "new_tokens": TOKENS,
        "draft": True,
        "route": chain(swarm, *names),
        **more,
    }


def run(
    swarm: LoopbackSwarm, name: str, requests: list[dict[str, Any]], **job: Any
) -> tuple[dict[str, Event], Event]:
    """Answers by request, and what drafting came to."""
    settings = {"config": {"request_timeout": 20, "update_period": 5, "max_retries": 3}}
    job = {"requests": requests, **settings, **job}
    with ClientProcess(swarm=swarm, name=name, job=job) as client:
        events = client.finish(limit_s=150)
    return answers(events), next(e for e in events if e["event"] == "drafted")


def test_tokens_equal_the_local_models_with_drafts_of_any_number(
    five: LoopbackSwarm, draft: str, wanted: list[list[int]]
) -> None:
    for drafts in (5, "auto"):
        requests = [request(five, i, "A", "B") for i in range(3)]
        got, told = run(
            five, f"drafts-{drafts}", requests, draft={"model": draft, "tokens": drafts}
        )
        assert [got[str(i)].get("tokens") for i in range(3)] == wanted
        assert told["right"] > 20
        assert told["passes"] + told["right"] == told["tokens"] == 3 * (TOKENS - 1)
        learned = told["speculation"]
        assert all(0.1 < a < 0.95 for a in learned["acceptance"])
        assert learned["draft_ms"] > 0


def test_a_chain_with_a_server_that_cannot_go_back_is_not_drafted_and_says_so(
    five: LoopbackSwarm, draft: str, wanted: list[list[int]]
) -> None:
    got, told = run(
        five, "mixed", [request(five, 0, "A", "old-B")], draft={"model": draft, "tokens": 4}
    )
    assert got["0"]["tokens"] == wanted[0]
    assert told["drafted"] == 0
    (note,) = told["notes"]
    assert note == "no drafts on this chain: sessions at old-B cannot take tokens back"


def test_tokens_equal_the_local_models_where_servers_hand_steps_on(
    tiny_model: Path, draft: str, wanted: list[list[int]], tmp_path: Path
) -> None:
    """What is pushed carries the position too: it comes under the same id as the client's own."""
    trip_s = 0.2
    with LoopbackSwarm(folder=tmp_path, model=tiny_model, handlers=1) as swarm:
        pushing = ("server-push",)
        swarm.start_servers(
            [ServerSpec(name=n, blocks=SPANS[n], rtt_s=trip_s, remedies=pushing) for n in "AB"]
        )
        got, told = run(
            swarm, "pushed", [request(swarm, 0, "A", "B")], draft={"model": draft, "tokens": 4}
        )
    assert got["0"].get("tokens") == wanted[0]
    assert told["drafted"] > told["right"] > 0
    # By way of the client no pass is shorter than both round trips.
    assert min(seconds for _, _, seconds in got["0"]["passes"][2:]) < 2 * trip_s


def test_drafting_over_servers_that_do_not_go_back_goes_wrong(
    five: LoopbackSwarm, draft: str, wanted: list[list[int]]
) -> None:
    """The negative control: what the remedy of the servers is for."""
    got, _ = run(
        five,
        "control",
        [request(five, 0, "old-A", "old-B")],
        draft={"model": draft, "tokens": 4, "believe": True},
    )
    assert got["0"].get("tokens") != wanted[0]


HOSTILE = """
import json, sys
from swarmplan.swarm.compat import apply_remedies
apply_remedies("client")
import torch
from petals.client.inference_session import InferenceSession
from petals.utils.misc import DUMMY, DUMMY_INT64
from swarmplan.swarm.drive import load_model
from swarmplan.swarm.routes import fixed_chain, make_ready

job = json.loads(sys.argv[1])
model = load_model(job)
manager = model.transformer.h.sequence_manager
make_ready(manager)
piece = manager[0:3]
make_ready(piece)

def steps(session, *ids):
    outs = []
    for step_id in ids:
        if not session._server_sessions:
            session._update_sequence(0, 0, 0)
        hop = session._server_sessions[0]
        outs.append(hop.step(torch.ones(1, 2, 64), DUMMY, DUMMY_INT64, step_id=step_id))
    return outs

said = {}
with torch.inference_mode(), InferenceSession(fixed_chain(piece, job["route"]), 16) as good:
    first = steps(good, "a")[0]
    for bad in ("b@-1", "b@999999", "b@x", "b@", "b@3", "b@1@0", "b@\\u0661"):
        with InferenceSession(fixed_chain(piece, job["route"]), 16) as session:
            try:
                steps(session, "a", bad)
                said[bad] = "answered"
            except Exception as error:
                said[bad] = str(error)
    with InferenceSession(fixed_chain(piece, job["route"]), 5) as session:
        try:
            steps(session, "a", "b", "c@3", "d")
            said["full"] = "answered"
        except Exception as error:
            said["full"] = str(error)
    # Whoever behaves goes on, and a step that goes back to the start is the first one again.
    again = steps(good, "e@0")[0]
    said["same"] = bool(torch.equal(first, again))
    said["steps"] = len(steps(good, "f@1", "g", "h@0"))
print("SAID " + json.dumps(said), flush=True)
import os
os._exit(0)
"""


def test_absurd_positions_are_refused_to_that_client_alone(
    five: LoopbackSwarm, tmp_path: Path
) -> None:
    job = {
        "initial_peers": [five.initial_peer],
        "prefix": five.prefix,
        "model": str(five.model),
        "route": chain(five, "A"),
        "config": {"max_retries": 1, "request_timeout": 10},
    }
    command = [sys.executable, "-W", "ignore", "-c", HOSTILE, json.dumps(job)]
    done = run_to_end(command, tmp_path / "hostile.log", limit_s=150, environment=QUIET)
    lines = [line for line in done.text.splitlines() if line.startswith("SAID ")]
    assert lines, done.text[-2000:]
    said = json.loads(lines[0].removeprefix("SAID "))
    assert said.pop("same") is True
    assert said.pop("steps") == 3
    assert "Maximum length exceeded: prefix 5 + current 2" in said.pop("full")
    assert len(said) == 7
    assert all("cannot go back to position" in text for text in said.values()), said
    assert all("of 2 tokens" in text for text in said.values()), said


def test_by_a_plan_the_client_drafts_and_tells_what_can_be_put_into_the_scenario(
    five: LoopbackSwarm,
    draft: str,
    wanted: list[list[int]],
    tmp_path: Path,
) -> None:
    """``swarm drive`` by a published plan, as a user runs it."""
    operate(tmp_path / "keygen.log", "keygen", str(tmp_path / "key"))
    publish_spans(five, tmp_path, tmp_path / "key", SPANS)
    said = operate(
        tmp_path / "drive.log",
        "drive",
        *("--model", str(five.model), "--prefix", five.prefix),
        *("--initial-peers", five.initial_peer, "--operator-key", str(tmp_path / "key.pub")),
        *("--ids", " ".join(map(str, PROMPTS[0])), "--new-tokens", str(TOKENS)),
        *("--draft", draft, "--json"),
        limit_s=120,
    )
    found = json.loads(said[said.index("{\n") :])
    assert found["answers"][0]["ids"] == wanted[0]


@pytest.mark.parametrize(("gone", "victim", "heir"), [((), "C", "B"), (("C",), "B", "old-B")])
def test_a_server_killed_in_mid_generation_costs_no_token(
    five: LoopbackSwarm,
    draft: str,
    wanted: list[list[int]],
    gone: tuple[str, ...],
    victim: str,
    heir: str,
) -> None:
    """Another one is given the tokens that were kept, not those that were taken back; one that
    cannot go back itself is opened anew where that is needed, and then nothing is drafted."""
    for name in gone:
        five.children[name].kill()
    job = {
        "requests": [request(five, 0, "A", victim, pause_s=0.1)],
        "config": {"request_timeout": 20, "update_period": 5},
        "draft": {"model": draft, "tokens": 4},
    }
    with ClientProcess(swarm=five, name=f"survivor-{victim}", job=job) as client:
        client.wait_for(lambda e: sum(x["event"] == "token" for x in e) >= 12, limit_s=90)
        five.children[victim].kill()
        events = client.finish(limit_s=120)
    got = answers(events)["0"]
    assert got["tokens"] == wanted[0]
    assert got["chains"][-1] == [[five.peers[heir], 3, 8]]
    told = next(e for e in events if e["event"] == "drafted")
    assert told["right"] > 0
    drafts = [p[0] for p in got["passes"]]
    assert (drafts[-5:] == [0] * 5) == (heir == "old-B")
