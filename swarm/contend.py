"""Several clients at once on a loopback swarm: when was every token there?

A *round* is a handful of requests with given starts, prompts and chains. An ``Arena`` runs rounds
through real PETALS servers and clients; ``swarm.forecast`` runs the same through the simulator. The
servers hold all blocks, and a chain uses some blocks of each, as if they hosted just those; or they
hold some, and clients choose their chains themselves: by PETALS' rule, or by a published plan.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ..core.errors import SwarmUnreachableError
from ..core.problem import Timing
from ..core.workload import Request
from ..simulator.drafts import luck_of
from ..simulator.luck import chance
from .clock import LATE, Busy, task_s, told_busy, told_timing
from .cores import IDLE, jiffies, spent
from .loopback import LoopbackSwarm, ServerSpec
from .trial import ClientProcess, Event, answers

#: From the word to begin until the round begins, so that all clients have heard it.
HEARD_S = 0.3
READY_LIMIT_S, ROUND_LIMIT_S = 240.0, 120.0
#: Far more than any round needs: rounds are about compute, not about cache.
CACHE_TOKENS = 16_384


#: What a server says of the blocks that it chose itself.
_CHOSE = "Announced that blocks "

#: How a request finds its chain: it is given, PETALS' rule, or the plan in force.
Way = Literal["fixed", "petals", "plan"]
Chain = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A server, its round trip from everybody, what a block takes.

    Without a clock it computes as fast as this machine lets it, and tells how long tasks took. With
    one it announces its rates by it.

    Attributes
    ----------
    span : the blocks it holds; a number = so many, which PETALS chooses; None = all.
    batched : whether it runs waiting steps of several sessions as one pass.
    """

    name: str
    rtt_s: float
    clock: Timing | None = None
    span: tuple[int, int] | int | None = None
    batched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafter:
    """A client's draft model by the clock (``clock_draft``).

    Attributes
    ----------
    tokens : drafts of a pass.
    acceptance : probability that a draft is right where those before it are.
    draft_s : what a draft takes.
    """

    tokens: int
    acceptance: float
    draft_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of a round.

    Attributes
    ----------
    at_s : its start.
    chain : of (server, start, end), if given.
    drafter : by which its client drafts, if it does; answer : the tokens that will come, which a
        drafter has to know.
    """

    at_s: float
    prompt_tokens: int
    new_tokens: int
    chain: Chain = ()
    way: Way = "fixed"
    drafter: Drafter | None = None
    answer: tuple[int, ...] = ()

    def asked(self, number: int) -> Request:
        """The same for the simulator, where it has this number in its round."""
        return Request(
            id=number,
            client=0,
            arrival_s=self.at_s,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.new_tokens,
            reserved_tokens=self.prompt_tokens + self.new_tokens,
        )


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
    tokens, chains : of each request, the chain by the names of servers.
    busy : what each server worked on, by its name, where it tells.
    idle_frac, swarm_frac : share of the cores' time in which they were idle; in which they worked
        for servers and clients. The rest went to others on the machine.
    """

    times: tuple[Times, ...]
    idle_frac: float
    swarm_frac: float
    tokens: tuple[tuple[int, ...], ...] = ()
    chains: tuple[Chain, ...] = ()
    busy: Mapping[str, Busy] = field(default_factory=dict)

    @property
    def others_frac(self) -> float:
        """Share of the cores' time that went to others on the machine."""
        return max(0.0, 1.0 - self.idle_frac - self.swarm_frac)


@dataclass(kw_only=True)
class Arena:
    """Servers that are up, and clients for every series of rounds; a context manager.

    Attributes
    ----------
    processes : client processes; the requests of a round are dealt out to them.
    round_limit_s : time for a round.
    client : more for the jobs of client processes: ``routing`` by a plan, PETALS' ``config``.
    """

    folder: Path
    model: Path
    stations: Sequence[Station]
    blocks: int
    processes: int = 2
    round_limit_s: float = ROUND_LIMIT_S
    client: Mapping[str, Any] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _swarm: LoopbackSwarm = field(init=False)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            swarm = LoopbackSwarm(folder=self.folder, model=self.model)
            self._swarm = stack.enter_context(swarm)
            self._swarm.start_servers([self._spec(s) for s in self.stations], one_by_one=True)
            self.stations = [replace(s, span=self._span(s)) for s in self.stations]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stack.close()

    def _span(self, station: Station) -> tuple[int, int] | None:
        """What a station holds, also where PETALS chose it."""
        if not isinstance(station.span, int):
            return station.span
        said = next(line for line in self._log(station).splitlines() if _CHOSE in line)
        chosen = [int(n) for n in re.findall(r"\d+", said.split(_CHOSE)[1])]
        return chosen[0], chosen[0] + station.span

    def _spec(self, station: Station) -> ServerSpec:
        spec = ServerSpec(
            name=station.name,
            blocks=station.span or (0, self.blocks),
            rtt_s=station.rtt_s,
            cache_tokens=CACHE_TOKENS,
            remedies=("batch-steps",) if station.batched else (),
            clock=station.clock or "tell",
        )
        if station.clock is None:
            return spec
        step_s, prompt_s = (
            task_s(station.clock, position=p, tokens=n, blocks=1) for p, n in ((32, 1), (0, 128))
        )
        return replace(spec, inference_rps=1.0 / step_s, forward_rps=128 / prompt_s)

    @property
    def swarm(self) -> LoopbackSwarm:
        """The servers."""
        return self._swarm

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
            use, busy = [], [self._busy()]
            for number in range(len(rounds)):
                use.append(_hold(clients, go, number, groups, self.round_limit_s))
                busy.append(self._busy())
            done = answers([e for client in clients for e in client.events()])
        failed = next((e for e in done.values() if e["event"] == "failed"), None)
        if failed is not None:
            raise SwarmUnreachableError(f"request {failed['id']} of {name}: {failed['error']}")
        found = [
            self._measured([done[f"{i}/{j}"] for j in range(len(visits))], use[i])
            for i, visits in enumerate(rounds)
        ]
        return [
            replace(one, busy={name: after[name].since(before[name]) for name in after})
            for one, (before, after) in zip(found, pairwise(busy), strict=True)
        ][1:]

    def _busy(self) -> dict[str, Busy]:
        """The work of servers that tell it, so far."""
        return {s.name: told_busy(self._log(s)) for s in self.stations if s.clock is None}

    def _measured(self, told: Sequence[Event], use: tuple[float, float]) -> Measured:
        """One round by what its clients told."""
        names = {peer: name for name, peer in self._swarm.peers.items()}
        return Measured(
            times=tuple(Times(tokens_s=tuple(e["tokens_s"])) for e in told),
            idle_frac=use[0],
            swarm_frac=use[1],
            tokens=tuple(tuple(e["tokens"]) for e in told),
            chains=tuple(tuple((names[p], a, b) for p, a, b in e["chain"]) for e in told),
        )

    def _greeting(self) -> Round:
        """A request of each client process through all servers."""
        chains = greetings(self.stations, self.blocks)
        return [
            Visit(at_s=0.0, prompt_tokens=4, new_tokens=2, chain=chain)
            for chain in chains
            for _ in range(self.processes)
        ]

    def _deal(self, rounds: Sequence[Round], process: int, go: Path) -> dict[str, Any]:
        """The job of one client process: every so many-th request of each round."""
        drafts_s = {v.drafter.draft_s for visits in rounds for v in visits if v.drafter}
        if len(drafts_s) > 1:
            raise ValueError("drafts take the same time in all rounds of a series")
        return {
            "routing": "fixed",
            "warm_up_s": 1.0,
            **({"draft": {"draft_s": drafts_s.pop(), "tokens": 0}} if drafts_s else {}),
            **self.client,
            "go": str(go),
            "rounds": [
                [
                    self._request(visit, f"{i}/{j}", shift=j)
                    for j, visit in enumerate(visits)
                    if (i + j) % self.processes == process
                ]
                for i, visits in enumerate(rounds)
            ],
        }

    def _request(self, visit: Visit, name: str, *, shift: int) -> dict[str, Any]:
        peers = self._swarm.peers
        route = [(peers[s], a, b) for s, a, b in visit.chain]
        way: dict[Way, dict[str, Any]]
        way = {"fixed": {"route": route}, "petals": {"routing": "petals"}, "plan": {}}
        return {
            "id": name,
            "at_s": visit.at_s,
            "prompt": prompt_of(shift, visit.prompt_tokens),
            "new_tokens": visit.new_tokens,
            **way[visit.way],
            **drafts_of(visit, shift),
        }

    def late_tasks(self) -> int:
        """Tasks so far whose real work took longer than the clock allows."""
        return sum(self._log(s).count(LATE) for s in self.stations)

    def told(self) -> list[Station]:
        """The stations with the timing of the tasks so far, where they tell it."""
        return [replace(s, clock=s.clock or told_timing(self._log(s))) for s in self.stations]

    def _log(self, station: Station) -> str:
        return self._swarm.children[station.name].text()


def prompt_of(request: int, tokens: int) -> list[int]:
    """The prompt of a round's so many-th request."""
    return [(7 * request + t) % 250 for t in range(tokens)]


def drafts_of(visit: Visit, number: int) -> dict[str, Any]:
    """How many tokens the client of a round's so many-th request drafts, and which."""
    own = visit.drafter
    if own is None or not own.tokens:
        return {}
    luck, start = luck_of(visit.asked(number)), visit.prompt_tokens
    guesses = [
        # Another token of the vocabulary where it is to be wrong.
        token if chance(luck, start + i, 0) < own.acceptance else token ^ 1
        for i, token in enumerate(visit.answer)
    ]
    return {"drafts": own.tokens, "guesses": guesses}


def greetings(stations: Sequence[Station], blocks: int) -> list[Chain]:
    """Chains that together go through all servers: one, where all of them hold all blocks."""
    spans = {s.name: _held(s, blocks) for s in stations}
    if all(s.span is None for s in stations):
        cuts = np.linspace(0, blocks, len(stations) + 1).astype(int).tolist()
        return [tuple((s.name, *pair) for s, pair in zip(stations, pairwise(cuts), strict=True))]
    return [_through(spans, name, blocks) for name in spans]


def _held(station: Station, blocks: int) -> tuple[int, int]:
    """What a station holds whose blocks are known."""
    if isinstance(station.span, int):
        raise TypeError(f"PETALS has not chosen the blocks of {station.name} yet")
    return station.span or (0, blocks)


def _through(spans: Mapping[str, tuple[int, int]], name: str, blocks: int) -> Chain:
    """A chain over a server's whole span, and whoever holds what is before and after."""
    start, end = spans[name]
    before: list[tuple[str, int, int]] = []
    after: list[tuple[str, int, int]] = []
    while start > 0:
        other, first = min(((s, a) for s, (a, b) in spans.items() if a < start <= b), key=_second)
        before.insert(0, (other, first, start))
        start = first
    while end < blocks:
        other, last = max(((s, b) for s, (a, b) in spans.items() if a <= end < b), key=_second)
        after.append((other, end, last))
        end = last
    return (*before, (name, *spans[name]), *after)


def _second(pair: tuple[str, int]) -> int:
    return pair[1]


def _hold(
    clients: Sequence[ClientProcess],
    go: Path,
    number: int,
    groups: frozenset[int],
    limit_s: float,
) -> tuple[float, float]:
    """Let a round begin and wait for its end; shares of the cores' time: idle, spent by groups."""
    before, own_before = jiffies(), spent(groups)
    part = go.with_name(f"{go.name}.part")
    part.write_text(repr(time.time() + HEARD_S), encoding="utf-8")
    part.rename(f"{go}.{number}")

    def over(seen: list[Event]) -> bool:
        return any(e["event"] == "round" and e["number"] == number for e in seen)

    for client in clients:
        client.wait_for(over, limit_s=limit_s)
    took = jiffies() - before
    # Clients end with their last round; what they spent on it is not known any more.
    own = sum(now - own_before.get(pid, 0.0) for pid, now in spent(groups).items())
    total = float(took.sum())
    return float(took[IDLE]) / total, own / total


def _is_ready(event: Event) -> bool:
    return bool(event["event"] == "ready")
