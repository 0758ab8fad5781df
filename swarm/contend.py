"""Several clients at once on a loopback swarm: when was every token there?

A *round* is a handful of requests with given starts, prompts and chains. An ``Arena`` runs rounds
through real PETALS servers and clients; ``swarm.forecast`` runs the same through the simulator. The
servers hold all blocks; a chain uses some blocks of each, as if they hosted just those.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..core.errors import SwarmUnreachableError
from ..core.problem import Timing
from .clock import LATE, told_timing
from .loopback import LoopbackSwarm, ServerSpec
from .trial import ClientProcess, Event, answers

#: From the word to begin until the round begins, so that all clients have heard it.
HEARD_S = 0.3
READY_LIMIT_S, ROUND_LIMIT_S = 90.0, 120.0
#: Far more than any round needs: rounds are about compute, not about cache.
CACHE_TOKENS = 16_384
#: Where the kernel keeps the idle time of all cores in its first line.
_IDLE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A server that holds all blocks, its round trip from everybody, what a block takes.

    Without a clock it computes as fast as this machine lets it, and tells how long tasks took.
    """

    name: str
    rtt_s: float
    clock: Timing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of a round: its start, its tokens, its chain of (server, start, end)."""

    at_s: float
    prompt_tokens: int
    new_tokens: int
    chain: tuple[tuple[str, int, int], ...]


Round = Sequence[Visit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When each token of a request was there, seconds from its start."""

    tokens_s: tuple[float, ...]

    @property
    def first_s(self) -> float:
        """Time to the first token."""
        return self.tokens_s[0]

    @property
    def whole_s(self) -> float:
        """Time to the last token."""
        return self.tokens_s[-1]

    @property
    def step_s(self) -> float:
        """Time per token after the first."""
        return (self.whole_s - self.first_s) / (len(self.tokens_s) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A round's times in the order of its requests, and what the cores did meanwhile.

    Attributes
    ----------
    idle_frac, swarm_frac : share of the cores' time in which they were idle; in which they worked
        for servers and clients. The rest went to others on the machine.
    """

    times: tuple[Times, ...]
    idle_frac: float
    swarm_frac: float


@dataclass(kw_only=True)
class Arena:
    """Servers that are up, and clients for every series of rounds; a context manager.

    Attributes
    ----------
    processes : client processes; the requests of a round are dealt out to them.
    """

    folder: Path
    model: Path
    stations: Sequence[Station]
    blocks: int
    processes: int = 2
    _stack: ExitStack = field(default_factory=ExitStack)
    _swarm: LoopbackSwarm = field(init=False)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            swarm = LoopbackSwarm(folder=self.folder, model=self.model)
            self._swarm = stack.enter_context(swarm)
            self._swarm.start_servers([self._spec(s) for s in self.stations], one_by_one=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stack.close()

    def _spec(self, station: Station) -> ServerSpec:
        return ServerSpec(
            name=station.name,
            blocks=(0, self.blocks),
            rtt_s=station.rtt_s,
            cache_tokens=CACHE_TOKENS,
            clock=station.clock or "tell",
        )

    def run(self, rounds: Sequence[Round], *, name: str) -> list[Measured]:
        """Run rounds one after another, each when all before it have ended.

        Before, every client process calls every server once: what is measured are clients that
        have connections.

        Raises
        ------
        SwarmUnreachableError
            If a request fails, or a client gets stuck.
        """
        go, rounds = self.folder / f"{name}.go", [self._greeting(), *rounds]
        with ExitStack() as stack:
            clients = [
                stack.enter_context(ClientProcess(swarm=self._swarm, name=f"{name}-{p}", job=job))
                for p, job in enumerate(self._deal(rounds, p, go) for p in range(self.processes))
            ]
            for client in clients:
                client.wait_for(lambda seen: any(map(_is_ready, seen)), limit_s=READY_LIMIT_S)
            children = [*self._swarm.children.values(), *(c.child for c in clients)]
            groups = frozenset(child.pid for child in children)
            use = [_hold(clients, go, number, groups) for number in range(len(rounds))]
            done = answers([e for client in clients for e in client.events()])
        failed = next((e for e in done.values() if e["event"] == "failed"), None)
        if failed is not None:
            raise SwarmUnreachableError(f"request {failed['id']} of {name}: {failed['error']}")
        return [
            Measured(
                times=tuple(
                    Times(tokens_s=tuple(done[f"{i}/{j}"]["tokens_s"])) for j in range(len(visits))
                ),
                idle_frac=use[i][0],
                swarm_frac=use[i][1],
            )
            for i, visits in enumerate(rounds)
        ][1:]

    def _greeting(self) -> Round:
        """A request of each client process through all servers."""
        cuts = np.linspace(0, self.blocks, len(self.stations) + 1).astype(int).tolist()
        chain = tuple(
            (s.name, *pair) for s, pair in zip(self.stations, pairwise(cuts), strict=True)
        )
        visit = Visit(at_s=0.0, prompt_tokens=4, new_tokens=2, chain=chain)
        return [visit] * self.processes

    def _deal(self, rounds: Sequence[Round], process: int, go: Path) -> dict[str, Any]:
        """The job of one client process: every so many-th request of each round."""
        peers = self._swarm.peers
        return {
            "routing": "fixed",
            "warm_up_s": 1.0,
            "go": str(go),
            "rounds": [
                [
                    {
                        "id": f"{i}/{j}",
                        "at_s": visit.at_s,
                        "prompt": [(7 * j + t) % 250 for t in range(visit.prompt_tokens)],
                        "new_tokens": visit.new_tokens,
                        "route": [(peers[s], a, b) for s, a, b in visit.chain],
                    }
                    for j, visit in enumerate(visits)
                    if (i + j) % self.processes == process
                ]
                for i, visits in enumerate(rounds)
            ],
        }

    def late_tasks(self) -> int:
        """Tasks so far whose real work took longer than the clock allows."""
        return sum(self._log(s).count(LATE) for s in self.stations)

    def told(self) -> list[Station]:
        """The stations with the timing of the tasks so far, where they tell it."""
        return [
            Station(name=s.name, rtt_s=s.rtt_s, clock=s.clock or told_timing(self._log(s)))
            for s in self.stations
        ]

    def _log(self, station: Station) -> str:
        return self._swarm.children[station.name].text()


def _hold(
    clients: Sequence[ClientProcess], go: Path, number: int, groups: frozenset[int]
) -> tuple[float, float]:
    """Let a round begin and wait for its end; shares of the cores' time: idle, spent by groups."""
    before, own_before = _jiffies(), _spent(groups)
    part = go.with_name(f"{go.name}.part")
    part.write_text(repr(time.time() + HEARD_S), encoding="utf-8")
    part.rename(f"{go}.{number}")

    def over(seen: list[Event]) -> bool:
        return any(e["event"] == "round" and e["number"] == number for e in seen)

    for client in clients:
        client.wait_for(over, limit_s=ROUND_LIMIT_S)
    spent = _jiffies() - before
    total = float(spent.sum())
    return float(spent[_IDLE]) / total, (_spent(groups) - own_before) / total


def _is_ready(event: Event) -> bool:
    return bool(event["event"] == "ready")


def _jiffies() -> np.ndarray:
    """Time of all cores since they started, by use."""
    first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    return np.array([int(word) for word in first.split()[1:9]])


def _spent(groups: frozenset[int]) -> float:
    """Time of the cores that living processes of some groups have used."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(entry.name)) in groups:
                # Behind the name in brackets: state, parent, ...; user and system time.
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                total += float(fields[11]) + float(fields[12])
    return total
