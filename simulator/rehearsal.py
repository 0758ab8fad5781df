"""Many placements tried on the same requests, fast: what a search over the truth stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..chains.graph import build_graph
from ..chains.sweep import net_of
from ..core.content import ByContent, FloatArray, frozen_array
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.crowding import empty_line
from ..perfmodel.flat import Shape, flat_costs
from .books import END, seats_of
from .drafts import luck_of, row_of, row_width
from .heap import EVENT
from .rehearse import REQUEST, TRIES, Calendar, Run, run
from .work import idle_state

#: What runs take on a quiet core, within a third: each task, each link that a decision looks at,
#: and a run.
TASK_S, LINK_S, RUN_S = 1e-7, 1e-7, 5e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rehearsed(ByContent):
    """What happened to R requests, in order of arrival; nan where one was not served.

    Attributes
    ----------
    response_s, ttft_s : (R,) from the arrival to the last and to the first token.
    ages_s : (R,) the time that all requests so far had spent in the swarm, at each arrival.
    busy_s : (n,) compute time that was handed out.
    whole : whether the run was not broken off.
    effort_s : what such a run takes on a quiet machine, by what there was to do.
    """

    response_s: FloatArray
    ttft_s: FloatArray
    ages_s: FloatArray
    busy_s: FloatArray
    whole: bool
    effort_s: float


def can_rehearse(cost: CostModel, requests: Sequence[Request]) -> bool:
    """Whether blocks are alike, without windows or states, clients relay prompts, no request
    outgrows its reservation, every server serves every client, no route is too coarse for one,
    clients draft alike on all chains, no link shares an uplink with others, prompts do not go in
    chunks nor cache in pages, and the times between servers are held where they count."""
    flat = cost.plain and not (cost.relaying.pushes_prompts or cost.budgeted or cost.adapted)
    flat = flat and (cost.problem.network.holds_pairs or not cost.relaying.pairs)
    flat = flat and not cost.problem.drafts_by_chain and cost.uplinks is None
    flat = flat and not any(s.chunk_tokens or s.page_tokens for s in cost.problem.servers)
    return flat and all(r.reserved_tokens >= r.prompt_tokens + r.output_tokens for r in requests)


class Rehearsal:
    """Runs of the same requests: ``retry`` as waiting rule, ``overlap`` as router, no failures.

    Parameters
    ----------
    requests : such that ``can_rehearse``; in any order.
    """

    def __init__(self, cost: CostModel, requests: Sequence[Request]) -> None:
        self._cost = cost
        asked = sorted(requests, key=lambda r: r.arrival_s)
        shapes: dict[Shape, int] = {}
        ways: dict[tuple[int, tuple[float, ...]], int] = {}
        rows: list[FloatArray] = []
        drafted = row_width(cost.problem) > 0
        self._asked = np.zeros(len(asked), REQUEST)
        for row, r in zip(self._asked, asked, strict=True):
            shape = r.client, r.prompt_tokens, r.planned_tokens
            row["shape"] = shapes.setdefault(shape, len(shapes))
            row["prompt"], row["output"] = r.prompt_tokens, r.output_tokens
            row["reserved"], row["expected"] = r.reserved_tokens, r.expected_tokens or 0
            row["arrival_s"], row["first_s"], row["finish_s"] = r.arrival_s, np.nan, np.nan
            if drafted:
                row["way"] = ways.setdefault((r.client, r.acceptance), len(ways))
                row["luck"] = luck_of(r)
                if len(rows) < len(ways):
                    rows.append(row_of(cost.problem, r))
        self._drafts = np.array(rows) if rows else np.zeros((0, 0))
        self._costs = flat_costs(cost, list(shapes))
        self._least_tokens = min(r.reserved_tokens for r in asked)

    @property
    def count(self) -> int:
        """Number of requests, R."""
        return len(self._asked)

    def __call__(self, placement: Placement, most_s: FloatArray | None = None) -> Rehearsed:
        """What happens to the requests on a placement.

        Parameters
        ----------
        most_s : (R,) the ages, at each arrival, above which the run is broken off.
        """
        r = self._run(placement)
        let_in = run(r, np.full(self.count, np.inf) if most_s is None else most_s)
        arrival_s = r.request["arrival_s"]
        return Rehearsed(
            response_s=frozen_array(r.request["finish_s"] - arrival_s, np.float64),
            ttft_s=frozen_array(r.request["first_s"] - arrival_s, np.float64),
            ages_s=frozen_array(r.request["ages_s"], np.float64),
            busy_s=frozen_array(r.state.servers["busy_s"], np.float64),
            whole=let_in == self.count,
            effort_s=_effort_s(r, let_in),
        )

    def share(self, placement: Placement) -> FloatArray:
        """(n,) share of the served requests whose chain passes each server."""
        r = self._run(placement)
        run(r, np.full(self.count, np.inf))
        served = ~np.isnan(r.request["finish_s"])
        hops = np.where(served, r.request["hops"], 0)
        links = r.path[np.arange(r.path.shape[1]) < hops[:, None]]
        passed = np.bincount(r.net.link["server"][links], minlength=self._cost.problem.num_servers)
        return frozen_array(passed / max(1, int(served.sum())), np.float64)

    def _run(self, placement: Placement) -> Run:
        """A run that has not begun."""
        cost, count = self._cost, self.count
        net, slots = net_of(build_graph(cost, placement)), self._most_sessions(placement)
        longest = max(1, len(net.group) - 1)
        self._costs.shape["step_s"] = np.nan
        return Run(
            net=net,
            costs=self._costs,
            request=self._asked.copy(),
            drafts=self._drafts,
            path=np.zeros((count, longest), np.int64),
            seat=seats_of(cost, placement),
            end=np.empty((cost.problem.num_servers, slots), END),
            line=empty_line(cost.serial, slots, longest),
            met=np.zeros(cost.problem.num_servers),
            slot=np.array([np.zeros(slots), np.arange(slots)[::-1]], dtype=np.int64),
            tally=np.array([slots, 0, 0]),
            tries=Calendar(np.zeros(count, EVENT), np.zeros(1, np.int64)),
            state=idle_state(cost, slots, longest),
        )

    def _most_sessions(self, placement: Placement) -> int:
        """More sessions than this cannot run at once: each holds cache for every block."""
        whole = int(self._cost.cache_bytes(self._least_tokens, 0, self._cost.num_blocks))
        return max(1, min(self.count, int(placement.cache_bytes.sum()) // max(whole, 1)))


def _effort_s(r: Run, let_in: int) -> float:
    """What a run so far takes on a quiet machine."""
    done, running = ~np.isnan(r.request["finish_s"]), r.state.sessions[r.state.sessions["key"] >= 0]
    tasks = (r.request["output"] * r.request["hops"])[done].sum()
    tasks += (running["made"] * running["hops"].astype(np.int64)).sum()
    decisions = let_in + int(r.tally[TRIES])
    return float(RUN_S + TASK_S * tasks + LINK_S * decisions * len(r.net.link))
