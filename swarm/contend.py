"""Several clients at once on a loopback swarm: what was measured, and what the simulator says.

A *round* is a handful of requests with given starts, prompts and chains. ``measure`` runs rounds
through real PETALS servers, ``predict`` runs the same through the simulator. The servers hold all
blocks; a chain uses some blocks of each, as if they hosted just those.
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
from ..core.plan import Hop, Route
from ..core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from ..core.workload import Request, Workload
from ..perfmodel.cost import CostModel
from ..routing.api import Decision
from ..simulator.engine import simulate
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
    """When the tokens of a request were there, seconds from its start."""

    first_s: float
    last_s: float
    tokens: int

    @property
    def step_s(self) -> float:
        """Time per token after the first."""
        return (self.last_s - self.first_s) / (self.tokens - 1)


Round = Sequence[Visit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What a hop costs beside round trip and blocks, seconds.

    ``step_s``, ``prefill_s`` and ``prefill_per_token_s`` only delay; ``task_s`` is work of the
    server for each task.
    """

    step_s: float
    task_s: float
    prefill_s: float
    prefill_per_token_s: float


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
            tuple(_times(done[f"{i}/{j}"]) for j in range(len(visits)))
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


def _times(event: Event) -> Times:
    tokens_s = event["tokens_s"]
    return Times(first_s=tokens_s[0], last_s=tokens_s[-1], tokens=len(tokens_s))


def _jiffies() -> np.ndarray:
    """Time of all cores by use, idle the fourth; from the kernel."""
    return np.array([int(w) for w in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]])


def problem_of(stations: Sequence[Station], overheads: Overheads, *, blocks: int) -> Problem:
    """The stations as the simulator sees them: one client, a serial runtime each."""
    servers = tuple(
        Server(
            id=s.name,
            memory_bytes=10**12,
            block_bytes=10**6,
            timing=s.timing,
            task_overhead_s=overheads.task_s,
        )
        for s in stations
    )
    rtt_s = np.array([[s.rtt_s for s in stations]])
    network = Network(
        client_rtt_s=rtt_s,
        server_rtt_s=np.zeros((len(stations), len(stations))),
        step_overhead_s=overheads.step_s,
        prefill_overhead_s=overheads.prefill_s,
        prefill_overhead_per_token_s=overheads.prefill_per_token_s,
    )
    model = ModelSpec(
        name="small blocks",
        num_blocks=blocks,
        hidden_size=64,
        block_bytes=10**6,
        cache_bytes_per_token=512,
        activation_bytes_per_token=256,
    )
    return Problem(
        model=model,
        servers=servers,
        clients=(Client(id="here"),),
        network=network,
        workload=Workload(trace=()),
        planning=Planning(prompt_tokens=32, output_tokens=16, session_tokens=64),
    )


def predict(problem: Problem, visits: Round) -> tuple[Times, ...]:
    """What the simulator says of a round."""
    row = {s.id: j for j, s in enumerate(problem.servers)}
    routes = {
        i: Route(hops=tuple(Hop(server=row[s], start=a, end=b) for s, a, b in visit.chain))
        for i, visit in enumerate(visits)
    }

    def given(request: Request, *_view: Any, **_rest: Any) -> Decision:
        return Decision(route=routes[request.id], cost_s=0.0)

    requests = [
        Request(
            id=i,
            client=0,
            arrival_s=visit.at_s,
            prompt_tokens=visit.prompt_tokens,
            output_tokens=visit.new_tokens,
            reserved_tokens=visit.prompt_tokens + visit.new_tokens,
        )
        for i, visit in enumerate(visits)
    ]
    placement = CostModel.of(problem).placed([(0, problem.model.num_blocks)] * problem.num_servers)
    found = simulate(problem, placement, given, requests)
    return tuple(
        Times(first_s=float(first), last_s=float(last), tokens=visit.new_tokens)
        for first, last, visit in zip(
            found.first_token_s - found.arrival_s,
            found.finish_s - found.arrival_s,
            visits,
            strict=True,
        )
    )
