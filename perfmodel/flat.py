"""The cost model as plain arrays, for compiled code: the same figures as ``CostModel`` gives.

For models whose blocks are alike (``CostModel.plain``). Imported only where requests are simulated:
numba takes a while to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray
from ..core.jit import compiled
from .cost import CostModel

#: (client, prompt, planned output) of a request, tokens.
Shape = tuple[int, int, int]
#: A request shape. positions : of a pass. passes, draft_s, ahead, ahead_s : of each token after the
#: first one, as those of ``HopCost``.
#: step_s : of a pass on the chain that is fastest alone, nan until somebody finds out.
SHAPE = np.dtype(
    [(name, np.int64) for name in ("client", "prompt", "planned", "positions")]
    + [(name, np.float64) for name in ("passes", "draft_s", "ahead", "ahead_s", "step_s")]
)
#: What a shape costs at a server. hop_s, prompt_hop_s, step_hop_s : ways of the whole request, its
#: prompt and a step, prompt_delay_s of that what is no work. run_s, prompt_run_s, step_run_s,
#: pass_run_s : one block's part of the whole request, its prompt, a step and a pass; piece_s : its
#: work on a prompt.
PRICE = np.dtype(
    [(name, np.float64) for name in ("hop_s", "prompt_hop_s", "prompt_delay_s", "step_hop_s")]
    + [(name, np.float64) for name in ("run_s", "prompt_run_s", "step_run_s", "pass_run_s")]
    + [("piece_s", np.float64)]
)
#: A step's way from a client to a server and back without work, more of it for each position beyond
#: the first, and the round trip.
WAY = np.dtype([(name, np.float64) for name in ("step_delay_s", "position_s", "rtt_s")])
#: A server: a step's work on a block without context, more for each token of context, and the least
#: of it; work and delay of a task beside its blocks; the longest prompt and the longest pass that
#: are one task.
WORK = np.dtype(
    [(name, np.float64) for name in ("base_s", "slope_s", "floor_s", "task_s", "turn_s")]
    + [(name, np.int64) for name in ("task_tokens", "pass_tokens")]
)


class FlatCosts(NamedTuple):
    """What request shapes cost at every server.

    Attributes
    ----------
    shape : (S,) of SHAPE. price : (S, n) of PRICE. way : (clients, n) of WAY.
    between_s : (n, n) round trips of servers where they hand steps on, else (0, 0).
    work : (n,) of WORK.
    token_bytes : one block's cache of a token. opening_s : as ``CostModel``.
    """

    shape: NDArray[np.void]
    price: NDArray[np.void]
    way: NDArray[np.void]
    between_s: FloatArray
    work: NDArray[np.void]
    token_bytes: int
    opening_s: float


def flat_costs(cost: CostModel, shapes: Sequence[Shape]) -> FlatCosts:
    """The costs of some request shapes."""
    network = cost.problem.network
    flat = np.zeros(len(shapes), SHAPE)
    price = np.zeros((len(shapes), cost.problem.num_servers), PRICE)
    for k, asked in enumerate(shapes):
        made = cost.shape(*asked)
        own = made.passes, made.draft_s, made.ahead, made.ahead_s
        flat[k] = (*asked, made.positions, *own, np.nan)
        price[k]["hop_s"], price[k]["prompt_hop_s"] = made.hop_s, made.prefill_hop_s
        price[k]["step_hop_s"], price[k]["pass_run_s"] = made.step_hop_s, made.pass_run_s.each
        price[k]["run_s"] = made.run_s.each
        price[k]["prompt_run_s"] = made.prefill_run_s.each
        price[k]["step_run_s"] = made.step_run_s.each
        price[k]["prompt_delay_s"] = cost.prompt_delay_s(asked[0], asked[1])
        price[k]["piece_s"] = cost.prefill_run_s(asked[1]).each
    way = np.zeros(network.client_rtt_s.shape, WAY)
    way["rtt_s"], way["position_s"] = network.client_rtt_s, cost.position_s
    way["step_delay_s"] = cost.step_delay_s
    work = np.zeros(cost.problem.num_servers, WORK)
    work["base_s"], work["slope_s"] = cost.steps.base_s, cost.steps.slope_s
    work["floor_s"] = cost.steps.floor_s
    work["task_s"], work["turn_s"] = cost.task_s, cost.turn_s
    work["task_tokens"], work["pass_tokens"] = cost.task_tokens, cost.pass_tokens
    return FlatCosts(
        shape=flat,
        price=price,
        way=way,
        between_s=np.array(network.server_rtt_s) if cost.relaying.pairs else np.zeros((0, 0)),
        work=work,
        token_bytes=int(cost.cache_bytes(1, 0, 1)),
        opening_s=float(cost.opening_s),
    )


@compiled
def into_s(
    price: Any, way: Any, between_s: FloatArray, passes: float, before: int, j: int
) -> float:
    """A step's way into a server from the one before it (-1 = the client), handed on by servers.

    ``price`` and ``way`` are the rows of its shape and client.
    """
    leg_s: float = way[j]["rtt_s"] if before < 0 else between_s[before, j]
    own_s: float = price[j]["step_hop_s"] - passes * way[j]["rtt_s"]
    return passes * (leg_s / 2) + own_s


@compiled
def gap_s(way: Any, between_s: FloatArray, before: int, j: int, back_s: float) -> float:
    """A step's way until its task stands in line, as ``Relaying.gaps_s``.

    ``back_s`` is the way back from the server before, through the client where that relays.
    """
    rtt_s: float = way[j]["rtt_s"]
    delay_s: float = way[j]["step_delay_s"]
    if len(between_s) == 0:
        return delay_s - rtt_s / 2 + back_s
    leg_s: float = rtt_s if before < 0 else between_s[before, j]
    return leg_s / 2 + (delay_s - rtt_s)


@compiled
def link_s(
    shape: Any, price: Any, way: Any, between_s: FloatArray, before: int, j: int, blocks: int
) -> float:
    """A whole request on so many blocks of a server, as ``Relaying.links_s``.

    ``price`` and ``way`` are the rows of its shape and client.
    """
    p = price[j]
    if len(between_s) == 0:
        whole: float = p["hop_s"] + p["run_s"] * blocks
        return whole
    way_s = into_s(price, way, between_s, shape["passes"], before, j)
    step_s = way_s + p["step_run_s"] * blocks
    later = shape["planned"] - 1
    relayed: float = p["prompt_hop_s"] + p["prompt_run_s"] * blocks + later * step_s
    return relayed


@compiled
def held_bytes(token_bytes: int, tokens: int, blocks: int) -> int:
    """Cache of a session of so many tokens on so many blocks."""
    return tokens * (token_bytes * blocks)


@compiled
def step_run_s(price: Any, j: int, blocks: int) -> float:
    """Run of a step at the mean context; ``price`` is the row of its shape."""
    run_s: float = price[j]["step_run_s"] * blocks
    return run_s


@compiled
def pass_run_s(price: Any, j: int, blocks: int) -> float:
    """Run of a whole pass at the mean context; ``price`` is the row of its shape."""
    run_s: float = price[j]["pass_run_s"] * blocks
    return run_s


@compiled
def pass_tasks(shape: Any, work: Any, j: int, blocks: int) -> int:
    """Tasks of a pass, as ``CostModel.pass_tasks``."""
    return 1 if shape["positions"] <= work[j]["pass_tokens"] else blocks


@compiled
def prompt_run_s(price: Any, j: int, blocks: int) -> float:
    """Run of a prompt alone; ``price`` is the row of its shape."""
    run_s: float = price[j]["prompt_run_s"] * blocks
    return run_s


@compiled
def prompt_work_s(price: Any, work: Any, j: int, blocks: int, tasks: int) -> float:
    """Work of a prompt in so many tasks; ``price`` is the row of its shape."""
    work_s: float = price[j]["piece_s"] * blocks + tasks * work[j]["task_s"]
    return work_s


@compiled
def growing_work_s(work: Any, j: int, blocks: int) -> tuple[float, float, float]:
    """Work of a step before any context, what each token of context adds to it, and the least."""
    task_s = work[j]["task_s"]
    base_s, floor_s = work[j]["base_s"] * blocks + task_s, work[j]["floor_s"] * blocks + task_s
    return base_s, work[j]["slope_s"] * blocks, floor_s


@compiled
def prompt_tasks(work: Any, prompt: int, j: int, blocks: int) -> int:
    """Tasks of a prompt, as ``CostModel.prompt_tasks``."""
    return 1 if prompt <= work[j]["task_tokens"] else blocks
