"""What everything costs: weights, cache and time of runs of blocks, for one problem.

The one home of per-block figures: whoever places, routes, simulates or verifies asks here, so that
the cost that places is the cost that routes is the cost that simulates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..core.content import FloatArray, IntArray, frozen_array
from ..core.plan import Placement, Route
from ..core.problem import Problem, per_block
from .hops import HopCost, RouteTime, mean_context_tokens
from .relay import ClientRelay, relaying
from .runs import Rows, Runs
from .tasks import Tasks
from .timing import Timings, knots_of, prefill_s, step_s

#: Models that are remembered; bytes of arrays and fewest request shapes that each remembers.
KNOWN_MODELS, KNOWN_BYTES, FEWEST_SHAPES = 8, 64_000_000, 64


class CostModel:
    """Weights, cache and time of a problem; ``CostModel.of`` makes one for each problem.

    Attributes
    ----------
    relaying : what depends on who hands a session's step on.
    weights_bytes : (server, start, end) -> bytes of the weights.
    token_bytes : the same of one token's attention cache, which is equal at all servers: row 0.
    step_hop_s : (clients, n) t_cj, a hop of one decode step without compute.
    serial : (n,) servers that work on one task at a time.
    opening_s : from the opening of a session until its prompt is sent, for every method alike.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.num_blocks = problem.model.num_blocks
        self.relaying = relaying(problem.network)
        self.weights_bytes = self._weights()
        tokens = per_block(problem.model.cache_bytes_per_token, self.num_blocks)
        self.token_bytes = Runs.of([tokens], np.int64)
        self._held_bytes = self.token_bytes.ramp(0)
        each = self.token_bytes.each  # a plain number where blocks are alike: asked for most often
        self._each_token_bytes = None if each is None else int(each[0])
        self._columns = self._timings()
        self._step_base_s = self._runs_s(lambda t: t.decode_base_s)
        self._step_slope_s = self._runs_s(lambda t: t.decode_per_context_token_s)
        self._step_floor_s = self._runs_s(lambda t: t.decode_floor_s)
        self.serial = np.array([s.sharing == "serial" for s in problem.servers])
        whole = np.iinfo(np.int64).max  # where there is no line nothing is cut
        cuts = [whole if s.sharing == "independent" else s.task_tokens for s in problem.servers]
        self._task_tokens = np.array(cuts, dtype=np.int64)
        self.step_hop_s = self._hop_s(problem.network.step_overhead_s, slice(None), tokens=1)
        self.opening_s = problem.session_setup_s + problem.alloc_delay_s
        self._shapes: dict[tuple[int, int, int], HopCost] = {}
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

    # ------------------------------------------------------------------ memory

    def _weights(self) -> Runs:
        servers, length = self.problem.servers, self.num_blocks
        if not any(isinstance(s.block_bytes, tuple) for s in servers):
            each = frozen_array([s.block_bytes for s in servers], np.int64)
            return Runs(length=length, each=each)
        return Runs.of([per_block(s.block_bytes, length) for s in servers], np.int64)

    def cache_bytes(self, tokens: Any, start: Rows, end: Rows) -> Any:
        """Cache that one session with so many tokens holds on blocks ``[start, end)``."""
        if self._each_token_bytes is not None:
            return tokens * (self._each_token_bytes * (end - start))
        return tokens * self.token_bytes(0, start, end)

    def session_bytes(self, start: Rows, end: Rows) -> Any:
        """Cache that one planned session holds on blocks ``[start, end)``."""
        return self.cache_bytes(self.problem.planning.session_tokens, start, end)

    def tokens_held(self, pool_bytes: int, start: int, end: int) -> int:
        """Tokens of one session for which a pool has cache on all blocks ``[start, end)``."""
        return pool_bytes // int(self.cache_bytes(1, start, end))

    def earliest_block(self, tokens: int, free_bytes: Any, end: Rows) -> Any:
        """First block from which a session's cache on ``[block, end)`` fits ``free_bytes``."""
        held = self._held_bytes
        return np.searchsorted(held, held[end] - np.asarray(free_bytes) // tokens)

    def weights_and_cache(self, tokens: int) -> Runs:
        """(n,) runs of the weights together with the cache of so many tokens."""
        return self.weights_bytes.plus(self.token_bytes, tokens)

    @property
    def alike(self) -> bool:
        """Whether a run of blocks costs the same bytes and seconds wherever it lies."""
        alike = self.weights_bytes.alike and self.token_bytes.alike
        return alike and isinstance(self._columns, Timings)

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
        )

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

    def step_run_s(self, context_tokens: float) -> Runs:
        """Runs of one decode step after ``context_tokens``."""
        return self._runs_s(lambda t: step_s(t, context_tokens))

    def prefill_run_s(self, prompt_tokens: float) -> Runs:
        """Runs of a prompt."""
        return self._runs_s(lambda t: prefill_s(t, prompt_tokens))

    def prefill_hop_s(self, client: int, prompt_tokens: int) -> FloatArray:
        """(n,) t^I_cj, a hop of a prompt: RTT + overhead(l_in) (+ transfer)."""
        net = self.problem.network
        overhead = net.prefill_overhead_s + net.prefill_overhead_per_token_s * prompt_tokens
        return self._hop_s(overhead, client, tokens=prompt_tokens)

    def _hop_s(self, overhead_s: float, clients: Rows, *, tokens: int) -> FloatArray:
        """RTT + overhead, plus sending hidden states there and back where bandwidth is known."""
        net = self.problem.network
        hop = net.client_rtt_s[clients] + overhead_s
        if net.client_bandwidth_bytes_per_s is not None:
            volume = 2.0 * tokens * self.problem.model.activation_bytes_per_token
            hop = hop + volume / net.client_bandwidth_bytes_per_s[clients]
        return frozen_array(hop, np.float64)

    def shape(self, client: int, prompt_tokens: int, output_tokens: int) -> HopCost:
        """What a request shape costs at every server, remembered."""
        key = (client, prompt_tokens, output_tokens)
        cost = self._shapes.get(key)
        if cost is None:
            if len(self._shapes) >= self._most_shapes:
                self._shapes.clear()
            cost = self._shapes[key] = self._shape(*key)
        return cost

    def work_s(self, prompt_tokens: int, output_tokens: int) -> Runs:
        """Runs of the compute of a whole request: the prompt and every later token."""
        step = self.step_run_s(mean_context_tokens(prompt_tokens, output_tokens))
        return self.prefill_run_s(prompt_tokens).plus(step, output_tokens - 1)

    def planned(self, client: int) -> HopCost:
        """What the representative request of the planning figures costs."""
        plan = self.problem.planning
        return self.shape(client, plan.prompt_tokens, plan.output_tokens)

    def _shape(self, client: int, prompt_tokens: int, output_tokens: int) -> HopCost:
        steps = output_tokens - 1
        first_hop = self.prefill_hop_s(client, prompt_tokens)
        first_run = self.prefill_run_s(prompt_tokens)
        later_hop = self.step_hop_s[client]
        later_run = self.step_run_s(mean_context_tokens(prompt_tokens, output_tokens))
        return HopCost(
            client=client,
            prefill_hop_s=first_hop,
            prefill_run_s=first_run,
            step_hop_s=later_hop,
            step_run_s=later_run,
            steps=steps,
            hop_s=frozen_array(first_hop + steps * later_hop, np.float64),
            run_s=first_run.plus(later_run, steps),
        )

    def prompt_tasks(
        self, prompt_tokens: int, server: IntArray, start: IntArray, end: IntArray
    ) -> IntArray:
        """Tasks of a prompt on blocks ``[start, end)``: one, or one for each block."""
        whole = prompt_tokens <= self._task_tokens[server]
        count: IntArray = np.where(whole, 1, end - start)
        return count

    def tasks(self, route: Route, client: int, prompt_tokens: int) -> Tasks:
        """The tasks of a session on a chain, hop by hop. Prompts go by way of the client (3.1)."""
        server = np.array(route.servers, dtype=np.int64)
        start = np.array([h.start for h in route.hops], dtype=np.int64)
        end = np.array([h.end for h in route.hops], dtype=np.int64)
        network, prompt = self.problem.network, self.prefill_run_s(prompt_tokens)
        first_hop = self.prefill_hop_s(client, prompt_tokens)
        cut = self.prompt_tasks(prompt_tokens, server, start, end) > 1
        piece = np.zeros(self.num_blocks)
        for j, first, last in zip(server[cut], start[cut], end[cut], strict=True):
            piece[first:last] = np.diff(prompt.ramp(j)[first : last + 1])
        return Tasks(
            server=server,
            start=start,
            end=end,
            first_gap_s=ClientRelay(network).gaps_s(client, first_hop, server),
            gap_s=self.relaying.gaps_s(client, self.step_hop_s[client], server),
            back_s=network.client_rtt_s[client, server] / 2,
            prompt_s=prompt(server, start, end),
            base_s=self._step_base_s(server, start, end),
            slope_s=self._step_slope_s(server, start, end),
            floor_s=self._step_floor_s(server, start, end),
            cut=cut.astype(np.int64),
            piece_s=piece,
        )

    @property
    def step_per_row_s(self) -> FloatArray:
        """(n,) what a row beyond the curve of a step costs on one block, at most."""
        most: FloatArray = self._runs_s(lambda t: t.decode_per_sequence_s).dearest_block()
        return most

    def curve_of(self, server: int) -> tuple[list[float], list[float]]:
        """Rows, and the seconds by which a step of so many takes longer on one block, at most."""
        given = self.problem.servers[server].timing
        return knots_of(tuple(dict.fromkeys(given if isinstance(given, tuple) else (given,))))

    def step_s(self, route: Route, cost: HopCost) -> float:
        """Seconds of one decode step over a route."""
        return self.relaying.step_s(cost, ((h.server, h.start, h.end) for h in route.hops))

    def step_parts_s(self, route: Route, cost: HopCost) -> tuple[float, float, float]:
        """Network, software overhead and compute of one decode step over a route."""
        rows = list(route.servers)
        run = cost.step_run_s
        compute = float(sum(run(h.server, h.start, h.end) for h in route.hops))
        rtt = self.problem.network.client_rtt_s[cost.client, rows]
        overhead = float((cost.step_hop_s[rows] - rtt).sum())
        network = max(0.0, self.step_s(route, cost) - overhead - compute)
        return network, overhead, compute

    def route_time(self, route: Route, cost: HopCost) -> RouteTime:
        """Time of one request on a route. Prompts are always relayed by the client (3.1)."""
        hop, run = cost.prefill_hop_s, cost.prefill_run_s
        ttft = float(sum(hop[h.server] + run(h.server, h.start, h.end) for h in route.hops))
        step = self.step_s(route, cost)
        return RouteTime(ttft_s=ttft, tpot_s=step, total_s=ttft + cost.steps * step)


_MODELS: dict[int, CostModel] = {}
