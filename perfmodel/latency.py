"""Time of hops, routes and requests: the cost that places, routes and simulates.

Notation of docs/model.md: hop times t (decode) and t^I (prefill), compute per block tau and
tau^I, blocks run k. All arrays are in server order; all times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.plan import Route
from ..core.problem import FloatArray, Problem, frozen_array


@dataclass(frozen=True, slots=True, kw_only=True)
class HopCost:
    """What one request shape costs at every server, for one client.

    Attributes
    ----------
    prefill_hop_s, prefill_block_s : (n,) t^I_cj and tau^I_j(l_in): once per request.
    step_hop_s, step_block_s : (n,) t_cj and tau_j: once per output token after the first,
        tau_j taken at the mean context of the generation.
    steps : output tokens after the first, ``l - 1``.
    hop_s, block_s : (n,) whole-request cost per hop and per block run, so that
        ``T_ij = hop_s[j] + block_s[j] * k_ij`` (model.md section 3).
    """

    prefill_hop_s: FloatArray
    prefill_block_s: FloatArray
    step_hop_s: FloatArray
    step_block_s: FloatArray
    steps: int
    hop_s: FloatArray
    block_s: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTime:
    """Times of one request on one route, without waiting and session set-up.

    ``ttft_s`` covers the prompt; ``tpot_s`` is one later token; ``total_s`` the whole request.
    """

    ttft_s: float
    tpot_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTimes:
    """Columns of the servers' timings, so that a request shape needs no loop over servers."""

    decode_base_s: FloatArray
    decode_per_context_token_s: FloatArray
    prefill_floor_s: FloatArray
    prefill_base_s: FloatArray
    prefill_per_token_s: FloatArray

    def decode_s(self, context_tokens: float) -> FloatArray:
        """(n,) ``Timing.decode_s`` of every server, one sequence at a time."""
        found: FloatArray = self.decode_base_s + self.decode_per_context_token_s * context_tokens
        return found

    def prefill_s(self, tokens: float) -> FloatArray:
        """(n,) ``Timing.prefill_s`` of every server."""
        sloped = self.prefill_base_s + self.prefill_per_token_s * tokens
        found: FloatArray = np.maximum(self.prefill_floor_s, sloped)
        return found


def block_times(problem: Problem) -> BlockTimes:
    """The timings of a problem's servers, column by column."""
    return BlockTimes(
        **{
            name: frozen_array([getattr(s.timing, name) for s in problem.servers], np.float64)
            for name in BlockTimes.__slots__
        }
    )


def step_block_s(problem: Problem, context_tokens: float) -> FloatArray:
    """(n,) seconds of one decode step per block after ``context_tokens``."""
    return frozen_array([s.timing.decode_s(context_tokens) for s in problem.servers], np.float64)


def prefill_block_s(problem: Problem, prompt_tokens: int) -> FloatArray:
    """(n,) seconds per block for a prompt."""
    return frozen_array([s.timing.prefill_s(prompt_tokens) for s in problem.servers], np.float64)


def step_hop_s(problem: Problem) -> FloatArray:
    """(clients, n) seconds of a hop in one decode step: RTT + overhead (+ transfer), t_cj."""
    return _hop_s(problem, problem.network.step_overhead_s, tokens=1)


def prefill_hop_s(problem: Problem, prompt_tokens: int) -> FloatArray:
    """(clients, n) seconds of a hop in prefill: RTT + overhead(l_in) (+ transfer), t^I_cj."""
    net = problem.network
    overhead = net.prefill_overhead_s + net.prefill_overhead_per_token_s * prompt_tokens
    return _hop_s(problem, overhead, tokens=prompt_tokens)


def _hop_s(problem: Problem, overhead_s: float, *, tokens: int) -> FloatArray:
    """RTT + overhead, plus sending the hidden states there and back where bandwidth is known."""
    net = problem.network
    hop = net.client_rtt_s + overhead_s
    if net.client_bandwidth_bytes_per_s is not None:
        volume = 2.0 * tokens * problem.model.activation_bytes_per_token
        hop = hop + volume / net.client_bandwidth_bytes_per_s
    return hop


def hop_cost(
    problem: Problem,
    client: int,
    prompt_tokens: int,
    output_tokens: int,
    *,
    times: BlockTimes | None = None,
) -> HopCost:
    """Cost of a request shape at every server under client relay.

    Parameters
    ----------
    times : ``block_times`` of the problem, when it is known already.

    Notes
    -----
    Pure in its arguments; callers on a hot path keep the results (see ``HopCosts``).
    """
    steps = output_tokens - 1
    # Step i (1..steps) attends to prompt + i tokens: the mean context of the generation.
    context = prompt_tokens + 0.5 * (steps + 1)
    first_hop = prefill_hop_s(problem, prompt_tokens)[client]
    times = block_times(problem) if times is None else times
    first_block = frozen_array(times.prefill_s(prompt_tokens), np.float64)
    later_hop = step_hop_s(problem)[client]
    later_block = frozen_array(times.decode_s(context), np.float64)
    return HopCost(
        prefill_hop_s=frozen_array(first_hop, np.float64),
        prefill_block_s=first_block,
        step_hop_s=frozen_array(later_hop, np.float64),
        step_block_s=later_block,
        steps=steps,
        hop_s=frozen_array(first_hop + steps * later_hop, np.float64),
        block_s=frozen_array(first_block + steps * later_block, np.float64),
    )


class HopCosts:
    """``hop_cost`` remembered by (client, prompt, output); one per problem and run."""

    def __init__(self, problem: Problem, *, limit: int = 200_000) -> None:
        self._problem = problem
        self._limit = limit
        self._times = block_times(problem)
        self._known: dict[tuple[int, int, int], HopCost] = {}

    def __call__(self, client: int, prompt_tokens: int, output_tokens: int) -> HopCost:
        key = (client, prompt_tokens, output_tokens)
        cost = self._known.get(key)
        if cost is None:
            if len(self._known) >= self._limit:
                self._known.clear()
            cost = self._known[key] = hop_cost(self._problem, *key, times=self._times)
        return cost


def step_time_s(problem: Problem, client: int, route: Route, cost: HopCost) -> float:
    """Seconds of one decode step over a route, in the problem's relay mode."""
    if problem.network.relay == "client":
        return float(
            sum(
                cost.step_hop_s[h.server] + cost.step_block_s[h.server] * len(h) for h in route.hops
            )
        )
    rtt = problem.network.client_rtt_s[client]
    reached, latest, previous = 0.0, 0.0, -1
    for hop in route.hops:
        j = hop.server
        leg = rtt[j] if previous < 0 else problem.network.server_rtt_s[previous, j]
        # step_hop_s = RTT + overhead (+ transfer): keep all of it but the client's round trip.
        reached += leg / 2 + (cost.step_hop_s[j] - rtt[j]) + cost.step_block_s[j] * len(hop)
        latest = max(latest, reached + rtt[j] / 2)
        previous = j
    return float(latest)


def route_time(
    problem: Problem,
    client: int,
    route: Route,
    prompt_tokens: int,
    output_tokens: int,
    *,
    cost: HopCost | None = None,
) -> RouteTime:
    """Time of one request on a route. Prefill is always relayed by the client (model.md 3.1)."""
    cost = cost or hop_cost(problem, client, prompt_tokens, output_tokens)
    ttft = float(
        sum(
            cost.prefill_hop_s[h.server] + cost.prefill_block_s[h.server] * len(h)
            for h in route.hops
        )
    )
    step = step_time_s(problem, client, route, cost)
    return RouteTime(ttft_s=ttft, tpot_s=step, total_s=ttft + cost.steps * step)
