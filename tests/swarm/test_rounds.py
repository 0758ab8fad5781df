"""Rounds of requests: each starts when it is due, tells its tokens, and fails alone."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from swarmplan.swarm.rounds import run_rounds
from swarmplan.tests.extras import needs


class Fake:
    """A model that takes a while and always says token 3."""

    def __call__(self, ids: Any) -> Any:
        import torch

        time.sleep(0.01)
        self.logits = torch.nn.functional.one_hot(torch.full((1, ids.shape[1]), 3), 8)
        return self


def test_requests_start_when_they_are_due_and_one_that_fails_leaves_the_others(
    tmp_path: Path,
) -> None:
    needs("swarm")
    go, told = tmp_path / "go", []
    span = SimpleNamespace(peer_id=SimpleNamespace(to_base58=lambda: "peer"), start=0, end=8)
    begin_s = time.time() + 0.2
    for number in range(2):
        (tmp_path / f"go.{number}").write_text(repr(begin_s))

    def open_session(request: Any) -> Any:
        assert time.time() >= begin_s + request["at_s"]
        if request["id"] == "bad":
            raise OSError("no such peer")
        return nullcontext(SimpleNamespace(_server_sessions=[SimpleNamespace(span=span)]))

    def request(name: str, at_s: float) -> dict[str, Any]:
        return {"id": name, "at_s": at_s, "prompt": [1, 2], "new_tokens": 3}

    rounds = [[request("good", 0.0), request("bad", 0.0)], [request("late", 0.1)]]
    job = {"go": str(go), "rounds": rounds}
    run_rounds(Fake(), job, open_session, lambda event, **more: told.append((event, more)))
    whole = [more for event, more in told if event == "done"]
    assert all(more["tokens"] == [3, 3, 3] for more in whole)
    assert all(more["chain"] == [("peer", 0, 8)] for more in whole)
    done = {more["id"]: more["tokens_s"] for more in whole}
    assert sorted(done) == ["good", "late"]
    assert len(done["good"]) == 3
    assert done["good"] == sorted(done["good"])
    assert done["good"][0] >= 0.01
    failed = [more for event, more in told if event == "failed"]
    assert failed == [{"id": "bad", "error": "OSError: no such peer"}]
    assert [more["number"] for event, more in told if event == "round"] == [0, 1]


class Drafting:
    """What ``speculate`` returns, as far as rounds know it."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], list[int]] = {}
        self.live, self.draft = SimpleNamespace(wanted=0), self

    def know(self, prompt: list[int], guesses: list[int]) -> None:
        self.known[tuple(prompt)] = guesses


class Generating(Fake):
    """A model that makes two tokens a pass."""

    def generate(self, ids: Any, *, max_new_tokens: int, streamer: Any, **_more: Any) -> None:
        import torch

        streamer.put(ids)
        for token in range(max_new_tokens):
            time.sleep(0.0 if token % 2 else 0.01)
            streamer.put(torch.tensor([token]))
        streamer.end()


def test_requests_with_guesses_are_drafted_and_their_tokens_told_as_they_come(
    tmp_path: Path,
) -> None:
    needs("swarm")
    told, drafting = [], Drafting()
    (tmp_path / "go.0").write_text(repr(time.time()))
    both = {"at_s": 0.0, "prompt": [1, 2], "new_tokens": 4}
    requests = [{"id": "drafted", "drafts": 3, "guesses": [7, 8, 9, 9], **both}]
    session = SimpleNamespace(_server_sessions=[])
    run_rounds(
        Generating(),
        {"go": str(tmp_path / "go"), "rounds": [requests]},
        lambda _: nullcontext(session),
        lambda event, **more: told.append((event, more)),
        drafting,
    )
    (done,) = [more for event, more in told if event == "done"]
    assert done["tokens"] == [0, 1, 2, 3]
    assert done["tokens_s"] == sorted(done["tokens_s"])
    assert done["tokens_s"][2] - done["tokens_s"][1] >= 0.01
    assert (drafting.live.wanted, drafting.known) == (3, {(1, 2): [7, 8, 9, 9]})
