"""Re-planning: exact on tiny swarms, refusals, repairs, prices checked by hand."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.constraints import Constraints, ServerSpan
from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import blocks_that_fit
from swarmplan.perfmodel.reload import Reload
from swarmplan.placement.moves import frontier as frontier_module
from swarmplan.placement.moves import replan as replan_module
from swarmplan.placement.moves.replan import SURGE_ODDS, Terms, price, replan, standing
from swarmplan.placement.moves.service import (
    draining_s,
    remembering,
    request_seconds,
)
from swarmplan.placement.rules.composed import chain_plans
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.placement.offline import uneven

#: Moves that take no time and cut nothing: the figures of plans alone decide.
FREE = Reload(what="new blocks", restart_s=0.0)


def at_rate(problem: Problem, rate: float) -> Problem:
    each = rate / len(problem.workload.classes)
    classes = tuple(replace(c, rate_per_s=each) for c in problem.workload.classes)
    return replace(problem, workload=replace(problem.workload, classes=classes))


def quick(problem: Problem) -> Problem:
    """The same swarm with links on which loading takes next to no time."""
    servers = tuple(
        replace(s, download_bytes_per_s=1e12, disk_bytes_per_s=1e12) for s in problem.servers
    )
    return replace(problem, servers=servers)


def covering(problem: Problem, rng: np.random.Generator) -> Placement | None:
    """Random spans that hold a session each and cover the model."""
    cost, length = CostModel.of(problem), problem.model.num_blocks
    fit = blocks_that_fit(cost, 1)
    for _ in range(200):
        spans = []
        for most in fit.tolist():
            size = int(rng.integers(0, most + 1))
            begin = int(rng.integers(0, length - size + 1))
            spans.append((begin, begin + size))
        made = cost.placed(spans)
        if made.coverage(length).all() and remembering(cost)(made).rate_per_s > 0:
            return made
    return None


def every_plan(problem: Problem, current: Placement, budget: int) -> list[Placement]:
    """Independent enumeration of all plans within the budget, a session beside every span."""
    cost, length = CostModel.of(problem), problem.model.num_blocks
    now = list(zip(current.start.tolist(), current.end.tolist(), strict=True))
    options = [
        [(0, 0)]
        + [
            (s, e)
            for s, e in itertools.combinations(range(length + 1), 2)
            if cost.weights_bytes(j, s, e) + cost.session_bytes(s, e) <= memory
        ]
        for j, memory in enumerate(problem.memory_bytes.tolist())
    ]
    found = []
    for servers in itertools.combinations(range(len(now)), budget):
        for chosen in itertools.product(*(options[j] for j in servers)):
            spans = list(now)
            for j, span in zip(servers, chosen, strict=True):
                spans[j] = span
            made = cost.placed(spans)
            keep = [spans[j] == now[j] for j in range(len(now))]
            cache = np.where(keep, current.cache_bytes, made.cache_bytes)
            found.append(replace(made, cache_bytes=cache))
    return found


def figure(problem: Problem, placement: Placement, horizon_s: float) -> float:
    service = remembering(CostModel.of(problem))(placement)
    total, backlog = request_seconds([(horizon_s, service, problem.workload.rate_per_s)])
    return total + draining_s(backlog, service)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budget", [1, 2])
@pytest.mark.parametrize("even", [True, False], ids=["blocks alike", "blocks differ"])
def test_the_best_plan_within_the_budget_is_that_of_exhaustive_search(
    make_problem: Callable[..., Problem], seed: int, budget: int, even: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = quick(make_problem(rng, servers=3, clients=1, length=4))
    if not even:
        problem = uneven(problem, rng)
    current = covering(problem, rng)
    if current is None:
        pytest.skip("this draw has no plan that covers the model")
    found = replan(
        task_of(problem),
        current,
        terms=Terms(budget=budget, horizon_s=1e4, reload=FREE, allow_dark=True, surge=1.0),
    )
    least = min(figure(problem, p, 1e4) for p in every_plan(problem, current, budget))
    assert found.proven
    assert found.best.settled == pytest.approx(least, rel=1e-12)
    assert found.best.moves <= budget


@pytest.mark.parametrize("seed", range(4))
def test_without_leave_to_go_dark_it_is_the_best_plan_that_a_safe_order_reaches(
    make_problem: Callable[..., Problem], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = quick(make_problem(rng, servers=3, clients=1, length=4))
    current = covering(problem, rng)
    if current is None:
        pytest.skip("this draw has no plan that covers the model")
    terms = Terms(budget=2, horizon_s=1e4, reload=FREE, surge=1.0)
    found = replan(task_of(problem), current, terms=terms)
    plans = [p for p in every_plan(problem, current, 2) if safely_reached(current, p, 4)]
    least = min(figure(problem, p, 1e4) for p in [current, *plans])
    assert found.best.settled == pytest.approx(least, rel=1e-12)
    assert all(not o.migration.dark for o in found.options)


def safely_reached(old: Placement, new: Placement, length: int) -> bool:
    """Independent: some permutation of single moves keeps every block served."""
    moving = np.flatnonzero((old.start != new.start) | (old.end != new.end)).tolist()
    for order in itertools.permutations(moving):
        now = [set(range(s, e)) for s, e in zip(old.start, old.end, strict=True)]
        safe = True
        for j in order:
            now[j] = set()
            safe &= len(set().union(*now)) == length
            now[j] = set(range(int(new.start[j]), int(new.end[j])))
        if safe and len(set().union(*now)) == length:
            return True
    return False


def test_the_beam_search_is_near_the_optimum_where_both_can_run(
    make_problem: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        problem = quick(make_problem(rng, servers=4, clients=1, length=3))
        current = covering(problem, rng)
        if current is None:
            continue
        task, terms = task_of(problem), Terms(budget=2, horizon_s=1e4, reload=FREE)
        with monkeypatch.context() as patch:
            patch.setattr(frontier_module, "EXHAUSTIVE_PLANS", 10**9)
            exact = replan(task, current, terms=terms)
            patch.setattr(frontier_module, "EXHAUSTIVE_PLANS", 0)
            searched = replan(task, current, terms=terms)
        assert exact.proven
        assert not searched.proven
        gaps.append(searched.best.settled / exact.best.settled - 1)
    assert len(gaps) >= 4
    assert min(gaps) >= -1e-9
    assert np.mean(gaps) < 0.02


def test_a_gain_that_does_not_repay_its_cost_is_refused_and_a_longer_horizon_accepts_it(
    tiny: Problem,
) -> None:
    links = tuple(replace(s, download_bytes_per_s=100.0) for s in tiny.servers)
    slow_link = task_of(at_rate(replace(tiny, servers=links), 0.2))
    current = slow_link.cost.placed([(0, 0), (0, 3), (3, 6), (0, 0)])
    short = replan(slow_link, current, terms=Terms(horizon_s=5.0))
    long = replan(slow_link, current, terms=Terms(horizon_s=1e6))
    assert not short.worth
    assert short.chosen is short.before
    assert any("refused" in r for r in short.reasons)
    assert short.best.gain <= short.best.cost * (1 + 1e-9)
    assert long.worth
    assert long.chosen.gain > long.chosen.cost
    assert long.break_even_s < 1e6


@pytest.mark.parametrize(
    ("first_span", "rate_per_s", "busy"),
    [((0, 5), 0.2, False), ((0, 3), 0.05, True)],
    ids=["an idle server moves", "a server in use moves"],
)
def test_the_cost_of_a_lone_move_is_its_lost_service_and_the_generations_cut_off(
    tiny: Problem, first_span: tuple[int, int], rate_per_s: float, busy: bool
) -> None:
    task = task_of(at_rate(tiny, rate_per_s))
    cost = task.cost
    current = cost.placed([first_span, (0, 3), (3, 6), (3, 5)])
    found = replan(task, current, terms=Terms(budget=1, horizon_s=1e4, surge=1.0))
    moved = found.best
    assert moved.moves == 1
    (step,) = moved.migration.steps
    load = task.problem.workload.rate_per_s
    evaluate = remembering(cost)
    spans = list(zip(current.start.tolist(), current.end.tolist(), strict=True))
    spans[step.server] = (0, 0)
    away_s = step.end_s - step.begin_s
    without = evaluate(cost.placed(spans)).requests(load)
    lost = evaluate(current).sessions_at(load, 4)[step.server]
    by_hand = away_s * (without - moved.requests)
    by_hand += 0.5 * lost * evaluate(current).mean_service_s
    assert (lost > 0) == busy
    assert moved.lost_sessions == pytest.approx(lost)
    assert moved.cost == pytest.approx(by_hand)


def test_replaying_the_inputs_is_cheaper_than_starting_again(tiny: Problem) -> None:
    current = CostModel.of(tiny).placed([(0, 5), (0, 3), (3, 6), (3, 6)])
    restart = replan(task_of(tiny), current, terms=Terms(budget=1, horizon_s=1e4))
    prefill = replan(task_of(tiny), current, terms=Terms(budget=1, horizon_s=1e4, replay="prefill"))
    assert prefill.best.cost <= restart.best.cost


def test_dark_blocks_are_repaired_whatever_it_costs(tiny: Problem) -> None:
    dark = CostModel.of(tiny).placed([(0, 0), (0, 3), (0, 3), (0, 0)])
    found = replan(task_of(tiny), dark, terms=Terms(budget=1, horizon_s=1.0))
    assert found.forced
    assert found.worth
    assert found.chosen.sound
    assert found.chosen.moves == 1
    assert found.chosen.placement.coverage(6).all()
    assert found.chosen.migration.dark  # until the first server has loaded
    assert "dark now" in found.reasons[0]


def test_a_budget_too_small_to_repair_is_an_error(tiny: Problem) -> None:
    none = CostModel.of(tiny).placed([(0, 0)] * 4)
    slow = replace(tiny, servers=tuple(replace(s, max_blocks=3) for s in tiny.servers))
    with pytest.raises(HeuristicFailedError, match="and there is none: allow more moves"):
        replan(task_of(slow), none, terms=Terms(budget=1))
    assert replan(task_of(slow), none, terms=Terms(budget=2)).worth


def test_a_span_beyond_the_memory_counts_as_not_served(tiny: Problem) -> None:
    current = CostModel.of(tiny).placed([(0, 5), (0, 3), (3, 6), (3, 6)])
    servers = (replace(tiny.servers[0], memory_bytes=2_000), *tiny.servers[1:])
    shrunk = replace(tiny, servers=servers)
    left = standing(CostModel.of(shrunk), current)
    assert left.span(0) is None
    assert left.span(1) == current.span(1)
    found = replan(task_of(shrunk), current, terms=Terms(budget=0))
    assert not found.forced
    assert not found.worth


def test_no_budget_means_no_move(tiny: Problem) -> None:
    current = CostModel.of(tiny).placed([(0, 0), (0, 3), (3, 6), (0, 0)])
    found = replan(task_of(tiny), current, terms=Terms(budget=0))
    assert not found.worth
    assert found.reasons[:1] == ("no plan within the budget is better than the one in force",)


def test_a_pinned_server_is_never_moved(tiny: Problem) -> None:
    pins = Constraints(pinned=(ServerSpan(server=1, start=0, end=3),))
    problem = replace(tiny, planning=replace(tiny.planning, constraints=pins))
    current = CostModel.of(problem).placed([(0, 0), (0, 3), (3, 6), (0, 0)])
    found = replan(task_of(problem), current, terms=Terms(horizon_s=1e6))
    assert found.worth
    assert all(1 not in [s.server for s in o.migration.steps] for o in found.options)


def test_a_target_within_the_budget_is_never_beaten_by_a_worse_plan(tiny: Problem) -> None:
    problem = at_rate(tiny, 2.0)
    task = task_of(problem)
    target = chain_plans(task)[0].placement
    current = task.cost.placed([(0, 0), (0, 3), (3, 6), (0, 0)])
    terms = Terms(horizon_s=1e5, surge=1.0)
    found = replan(task, current, targets=(target,), terms=terms)
    assert found.best.settled <= figure(problem, target, 1e5) * (1 + 1e-12)


def test_what_a_plan_costs_is_expected_over_the_load_and_its_surge(tiny: Problem) -> None:
    problem = at_rate(tiny, 0.5)
    current = CostModel.of(problem).placed([(0, 5), (0, 3), (3, 6), (3, 6)])

    def stay(load: float, surge: float) -> float:
        terms = Terms(forecast=((1e4, load),), surge=surge, budget=0)
        return replan(task_of(problem), current, terms=terms).before.settled

    expected = (1 - SURGE_ODDS) * stay(0.5, 1.0) + SURGE_ODDS * stay(1.0, 1.0)
    assert stay(0.5, 2.0) == pytest.approx(expected)


def test_a_plan_that_just_bears_the_load_is_worth_less_than_one_with_reserve(
    tiny: Problem,
) -> None:
    roomy = (replace(tiny.servers[0], memory_bytes=8_000), *tiny.servers[1:])
    problem = replace(tiny, servers=roomy)
    cost = CostModel.of(problem)
    evaluate = remembering(cost)
    wide = cost.placed([(0, 3), (0, 3), (3, 6), (3, 5)])
    narrow = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)])
    narrow_per_s, wide_per_s = (evaluate(p).rate_per_s for p in (narrow, wide))
    problem = at_rate(problem, 0.9 * min(narrow_per_s, wide_per_s))
    thin, thick = (narrow, wide) if narrow_per_s < wide_per_s else (wide, narrow)
    sure, unsure = (
        price(CostModel.of(problem), thick, thin, terms=Terms(reload=FREE, surge=surge))
        for surge in (1.0, 1.5)
    )
    assert unsure.gain < sure.gain
    assert unsure.sure_gain == pytest.approx(sure.gain)
    assert unsure.sure_cost == pytest.approx(sure.cost, abs=1e-9)


def test_reserve_alone_is_no_reason_to_move(tiny: Problem) -> None:
    problem = at_rate(quick(tiny), 0.2)
    current = CostModel.of(problem).placed([(0, 5), (0, 3), (3, 6), (3, 6)])
    terms = Terms(horizon_s=1e5, reload=FREE, budget=2, surge=1.0)
    best = replan(task_of(problem), current, terms=terms).best.placement
    kept = replan(task_of(problem), best, terms=replace(terms, surge=20.0))
    assert kept.best.gain > kept.best.cost
    assert not kept.worth
    assert any("reserve alone is no reason to move" in r for r in kept.reasons)


def test_a_gain_within_the_error_of_the_models_is_no_reason_to_move(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = task_of(quick(at_rate(tiny, 0.2)))
    current = links.cost.placed([(0, 5), (0, 3), (3, 6), (3, 6)])
    terms = Terms(horizon_s=1e6, reload=FREE)
    moved = replan(links, current, terms=terms)
    assert moved.worth
    share = moved.best.net / moved.best.stay
    monkeypatch.setattr(replan_module, "LEAST_GAIN", 1.01 * share)
    kept = replan(links, current, terms=terms)
    assert not kept.worth
    assert any("no reason to move" in r for r in kept.reasons)


def test_with_few_evaluations_servers_of_all_ranks_are_tried(
    make_problem: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = quick(make_problem(np.random.default_rng(3), servers=12, clients=1, length=6))
    task = task_of(problem)
    current = chain_plans(task)[0].placement
    tried: set[int] = set()

    def key(placement: Placement) -> tuple[int, int, float]:
        tried.update(np.flatnonzero(placement.start != current.start).tolist())
        tried.update(np.flatnonzero(placement.end != current.end).tolist())
        return 0, 0, 0.0

    frontier_module.frontier(task.cost, current, key, budget=1, evaluations=120)
    assert len(tried) >= 10


def test_a_search_out_of_time_says_so_and_still_decides(tiny: Problem) -> None:
    current = CostModel.of(tiny).placed([(0, 0), (0, 3), (3, 6), (0, 0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontier_module, "EXHAUSTIVE_PLANS", 0)
        found = replan(task_of(tiny, deadline=Deadline.after(0.0)), current)
    assert not found.worth
    assert any("the time limit ended the search" in r for r in found.reasons)


def test_many_phases_are_priced_in_groups_and_never_too_low(
    make_problem: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    task = task_of(make_problem(rng, servers=12, clients=1, length=4))
    plans = [p.placement for p in chain_plans(task)]
    prices = []
    for most in (10**6, 3):
        monkeypatch.setattr(replan_module, "MOST_PHASES", most)
        terms = Terms(horizon_s=1e4, parallel=1, surge=1.0)
        prices.append(price(task.cost, plans[0], plans[-1], terms=terms).total)
    assert prices[1] >= 0.999 * prices[0]
