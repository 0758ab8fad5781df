"""What everything costs: weights, cache and time of runs of blocks, for one problem.

The one home of per-block figures: whoever places, routes, simulates or verifies asks here, so that
the cost that places is the cost that routes is the cost that simulates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ..core.content import FloatArray, IntArray, frozen_array
from ..core.drafting import NO_USE, Use
from ..core.plan import Placement, Route
from ..core.problem import Problem, per_block
from . import chunks
from .chunks import WHOLE, ChunkTables
from .hops import HopCost, RouteTime, mean_context_tokens
from .kept import MOST_BYTES, Held, Kept
from .passes import Passes, most_positions, passes_of, verify_table
from .relay import relaying
from .runs import Rows, Runs
from .steps import Steps
from .tasks import Tasks
from .timing import StepCurves, Timings, least_row_s, prefill_s, step_s
from .uplinks import Uplinks
from .wire import Wires

#: Models that are remembered; bytes of arrays and fewest request shapes that each remembers.
KNOWN_MODELS, KNOWN_BYTES, FEWEST_SHAPES = 8, 64_000_000, 64
#: Bytes of a cache without any limit; sums of some still fit an integer.
NO_LIMIT = np.int64(2**60)


class CostModel:
    """Weights, cache and time of a problem; ``CostModel.of`` makes one for each problem.

    Attributes
    ----------
    relaying : what depends on who hands a session's step on.
    uplinks : those that transfers share, None where there are none.
    weights_bytes : (server, start, end) -> bytes of the weights.
    kept : what sessions keep in the cache.
    passes : those of each client over its drafts.
    step_hop_s : (clients, n) t_cj, a hop of one decode step without compute.
    step_delay_s : (clients, n) of that what is no work.
    steps : the work of steps as their context grows.
    task_tokens : (n,) the longest prompt that is one task; a longer one is a task for each block.
    pass_tokens : (n,) the same of a pass over drafts.
    chunk_tokens : (n,) the longest part of a prompt that goes beside the steps of others.
    serial : (n,) servers that work on one task at a time.
    task_s : (n,) work of a task beside its blocks. For a request alone it is part of the hop, and
        of the run where a prompt goes block by block; where tasks meet, of the work (3.2).
    turn_s : (n,) from the end of one task of a prompt that is cut until the next stands in line.
    lasting_s : how long sessions are planned to last; infinite where only memory counts.
    most_cache_bytes : (n,) cache of the sessions for which a server computes; see ``lasting``.
    wires : what goes over the links of every server.
    block_harm : (server, start, end) -> what hosting at its precision costs in accuracy; zeros
        where nobody asks. See ``harm``.
    budgets : (clients,) the most of it that a route may have; inf = any.
    lacking : by client, servers that do not serve it: they do not load its adapter, or are devices
        of others. Those that may still choose their adapters serve everybody.
    opening_s : from the opening of a session until its prompt is sent, for every method alike.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.num_blocks = problem.model.num_blocks
        self.passes = passes_of(problem)
        planned = problem.planning.output_tokens - 1
        share = np.array([p.per_token(planned) for p in self.passes])
        self.wires = Wires.of(problem)
        self.uplinks = Uplinks(problem) if problem.network.uplinks else None
        self.relaying = relaying(problem.network, share, self.wires, self.uplinks)
        self.weights_bytes = self._weights()
        self.kept = Kept(problem.model)
        self._columns = self._timings()
        self.steps = Steps.of([s.timing for s in problem.servers], self.num_blocks)
        self.serial = np.array([s.sharing == "serial" for s in problem.servers])
        whole = WHOLE  # where there is no line nothing is cut, and by chunks in another way
        apart = [s.sharing == "independent" or s.chunk_tokens > 0 for s in problem.servers]
        cuts = [whole if a else s.task_tokens for a, s in zip(apart, problem.servers, strict=True)]
        self.task_tokens = np.array(cuts, dtype=np.int64)
        self.chunk_tokens = np.array([s.chunk_tokens or whole for s in problem.servers])
        self.task_s = np.array([s.task_overhead_s for s in problem.servers])
        self.turn_s = np.array([s.piece_delay_s for s in problem.servers])
        self.pass_tokens = np.where(self.serial, self.task_tokens, whole)
        self.step_delay_s = self._delay_s(problem.network.step_overhead_s, slice(None), tokens=1)
        hops = [self._pass_hop_s(c, p) * share[c] for c, p in enumerate(self.passes)]
        self.step_hop_s = frozen_array(hops, np.float64)
        self.block_harm = self._block_harm()
        self.budgets = self._budgets()
        self.lacking = self._lacking()
        self.opening_s = problem.session_setup_s + problem.alloc_delay_s
        self.lasting_s = math.inf
        self.most_cache_bytes = np.full(problem.num_servers, NO_LIMIT)
        self._shapes: dict[tuple[int, int, int, int], HopCost] = {}
        self._passes: dict[tuple[int, int], Passes] = {}
        self._most_shapes = max(FEWEST_SHAPES, KNOWN_BYTES // (40 * max(problem.num_servers, 1)))

    @classmethod
    def of(cls, problem: Problem) -> CostModel:
        """The cost model of a problem; made once while the problem is in use."""
        known = _MODELS.get(id(problem))
        if known is None:
            while len(_MODELS) >= KNOWN_MODELS:
                _MODELS.pop(next(iter(_MODELS)))
            known = _MODELS[id(problem)] = cls(problem)
        return known

    def lasting(self, seconds: float) -> CostModel:
        """The same costs for planning sessions that last so long: compute slots (model.md 12).

        A session that runs k blocks at server j keeps it at work for the share ``k w_j / seconds``
        of the time, w_j being the work of the representative request on a block. So a server that
        works on one task at a time has ``seconds / w_j`` slots, whatever its memory; a slot is
        counted as what it is beside memory, the cache of a session on a block. Where blocks differ
        work is that of the lightest and cache that of the dearest. Without end only memory counts.
        """
        if math.isinf(seconds):
            return self
        planning = self.problem.planning
        work = self.work_s(planning.prompt_tokens, planning.output_tokens).cheapest_block()
        slot = int(self.kept.of(planning.session_tokens).dearest_block()[0])
        with np.errstate(divide="ignore"):
            slots = np.minimum(np.floor(seconds / work + 1e-9), NO_LIMIT // slot)
        capped = copy(self)
        capped.lasting_s = seconds
        capped.most_cache_bytes = np.where(self.serial, slots.astype(np.int64) * slot, NO_LIMIT)
        return capped

    # ------------------------------------------------------------------ memory

    def _weights(self) -> Runs:
        """Of the blocks, and of the adapters that a server loads on each of them."""
        servers, length = self.problem.servers, self.num_blocks
        small = {a.id: a.block_bytes for a in self.problem.adapters}
        parts = [(s.block_bytes, *(small[a] for a in s.adapters or ())) for s in servers]
        if not any(isinstance(part, tuple) for own in parts for part in own):
            single = [sum(part for part in own if isinstance(part, int)) for own in parts]
            return Runs(length=length, each=frozen_array(single, np.int64))
        tables = [np.sum([per_block(part, length) for part in own], axis=0) for own in parts]
        return Runs.of(tables, np.int64)

    def cache_bytes(self, tokens: Any, start: Rows, end: Rows) -> Any:
        """Cache that one session with so many tokens holds on blocks ``[start, end)``."""
        return self.kept.bytes(tokens, start, end)

    def session_bytes(self, start: Rows, end: Rows) -> Any:
        """Cache that one planned session holds on blocks ``[start, end)``."""
        return self.kept.bytes(self.problem.planning.session_tokens, start, end)

    def mean_held_tokens(self, prompt_tokens: Any, output_tokens: Any, reserved_tokens: Any) -> Any:
        """Tokens for which a session holds cache, on average while it makes its output: all that it
        reserves, or pages as it makes them."""
        page = self.problem.page_tokens
        if not page:
            return reserved_tokens
        mean = prompt_tokens + (output_tokens + page) / 2
        return np.minimum(reserved_tokens, np.ceil(mean).astype(np.int64))

    def tokens_held(self, pool_bytes: int, start: int, end: int) -> int:
        """Tokens of one session for which a pool has cache on all blocks ``[start, end)``."""
        return self.kept.tokens(pool_bytes, start, end)

    def earliest_block(self, tokens: int, free_bytes: Any, end: Rows) -> Any:
        """First block from which a session's cache on ``[block, end)`` fits ``free_bytes``."""
        held = self.kept.ramp(tokens)
        return np.searchsorted(held, held[end] - np.asarray(free_bytes))

    def weights_and_cache(self, held: Held, most_bytes: int = MOST_BYTES) -> Runs:
        """(n,) runs of the weights together with the cache of some sessions; see ``Kept``."""
        return self.weights_bytes.plus(self.kept.together(held, most_bytes), 1)

    @property
    def alike(self) -> bool:
        """Whether a run of blocks costs the same bytes and seconds wherever it lies."""
        alike = self.weights_bytes.alike and self.kept.alike
        return alike and isinstance(self._columns, Timings)

    @property
    def plain(self) -> bool:
        """Whether, besides, cache and time of a step grow with the tokens of a session alike."""
        return self.alike and self.kept.proportional and not self.steps.windowed

    def room_bytes(self, start: IntArray, end: IntArray) -> IntArray:
        """(n,) memory that planners may use less the weights of spans; negative where too small."""
        every = np.arange(self.problem.num_servers)
        left: IntArray = self.problem.memory_bytes - self.weights_bytes(every, start, end)
        return left

    def placed(
        self,
        spans: Sequence[tuple[int, int]],
        *,
        cache_bytes: Iterable[int] | None = None,
        order: Sequence[int] = (),
    ) -> Placement:
        """Placement of (start, end) pairs; the pool defaults to all memory the weights leave."""
        start = np.array([s for s, _ in spans], dtype=np.int64)
        end = np.array([e for _, e in spans], dtype=np.int64)
        idle = end <= start
        start[idle] = end[idle] = 0
        given = None if cache_bytes is None else np.array(list(cache_bytes), dtype=np.int64)
        pool = self.room_bytes(start, end) if given is None else given
        return Placement(
            start=start,
            end=end,
            cache_bytes=np.where(idle, 0, np.maximum(pool, 0)),
            order=tuple(int(j) for j in order),
            precision=self.precisions,
            wire=self.chosen_wires,
            adapters=self.loaded,
        )

    # ------------------------------------------------------------------ accuracy

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those of the servers, as placements carry them: empty where there is no choice."""
        problem = self.problem
        return tuple(s.precision for s in problem.servers) if problem.chooses_precision else ()

    @property
    def chosen_wires(self) -> tuple[str, ...]:
        """By what states go over the servers' links; empty where there is no choice."""
        problem = self.problem
        return tuple(s.wire for s in problem.servers) if problem.chooses_wire else ()

    def _block_harm(self) -> Runs:
        accuracy, servers = self.problem.accuracy, self.problem.servers
        if accuracy is None:
            return Runs(length=self.num_blocks, each=np.zeros(len(servers)))
        return Runs.of([accuracy.of(s.precision) for s in servers], np.float64)

    def _budgets(self) -> FloatArray:
        accuracy, clients = self.problem.accuracy, len(self.problem.clients)
        given = [math.inf] * clients if accuracy is None else accuracy.budgets
        return frozen_array(given, np.float64)

    @property
    def budgeted(self) -> bool:
        """Whether some client does not bear every route."""
        accuracy = self.problem.accuracy
        return accuracy is not None and accuracy.limited

    def harm(self, server: Rows, start: Rows, end: Rows) -> Any:
        """What a hop that runs blocks ``[start, end)`` costs in accuracy: they, and its wire."""
        return self.block_harm(server, start, end) + self.wires.harm[server]

    def route_harm(self, route: Route) -> float:
        """What the precisions of a chain's blocks and links cost in accuracy."""
        return float(sum(self.harm(h.server, h.start, h.end) for h in route.hops))

    # ------------------------------------------------------------------ adapters

    @property
    def loaded(self) -> tuple[tuple[str, ...], ...]:
        """Adapters of the servers, as placements carry them: empty where nobody asks for any, and
        while they are open."""
        problem = self.problem
        if problem.chooses_adapters or not problem.asked_adapters:
            return ()
        return tuple(s.adapters or () for s in problem.servers)

    def _lacking(self) -> tuple[frozenset[int], ...]:
        servers = self.problem.servers
        known: dict[str, frozenset[int]] = {"": frozenset()}
        for name in self.problem.asked_adapters:
            known[name] = frozenset(
                j
                for j, s in enumerate(servers)
                if s.adapters is not None and name not in s.adapters
            )
        choosy = [(j, s.only) for j, s in enumerate(servers) if s.only]
        return tuple(
            known[c.adapter].union(j for j, only in choosy if c.id not in only)
            for c in self.problem.clients
        )

    @property
    def adapted(self) -> bool:
        """Whether some client is not served by every server."""
        return any(self.lacking)

    # ------------------------------------------------------------------ time

    def _timings(self) -> Timings | list[Timings]:
        """Columns over the servers; where blocks differ, columns over the blocks of each."""
        servers, length = self.problem.servers, self.num_blocks
        single = [s.timing for s in servers if not isinstance(s.timing, tuple)]
        if len(single) == len(servers):
            return Timings.of(single)
        return [Timings.of(per_block(s.timing, length)) for s in servers]

    def _runs_s(self, seconds: Callable[[Timings], FloatArray]) -> Runs:
        if isinstance(self._columns, Timings):
            each = frozen_array(seconds(self._columns), np.float64)
            return Runs(length=self.num_blocks, each=each)
        table = np.array([seconds(column) for column in self._columns])
        return Runs.of(table, np.float64)

    def step_run_s(self, context_tokens: float, spread_tokens: float = 0.0) -> Runs:
        """Runs of one decode step after ``context_tokens``; see ``timing.step_s``."""
        return self._runs_s(lambda t: step_s(t, context_tokens, spread_tokens))

    def prefill_run_s(self, prompt_tokens: float) -> Runs:
        """Runs of a prompt's blocks, alone."""
        if (self.chunk_tokens >= prompt_tokens).all():
            return self._runs_s(lambda t: prefill_s(t, prompt_tokens))
        return self._by_chunks_s(chunks.prompt_s, prompt_tokens)

    def _by_chunks_s(
        self, seconds: Callable[[Timings, float, Any], FloatArray], prompt_tokens: float
    ) -> Runs:
        """Runs of a prompt's blocks at servers that may cut it into chunks."""
        if isinstance(self._columns, Timings):
            return self._runs_s(lambda t: seconds(t, prompt_tokens, self.chunk_tokens))
        each = zip(self._columns, self.chunk_tokens.tolist(), strict=True)
        table = np.array([seconds(column, prompt_tokens, chunk) for column, chunk in each])
        return Runs.of(table, np.float64)

    def _prompt_run_s(self, prompt_tokens: int, more_s: FloatArray) -> Runs:
        """Runs of a prompt's blocks, with something more for each where every block is a task."""
        each = np.where(self._is_cut(prompt_tokens), more_s, 0.0)
        blocks = self.prefill_run_s(prompt_tokens)
        return blocks.plus(Runs(length=self.num_blocks, each=each)) if each.any() else blocks

    def prefill_hop_s(self, client: int, prompt_tokens: int) -> FloatArray:
        """(n,) t^I_cj, a hop of a prompt: RTT + overhead(l_in) (+ transfer) (+ its one task's)."""
        task = np.where(self._is_cut(prompt_tokens), 0.0, self.task_s)
        hop = self._prompt_way_s(client, prompt_tokens) + task
        return frozen_array(hop + self.prompt_sent_s(client, prompt_tokens), np.float64)

    def _is_cut(self, prompt_tokens: int) -> Any:
        """(n,) whether a prompt goes block by block."""
        return prompt_tokens > self.task_tokens

    def prompt_delay_s(self, client: int, prompt_tokens: int) -> FloatArray:
        """(n,) of a hop of a prompt what is no work, until its first task stands in line."""
        turn = np.where(self._is_cut(prompt_tokens), self.turn_s, 0.0)
        return frozen_array(self._prompt_way_s(client, prompt_tokens) + turn, np.float64)

    def _prompt_way_s(self, client: int, prompt_tokens: int) -> FloatArray:
        net = self.problem.network
        overhead = net.prefill_overhead_s + net.prefill_overhead_per_token_s * prompt_tokens
        return self._delay_s(overhead, client, tokens=prompt_tokens)

    def _delay_s(self, overhead_s: float, clients: Rows, *, tokens: int) -> FloatArray:
        """RTT + overhead, plus packing hidden states and, where bandwidth is known, sending them
        there and back; nothing where a client asks its own device."""
        net = self.problem.network
        hop = net.client_rtt_s[clients] + overhead_s + tokens * self.wires.token_s
        if net.client_bandwidth_bytes_per_s is not None:
            hop = hop + 2.0 * self.wires.bytes(tokens) / net.client_bandwidth_bytes_per_s[clients]
        local = [s.local for s in self.problem.servers]
        return frozen_array(np.where(local, 0.0, hop) if any(local) else hop, np.float64)

    def prompt_sent_s(self, client: int, prompt_tokens: int) -> Any:
        """(n,) seconds on uplinks of a prompt to each server and back, where its client relays it
        and nobody is in the way; else 0."""
        return 0.0 if self.relaying.pushes_prompts else self._sent_s(client, prompt_tokens)

    def step_sent_s(self, client: int, tokens: int = 1) -> Any:
        """(n,) the same of a pass of so many positions."""
        return 0.0 if self.relaying.pairs else self._sent_s(client, tokens)

    def _sent_s(self, client: int, tokens: int) -> Any:
        if self.uplinks is None:
            return 0.0
        each_s = self.uplinks.to_server_s[client] + self.uplinks.to_client_s[client]
        return self.wires.bytes(tokens) * each_s

    def packed_share(self, tokens: float) -> FloatArray:
        """(n,) what a message of so many tokens to or from each server is of their plain states."""
        plain = tokens * self.problem.model.activation_bytes_per_token
        found: FloatArray = self.wires.bytes(tokens) / plain
        return found

    @property
    def drafts_alike(self) -> bool:
        """Whether all clients make the same passes."""
        return len(set(self.passes)) == 1

    def passes_on(self, client: int, route: Route) -> Passes:
        """The passes of a client over a chain."""
        return self._passes_with(client, self.problem.drafts_on(client, route.servers))

    def _passes_with(self, client: int, drafts: int) -> Passes:
        """The passes of a client with so many drafts."""
        if drafts == self.passes[client].drafts:
            return self.passes[client]
        key = client, drafts
        if key not in self._passes:
            own = self.problem.drafting[client]
            use = Use(drafts, own.use.model) if drafts else NO_USE
            self._passes[key] = Passes(replace(own, use=use) if drafts else None)
        return self._passes[key]

    def _passes_anywhere(self, client: int) -> set[Passes]:
        """The passes of a client on any chain."""
        problem = self.problem
        drafts = {k for _, k in problem.drafts[client].chains}
        if problem.forward_only and problem.drafts[client].tokens:
            drafts.add(0)
        return {self.passes[client], *(self._passes_with(client, k) for k in drafts)}

    @cached_property
    def undrafted(self) -> CostModel:
        """The costs where nobody drafts; itself where that is so."""
        nobody = (NO_USE,) * len(self.problem.drafting)
        plain = self.problem.with_drafts(nobody)
        return self if plain is self.problem else CostModel(plain)

    @cached_property
    def unadapted(self) -> CostModel:
        """The costs where no server loads any adapter, and all serve everybody; itself where that
        is so. What no plan does better than here no plan does better than at all."""
        if not any(s.adapters for s in self.problem.servers):
            return self
        bare = tuple(replace(s, adapters=None) for s in self.problem.servers)
        return CostModel(replace(self.problem, servers=bare)).lasting(self.lasting_s)

    def _pass_hop_s(self, client: int, passes: Passes) -> FloatArray:
        """(n,) a hop of a client's pass without compute."""
        many = passes.positions
        delay = self._delay_s(self.problem.network.step_overhead_s, client, tokens=many)
        hop: FloatArray = delay + np.where(many > self.pass_tokens, 0.0, self.task_s)
        hop += self.step_sent_s(client, many)
        return hop

    @cached_property
    def position_s(self) -> FloatArray:
        """(clients, n) seconds of the way that each position of a pass beyond the first adds."""
        two = self._delay_s(self.problem.network.step_overhead_s, slice(None), tokens=2)
        return frozen_array(two - self.step_delay_s, np.float64)

    @cached_property
    def verify(self) -> FloatArray:
        """What passes of more positions take at every server; see ``passes.verify_table``."""
        most = most_positions(self.problem)
        return verify_table(self.problem.servers, self.step_curves, most)

    def pass_run_s(self, context_tokens: float, positions: int, spread_tokens: float = 0.0) -> Runs:
        """Runs of a pass of so many positions after ``context_tokens``."""
        step = self.step_run_s(context_tokens, spread_tokens)
        if positions == 1:
            return step
        more = Runs(length=self.num_blocks, each=self.verify[1, :, positions])
        return step.times(self.verify[0, :, positions]).plus(more)

    def pass_tasks(self, cost: HopCost, server: Rows, start: Rows, end: Rows) -> Any:
        """Tasks of a pass on blocks ``[start, end)``: one, or one for each block."""
        return np.where(cost.positions > self.pass_tokens[server], end - start, 1)

    def pass_work_s(self, cost: HopCost, server: Rows, start: Rows, end: Rows) -> Any:
        """What a pass keeps a server busy: the run, and the overhead of each of its tasks."""
        tasks = self.pass_tasks(cost, server, start, end)
        return cost.pass_run_s(server, start, end) + tasks * self.task_s[server]

    def shape(
        self, client: int, prompt_tokens: int, output_tokens: int, route: Route | None = None
    ) -> HopCost:
        """What a request shape costs at every server, remembered.

        Parameters
        ----------
        route : the chain that it is on, where that is known: clients may draft more, fewer or no
            tokens there than elsewhere.
        """
        passes = self.passes[client] if route is None else self.passes_on(client, route)
        key = (client, prompt_tokens, output_tokens, passes.drafts)
        cost = self._shapes.get(key)
        if cost is None:
            if len(self._shapes) >= self._most_shapes:
                self._shapes.clear()
            cost = self._shapes[key] = self._shape(client, prompt_tokens, output_tokens, passes)
        return cost

    def work_s(self, prompt_tokens: int, output_tokens: int, client: int | None = None) -> Runs:
        """Runs of the compute of a whole request: the prompt and every later token.

        Never more than it takes: where a launch floor binds some of the steps, they take more.

        Parameters
        ----------
        client : whose passes they are; None = of all clients those that take the least. Where they
            differ by chain they are those that take the least, too.
        """
        clients = range(len(self.passes)) if client is None else (client,)
        ways = {p for c in clients for p in self._passes_anywhere(c)}
        steps = [self._token_run_s(prompt_tokens, output_tokens, p) for p in ways]
        # Turns between tasks are no work: the server is free for others then.
        return self._prompt_run_s(prompt_tokens, self.task_s).plus(
            Runs.least(steps), output_tokens - 1
        )

    def _token_run_s(self, prompt_tokens: int, output_tokens: int, passes: Passes) -> Runs:
        """Runs of the compute of a token after the first; overhead of cut tasks is part of it."""
        context = mean_context_tokens(prompt_tokens, output_tokens)
        run = self.pass_run_s(context, passes.positions, output_tokens)
        if not passes.drafts:
            return run
        share = passes.per_token(output_tokens - 1)
        return self._cut_run_s(run, passes, self.task_s).times(share)

    def _cut_run_s(self, run: Runs, passes: Passes, more_s: FloatArray) -> Runs:
        """A pass with something more for each block where every block is a task."""
        each = np.where(passes.positions > self.pass_tokens, more_s, 0.0)
        return run.plus(Runs(length=self.num_blocks, each=each)) if each.any() else run

    def step_work_s(self, cost: HopCost, server: Rows, start: Rows, end: Rows) -> Any:
        """What a step keeps a server busy: the run, and the overhead of its task."""
        return cost.passes * self.pass_work_s(cost, server, start, end)

    def batched_work_s(self, prompt_tokens: int, output_tokens: int) -> Runs:
        """The same where steps share batches: the least for each that any batch comes to."""
        step = self._runs_s(lambda t: least_row_s(t, prompt_tokens + 1))
        prompt = self._prompt_run_s(prompt_tokens, self.task_s)
        if (self.chunk_tokens < WHOLE).any():
            prompt = self._by_chunks_s(chunks.least_prompt_s, prompt_tokens)
        return prompt.plus(step, output_tokens - 1)

    def planned(self, client: int, route: Route | None = None) -> HopCost:
        """What the representative request of the planning figures costs; see ``shape``."""
        plan = self.problem.planning
        return self.shape(client, plan.prompt_tokens, plan.output_tokens, route)

    def _shape(
        self, client: int, prompt_tokens: int, output_tokens: int, passes: Passes
    ) -> HopCost:
        steps = output_tokens - 1
        first_hop = self.prefill_hop_s(client, prompt_tokens)
        first_run = self._prompt_run_s(prompt_tokens, self.task_s + self.turn_s)
        share = passes.per_token(steps)
        context = mean_context_tokens(prompt_tokens, output_tokens)
        whole_run = self.pass_run_s(context, passes.positions, output_tokens)
        later_hop, later_run = self.step_hop_s[client], whole_run
        if passes.drafts or self.passes[client].drafts:
            later_hop = frozen_array(share * self._pass_hop_s(client, passes), np.float64)
        if passes.drafts:
            cut = self._cut_run_s(whole_run, passes, self.task_s + self.turn_s)
            later_run = cut.times(share)
        return HopCost(
            client=client,
            prefill_hop_s=first_hop,
            prefill_run_s=first_run,
            step_hop_s=later_hop,
            step_run_s=later_run,
            steps=steps,
            hop_s=frozen_array(first_hop + steps * later_hop, np.float64),
            run_s=first_run.plus(later_run, steps),
            pass_run_s=whole_run,
            positions=passes.positions,
            passes=share,
            draft_s=share * (1.0 - passes.ahead) * passes.work_s,
            ahead=passes.ahead,
            ahead_s=share * passes.work_s,
            prompt_tokens=prompt_tokens,
        )

    def prompt_tasks(
        self, prompt_tokens: int, server: IntArray, start: IntArray, end: IntArray
    ) -> IntArray:
        """Tasks of a prompt on blocks ``[start, end)``: one, or one for each block."""
        count: IntArray = np.where(self._is_cut(prompt_tokens)[server], end - start, 1)
        return count

    def prompt_work_s(
        self, prompt_tokens: int, server: IntArray, start: IntArray, end: IntArray
    ) -> FloatArray:
        """What a prompt keeps a server busy: the run, and the overhead of each of its tasks."""
        count = self.prompt_tasks(prompt_tokens, server, start, end)
        run: FloatArray = self.prefill_run_s(prompt_tokens)(server, start, end)
        work: FloatArray = run + count * self.task_s[server]
        return work

    def request_work_s(
        self, cost: HopCost, prompt_tokens: int, server: IntArray, start: IntArray, end: IntArray
    ) -> FloatArray:
        """What a request of this shape keeps a server busy: its prompt and all later steps."""
        prompt_s = self.prompt_work_s(prompt_tokens, server, start, end)
        work: FloatArray = prompt_s + cost.steps * self.step_work_s(cost, server, start, end)
        return work

    def tasks(self, route: Route, client: int, prompt_tokens: int) -> Tasks:
        """The tasks of a session on a chain, hop by hop. Prompts go by way of the client (3.1)."""
        server = np.array(route.servers, dtype=np.int64)
        start = np.array([h.start for h in route.hops], dtype=np.int64)
        end = np.array([h.end for h in route.hops], dtype=np.int64)
        blocks = self.prefill_run_s(prompt_tokens)
        delay = self.prompt_delay_s(client, prompt_tokens)
        count, task = self.prompt_tasks(prompt_tokens, server, start, end), self.task_s[server]
        cut, piece = count > 1, np.zeros(self.num_blocks)
        own, parts = self.steps.growing(server, start, end)
        for j, first, last in zip(server[cut], start[cut], end[cut], strict=True):
            block = np.arange(first, last)
            piece[first:last] = blocks(j, block, block + 1) + self.task_s[j]
        return Tasks(
            client=client,
            server=server,
            start=start,
            end=end,
            first_gap_s=self.relaying.prompt_gaps_s(client, delay, server),
            gap_s=self.relaying.gaps_s(client, self.step_delay_s[client], server),
            back_s=self.relaying.backs_s(client, server),
            link=self._links(server),
            first_send_s=self.relaying.sends_s(server, prompt_tokens),
            send_s=self.relaying.sends_s(server, 1),
            sent_tokens=np.full(len(server), prompt_tokens),
            message_bytes=self.wires.message_bytes[server],
            token_bytes=self.wires.token_bytes[server],
            turn_s=self.turn_s[server],
            prompt_s=self.prompt_work_s(prompt_tokens, server, start, end),
            base_s=own[:, 1] + task,
            slope_s=own[:, 2],
            floor_s=own[:, 0] + task,
            parts=parts,
            cut=cut.astype(np.int64),
            piece_s=piece,
            worth=self._worth(prompt_tokens, server, start, end),
            task_tokens=self.pass_tokens[server],
            position_s=self.position_s[client, server],
            task_s=task,
        )

    def _worth(
        self, prompt_tokens: int, server: IntArray, start: IntArray, end: IntArray
    ) -> FloatArray:
        """(H,) blocks like a server's mean one that a prompt on each hop is worth, where it may go
        in chunks; else 0."""
        blocks = np.where(self.chunk_tokens[server] < WHOLE, 1.0 * (end - start), 0.0)
        if self.alike or not blocks.any():
            return blocks
        run = self.prefill_run_s(prompt_tokens)
        mean = run(server, 0 * server, 0 * server + self.num_blocks) / self.num_blocks
        worth: FloatArray = np.where(blocks > 0, run(server, start, end) / mean, 0.0)
        return worth

    @cached_property
    def chunk_tables(self) -> ChunkTables:
        """What chunks of prompts take at servers that work on them so."""
        servers = self.problem.servers
        each = [s.chunk_tokens for s in servers]
        return ChunkTables([s.timing for s in servers], each, self.num_blocks)

    def _links(self, server: IntArray) -> IntArray:
        """(H,) 1 + number of the link into each hop; 0 where transfers do not stand in line."""
        links = np.zeros(len(server), dtype=np.int64)
        if self.problem.network.server_bandwidth_bytes_per_s is not None:
            links[1:] = 1 + server[:-1] * self.problem.num_servers + server[1:]
        return links

    @property
    def num_links(self) -> int:
        """Links on which transfers stand in line."""
        modelled = self.problem.network.server_bandwidth_bytes_per_s is not None
        return self.problem.num_servers**2 if modelled else 0

    @cached_property
    def step_curves(self) -> StepCurves:
        """What more rows of a step cost at every server."""
        return StepCurves.of([s.timing for s in self.problem.servers])

    def step_s(self, route: Route, cost: HopCost) -> float:
        """Seconds of one decode step over a route, the client's drafts included."""
        visits = ((h.server, h.start, h.end) for h in route.hops)
        return cost.with_drafts_s(self.relaying.step_s(cost, visits))

    def step_parts_s(self, route: Route, cost: HopCost) -> tuple[float, float, float]:
        """Network, software overhead and compute of one decode step over a route, drafts apart."""
        rows = list(route.servers)
        run = cost.step_run_s
        compute = float(sum(run(h.server, h.start, h.end) for h in route.hops))
        rtt = cost.passes * self.problem.network.client_rtt_s[cost.client, rows]
        overhead = float((cost.step_hop_s[rows] - rtt).sum())
        visits = ((h.server, h.start, h.end) for h in route.hops)
        network = max(0.0, self.relaying.step_s(cost, visits) - overhead - compute)
        return network, overhead, compute

    def route_time(self, route: Route, cost: HopCost) -> RouteTime:
        """Time of one request on a route."""
        ttft = self.relaying.prompt_s(cost, ((h.server, h.start, h.end) for h in route.hops))
        step = self.step_s(route, cost)
        return RouteTime(ttft_s=ttft, tpot_s=step, total_s=ttft + cost.steps * step)


_MODELS: dict[int, CostModel] = {}
