"""Live: a client that has only its own step times leaves a server that strangers load."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.contention import steady_steps_s
from swarmplan.swarm.contend import Arena, Station, prompt_of
from swarmplan.swarm.trial import ClientProcess, answers, operate, publish_spans

pytestmark = pytest.mark.live
BLOCKS, TOKENS, STRANGERS = 8, 10, 4
STEP_S = 0.010
CLOCK = Timing(decode_base_s=STEP_S, prefill_base_s=STEP_S, prefill_per_token_s=0.01 * STEP_S)
#: Alike but for the way there: alone, everybody is better off at A.
STATIONS = (
    Station(name="A", rtt_s=0.020, clock=CLOCK),
    Station(name="B", rtt_s=0.050, clock=CLOCK),
)


def one(name: str, at_s: float) -> dict[str, Any]:
    return {"id": name, "at_s": at_s, "prompt": prompt_of(0, 6), "new_tokens": TOKENS}


@contextmanager
def strangers(arena: Arena, folder: Path) -> Iterator[None]:
    """Sessions that make steps at A, one after another, and tell nobody."""
    stop, a = folder / "stop", arena.swarm.peers["A"]
    request = {"prompt": prompt_of(1, 6), "new_tokens": 60, "route": [(a, 0, BLOCKS)]}
    job = {
        "routing": "fixed",
        "threads": STRANGERS,
        "until": str(stop),
        "requests": [{"id": f"{i}", **request} for i in range(STRANGERS)],
    }
    with ClientProcess(swarm=arena.swarm, name="strangers", job=job) as client:
        client.wait_for(lambda seen: sum(e["event"] == "token" for e in seen) > 20, limit_s=60)
        yield
        stop.touch()


def test_next_sessions_leave_a_server_that_strangers_load(tiny_model: Path, tmp_path: Path) -> None:
    operate(tmp_path / "keygen.log", "keygen", str(tmp_path / "key"))
    rounds = [
        [one(f"quiet {i}", 1.5 * i) for i in range(3)],
        [one("first among strangers", 0.0)],
        [one(f"next {i}", 0.0) for i in range(2)],
    ]
    job = {
        "routing": {"public_key": str(tmp_path / "key.pub")},
        "warm_up_s": 1.0,
        "go": str(tmp_path / "go"),
        "rounds": rounds,
    }
    arena = Arena(
        folder=tmp_path / "swarm", model=tiny_model, stations=STATIONS, blocks=BLOCKS, processes=1
    )
    numbers = itertools.count()

    def hold(client: ClientProcess) -> None:
        number = next(numbers)
        (tmp_path / f"go.{number}").write_text(repr(time.time() + 0.1))
        client.wait_for(
            lambda seen: any(e["event"] == "round" and e["number"] == number for e in seen),
            limit_s=60,
        )

    with arena:
        spans = {s.name: (0, BLOCKS) for s in STATIONS}
        publish_spans(arena.swarm, tmp_path, tmp_path / "key", spans, router="overlap")
        with ClientProcess(swarm=arena.swarm, name="client", job=job) as client:
            client.wait_for(lambda seen: any(e["event"] == "ready" for e in seen), limit_s=90)
            hold(client)
            with strangers(arena, tmp_path):
                hold(client)
                hold(client)
            done = answers(client.events())
        names = {peer: name for name, peer in arena.swarm.peers.items()}
    taken = {i: names[e["chain"][0][0]] for i, e in done.items()}
    assert {taken[f"quiet {i}"] for i in range(3)} == {"A"}  # nobody there: the faster one
    assert taken["first among strangers"] == "A"  # the client cannot know yet
    wait_s, computed_s = waits_at_a(done["first among strangers"], arena.swarm.peers["A"])
    print(f"\nD at A: seen {wait_s * 1e3:.0f} ms, computed {computed_s * 1e3:.0f} ms; {taken}")
    assert {taken[f"next {i}"] for i in range(2)} == {"B"}
    assert len({tuple(e["tokens"]) for e in done.values()}) == 1  # wherever they were made
    assert 0.5 * computed_s <= wait_s <= 2.0 * computed_s


def waits_at_a(event: dict[str, Any], peer: str) -> tuple[float, float]:
    """How long a step waits there: as the client saw it, and by the sessions that are there."""
    seen_s, _ = event["waits"][peer]
    work_s, delay_s = BLOCKS * STEP_S, 0.030
    all_of_them = STRANGERS + 1
    steps_s = steady_steps_s(
        np.array([True]), np.full(all_of_them, work_s + delay_s), [[(0, work_s)]] * all_of_them
    )
    return float(seen_s), float(steps_s[0]) - work_s - delay_s
