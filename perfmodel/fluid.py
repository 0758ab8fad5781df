"""Fluid model of a pipeline of stages: which rate a layout sustains, and how long tokens take then.

For ranking and for dealing requests; what is reported comes from the simulator. docs/model.md 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray, frozen_array
from ..core.plan import Placement
from ..core.problem import Timing
from .chunks import pieces
from .cost import CostModel
from .hops import mean_context_tokens
from .room import pair_bytes, too_large
from .timing import decode_s, more_s

if TYPE_CHECKING:
    from .stages import Stages

#: Batches between which the line of a step's time is drawn.
FEW_ROWS, MANY_ROWS = 8.0, 200.0
#: Batches beyond this are not counted on.
MOST_ROWS = 200.0
#: Figures of a layout, see ``stages.measure``.
FIGURES = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fluid(ByContent):
    """A layout as a steady flow.

    Attributes
    ----------
    rate_per_s : requests that it sustains with as many sessions as there is room for.
    token_s, first_token_s : between two tokens and until the first one, then.
    sessions, room : that are in flight, that there is room for.
    start : (n,) block at which each server is entered: of its span the first at which one ends.
    share : (n,) of the requests through each server; 0 = it is not used.
    flow : (n, n) share of the requests from one server to the next.
    """

    rate_per_s: float
    token_s: float
    first_token_s: float
    sessions: float
    room: float
    start: IntArray
    share: FloatArray
    flow: FloatArray


def fluid(
    cost: CostModel, shares: FloatArray, placement: Placement, *, rated: bool = False
) -> Fluid:
    """What a placement sustains where every server is entered at one block.

    A server goes on to those that begin where it ends; one that begins earlier, where nobody ends,
    is entered in the middle of its span.

    Parameters
    ----------
    shares : (clients,) of the requests.
    rated : whether they are dealt by one largest flow of ratings, in place of what servers do.
    """
    from .dealing import dealt_by_ratings, dealt_by_speed
    from .steady import measure

    g = stages_of(cost, shares)
    start, end = entered(placement), np.array(placement.end)
    late = np.flatnonzero((start > placement.start) & (start < end))
    if len(late):
        slots = np.array(g.slots)
        slots[late, (end - start)[late]] = _held(cost, placement, late, start)
        g = g._replace(slots=slots)
    dealt = (dealt_by_ratings if rated else dealt_by_speed)(g, start, end)
    figures = np.zeros(FIGURES)
    rate = float(measure(g, start, end, dealt, figures, 0.0))
    flow = np.zeros((len(start), len(start)))
    count = int(dealt.used[0])
    np.add.at(flow, tuple(dealt.pairs[:count].T), dealt.flow[:count])
    return Fluid(
        rate_per_s=rate,
        token_s=float(figures[1]),
        first_token_s=float(figures[2]),
        sessions=float(figures[3]),
        room=float(figures[4]),
        start=frozen_array(start, np.int64),
        share=frozen_array(dealt.share, np.float64),
        flow=frozen_array(flow, np.float64),
    )


def beyond(cost: CostModel) -> str:
    """Why a swarm is beyond the fluid model; empty where it is not."""
    if not cost.alike:
        return "blocks that differ are not planned for"
    return too_large(cost, pair_bytes(cost))


def stages_of(cost: CostModel, shares: FloatArray) -> Stages:
    """A problem's servers as stages, for the representative request of the mean client.

    Raises
    ------
    ValueError
        If the swarm is ``beyond`` the model.
    """
    from .lanes import beside_links_s, lanes_of
    from .stages import Stages

    if why := beyond(cost):
        raise ValueError(f"the fluid model: {why}")
    problem, plan = cost.problem, cost.problem.planning
    n, net = problem.num_servers, cost.problem.network
    context = mean_context_tokens(plan.prompt_tokens, plan.output_tokens)
    rtt = shares @ net.client_rtt_s
    clients = np.flatnonzero(shares > 0).tolist()
    step_more = shares @ cost.step_delay_s - rtt
    delays = [shares[c] * cost.prompt_delay_s(c, plan.prompt_tokens) for c in clients]
    prompt_more = np.sum(delays, axis=0) - rtt
    if cost.uplinks is not None:
        step_more = step_more + np.sum([shares[c] * cost.step_sent_s(c) for c in clients], axis=0)
        sent = [shares[c] * cost.prompt_sent_s(c, plan.prompt_tokens) for c in clients]
        prompt_more = prompt_more + np.sum(sent, axis=0)
    lines = [_line_s(s.timing, context) for s in problem.servers if isinstance(s.timing, Timing)]
    step_s, row_s = np.array(lines, dtype=np.float64).reshape(n, 2).T
    step_s = np.where(cost.serial, _runs(cost.step_run_s(context), n) + cost.task_s, step_s)
    rates = net.server_bandwidth_bytes_per_s
    token, message = cost.wires.token_bytes[:, None], cost.wires.message_bytes[:, None]
    send, start = (np.zeros((n, n)) if rates is None else b / rates for b in (token, message))
    both = np.asarray(net.server_rtt_s) if cost.relaying.pairs else rtt[:, None] + rtt[None, :]
    place = _places(cost)
    slots, tokens = _slots(cost), float(max(1, plan.output_tokens - 1))
    prompt_s = _runs(cost.prefill_run_s(plan.prompt_tokens), n)
    rows = np.clip(slots * np.arange(cost.num_blocks + 1) / cost.num_blocks, 1.0, MOST_ROWS)
    rows_s = np.where(
        cost.serial[:, None], step_s[:, None], step_s[:, None] / rows + row_s[:, None]
    )
    return Stages(
        prompt_s=prompt_s,
        step_s=step_s,
        row_s=row_s,
        prompt_more_s=prompt_more,
        step_more_s=step_more,
        piece=np.where(plan.prompt_tokens > cost.task_tokens, 1.0, 0.0),
        chunks=pieces(plan.prompt_tokens, cost.chunk_tokens).astype(np.float64),
        serial=cost.serial.astype(np.int64),
        slots=slots,
        rated=_rated(cost, slots, prompt_s[:, None] + tokens * rows_s),
        place=place,
        in_s=rtt / 2,
        out_s=rtt / 2,
        way_s=both / 2 + beside_links_s(cost, send + start),
        prompt_send_s=plan.prompt_tokens * send + start,
        step_send_s=send + start,
        length=np.array([cost.num_blocks]),
        tokens=np.array([tokens]),
        lanes=lanes_of(cost, shares, plan.prompt_tokens * send + start, send + start, place),
    )


def _places(cost: CostModel) -> IntArray:
    """(n,) of every server: its region where links are told apart, and what it is behind."""
    servers, net = cost.problem.servers, cost.problem.network
    apart, uplinks = net.server_bandwidth_bytes_per_s is not None, cost.uplinks
    keys: list[tuple[object, ...]] = [(s.region if apart else "",) for s in servers]
    if uplinks is not None and cost.relaying.pairs:
        several = uplinks.servers[uplinks.servers.sum(axis=1) > 1]
        keys = [(*key, *own.tolist()) for key, own in zip(keys, several.T, strict=True)]
    names = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([names[key] for key in keys])


def _runs(run: object, n: int) -> FloatArray:
    """(n,) seconds of one block at every server."""
    every = np.arange(n)
    found: FloatArray = np.asarray(run(every, 0 * every, 0 * every + 1), dtype=np.float64)  # type: ignore[operator]
    return found.copy()


def _line_s(timing: Timing, context: float) -> tuple[float, float]:
    """Step of no sequence and of each further one: a line through the curve of batches."""
    many = MANY_ROWS
    if timing.step_curve:
        many = max(FEW_ROWS + 1.0, min(MANY_ROWS, timing.step_curve[-1][0]))
    low, high = more_s(timing, FEW_ROWS), more_s(timing, many)
    row_s = (high - low) / (many - FEW_ROWS)
    return decode_s(timing, context) + low - FEW_ROWS * row_s, row_s


def _slots(cost: CostModel) -> FloatArray:
    """(n, L + 1) sessions that each server has room for beside so many blocks; 0 = too many."""
    n, length = cost.problem.num_servers, cost.num_blocks
    tokens = _tokens(cost)
    found = np.zeros((n, length + 1))
    for k in range(1, length + 1):
        start = np.zeros(n, dtype=np.int64)
        room = cost.room_bytes(start, start + k)
        held = int(cost.cache_bytes(tokens, 0, k))
        found[:, k] = np.where(k <= cost.problem.max_blocks, np.maximum(room, 0) // held, 0)
    return found


def _tokens(cost: CostModel) -> int:
    """Tokens that a planned session holds, on average."""
    plan = cost.problem.planning
    lengths = plan.prompt_tokens, plan.output_tokens, plan.session_tokens
    return int(cost.mean_held_tokens(*lengths))


def _rated(cost: CostModel, slots: FloatArray, block_s: FloatArray) -> FloatArray:
    """(n, L + 1) requests per second of each server by blocks; 0 = it cannot host so many.

    As it is rated where all servers are, else what follows from the seconds of a request on a
    block, (n, L + 1).
    """
    held = np.arange(cost.num_blocks + 1)
    found = np.where(slots >= 1.0, 1.0 / np.maximum(held * block_s, 1e-12), 0.0)
    servers, plan = cost.problem.servers, cost.problem.planning
    if all(server.rated_per_s for server in servers):
        whole = plan.prompt_tokens + plan.output_tokens
        for j, server in enumerate(servers):
            known = np.zeros(len(held))
            most = min(len(server.rated_per_s), cost.num_blocks)
            known[1 : most + 1] = server.rated_per_s[:most]
            found[j] = np.where(slots[j] >= 1.0, known / whole, 0.0)
    found[:, 0] = 0.0
    return found


def entered(placement: Placement) -> IntArray:
    """(n,) the first block of each span at which another one ends, its own end where none does."""
    ends = np.unique(np.append(placement.end[placement.end > placement.start], 0))
    at = np.minimum(np.searchsorted(ends, placement.start), len(ends) - 1)
    found: IntArray = np.minimum(np.maximum(ends[at], placement.start), placement.end)
    return found


def _held(cost: CostModel, placement: Placement, rows: IntArray, start: IntArray) -> FloatArray:
    """Sessions that servers have room for which are entered late."""
    end, tokens = placement.end[rows], _tokens(cost)
    room = cost.room_bytes(placement.start, placement.end)[rows]
    held: FloatArray = np.maximum(room, 0) // cost.cache_bytes(tokens, start[rows], end)
    return held


def used(flow: Fluid) -> IntArray:
    """Servers that some request passes."""
    found: IntArray = np.flatnonzero(flow.share > 0.0)
    return found
