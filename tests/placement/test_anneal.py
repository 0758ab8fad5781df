"""Annealing of layouts: what it returns is sound, repeatable, and no worse than its beginnings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swarmplan.chains.compose import client_shares
from swarmplan.chains.soundness import misplaced, uncovered
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.fluid import fluid, stages_of
from swarmplan.placement import anneal
from swarmplan.placement import annealed as compiled_part
from swarmplan.placement.anneal import annealed, first_layout
from swarmplan.placement.flowed import flow_placement
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.solve.deadline import NEVER, Deadline


def task(tiny: Problem) -> Task:
    servers = tuple(replace(s, sharing="batched") for s in tiny.servers)
    return task_of(replace(tiny, servers=servers))


@pytest.mark.slow
def test_layouts_are_sound_sorted_and_as_good_as_is_said(tiny: Problem) -> None:
    asked = task(tiny)
    found = annealed(asked, restarts=2, steps=400)
    rates = [layout.rate_per_s for layout in found]
    assert rates == sorted(rates, reverse=True)
    for layout in found:
        assert not [*misplaced(asked.cost, layout.placement)]
        assert not [*uncovered(asked.cost, layout.placement)]
        again = fluid(asked.cost, client_shares(asked.problem), layout.placement)
        assert abs(again.rate_per_s - layout.rate_per_s) <= 1e-3 * layout.rate_per_s
        idle = layout.placement.num_blocks == 0
        assert (again.share[~idle] > 0).all()


def test_equal_seeds_give_equal_layouts(tiny: Problem) -> None:
    first, second = (annealed(task(tiny), restarts=2, steps=200) for _ in range(2))
    assert first == second


def test_annealing_is_no_worse_than_what_it_begins_with(tiny: Problem) -> None:
    asked = task(tiny)
    g = stages_of(asked.cost, client_shares(asked.problem))
    best = annealed(asked, restarts=4, steps=300)[0].rate_per_s
    for seed in range(5):
        begun = first_layout(g, np.random.default_rng(seed))
        assert begun is not None
        placement = asked.cost.placed(list(zip(*(a.tolist() for a in begun), strict=True)))
        rate = fluid(asked.cost, client_shares(asked.problem), placement).rate_per_s
        assert rate <= best * 1.01


def test_layouts_for_ratings_are_good_however_they_are_dealt(tiny: Problem) -> None:
    asked = task(tiny)
    shares = client_shares(asked.problem)
    for layout in annealed(asked, rated=True, restarts=2, steps=400):
        by_speed = fluid(asked.cost, shares, layout.placement)
        again = fluid(asked.cost, shares, layout.placement, rated=True)
        least = min(by_speed.rate_per_s, again.rate_per_s)
        assert least == pytest.approx(layout.rate_per_s, rel=1e-3)
        assert (again.share[layout.placement.num_blocks > 0] > 0).all()


def test_the_layout_of_largest_flow_is_a_placement(tiny: Problem) -> None:
    asked = task_of(tiny)  # one task at a time: rates are exact
    placement, found = flow_placement(asked, deadline=NEVER)
    assert found.proven
    assert not [*misplaced(asked.cost, placement)]
    assert not [*uncovered(asked.cost, placement)]
    work = asked.cost.work_s(11, 11)
    held = placement.num_blocks
    most = [1 / work(j, 0, int(k)) if k else 0.0 for j, k in enumerate(held)]
    assert found.rate_per_s <= sum(k * r for k, r in zip(held, most, strict=True)) / 6 * 1.001


def test_after_the_limit_one_layout_is_drawn_and_annealed_for_one_stretch(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a stretch of many servers, whose steps take long, has few steps."""
    drawn, steps = list[int](), list[int]()
    draw, compiled = anneal.first_layout, compiled_part.anneal

    def counted(*given: Any) -> Any:
        drawn.append(1)
        return draw(*given)

    def told(*given: Any) -> None:
        steps.append(len(given[5]))
        compiled(*given)

    monkeypatch.setattr(anneal, "first_layout", counted)
    monkeypatch.setattr(compiled_part, "anneal", told)
    monkeypatch.setattr(anneal, "STRETCH_S", 16 * 9.5 * anneal.STEP_S)  # tiny has 4 servers
    assert annealed(replace(task(tiny), deadline=Deadline(at_s=0.0, limit_s=1e3)))
    assert len(drawn) == 1
    assert set(steps) == {10}
    assert len(steps) <= 2  # one at first, one of the best again


def test_runs_have_fewer_steps_where_else_none_would_cool_down(tiny: Problem) -> None:
    soon, late = (
        anneal.affordable(replace(task(tiny), deadline=Deadline.after(s))) for s in (1e-3, 1e3)
    )
    assert 1 <= soon < late == anneal.STEPS
