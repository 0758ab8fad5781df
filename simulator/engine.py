"""``simulate``: run requests through a placement with a router."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.content import IntArray, frozen_array
from ..core.errors import SwarmplanError
from ..core.events import ServerEvent
from ..core.names import Admission
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.requests import COUNTS, TOGETHER, by_arrival, column, taken
from ..core.workload import Request
from ..perfmodel.capacity import most_per_s
from ..perfmodel.cost import CostModel
from ..perfmodel.expense import egress_money, expense
from ..routing.api import Router, SlotRouter
from .admission import Rule, Slotted
from .events import joining_servers, up_s, when_loaded
from .failures import meets_loss, server_down, server_up
from .growth import has_made
from .kernel import Rank
from .result import SimulationResult, Table
from .rules import rule_named
from .swarm import Swarm


def simulate(
    problem: Problem,
    placement: Placement,
    router: Router,
    requests: Sequence[Request],
    *,
    admission: Admission | Rule = "retry",
    events: Sequence[ServerEvent] = (),
    detection_s: float = 0.0,
    horizon_s: float | None = None,
) -> SimulationResult:
    """Run requests through a placement with a router.

    The run is a function of its arguments: the engine draws nothing at random. Work and ways are
    those of the cost model; how sessions share a server is up to the server (docs/model.md 3.2).

    Parameters
    ----------
    requests : in any order; ``output_tokens`` decides when a request ends, ``reserved_tokens``
        how much cache it takes and all that policies know of its length.
    admission : the waiting rule, by name or as an object of ``simulator.admission``; the same for
        every method that is compared. The default is what PETALS' clients do. A router that
        decides for all requests of a slot brings its own rule.
    events : servers that fail or join.
    detection_s : how long a client takes to notice that a server is gone. PETALS notices at once
        or only after its request time-out (180 s), depending on a race.
    horizon_s : stop at this instant; None = until every request has ended.

    Raises
    ------
    SwarmplanError
        For an unknown waiting rule or an event at an unknown server.
    """
    cost = CostModel.of(problem)
    rule = rule_named(admission) if isinstance(admission, str) else admission
    if isinstance(router, SlotRouter):
        rule = Slotted(router.tick_s)
        admission = rule
    _check(problem, events)
    joining = joining_servers(events)
    events = when_loaded(events, problem, placement)
    table = Table(problem, requests)
    arrival_s = column(requests, "arrival_s")
    order = by_arrival(arrival_s)
    last = float(arrival_s[order[-1]]) if len(order) else 0.0
    swarm = Swarm(
        cost,
        placement,
        router,
        rule,
        table,
        span_s=last if horizon_s is None else horizon_s,
        detection_s=detection_s,
    )
    for j in joining:
        swarm.state.set_down(j, True)
    for event in events:
        swarm.ups_to_come += event.up
        action = server_up if event.up else server_down
        swarm.kernel.at(event.time_s, Rank.SERVER, action, swarm, event.server)
    _let_in(swarm, requests, order)
    _run(swarm, math.inf if horizon_s is None else horizon_s)
    swarm.close()
    end_s = horizon_s if horizon_s is not None and table.unfinished_rows else table.last_s
    up = up_s(events, joining, problem.num_servers, end_s)
    on_s = np.where(placement.num_blocks > 0, up, 0.0)
    taken = expense(problem, on_s, swarm.work.busy_s(end_s))
    return SimulationResult(
        **_given(requests),
        **table.columns(),
        **_servers(cost, placement, swarm, end_s),
        **_uplinks(problem, swarm, end_s),
        end_s=end_s,
        admission=admission if isinstance(admission, str) else repr(admission),
        alloc_delay_s=problem.alloc_delay_s,
        most_per_s=most_per_s(
            cost, (column(requests, "prompt_tokens"), column(requests, "output_tokens"))
        ),
        refusal=table.refusal,
        energy_j=taken.energy_j,
        money=taken.money,
        server_ids=tuple(s.id for s in problem.servers),
        client_ids=tuple(c.id for c in problem.clients),
    )


def _run(swarm: Swarm, until_s: float) -> None:
    """Decisions and the work between them, up to and including an instant."""
    kernel, work = swarm.kernel, swarm.work
    while True:
        pause = work.advance(min(kernel.next_s, until_s))
        if pause.why == "made":
            kernel.now_s = pause.time_s
            has_made(swarm, swarm.running[pause.row])
        elif pause.why == "lost":
            kernel.now_s = pause.time_s
            meets_loss(swarm, swarm.running[pause.row])
        elif pause.why == "quiet":
            if kernel.next_s == math.inf or kernel.next_s > until_s:
                return
            kernel.step()


def _check(problem: Problem, events: Sequence[ServerEvent]) -> None:
    for event in events:
        if not 0 <= event.server < problem.num_servers:
            raise SwarmplanError(
                f"event at {event.time_s} s names server row {event.server}, but there are "
                f"{problem.num_servers} servers"
            )


def _let_in(
    swarm: Swarm,
    requests: Sequence[Request],
    order: Sequence[int] | IntArray,
) -> None:
    """Each arrival puts the next one on the calendar, so that the heap stays small."""
    coming = _coming(requests, order)

    def come() -> None:
        row, request = next(coming, (-1, None))
        if request is not None:
            swarm.kernel.at(request.arrival_s, Rank.ARRIVAL, arrive, request, row)

    def arrive(request: Request, row: int) -> None:
        come()
        swarm.arrive(request, row)

    come()


def _coming(
    requests: Sequence[Request], order: Sequence[int] | IntArray
) -> Iterator[tuple[int, Request]]:
    """Rows and requests in order of arrival, some at a time."""
    for first in range(0, len(order), TOGETHER):
        rows = np.asarray(order[first : first + TOGETHER])
        yield from zip(rows.tolist(), taken(requests, rows), strict=True)


def _given(requests: Sequence[Request]) -> dict[str, Any]:
    """The columns that the requests bring with them."""
    return {name: column(requests, name) for name in (*COUNTS, "arrival_s")}


def _servers(cost: CostModel, placement: Placement, swarm: Swarm, end_s: float) -> dict[str, Any]:
    """The figures per server."""
    span = end_s if end_s > 0 else 1.0
    pool = np.maximum(placement.cache_bytes, 1)
    peak = np.array(swarm.ledger.peak_bytes, dtype=np.int64)
    memory = cost.problem.memory_bytes
    weights = memory - cost.room_bytes(placement.start, placement.end)
    times, samples = swarm.ledger.timeline()
    return {
        "memory_bytes": memory,
        "peak_cache_bytes": frozen_array(peak, np.int64),
        "peak_memory_bytes": frozen_array(peak + weights, np.int64),
        "cache_used_frac": frozen_array(
            swarm.ledger.used_byte_seconds(end_s) / pool / span, np.float64
        ),
        "compute_busy_frac": frozen_array(swarm.work.busy_s(end_s) / span, np.float64),
        "timeline_s": frozen_array(times, np.float64),
        "timeline_bytes": frozen_array(samples, np.int64),
    }


def _uplinks(problem: Problem, swarm: Swarm, end_s: float) -> dict[str, Any]:
    """The figures per uplink."""
    sent, busy_s = swarm.work.shared(end_s)
    return {
        "uplink_names": tuple(u.name for u in problem.network.uplinks),
        "uplink_bytes": frozen_array(sent, np.float64),
        "uplink_busy_frac": frozen_array(busy_s / (end_s if end_s > 0 else 1.0), np.float64),
        "egress_money": egress_money(problem, sent[:, 0]),
    }
