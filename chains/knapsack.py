"""Sessions that have the swarm for themselves: times that no plan can beat.

The cost of a chain under client relay depends on which server runs how many blocks, not on the
order. So the cheapest chain of a client is a knapsack over servers, each taken at most once with
as many blocks as it could run for one session alone. Under server relay a chain is at least as
dear as with the cheapest leg into each of its servers; where blocks differ, a run at least as dear
as the cheapest one of its length. docs/exact.md, LB0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.requests import column, distinct, positions
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost
from ..perfmodel.memory import blocks_alone, heavy_blocks, heavy_blocks_within
from ..perfmodel.relay import Unordered
from ..perfmodel.runs import Runs

#: Sums in another order differ by rounding; the bound gives way by this much, relative.
ROUNDING = 1e-12
#: Cells (shapes x servers x blocks) up to which every shape of a request is priced by itself.
MOST_CELLS = 4_000_000
FEWEST_SHAPES, SHAPES_A_CLIENT = 64, 2
#: Of tables of runs that are remembered.
MOST_TABLE_BYTES = 100_000_000


def least_responses_s(cost: CostModel, requests: Sequence[Request]) -> FloatArray:
    """(len(requests),) a lower bound on the response of each, under any plan and router.

    Every request takes the fastest chain that its reservation allows and never waits; other
    sessions, losses and overflows can only add to that. Infinite where no chain can exist. Where
    there are too many shapes of requests, token counts are rounded down, which is valid because
    no cost falls as they grow.
    """
    cost = cost.unadapted
    problem = cost.problem
    room = problem.num_servers * cost.num_blocks
    most = max(FEWEST_SHAPES, SHAPES_A_CLIENT * len(problem.clients), MOST_CELLS // max(room, 1))
    shapes, which = _shapes(requests, most)
    if problem.page_tokens:  # what is reserved but not made is never held
        shapes = shapes.copy()
        shapes[:, 3] = np.minimum(shapes[:, 3], shapes[:, 1] + shapes[:, 2])
    least = np.empty(len(shapes))
    for reserved in np.unique(shapes[:, 3]).tolist():
        rows = np.flatnonzero(shapes[:, 3] == reserved)
        paid = [cost.shape(*shape) for shape in shapes[rows, :3].tolist()]
        least[rows] = least_chains_s(cost, paid, reserved)
    opening_s = problem.session_setup_s + problem.alloc_delay_s
    found: FloatArray = least[which] * (1.0 - ROUNDING) + opening_s
    return found


def least_chains_s(
    cost: CostModel, paid: Sequence[HopCost], tokens: int, *, step: bool = False
) -> FloatArray:
    """(len(paid),) the cheapest chain of each shape, inf where none exists.

    Where some blocks are much lighter than others, the chain of the heavy ones alone with the
    fastest times of the rest is a bound too; the better one counts.

    Parameters
    ----------
    tokens : of the cache of a session.
    step : of one decode step instead of whole requests.
    """
    hops = cost.relaying.unordered(paid, step=step)
    runs = Runs.stacked([p.step_run_s if step else p.run_s for p in paid])
    blocks, heavy = blocks_alone(cost, tokens), heavy_blocks(cost)
    found = _least_s(blocks, hops, runs)
    if heavy is None:
        return found
    most = heavy_blocks_within(cost, heavy, cost.problem.memory_bytes, ((1, tokens),))
    rest_s = runs.outside(heavy, blocks > 0)
    better: FloatArray = np.maximum(found, _least_s(most, hops, runs.within(heavy)) + rest_s)
    return better


def _least_s(blocks: IntArray, hops: Unordered, runs: Runs) -> FloatArray:
    """The cheapest chains with at most so many blocks, (n,), at each server."""
    if hops.half_s is None or hops.leg_s is None:
        return least_by_client_relay_s(blocks, hops.own_s, runs)
    return least_by_server_relay_s(blocks, hops.own_s, runs, hops.half_s, hops.leg_s)


def _shapes(requests: Sequence[Request], most: int) -> tuple[IntArray, IntArray]:
    """Distinct (client, prompt, output, reserved), at most so many, and the one of each request.

    Token counts are rounded down to powers of 1 + 1/64, then of 1 + 1/32 and so on until few
    enough are left, or all are 1.
    """
    names = ("client", "prompt_tokens", "output_tokens", "reserved_tokens")
    columns = [column(requests, name) for name in names]
    shapes, _ = distinct(columns)
    if len(shapes) <= most:
        return shapes, positions(columns, shapes)
    given = coarse = np.column_stack(columns).astype(np.int64)
    finest = 64.0
    while True:
        shapes, which = np.unique(coarse, axis=0, return_inverse=True)
        if len(shapes) <= most or (coarse[:, 1:] == 1).all():
            return shapes, which.reshape(-1)
        power = np.log1p(1.0 / finest)
        # Where the logarithm is rounded, the power may come out one too low: the safe side.
        down = np.floor(np.exp(power * np.floor(np.log(given[:, 1:]) / power)) + 1e-9)
        coarse = given.copy()
        coarse[:, 1:] = np.clip(down.astype(np.int64), 1, given[:, 1:])
        finest /= 2.0


def least_by_client_relay_s(blocks: IntArray, hop_s: FloatArray, runs: Runs) -> FloatArray:
    """(rows,) cheapest chains, ``F(q) = min(F(q), min_k F(q - k) + hop + run of k)``; inf = none.

    Parameters
    ----------
    blocks : (n,) most blocks of each server.
    hop_s : (rows, n) seconds of a hop.
    runs : (rows, n) seconds of the blocks it runs.
    """
    least = LeastRuns(runs)
    reach = np.full((len(hop_s), runs.length + 1), np.inf)
    reach[:, 0] = 0.0
    for j, hop in _wanted(blocks, hop_s, runs):
        np.minimum(reach, least.after(reach, j, int(blocks[j]), hop), out=reach)
    return reach[:, -1]


def _wanted(blocks: IntArray, hop_s: FloatArray, runs: Runs) -> Iterator[tuple[int, FloatArray]]:
    """Servers that a cheapest chain may need, each with (rows,) seconds of a hop.

    Of servers that are alike but for their hops, q blocks take no more than ``ceil(q / most)``, and
    those with the cheapest hops, which are others for every row: one of them then stands for all.
    """
    usable = np.flatnonzero(blocks > 0)
    if not runs.alike or len(usable) <= runs.length:
        yield from ((j, hop_s[:, j]) for j in usable.tolist())
        return
    kinds: dict[tuple[int, bytes], list[int]] = {}
    same = runs.kinds(usable)
    for j, most, own in zip(usable.tolist(), blocks[usable].tolist(), same, strict=True):
        kinds.setdefault((most, own), []).append(j)
    for (most, _), members in kinds.items():
        count = -(-runs.length // most)
        if len(members) <= count:
            yield from ((j, hop_s[:, j]) for j in members)
            continue
        cheapest = np.partition(hop_s[:, members], range(count), axis=1)
        yield from ((members[0], cheapest[:, i]) for i in range(count))


def least_by_server_relay_s(
    blocks: IntArray, own_s: FloatArray, runs: Runs, half_s: FloatArray, leg_s: FloatArray
) -> FloatArray:
    """(rows,) the knapsack with one server marked as first and one as last of the chain.

    Parameters
    ----------
    own_s : (rows, n) seconds of a hop without the way to it.
    half_s : (rows, n) half a round trip from the client: the first server pays it on the way in,
        the last one on the way back.
    leg_s : (rows, n) what every server but the first pays on the way in.
    """
    least = LeastRuns(runs)
    # reach[row, f, l]: whether the first (f) and the last (l) server have been chosen.
    reach = np.full((len(own_s), 2, 2, runs.length + 1), np.inf)
    reach[:, 0, 0, 0] = 0.0
    for j in np.flatnonzero(blocks > 0).tolist():
        taken = least.after(reach, j, int(blocks[j]), own_s[:, j])
        half = half_s[:, j, None]
        following = taken + leg_s[:, j, None, None, None]
        after = np.minimum(reach, following)
        for last in range(2):
            first = taken[:, 0, last] + half
            np.minimum(after[:, 1, last], first, out=after[:, 1, last])
        for flag in range(2):
            final = following[:, flag, 0] + half
            np.minimum(after[:, flag, 1], final, out=after[:, flag, 1])
        alone = taken[:, 0, 0] + 2 * half
        np.minimum(after[:, 1, 1], alone, out=after[:, 1, 1])
        reach = after
    return reach[:, 1, 1, -1]


class LeastRuns:
    """Runs of so many blocks wherever they are cheapest, as steps of a knapsack.

    Attributes
    ----------
    length : blocks of the model, L.
    """

    def __init__(self, runs: Runs) -> None:
        self.length = runs.length
        self._runs = runs
        self._least = None if runs.alike else runs.lightest()
        self._tables: dict[int, FloatArray] = {}

    def table(self, server: int) -> FloatArray:
        """(rows, L + 1) cost of 0..L blocks at a server."""
        if self._least is not None:
            least: FloatArray = self._least[:, server]
            return least
        found = self._tables.get(server)
        if found is None:
            found = self._runs.ramp(server)
            if len(self._tables) * found.nbytes > MOST_TABLE_BYTES:
                self._tables.clear()
            self._tables[server] = found
        return found

    def at_most(self, usable: np.ndarray) -> FloatArray:
        """(rows,) the most that all blocks cost, each at its dearest of the usable servers."""
        return self._runs.at_most(usable)

    def after(
        self, reach: FloatArray, server: int, most: int, hop: FloatArray, rows: Any = slice(None)
    ) -> FloatArray:
        """``out[q] = min_k reach[q - k] + hop + run of k`` for 1 <= k <= ``most``.

        Parameters
        ----------
        reach : (rows, ..., L + 1) cost to have run 0..L blocks.
        hop : (rows,) what the hop costs beside the run.
        rows : which rows of the runs these are.
        """
        shape = (len(reach), *(1,) * (reach.ndim - 2), -1)
        ramp = self.table(server)[rows].reshape(shape)
        hops = hop.reshape(shape)
        if self._least is None:
            # A run costs the difference of two entries of the ramp: a minimum over windows.
            taken: FloatArray = window_min(reach - ramp, most) + (ramp + hops)
            return taken
        out = np.full_like(reach, np.inf)
        for k in range(1, most + 1):
            taken = reach[..., :-k] + (ramp[..., k, None] + hops)
            np.minimum(out[..., k:], taken, out=out[..., k:])
        return out


def window_min(values: FloatArray, width: int) -> FloatArray:
    """``out[..., q] = min values[..., q - width : q]``, infinite where that is empty."""
    best = values
    size = 1
    while size < width:
        step = min(size, width - size)
        shorter = best
        best = shorter.copy()
        np.minimum(shorter[..., step:], shorter[..., :-step], out=best[..., step:])
        size += step
    out = np.full_like(values, np.inf)
    out[..., 1:] = best[..., :-1]
    return out
