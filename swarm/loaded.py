"""A server that strangers load, and a client that has only its own step times: live.

Two servers on the loopback interface, alike but for the way there; compute by the clock. Alone
everybody is better off at the near one. Then some sessions of somebody who tells nobody make steps
there: the client's first session among them goes there too, and sees what it waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import SwarmUnreachableError
from ..core.problem import Timing
from ..perfmodel.contention import steady_steps_s
from .contend import Arena, Station, prompt_of
from .trial import ClientProcess, Event, answers, operate, publish_spans

BLOCKS, TOKENS, STRANGERS = 8, 10, 4
BLOCK_S, OVERHEAD_S = 0.010, 0.010
CLOCK = Timing(decode_base_s=BLOCK_S, prefill_base_s=BLOCK_S, prefill_per_token_s=0.01 * BLOCK_S)
NEAR = Station(name="near", rtt_s=0.020, clock=CLOCK)
FAR = Station(name="far", rtt_s=0.050, clock=CLOCK)
#: Requests of each round and their starts: nobody else there; strangers, not yet noticed; noticed.
ROUNDS = {"quiet": (0.0, 1.5, 3.0), "unaware": (0.0,), "aware": (0.0, 0.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What happened.

    Attributes
    ----------
    taken : by round, the servers that sessions went to.
    seen_s, computed_s : wait D of a step at the near server among the strangers: as the client's
        own hops saw it, and as the sessions that are there make it.
    alike : whether all answers were the same, wherever they were made.
    """

    taken: dict[str, tuple[str, ...]]
    seen_s: float
    computed_s: float
    alike: bool

    def __str__(self) -> str:
        where = "; ".join(f"{name}: {', '.join(to)}" for name, to in self.taken.items())
        waits = f"D seen {self.seen_s * 1e3:.0f} ms, computed {self.computed_s * 1e3:.0f} ms"
        return f"{STRANGERS} strangers at the near server: {waits}; sessions went, {where}"


def run_loaded(folder: Path, model: Path) -> Loaded:
    """Both servers, the client and the strangers, from their start to their end.

    Raises
    ------
    SwarmUnreachableError
        If a process does not come up or gets stuck.
    """
    key = folder / "key"
    operate(folder / "keygen.log", "keygen", str(key))
    job = {
        "routing": {"public_key": f"{key}.pub"},
        "warm_up_s": 1.0,
        "go": str(folder / "go"),
        "rounds": [
            [
                {"id": f"{name} {i}", "at_s": at_s, "prompt": prompt_of(0, 6), "new_tokens": TOKENS}
                for i, at_s in enumerate(starts)
            ]
            for name, starts in ROUNDS.items()
        ],
    }
    stations = (NEAR, FAR)
    with Arena(folder=folder / "swarm", model=model, stations=stations, blocks=BLOCKS) as arena:
        spans = {s.name: (0, BLOCKS) for s in stations}
        publish_spans(arena.swarm, folder, key, spans, router="overlap")
        with ClientProcess(swarm=arena.swarm, name="client", job=job) as client:
            client.wait_for(lambda seen: any(e["event"] == "ready" for e in seen), limit_s=90)
            _hold(client, folder, 0)
            with _strangers(arena, folder):
                _hold(client, folder, 1)
                _hold(client, folder, 2)
            done = answers(client.events())
        return _loaded(done, arena.swarm.peers)


def _hold(client: ClientProcess, folder: Path, number: int) -> None:
    """Let a round begin and wait for its end."""
    go = folder / f"go.{number}"
    part = go.with_suffix(".part")
    part.write_text(repr(time.time() + 0.1), encoding="utf-8")
    part.rename(go)

    def over(seen: list[Event]) -> bool:
        return any(e["event"] == "round" and e["number"] == number for e in seen)

    client.wait_for(over, limit_s=60)


@contextmanager
def _strangers(arena: Arena, folder: Path) -> Iterator[None]:
    """Sessions at the near server, one after another, until they are no longer needed."""
    stop, near = folder / "stop", arena.swarm.peers[NEAR.name]
    request = {"prompt": prompt_of(1, 6), "new_tokens": 60, "route": [(near, 0, BLOCKS)]}
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


def _loaded(done: dict[str, Event], peers: dict[str, str]) -> Loaded:
    names = {peer: name for name, peer in peers.items()}
    failed = [e for e in done.values() if e["event"] == "failed"]
    if failed:
        raise SwarmUnreachableError(f"a request failed: {failed[0]['error']}")
    taken = {
        name: tuple(names[done[f"{name} {i}"]["chain"][0][0]] for i in range(len(starts)))
        for name, starts in ROUNDS.items()
    }
    seen_s = done["unaware 0"]["waits"][peers[NEAR.name]][0]
    return Loaded(
        taken=taken,
        seen_s=0.0 if seen_s is None else float(seen_s),
        computed_s=computed_wait_s(),
        alike=len({tuple(e["tokens"]) for e in done.values()}) == 1,
    )


def computed_wait_s() -> float:
    """The wait of each of those who are there: all are alike (docs/model.md 3.2)."""
    work_s = BLOCKS * BLOCK_S
    alone_s = NEAR.rtt_s + OVERHEAD_S + work_s
    count = STRANGERS + 1
    steps_s = steady_steps_s(np.array([True]), np.full(count, alone_s), [[(0, work_s)]] * count)
    return float(steps_s[0]) - alone_s
