"""Re-planning: the best plan within a move budget, and whether going there pays.

Every number of moves has its best plan; each is priced with its migration: request-seconds with
servers missing while they load, generations cut off, and the time after it until the horizon.
Staying is one of the options, so a gain that does not repay its cost is refused. docs/replan.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ...chains.soundness import unmet
from ...core.errors import HeuristicFailedError
from ...core.names import block_ranges
from ...core.plan import Placement
from ...core.problem import Problem
from ...perfmodel.cost import CostModel
from ...perfmodel.reload import Reload
from ...solve.deadline import Deadline
from ..task import Task
from .frontier import Frontier, Key, frontier
from .repair import repaired
from .schedule import Phase, Schedule, phases, schedule
from .service import Evaluate, Service, Stage, draining_s, remembering, request_seconds

#: What a session does whose server moves: PETALS as published never recovers it, so the client
#: starts again; a repaired client sends its inputs again to the server that takes over.
Replay = Literal["restart", "prefill"]
#: Phases of a migration, and plans of a frontier, that are priced; the rest goes by its neighbours.
MOST_PHASES, MOST_PRICED = 24, 16
#: How often a load comes that was not expected.
SURGE_ODDS = 0.1
#: A net gain below this share of what the plan in force costs is no reason to move: the models are
#: not that precise.
LEAST_GAIN = 1e-3
#: Of the time limit, how much the search may take; the rest is for pricing.
SEARCH_SHARE = 0.6
#: (seconds, requests per second) one after the other.
Forecast = Sequence[tuple[float, float]]
#: (odds, forecast)
Case = tuple[float, Forecast]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms moves are weighed.

    Attributes
    ----------
    horizon_s : for how long the new plan is expected to serve this load.
    budget : most servers that may move; None = all.
    margin : a gain must exceed its cost by this share: hysteresis beside the cost itself.
    surge : no forecast is sure: with odds of ``SURGE_ODDS`` the load is this multiple of it. What
        a plan costs is expected over both, so a plan without reserve is dear.
    parallel : most servers that move at a time; None = as many as it pays to.
    forecast : expected load; None = the workload's rate over the horizon. Overrides it if given.
    allow_dark : also plans that no order reaches with every block served, the dark time priced
        like any other. Repairs fall back on them where nothing else mends the plan.
    evaluations : most plans that the search evaluates.
    """

    horizon_s: float = 24 * 3600.0
    budget: int | None = None
    margin: float = 0.0
    surge: float = 1.5
    reload: Reload = field(default_factory=Reload)
    replay: Replay = "restart"
    parallel: int | None = None
    forecast: Forecast | None = None
    allow_dark: bool = False
    evaluations: int = 3_000

    def stages(self, problem: Problem) -> tuple[tuple[float, float], ...]:
        """The forecast that is in force."""
        if self.forecast is not None:
            return tuple(self.forecast)
        return ((self.horizon_s, problem.workload.rate_per_s),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The best plan of at most so many moves, priced in request-seconds until the horizon.

    Attributes
    ----------
    requests : mean number of requests in the swarm at the load expected first.
    rate_per_s : highest load it sustains.
    stay, settled, total : request-seconds of the plan in force, of this one if it were in force at
        once, of going there (servers missing, lost generations) and then being there; infinite
        when a load is never served.
    sure_gain, sure_cost : the same at the load that is forecast, without a surge.
    lost_sessions, lost_s : expected generations cut off, and the request-seconds to replay them.
    dark_blocks, violations : what stays wrong with it.
    """

    placement: Placement
    migration: Schedule
    requests: float
    rate_per_s: float
    stay: float
    settled: float
    total: float
    sure_gain: float
    sure_cost: float
    lost_sessions: float
    lost_s: float
    dark_blocks: int = 0
    violations: int = 0

    @property
    def moves(self) -> int:
        """Servers that move."""
        return len(self.migration.steps)

    @property
    def gain(self) -> float:
        """What it would save if the swarm were there at once."""
        return _less(self.stay, self.settled)

    @property
    def cost(self) -> float:
        """What going there adds."""
        return _less(self.total, self.settled)

    @property
    def net(self) -> float:
        """Gain less cost."""
        return _less(self.stay, self.total)

    @property
    def sound(self) -> bool:
        """Whether every block is served and every demand met."""
        return not (self.dark_blocks or self.violations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replan:
    """The decision.

    Attributes
    ----------
    before : the plan in force as far as the swarm can hold it, ``moves`` = 0.
    chosen : the option to take; ``before`` itself when nothing pays.
    best : the best plan within the budget (reached with every block served, unless darkness was
        allowed), whether or not it pays.
    options : the best plan of every number of moves, distinct ones only.
    worth : whether to move.
    forced : the plan in force cannot stay (dark blocks, broken constraints).
    proven : no plan within the budget has a better figure than ``best``.
    reasons : why, in sentences.
    """

    before: Option
    chosen: Option
    best: Option
    options: tuple[Option, ...]
    worth: bool
    forced: bool
    proven: bool
    horizon_s: float
    reasons: tuple[str, ...]

    @property
    def break_even_s(self) -> float:
        """Seconds after which the best plan has repaid its migration at its mean gain."""
        if self.best.gain <= 0:
            return math.inf
        return self.horizon_s * self.best.cost / self.best.gain


def replan(
    task: Task,
    current: Placement,
    *,
    targets: Sequence[Placement] = (),
    terms: Terms | None = None,
    evaluate: Evaluate | None = None,
) -> Replan:
    """Whether, where and how to move; at the task's deadline it decides with what has been found.

    Parameters
    ----------
    current : the plan in force; spans that no longer fit their server count as not served.
    targets : plans made for the present problem, as directions for the search.
    evaluate : remembers how placements serve; give the same one to several calls.

    Raises
    ------
    HeuristicFailedError
        If the plan in force cannot stay and no plan within the budget mends it.
    """
    asked, cost, problem = terms or Terms(), task.cost, task.problem
    weigh = _Weigh(cost, standing(cost, current), asked, evaluate or remembering(cost))
    budget = problem.num_servers if asked.budget is None else asked.budget
    start, end = repaired(cost, weigh.current, task.sessions, seed=task.seed)
    repair = cost.placed(list(zip(start.tolist(), end.tolist(), strict=True)))
    while True:
        found = frontier(
            cost,
            weigh.current,
            weigh.key,
            targets=(repair, *targets),
            budget=budget,
            sessions=task.sessions,
            evaluations=asked.evaluations,
            safe=not asked.allow_dark,
            seed=task.seed,
            deadline=task.deadline.share(SEARCH_SHARE),
        )
        options = weigh.options(found, task.deadline)
        if asked.allow_dark or options[0].sound or any(o.sound for o in options):
            return _decided(problem, options, found, asked, budget)
        asked = replace(asked, allow_dark=True)


def price(
    cost: CostModel,
    current: Placement,
    placement: Placement,
    *,
    terms: Terms | None = None,
    evaluate: Evaluate | None = None,
) -> Option:
    """What going to a given plan saves and costs."""
    asked = terms or Terms()
    present = standing(cost, current)
    weigh = _Weigh(cost, present, asked, evaluate or remembering(cost))
    return weigh.option(placement)


def standing(cost: CostModel, current: Placement) -> Placement:
    """What of a plan the servers can hold: spans beyond the memory are gone, pools shrink."""
    inside = current.end <= cost.num_blocks
    end = np.where(inside, current.end, current.start.clip(max=cost.num_blocks))
    left = cost.room_bytes(current.start.clip(max=cost.num_blocks), end)
    fits = inside & (left >= 0) & (current.num_blocks <= cost.problem.max_blocks)
    return Placement(
        start=np.where(fits, current.start, 0),
        end=np.where(fits, current.end, 0),
        cache_bytes=np.where(fits, np.minimum(current.cache_bytes, np.maximum(left, 0)), 0),
    )


class _Weigh:
    """Prices of plans and of ways to them."""

    def __init__(
        self, cost: CostModel, current: Placement, terms: Terms, evaluate: Evaluate
    ) -> None:
        self.current = current
        self._cost = cost
        self._problem = problem = cost.problem
        self._terms = terms
        self._evaluate = evaluate
        self._loads = terms.stages(problem)
        self._cases: list[Case] = [(1.0, self._loads)]
        if terms.surge != 1.0:
            surged = tuple((seconds, terms.surge * load) for seconds, load in self._loads)
            self._cases = [(1.0 - SURGE_ODDS, self._loads), (SURGE_ODDS, surged)]

    def key(self, placement: Placement) -> Key:
        """Broken demands, dark blocks, request-seconds if the plan were in force now."""
        broken = sum(1 for _ in unmet(self._cost, placement))
        dark = int((placement.coverage(self._problem.model.num_blocks) == 0).sum())
        return broken, dark, self._settled(placement)[0]

    def options(self, found: Frontier, deadline: Deadline) -> list[Option]:
        """The distinct plans of a frontier, priced: to stay first, the best last.

        Of very many, some are left out; when the time is up, all but those two.
        """
        plans: list[Placement] = []
        for placement in found.best:
            same = plans and all(
                np.array_equal(getattr(plans[-1], a), getattr(placement, a))
                for a in ("start", "end")
            )
            if not same:
                plans.append(placement)
        picked = np.unique(np.linspace(0, len(plans) - 1, MOST_PRICED).round().astype(int))
        first, *between = [plans[i] for i in picked]
        ends = [self.option(p) for p in (first, *between[-1:])]
        for placement in between[:-1]:
            if deadline.passed:
                break
            ends.insert(-1, self.option(placement))
        return ends

    def option(self, placement: Placement) -> Option:
        away = self._terms.reload.away_s(self._problem, self.current, placement)
        widths = [self._terms.parallel]
        if self._terms.parallel is None and np.count_nonzero(away) > 1:
            widths.append(1)
        tried = [schedule(self._problem, self.current, placement, away, parallel=w) for w in widths]
        priced = [(self.total(placement, s), i) for i, s in enumerate(tried)]
        (total, lost, lost_s, sure_total), which = min(priced)
        broken, dark, _ = self.key(placement)
        stay, sure_stay = self._settled(self.current)
        settled, sure_settled = self._settled(placement)
        service = self._evaluate(placement)
        return Option(
            placement=placement,
            migration=tried[which],
            requests=service.requests(self._loads[0][1]),
            rate_per_s=service.rate_per_s,
            stay=stay,
            settled=settled,
            total=total,
            sure_gain=_less(sure_stay, sure_settled),
            sure_cost=_less(sure_total, sure_settled),
            lost_sessions=lost,
            lost_s=lost_s,
            dark_blocks=dark,
            violations=broken,
        )

    def _settled(self, placement: Placement) -> tuple[float, float]:
        """Request-seconds when the plan is in force all the time: expected, and as forecast."""
        service = self._evaluate(placement)
        each = []
        for _, loads in self._cases:
            total, backlog = request_seconds((t, service, load) for t, load in loads)
            each.append(total + draining_s(backlog, service))
        return self._expected(each), each[0]

    def _expected(self, each: Sequence[float]) -> float:
        """The mean over the cases."""
        return sum(odds * price for (odds, _), price in zip(self._cases, each, strict=True))

    def total(self, placement: Placement, way: Schedule) -> tuple[float, float, float, float]:
        """Request-seconds with the migration, sessions cut off, those of their replay.

        The last figure is the first one at the load as it is forecast, without its surge.
        """
        served = list(self._services(phases(way, self.current, placement)))
        after = self._evaluate(placement)
        # A migration that outlasts the forecast still has to end before its backlog can drain.
        over_s = max(0.0, way.duration_s - sum(seconds for seconds, _ in self._loads))
        lost, lost_s = self._lost(way)
        each = []
        for _, case in self._cases:
            stages = _along([*served, (math.inf, after)], [*case, (over_s, 0.0)])
            total, backlog = request_seconds(stages)
            each.append(total + draining_s(backlog, after))
        return lost_s + self._expected(each), lost, lost_s, lost_s + each[0]

    def _services(self, stages: Sequence[Phase]) -> Iterable[tuple[float, Service]]:
        """(seconds, service) of phases; of many, neighbours are served as the thinnest of them."""
        length = self._problem.model.num_blocks
        size = max(1, math.ceil(len(stages) / MOST_PHASES))
        for first in range(0, len(stages), size):
            group = stages[first : first + size]
            dark = {i for i, (_, _, p) in enumerate(group) if not p.coverage(length).all()}
            lit = [p for i, (_, _, p) in enumerate(group) if i not in dark]
            thinnest = min(lit, key=lambda p: int(p.num_blocks.sum()), default=None)
            for i, (begin, end, placement) in enumerate(group):
                served = placement if i in dark or thinnest is None else thinnest
                yield end - begin, self._evaluate(served)

    def _lost(self, way: Schedule) -> tuple[float, float]:
        """Sessions cut off, and the request-seconds that their replay takes.

        Each move cuts what runs through its server in the plan in force. A restarted generation
        has on average done half of its work.
        """
        now = self._evaluate(self.current)
        at = now.sessions_at(self._loads[0][1], self._problem.num_servers)
        lost = sum(float(at[s.server]) for s in way.steps)
        if self._terms.replay == "restart":
            return lost, lost * 0.5 * now.mean_service_s
        return lost, sum(float(at[s.server]) * self._prefill_s(s.server) for s in way.steps)

    def _prefill_s(self, server: int) -> float:
        """Seconds to send prompt and half of the output through the blocks of one server again."""
        plan = self._problem.planning
        tokens = plan.prompt_tokens + plan.output_tokens // 2
        paid = [self._cost.shape(c, tokens, 1) for c in range(len(self._problem.clients))]
        hop = float(np.mean([c.prefill_hop_s[server] for c in paid]))
        span = int(self.current.start[server]), int(self.current.end[server])
        return hop + float(paid[0].prefill_run_s(server, *span))


def _less(a: float, b: float) -> float:
    """a - b, 0 when both are infinite."""
    return 0.0 if a == b else a - b


def _along(
    served: Iterable[tuple[float, Service]], loads: Iterable[tuple[float, float]]
) -> Iterable[Stage]:
    """Stages of equal service and load; ends with the loads."""
    services = iter(served)
    left, service = next(services)
    for seconds, load in loads:
        while seconds > 0:
            if left <= 0:
                left, service = next(services)
                continue
            step = min(left, seconds)
            yield step, service, load
            left, seconds = left - step, seconds - step


def _decided(
    problem: Problem, options: list[Option], found: Frontier, terms: Terms, budget: int
) -> Replan:
    before, best = options[0], options[-1]
    forced = not before.sound
    sound = [o for o in options if o.sound]
    if forced and not sound:
        raise HeuristicFailedError(
            f"the plan in force leaves {before.dark_blocks} blocks dark and breaks "
            f"{before.violations} demands; no plan within {budget} moves was found that mends it, "
            f"{'and there is none' if found.proven else 'with no proof that none does'}: allow "
            "more moves"
        )
    paying = sound if forced else [o for o in sound[1:] if _pays(o, terms.margin)]
    chosen = min(paying, key=lambda o: (o.total, o.moves), default=before)
    horizon = sum(seconds for seconds, _ in terms.stages(problem))
    return Replan(
        before=before,
        chosen=chosen,
        best=best,
        options=tuple(options),
        worth=chosen is not before,
        forced=forced,
        proven=found.proven,
        horizon_s=horizon,
        reasons=tuple(
            _reasons(
                problem,
                before,
                chosen,
                best,
                forced=forced,
                margin=terms.margin,
                cut=found.cut,
            )
        ),
    )


def _pays(option: Option, margin: float) -> bool:
    """Whether the gain repays the cost with the margin, by more than the models' error.

    It has to at the load that is forecast, lest reserve be bought on suspicion, and on average over
    its surge, lest reserve be sold for little.
    """
    if math.isinf(option.gain):
        return option.gain > 0 and option.total < math.inf
    least = LEAST_GAIN * option.stay
    return (
        option.gain - (1.0 + margin) * option.cost > least
        and option.sure_gain - (1.0 + margin) * option.sure_cost > 0.0
    )


def _beside(best: Option, margin: float) -> str:
    """What else speaks against a plan that saves more than it costs."""
    if best.gain - (1.0 + margin) * best.cost <= 0:
        return ""
    if best.sure_gain <= (1.0 + margin) * best.sure_cost:
        return (
            f"; without a surge {best.sure_gain:.4g} and {best.sure_cost:.4g}: reserve alone is no "
            "reason to move"
        )
    return f"; less than {LEAST_GAIN:.1%} of {best.stay:.4g} is no reason to move"


def _reasons(
    problem: Problem,
    before: Option,
    chosen: Option,
    best: Option,
    *,
    forced: bool,
    margin: float,
    cut: bool,
) -> Iterable[str]:
    """Why it was decided so."""
    if before.dark_blocks:
        yield f"{before.dark_blocks} blocks are dark now: the swarm serves nobody until repaired"
    if before.violations:
        yield f"the plan in force breaks {before.violations} demands on placements"
    if best.moves == 0:
        yield "no plan within the budget is better than the one in force"
    elif chosen is before:
        asked = f" with a margin of {margin:.0%}" if margin else ""
        yield (
            f"refused: the best plan ({best.moves} moves) would save {best.gain:.4g} "
            f"request-seconds until the horizon, going there costs {best.cost:.4g}{asked}"
            f"{_beside(best, margin)}"
        )
    elif not forced and math.isinf(chosen.gain):
        yield (
            f"the servers cannot carry the load as they are; with {chosen.moves} moves they can, "
            f"which costs {chosen.cost:.4g} request-seconds"
        )
    elif not forced:
        yield (
            f"{chosen.moves} moves save {chosen.gain:.4g} request-seconds until the horizon and "
            f"cost {chosen.cost:.4g}"
        )
        if chosen is not best:
            yield f"going on to {best.moves} moves costs more than it saves"
    if cut:
        yield "the time limit ended the search: a better plan may have been missed"
    for gap in chosen.migration.dark:
        yield (
            f"{_named(gap.blocks)} dark for {gap.end_s - gap.begin_s:.1f} s: "
            + (
                "no schedule of these moves is dark for less"
                if chosen.migration.proven
                else "no better schedule was found"
            )
        )
    if chosen.rate_per_s < problem.workload.rate_per_s:
        yield (
            f"overload: the plan sustains {chosen.rate_per_s:.4g} requests/s of "
            f"{problem.workload.rate_per_s:.4g}"
        )


def _named(dark: Sequence[int]) -> str:
    """Blocks as ranges."""
    return f"blocks {', '.join(block_ranges(dark))}"
