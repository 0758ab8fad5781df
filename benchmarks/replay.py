"""A plain replay of sessions on servers that work on one task at a time, or on passes of steps.

It shares no code with the simulator's engine, only reads the table that this writes: objects, lines
and an event for every beginning and end, straight from the figures of the problem. Given who
started when on which chain, it tells when every request's first and last token were there.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from swarmplan.core.problem import Problem, Timing, per_block
from swarmplan.core.workload import Request
from swarmplan.perfmodel.timing import decode_s, more_s
from swarmplan.simulator.drafts import luck_of
from swarmplan.simulator.luck import chance
from swarmplan.simulator.result import SimulationResult


@dataclass
class Started:
    """A session: its row in the table, where it comes from, what it asks, its chain, what its
    reservation holds, its tokens. ``request`` is needed where it drafts."""

    row: int
    client: int
    start_s: float
    prompt_tokens: int
    output_tokens: int
    chain: tuple[tuple[int, int, int], ...]
    room_tokens: int
    request: Request | None = None
    token_s: list[float] = field(default_factory=list)


class Task(NamedTuple):
    """A task.

    Attributes
    ----------
    wait_s : what passes before it is submitted.
    rows, blocks : of a step; no rows of a prompt.
    """

    server: int
    work_s: float
    wait_s: float
    rows: int
    blocks: int


def replay(problem: Problem, sessions: Sequence[Started]) -> float:
    """Fill in ``token_s`` of all sessions; the least time between two tasks at one server.

    Where that is 0 but for rounding, two programs may take them in different order.
    """
    world = World(problem)
    world.run(sessions)
    return world.closest_s


def started(result: SimulationResult) -> list[Started]:
    """Who started when on which chain, of those that were served."""
    return [
        Started(
            row=i,
            client=int(result.client[i]),
            start_s=float(result.start_s[i]),
            prompt_tokens=int(result.prompt_tokens[i]),
            output_tokens=int(result.output_tokens[i]),
            chain=tuple((h.server, h.start, h.end) for h in route.hops),
            room_tokens=max(1, int(result.reserved_tokens[i] - result.prompt_tokens[i])),
        )
        for i, route in enumerate(result.routes)
        if route is not None and result.status[i] == "completed"
    ]


class World:
    """Servers with lines, sessions as generators of their tasks."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.line: list[deque[int]] = [deque() for _ in problem.servers]
        self.busy = [False] * len(problem.servers)
        self.calendar: list[tuple[float, int, int, tuple[int, ...]]] = []
        self.now_s = 0.0
        self.latest: list[tuple[float, int]] = [(-math.inf, -1) for _ in problem.servers]
        self.closest_s = math.inf

    def run(self, sessions: Sequence[Started]) -> None:
        opening = self.problem.session_setup_s + self.problem.alloc_delay_s
        self.life = {s.row: self.passes(s) for s in sessions}
        self.task: dict[int, Task] = {}
        for s in sessions:
            self.submit_next(s.row, s.start_s + opening)
        while self.calendar:
            self.now_s, rank, who, rows = heapq.heappop(self.calendar)
            if rank == 0:
                self.ended(who, rows)
            else:
                self.submitted(who)

    def submit_next(self, row: int, now_s: float) -> None:
        try:
            task = next(self.life[row])
        except StopIteration:
            return
        self.task[row] = task
        heapq.heappush(self.calendar, (now_s + task.wait_s, 1, row, (row,)))

    def submitted(self, row: int) -> None:
        task = self.task[row]
        server = task.server
        if self.problem.servers[server].sharing == "independent":
            heapq.heappush(self.calendar, (self.now_s + task.work_s, 0, server, (row,)))
            return
        before_s, other = self.latest[server]
        if other != row:
            self.closest_s = min(self.closest_s, self.now_s - before_s)
        self.latest[server] = self.now_s, row
        self.line[server].append(row)
        if not self.busy[server]:
            self.work(server)

    def work(self, server: int) -> None:
        line = self.line[server]
        taken = [line.popleft()]
        if self.problem.servers[server].sharing == "batched" and self.task[taken[0]].rows:
            taken += [row for row in line if self.task[row].rows]
            self.line[server] = deque(row for row in line if not self.task[row].rows)
        self.busy[server] = True
        work_s = self.together_s(server, [self.task[row] for row in taken])
        heapq.heappush(self.calendar, (self.now_s + work_s, 0, server, tuple(taken)))

    def together_s(self, server: int, tasks: Sequence[Task]) -> float:
        """The longest of them, and what the other rows take on as many blocks as any has."""
        work_s, rows = max(t.work_s for t in tasks), sum(t.rows for t in tasks)
        if self.problem.servers[server].sharing != "batched" or rows == 0:
            return work_s
        timing = self.problem.servers[server].timing
        curves = timing if isinstance(timing, tuple) else (timing,)
        return work_s + max(t.blocks for t in tasks) * max(more_s(c, rows) for c in curves)

    def ended(self, server: int, rows: Sequence[int]) -> None:
        if self.problem.servers[server].sharing != "independent":
            self.busy[server] = False
            if self.line[server]:
                self.work(server)
        for row in rows:
            self.submit_next(row, self.now_s)

    def passes(self, s: Started) -> Iterator[Task]:
        """A session's tasks one after the other; it notes when its tokens are there."""
        at_client_s, early, sent_s = None, False, 0.0
        while len(s.token_s) < s.output_tokens:
            token = len(s.token_s)
            context = s.prompt_tokens + token
            drafts, many, draft_s = self.drafted(s)
            answers = []
            if early:  # drafted while the last pass was looked at
                draft_s = max(0.0, draft_s - (s.token_s[-1] - sent_s))
            sent_s = draft_s + (s.token_s[-1] if s.token_s else 0.0)
            wait_s = 0.0 if at_client_s is None else at_client_s - self.now_s + draft_s
            for i, (j, start, end) in enumerate(s.chain):
                pushed = token > 0 and self.problem.network.relay == "server" and i > 0
                rtt_s = float(self.problem.network.client_rtt_s[s.client, j])
                if pushed:
                    before = s.chain[i - 1][0]
                    wait_s = float(self.problem.network.server_rtt_s[before, j]) / 2
                else:
                    wait_s += rtt_s / 2
                server = self.problem.servers[j]
                cut = self.is_cut(s, j, token, many)
                turn_s = server.piece_delay_s if cut else 0.0
                wait_s += self.overhead_s(s, j, token, many) + turn_s
                blocks = self.blocks_s(s, j, start, end, token, context, many)
                rows, run = many if token else 0, 1 if cut else end - start
                for work_s in blocks if cut else [sum(blocks)]:
                    yield Task(j, work_s + server.task_overhead_s, wait_s, rows, run)
                    wait_s = turn_s
                answers.append(self.now_s + rtt_s / 2)
                wait_s = rtt_s / 2
            at_client_s = max(answers)
            new = self.kept(s, drafts) if drafts else 1
            early = new == drafts + 1 and drafts > 0 and self.guessed(s, drafts)
            s.token_s += [at_client_s] * min(new, s.output_tokens - token)

    def drafted(self, s: Started) -> tuple[int, int, float]:
        """Drafts of the next pass, its positions, and what the drafts take."""
        if not s.token_s or not self.problem.drafting:
            return 0, 1, 0.0
        own = self.problem.drafting[s.client]
        most = self.problem.drafts_on(s.client, [server for server, _, _ in s.chain])
        standard = own.semantics == "standard"
        drafts = max(0, min(most, s.room_tokens - len(s.token_s) - (1 if standard else 0)))
        many = drafts + 1 if standard else max(1, drafts)
        return drafts, many, drafts * own.model.draft_s

    def guessed(self, s: Started, drafts: int) -> bool:
        """Whether the client, drafting ahead, guessed the token that the target made itself."""
        assert s.request is not None
        own, place = self.problem.drafting[s.client], s.prompt_tokens + len(s.token_s) + drafts
        likely = s.request.acceptance or own.model.acceptance
        right = chance(luck_of(s.request), place, 0) < likely[min(drafts, len(likely) - 1)]
        return own.ahead and right

    def kept(self, s: Started, drafts: int) -> int:
        """Tokens of a pass: the luck of a place of a request's text is the same for everybody."""
        assert s.request is not None
        own, place = self.problem.drafting[s.client], s.prompt_tokens + len(s.token_s)
        petals = own.semantics == "petals"
        likely = s.request.acceptance or own.model.acceptance
        right = 0
        while right < drafts:
            luck = chance(luck_of(s.request), place + right, place if petals else 0)
            if luck >= likely[min(right, len(likely) - 1)]:
                break
            right += 1
        return max(1, right) if petals else right + 1

    def overhead_s(self, s: Started, j: int, token: int, many: int) -> float:
        net = self.problem.network
        tokens = many if token else s.prompt_tokens
        seconds = net.step_overhead_s
        if token == 0:
            seconds = net.prefill_overhead_s + net.prefill_overhead_per_token_s * tokens
        if net.client_bandwidth_bytes_per_s is not None:
            rate = float(net.client_bandwidth_bytes_per_s[s.client, j])
            seconds += 2 * self.sent_bytes(j, tokens) / rate
        return seconds + tokens * dict(net.wire_s_per_token).get(self.problem.servers[j].wire, 0.0)

    def sent_bytes(self, j: int, tokens: int) -> float:
        """A message with so many states: as they are, or in bytes after lengths and a table."""
        model, wire = self.problem.model, self.problem.servers[j].wire
        if wire == "none":
            return tokens * model.activation_bytes_per_token
        values, table = tokens * model.hidden_size, 4 * 256
        scales = 8 + 4 * values / 4096 if wire == "blockwise_8bit" else 0
        return values + table + 8 + scales

    def is_cut(self, s: Started, j: int, token: int, many: int) -> bool:
        server = self.problem.servers[j]
        long = (many if token else s.prompt_tokens) > server.task_tokens
        return long and server.sharing != "independent"

    def blocks_s(
        self, s: Started, j: int, start: int, end: int, token: int, context: int, many: int
    ) -> Sequence[float]:
        server = self.problem.servers[j]
        timings = per_block(server.timing, self.problem.model.num_blocks)[start:end]
        alone = [block_s(t, s.prompt_tokens, token, context) for t in timings]
        if many == 1 or server.sharing == "batched":  # there all rows of a pass are counted at once
            return alone
        if server.verify:
            at, times = [q for q, _ in server.verify], [t for _, t in server.verify]
            return [t * float(np.interp(many, at, times)) for t in alone]
        return [t + more_s(timing, many) for t, timing in zip(alone, timings, strict=True)]


def block_s(t: Timing, prompt_tokens: int, token: int, context: int) -> float:
    """Seconds of one block: the prompt, or a later token."""
    if token:
        return max(t.decode_floor_s, t.decode_base_s + t.decode_per_context_token_s * context)
    sloped = t.prefill_per_token_s + t.prefill_per_token2_s * prompt_tokens
    whole = max(t.prefill_floor_s, t.prefill_base_s + sloped * prompt_tokens)
    if t.step_curve and prompt_tokens <= t.step_curve[-1][0]:  # no slower than a step
        return min(whole, decode_s(t, 0, prompt_tokens))
    return whole
