"""What each server of a plan is for, and which could be switched off: the plan stays as it is.

The notion of ``worth`` without planning anew. Servers are tried in the order of what they do, the
idlest first; one that can go stays away while the others are tried, so that all of those named can
go together. docs/whatif.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..chains.soundness import unmet
from ..core.constraints import Constraints
from ..core.content import FloatArray, IntArray
from ..core.names import Admission
from ..core.plan import Placement, Plan, Route
from ..core.problem import Problem
from ..methods.judge import Judge, figure_of
from ..perfmodel.cost import CostModel
from ..simulator.metrics import WARM_UP, Interval
from ..solve.deadline import Deadline
from ..workload.draw import draw_requests

#: A server can go when responses get longer by less than this share, with 95 % confidence.
TOLERATED = 0.01
#: Requests of a set, sets (of one seed each), and the stretches of a set that are compared.
REQUESTS, SETS, STRETCHES = 2_000, 2, 5

Fate = Literal["useless", "no worth", "helps", "unclear", "needed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One server of a plan.

    Attributes
    ----------
    blocks : those that it hosts, (0, 0) when idle.
    alone : those that nobody else hosts.
    runs : from the first to the last block that planned chains run at it, (0, 0) without any.
    chains, sessions : planned chains through it, and the sessions on them.
    share : of the simulated requests that pass through it; nan where none were.
    fate : ``useless`` (hosts nothing) and ``no worth`` (nothing is lost): can be switched off;
        ``helps`` and ``unclear``: responses are longer without it, or may be; ``needed``: blocks or
        a demand of the operator's would be lost; ``unknown``: not looked at.
    loss_s : response without it minus with it, paired; nan where it was not simulated. Servers that
        no request passed are tried all at once.
    """

    server: str
    blocks: tuple[int, int]
    alone: tuple[int, ...]
    runs: tuple[int, int]
    chains: int
    sessions: int
    share: float
    fate: Fate
    loss_s: Interval

    @property
    def unused(self) -> bool:
        """Whether the plan lets no traffic pass, and the simulation did not either."""
        return self.chains == 0 and not self.share > 0

    @property
    def dispensable(self) -> bool:
        """Whether it could be switched off, together with all others of which that is said."""
        return self.fate in ("useless", "no worth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """All servers of a plan, in the order of the scenario.

    Attributes
    ----------
    chains : different chains that are planned.
    requests : requests of a set that was simulated; 0 where none was.
    """

    servers: tuple[Role, ...]
    chains: int
    requests: int

    @property
    def unused(self) -> tuple[str, ...]:
        """Servers that carry no traffic."""
        return tuple(r.server for r in self.servers if r.unused)

    @property
    def dispensable(self) -> tuple[str, ...]:
        """Servers that could be switched off, all at once."""
        return tuple(r.server for r in self.servers if r.dispensable)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Servers of which it was not found out whether they could."""
        return tuple(r.server for r in self.servers if r.fate == "unknown")


#: What is not known.
NOTHING = Interval(mean=float("nan"), half_width=float("nan"))


def roles_of(
    problem: Problem, plan: Plan, *, limit_s: float | None = 0.0, admission: Admission = "retry"
) -> Roles:
    """What each server is for.

    Parameters
    ----------
    limit_s : for so long the simulator is asked what is lost without a server; 0 = nothing is
        simulated, None = no limit.
    admission : the waiting rule where the plan itself was not simulated.
    """
    problem = plan.settled(problem)
    cost, within = CostModel.of(problem), Deadline.after(limit_s)
    bench = None if within.passed else Bench(cost, plan, admission)
    share = np.full(problem.num_servers, np.nan) if bench is None else bench.share
    planned = _planned(problem, plan)
    order = _idlest_first(plan.placement, share, planned)
    fates = _fates(cost, bench, plan.placement, order, share, within)
    coverage = plan.placement.coverage(cost.num_blocks)
    servers = []
    for j, server in enumerate(problem.servers):
        start, end = int(plan.placement.start[j]), int(plan.placement.end[j])
        alone = [start + int(b) for b in np.flatnonzero(coverage[start:end] == 1)]
        first, last, chains, sessions = planned[j].tolist()
        fate, loss_s = fates[j]
        servers.append(
            Role(
                server=server.id,
                blocks=(start, end),
                alone=tuple(alone),
                runs=(first, last),
                chains=chains,
                sessions=sessions,
                share=float(share[j]),
                fate=fate,
                loss_s=loss_s,
            )
        )
    return Roles(
        servers=tuple(servers),
        chains=len({r.route for r in plan.routes}),
        requests=0 if bench is None else bench.requests,
    )


class Bench:
    """The plan's own requests, more of their kind, and what becomes of them by the plan."""

    def __init__(self, cost: CostModel, plan: Plan, admission: Admission) -> None:
        problem, trial = cost.problem, plan.certificate.trial
        seed = plan.seed if trial is None else trial.seed
        drawn = [draw_requests(problem, seed + k, num_requests=REQUESTS) for k in range(SETS)]
        drawn = drawn[:1] if problem.workload.trace else drawn  # a trace is always the same
        self.requests = len(drawn[0])
        self._router, self._goal = plan.router, plan.certificate.objective.goal
        self._judges = [
            Judge(
                cost,
                requests,
                admission=admission if trial is None else trial.admission,
                goal=self._goal,
            )
            for requests in drawn
        ]
        self._plan = plan.placement
        self._base: list[FloatArray] = []
        self.share = self._judges[0].share(plan.placement, self._router)

    def loss(self, placement: Placement) -> tuple[Fate, Interval]:
        """What is lost on another placement; as few sets as it takes to tell."""
        found: list[float] = []
        lost, tolerated_s = NOTHING, 0.0
        for k, judge in enumerate(self._judges):
            if len(self._base) == k:
                self._base.append(judge.response_s(self._plan, self._router))
            base, now = self._base[k], judge.response_s(placement, self._router)
            if np.isnan(now).sum() > np.isnan(base).sum():
                return "helps", NOTHING  # some are not served any more
            before = self._figures(base)
            found += (self._figures(now) - before).tolist()
            lost = Interval.of(found)
            tolerated_s = TOLERATED * Interval.of(before.tolist()).mean
            if lost.mean - lost.half_width > tolerated_s:
                return "helps", lost
        small = lost.mean + lost.half_width <= tolerated_s
        return ("no worth" if small else "unclear"), lost

    def _figures(self, response_s: FloatArray) -> FloatArray:
        """The figure that the plan is for, of each stretch of the requests that count."""
        counted = response_s[int(len(response_s) * WARM_UP) :]
        figures = [figure_of(part, self._goal) for part in np.array_split(counted, STRETCHES)]
        return np.array(figures)


def _planned(problem: Problem, plan: Plan) -> IntArray:
    """(n, 4) first and last block that planned chains run at each server, chains, sessions."""
    found = np.zeros((problem.num_servers, 4), dtype=np.int64)
    seen: set[Route] = set()
    for planned in plan.routes:
        for hop in planned.route.hops:
            row = found[hop.server]
            row[0] = hop.start if row[3] == 0 else min(row[0], hop.start)
            row[1] = max(row[1], hop.end)
            row[2] += planned.route not in seen
            row[3] += planned.sessions
        seen.add(planned.route)
    return found


def _idlest_first(placement: Placement, share: FloatArray, planned: IntArray) -> list[int]:
    """Rows in the order in which servers are tried: first those that do least."""
    busy = zip(
        placement.num_blocks > 0, np.nan_to_num(share), planned[:, 3], placement.num_blocks,
        strict=True,
    )  # fmt: skip
    return [j for _, j in sorted((tuple(key), j) for j, key in enumerate(busy))]


def _fates(
    cost: CostModel,
    bench: Bench | None,
    left: Placement,
    order: Sequence[int],
    share: FloatArray,
    within: Deadline,
) -> dict[int, tuple[Fate, Interval]]:
    """What becomes of the plan without each server, beside those that are gone already.

    Those that no request passed are tried all at once: on large swarms there are hundreds.
    """
    fates: dict[int, tuple[Fate, Interval]] = {}
    idle = [j for j in order if left.span(j) is None and not _needed(cost, left, j)]
    fates.update((j, ("useless", NOTHING)) for j in idle)
    if bench is not None and not within.passed:
        gone, without = _spared(cost, left, [j for j in order if share[j] == 0 and j not in fates])
        found = bench.loss(without) if gone else ("unclear", NOTHING)
        if found[0] == "no worth":
            left = without
            fates.update((j, found) for j in gone)
    for j in order:
        if j in fates:
            continue
        if _needed(cost, left, j):
            fates[j] = "needed", NOTHING
        elif bench is None or within.passed:
            fates[j] = "unknown", NOTHING
        else:
            fates[j] = bench.loss(_without(left, j))
        if fates[j][0] == "no worth":
            left = _without(left, j)
    return fates


def _spared(cost: CostModel, left: Placement, rows: Sequence[int]) -> tuple[list[int], Placement]:
    """Of some servers those that can go together with every block hosted, and what is left."""
    gone = []
    for j in rows:
        if not _needed(cost, left, j):
            gone.append(j)
            left = _without(left, j)
    return gone, left


def _needed(cost: CostModel, left: Placement, row: int) -> bool:
    """Whether blocks or a demand of the operator's would be lost with a server."""
    start, end = int(left.start[row]), int(left.end[row])
    if (left.coverage(cost.num_blocks)[start:end] <= 1).any():
        return True
    asked = cost.problem.planning.constraints
    return asked != Constraints() and any(unmet(cost, _without(left, row)))


def _without(placement: Placement, row: int) -> Placement:
    """The placement with a server gone."""
    start, end, pool = (
        np.where(np.arange(len(column)) == row, 0, column)
        for column in (placement.start, placement.end, placement.cache_bytes)
    )
    return replace(placement, start=start, end=end, cache_bytes=pool)
