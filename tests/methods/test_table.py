"""Methods by name: what they hand on, and plans for models whose blocks differ."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from swarmplan import api
from swarmplan.core.errors import SwarmplanError
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings
from swarmplan.methods.table import METHODS
from swarmplan.methods.verify import verify
from swarmplan.placement.search.solve import solve_search
from swarmplan.tests.placement.offline import offline, uneven

MakeProblem = Callable[..., Problem]


def test_a_method_hands_on_placement_routes_and_proof_of_its_solver() -> None:
    problem = offline(
        blocks=4, tau_ms=[1.0, 2.0], memory=[9.0, 9.0], cache=0.1, hop_ms=[[5.0, 50.0]], each=2
    )
    method, settings = METHODS["search"], Settings()
    draft = method(problem, settings)
    task = method.task(problem, settings)
    placement, routes, certificate = solve_search(task)
    assert (draft.placement, draft.routes) == (placement, routes)
    said = f"with compute slots of {task.cost.lasting_s:.4g} s, {certificate.proof}"
    assert draft.certificate == replace(certificate, proof=said)
    assert draft.certificate is not None
    assert draft.certificate.status == "optimal"


def differing(make_problem: MakeProblem) -> Problem:
    """A swarm with room for some sessions, for a model of which no two blocks are alike."""
    rng = np.random.default_rng(11)
    problem = uneven(make_problem(rng, servers=6, clients=2, length=6), rng)
    roomy = tuple(replace(s, memory_bytes=2 * s.memory_bytes) for s in problem.servers)
    return replace(problem, servers=roomy)


@pytest.mark.parametrize("method", ["auto", "chains", "cg-bp", "search", "exact", "whole-model"])
def test_where_blocks_differ_every_method_makes_a_sound_plan(
    make_problem: MakeProblem, method: str
) -> None:
    problem = differing(make_problem)
    plan = api.plan(problem, method, settings=Settings(time_limit_s=2.0))
    assert verify(problem, plan) == ()
    assert plan.routes


def test_the_programme_refuses_blocks_that_differ(make_problem: MakeProblem) -> None:
    with pytest.raises(SwarmplanError, match="equal blocks only; use method exact or search"):
        api.plan(differing(make_problem), "milp", settings=Settings(time_limit_s=2.0))
