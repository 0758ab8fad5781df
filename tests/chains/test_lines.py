"""What is served when sessions stand in lines: below the flows alone, near the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.chains.lines import queued_per_s
from swarmplan.chains.sustain import sustained
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods.saturated import saturated, trial_for
from swarmplan.perfmodel.cost import CostModel
from swarmplan.workload.mix import mix_of

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


def test_lines_never_make_more_of_a_placement(make_problem: Make, make_placement: Place) -> None:
    less = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        problem = make_problem(rng, servers=6)
        cost, placement = CostModel.of(problem), make_placement(rng, problem)
        mix = mix_of(problem)
        carried, queued = (
            sustained(cost, placement, mix).rate_per_s,
            queued_per_s(cost, placement, mix),
        )
        assert 0 <= queued <= carried * (1 + 1e-6)
        assert (queued > 0) == (carried > 0)
        less += queued < 0.99 * carried
    assert less > 3


def test_where_nobody_stands_in_line_the_flows_are_all_there_is(
    make_problem: Make, make_placement: Place
) -> None:
    rng = np.random.default_rng(3)
    problem = make_problem(rng, servers=6)
    problem = replace(
        problem, servers=tuple(replace(s, sharing="independent") for s in problem.servers)
    )
    cost, placement = CostModel.of(problem), make_placement(rng, problem)
    mix = mix_of(problem)
    assert queued_per_s(cost, placement, mix) == sustained(cost, placement, mix).rate_per_s


def test_what_is_predicted_comes_out_of_the_engine(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (0, 4), (4, 6), (4, 6)])
    predicted = queued_per_s(cost, placement, mix_of(tiny))
    served = saturated(cost, placement, "flow", trial_for(cost, 0)).requests_per_s
    assert predicted == pytest.approx(served, rel=0.15)
