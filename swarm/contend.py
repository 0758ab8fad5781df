"""Several clients at once on a loopback swarm: when was every token there?

A *round* is a handful of requests with given starts, prompts and chains. An ``Arena`` runs rounds
through real PETALS servers and clients; ``swarm.forecast`` runs the same through the simulator. The
servers hold all blocks; a chain uses some blocks of each, as if they hosted just those.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import SwarmUnreachableError
from ..core.problem import Timing
from .clock import LATE
from .loopback import LoopbackSwarm, ServerSpec
from .trial import ClientProcess, Event

#: From the word to begin until the first request of a round, so that all clients have heard it.
HEARD_S = 0.3
ROUND_LIMIT_S = 120.0
#: Far more than any round needs: rounds are about compute, not about cache.
CACHE_TOKENS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A server that holds all blocks, its round trip from everybody, what a block takes."""

    name: str
    rtt_s: float
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of a round: its start, its tokens, its chain of (server, start, end)."""

    at_s: float
    prompt_tokens: int
    new_tokens: int
    chain: tuple[tuple[str, int, int], ...]


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


Round = Sequence[Visit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Times of every round's requests; how idle the cores were; tasks that outran the clock."""

    rounds: tuple[tuple[Times, ...], ...]
    idle_frac: tuple[float, ...]
    late_tasks: int


@dataclass(kw_only=True)
class Arena:
    """Stations and client processes that are up; a context manager."""

    folder: Path
    model: Path
    stations: Sequence[Station]
    by_clock: bool
    handlers: int = 2
    processes: int = 2
    _stack: ExitStack = field(default_factory=ExitStack)
    _swarm: LoopbackSwarm = field(init=False)

    def __enter__(self) -> Arena:
        self._swarm = self._stack.enter_context(
            LoopbackSwarm(folder=self.folder, model=self.model, handlers=self.handlers)
        )
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.__exit__(None, None, None)

    def start(self, blocks: int) -> None:
        """Start all servers."""
        specs = [
            ServerSpec(
                name=s.name,
                blocks=(0, blocks),
                rtt_s=s.rtt_s,
                cache_tokens=CACHE_TOKENS,
                timing=s.timing if self.by_clock else None,
            )
            for s in self.stations
        ]
        self._swarm.start_servers(specs, one_by_one=True)

    def run(self, rounds: Sequence[Round], *, name: str) -> Measured:
        """Run rounds one after another, each when all before it have ended."""
        go = self.folder / f"{name}.go"
        dealt = [self._deal(rounds, p, go) for p in range(self.processes)]
        with ExitStack() as stack:
            clients = [
                stack.enter_context(ClientProcess(swarm=self._swarm, name=f"{name}-{p}", job=job))
                for p, job in enumerate(dealt)
            ]
            for client in clients:
                client.wait_for(lambda seen: any(e["event"] == "ready" for e in seen), limit_s=90)
            idle = [self._round(clients, go, i) for i in range(len(rounds))]
            done = {e["id"]: e for c in clients for e in c.events() if e["event"] == "done"}
            failed = [e for c in clients for e in c.events() if e["event"] == "failed"]
        if failed:
            raise SwarmUnreachableError(f"request {failed[0]['id']}: {failed[0]['error']}")
        times = tuple(
            tuple(Times(tokens_s=tuple(done[f"{i}/{j}"]["tokens_s"])) for j in range(len(visits)))
            for i, visits in enumerate(rounds)
        )
        return Measured(rounds=times, idle_frac=tuple(idle), late_tasks=self.late_tasks())

    def _round(self, clients: Sequence[ClientProcess], go: Path, number: int) -> float:
        """Let a round begin and wait for its end; the share of time that the cores were idle."""
        before = _jiffies()
        part = go.with_name(f"{go.name}.part")
        part.write_text(repr(time.time() + HEARD_S), encoding="utf-8")
        part.rename(f"{go}.{number}")

        def over(seen: list[Event]) -> bool:
            return any(e["event"] == "round" and e["number"] == number for e in seen)

        for client in clients:
            client.wait_for(over, limit_s=ROUND_LIMIT_S)
        spent = _jiffies() - before
        return float(spent[3] / spent.sum())

    def _deal(self, rounds: Sequence[Round], process: int, go: Path) -> dict[str, Any]:
        """The job of one client process: every so many-th request of each round."""
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
                        "route": [(self._swarm.peers[s], a, b) for s, a, b in visit.chain],
                    }
                    for j, visit in enumerate(visits)
                    if (i + j) % self.processes == process
                ]
                for i, visits in enumerate(rounds)
            ],
        }

    def late_tasks(self) -> int:
        """Tasks so far whose real work took longer than the clock allows."""
        return sum(self._swarm.children[s.name].text().count(LATE) for s in self.stations)


def _jiffies() -> np.ndarray:
    """Time of all cores by use, idle the fourth; from the kernel."""
    return np.array([int(w) for w in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]])
