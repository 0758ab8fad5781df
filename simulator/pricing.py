"""What a session's tasks take, when its tokens are expected, whether a chain can ever hold it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from ..chains.graph import Graph, build_graph, request_costs_s
from ..chains.reach import has_chain
from ..chains.shortest import shortest
from ..core.content import FloatArray, IntArray
from ..core.plan import Placement, Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost
from ..perfmodel.tasks import Tasks
from .drafts import row_of, row_width
from .session import Estimate, Session

K = TypeVar("K")
V = TypeVar("V")


#: What of like requests on one chain is remembered.
MOST_KNOWN = 4_096


class _Alone(NamedTuple):
    """A request of some shape alone on a chain: seconds until its first token and between two,
    and of each hop its server, the work of a pass and the tasks that it is cut into."""

    ttft_s: float
    tpot_s: float
    server: IntArray
    work_s: tuple[float, ...]
    tasks: tuple[float, ...]
    cost: HopCost


class Pricing:
    """Times of sessions by the cost model, set-up included."""

    def __init__(self, cost: CostModel) -> None:
        self._cost = cost
        self._tasks: dict[tuple[Route, int, int], Tasks] = {}
        self._alone: dict[tuple[Route, int, int, int], _Alone] = {}

    def tasks(self, session: Session, route: Route) -> Tasks:
        """What is left of a request on a chain.

        After a loss or a pause the tokens made so far are sent again as prompt, but not to the
        hops that the session kept: those take one decode step instead.
        """
        request = session.request
        key = route, request.client, request.prompt_tokens
        tasks = self._tasks.get(key)
        if tasks is None:
            tasks = _remembered(self._tasks, key, self._cost.tasks(*key))
        if not (session.kept and session.made):
            return tasks
        kept = np.arange(len(route.hops)) < session.kept
        step_s = tasks.step_s(request.prompt_tokens)
        return replace(
            tasks,
            first_gap_s=np.where(kept, tasks.gap_s, tasks.first_gap_s),
            prompt_s=np.where(kept, step_s, tasks.prompt_s),
            sent_tokens=np.where(kept, 1, tasks.sent_tokens),
            worth=np.where(kept, 0.0, tasks.worth),
            cut=np.where(kept, 0, tasks.cut),
        )

    def drafts(self, session: Session, route: Route) -> FloatArray | None:
        """How a session drafts on a chain, as ``drafts.row_of``; None where nobody does."""
        problem = self._cost.problem
        return row_of(problem, session.origin, route) if row_width(problem) else None

    def estimate(
        self, session: Session, route: Route, begin_s: float, waits_s: FloatArray
    ) -> Estimate:
        """When its tokens are expected, for the length that is expected: policies know no more.

        Parameters
        ----------
        waits_s : (n,) how long a step is expected to wait at each server.
        """
        request = session.request
        key = route, request.client, request.prompt_tokens, request.planned_tokens
        alone = self._alone.get(key)
        if alone is None:
            alone = _remembered(self._alone, key, self._priced(*key))
        cost, lead = alone.cost, alone.ttft_s
        for h in route.hops[: session.kept] if session.made else ():
            visit = h.server, h.start, h.end
            lead += float(cost.step_hop_s[h.server] - cost.prefill_hop_s[h.server])
            lead += float(cost.step_run_s(*visit) - cost.prefill_run_s(*visit))
        each = waits_s[alone.server].tolist()
        waits = cost.passes * sum([n * wait for n, wait in zip(alone.tasks, each, strict=True)])
        lead = self._cost.opening_s + lead + sum(each)
        known = route, alone.work_s, alone.tasks, cost.passes
        return Estimate(begin_s, lead, alone.tpot_s, waits, *known)

    def _priced(self, route: Route, client: int, prompt_tokens: int, planned: int) -> _Alone:
        cost = self._cost.shape(client, prompt_tokens, planned, route)
        time = self._cost.route_time(route, cost)
        visits = [(h.server, h.start, h.end) for h in route.hops]
        return _Alone(
            ttft_s=time.ttft_s,
            tpot_s=time.tpot_s,
            server=np.array(route.servers, dtype=np.int64),
            work_s=tuple(float(self._cost.pass_work_s(cost, *v)) for v in visits),
            tasks=tuple(float(self._cost.pass_tasks(cost, *v)) for v in visits),
            cost=cost,
        )


def _remembered(known: dict[K, V], key: K, value: V) -> V:
    """The value, remembered; when there are too many all are forgotten."""
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[key] = value
    return value


class ChainTest:
    """Whether the idle swarm, every server up, has a chain that holds a session's tokens."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._placement = cost, placement
        self._known: dict[int, bool] = {}

    def __call__(self, tokens: int) -> bool:
        if tokens not in self._known:
            self._known[tokens] = has_chain(self._cost, self._placement, tokens)
        return self._known[tokens]


class AloneTime:
    """What a request takes on the chain that is fastest if nobody else runs, by its shape."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._placement = cost, placement
        self._graph: Graph | None = None
        self._known: dict[tuple[int, int, int], float] = {}

    def __call__(self, request: Request) -> float:
        shape = request.client, request.prompt_tokens, request.planned_tokens
        if shape not in self._known:
            self._graph = self._graph or build_graph(self._cost, self._placement)
            paid = self._cost.shape(*shape)
            costs = request_costs_s(self._cost, self._graph, paid)
            self._known[shape] = shortest(self._graph, *costs)[1] + paid.steps * paid.draft_s
        return self._known[shape]
