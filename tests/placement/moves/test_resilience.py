"""Constraints on placements, against every possible placement of tiny swarms."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan import api
from swarmplan.chains.soundness import misplaced, unmet
from swarmplan.core.constraints import Constraints, Loss, ServerSpan
from swarmplan.core.errors import InfeasibleError
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings
from swarmplan.methods.verify import verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import blocks_that_fit
from swarmplan.placement.moves.resilience import explain, honoured
from swarmplan.placement.sessions import task_of
from swarmplan.tests.placement.offline import heavy_tailed

REGIONS = ("eu", "eu", "us", "asia")


def asking(problem: Problem, **demands: object) -> Problem:
    servers = tuple(replace(s, region=r) for s, r in zip(problem.servers, REGIONS, strict=True))
    constraints = Constraints(**demands)  # type: ignore[arg-type]
    planning = replace(problem.planning, constraints=constraints)
    return replace(problem, servers=servers, planning=planning)


def possible(problem: Problem) -> bool:
    """Every server idle or at any span that one session fits beside, all combinations."""
    asked, length = problem.planning.constraints, problem.model.num_blocks
    choices: list[list[int]] = []  # the blocks of a span as bits
    for j, most in enumerate(blocks_that_fit(CostModel.of(problem), 1).tolist()):
        masks = [0]
        masks += [((1 << m) - 1) << s for m in range(1, most + 1) for s in range(length - m + 1)]
        for ban in (f for f in asked.forbidden if f.server == j):
            bits = sum(1 << b for b in range(ban.start, ban.end))
            masks = [m for m in masks if not m & bits]
        for pin in (p for p in asked.pinned if p.server == j):
            bits = sum(1 << b for b in range(pin.start, pin.end))
            masks = [m for m in masks if m == bits]
        choices.append(masks)
    return any(meets(problem, masks) for masks in itertools.product(*choices))


def meets(problem: Problem, masks: tuple[int, ...]) -> bool:
    asked, full = problem.planning.constraints, (1 << problem.model.num_blocks) - 1
    for loss in asked.survive:
        left = 0
        for j, mask in enumerate(masks):
            left |= 0 if j in loss.servers else mask
        if left != full:
            return False
    for block in range(problem.model.num_blocks):
        hosts = [j for j, mask in enumerate(masks) if mask >> block & 1]
        if len(hosts) < asked.copies or len({REGIONS[j] for j in hosts}) < asked.regions:
            return False
    return True


def small(problem: Problem, memory: tuple[int, ...]) -> Problem:
    """Four blocks, so that all placements can be listed."""
    servers = tuple(
        replace(s, memory_bytes=m * 1_220) for s, m in zip(problem.servers, memory, strict=True)
    )
    model = replace(problem.model, num_blocks=4)
    return replace(problem, model=model, servers=servers)


losses = st.sampled_from(
    [
        Loss(name="server fast", servers=frozenset({0})),
        Loss(name="region eu", servers=frozenset({0, 1})),
        Loss(name="region us", servers=frozenset({2})),
    ]
)
spans = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 2)).map(
    lambda t: ServerSpan(server=t[0], start=t[1], end=min(4, t[1] + t[2]))
)


@settings(max_examples=30)
@given(
    memory=st.tuples(*[st.integers(1, 4)] * 4),
    copies=st.integers(1, 3),
    regions=st.integers(1, 2),
    survive=st.lists(losses, max_size=2, unique_by=lambda loss: loss.name),
    pinned=st.lists(spans, max_size=1),
    forbidden=st.lists(spans, max_size=2),
)
def test_a_placement_is_found_exactly_when_one_exists(
    tiny: Problem,
    memory: tuple[int, ...],
    copies: int,
    regions: int,
    survive: list[Loss],
    pinned: list[ServerSpan],
    forbidden: list[ServerSpan],
) -> None:
    problem = asking(
        small(tiny, memory),
        copies=copies,
        regions=regions,
        survive=tuple(survive),
        pinned=tuple(pinned),
        forbidden=tuple(forbidden),
    )
    task = task_of(problem)
    cost, idle = task.cost, task.cost.placed([(0, 0)] * 4)
    if not problem.planning.constraints.shapes_placement:
        return
    if possible(problem):
        found = honoured(task, idle)
        assert not [*unmet(cost, found), *misplaced(cost, found)]
        assert (found.num_blocks <= blocks_that_fit(cost, 1)).all()
    else:
        with pytest.raises(InfeasibleError):
            honoured(task, idle)


def test_the_reasons_cannot_be_thinned_out(tiny: Problem) -> None:
    eu = Loss(name="region eu", servers=frozenset({0, 1}))
    problem = asking(small(tiny, (6, 4, 3, 2)), survive=(eu,), copies=2, headroom_frac=0.3)
    assert not possible(problem)
    told = explain(CostModel.of(problem))
    assert "30 % of the memory" in told
    assert "without region eu" in told
    assert "on 2 servers" not in told
    for kept in (Constraints(survive=(eu,)), Constraints(headroom_frac=0.3)):
        planning = replace(problem.planning, constraints=kept)
        assert possible(replace(problem, planning=planning))


def test_counting_says_how_much_is_missing(tiny: Problem) -> None:
    task = task_of(asking(small(tiny, (4, 4, 1, 1)), copies=3))
    with pytest.raises(InfeasibleError, match=r"hold at most 10 blocks .* 12 are needed"):
        honoured(task, task.cost.placed([(0, 0)] * 4))


def test_head_room_is_kept_by_every_method(tiny: Problem) -> None:
    problem = asking(tiny, headroom_frac=0.1)
    for method in ("cg-bp", "chains", "search"):
        plan = api.plan(problem, method, settings=Settings(time_limit_s=2.0))
        used = 1_000 * plan.placement.num_blocks + plan.placement.cache_bytes
        memory = np.array([s.memory_bytes for s in problem.servers])
        assert (used <= 0.9 * memory).all()
        assert not verify(problem, plan)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cg-bp", "auto", "search", "milp"])
def test_methods_meet_the_constraints_and_the_verifier_agrees(tiny: Problem, method: str) -> None:
    roomy = replace(tiny, servers=tuple(replace(s, memory_bytes=9_000) for s in tiny.servers))
    problem = asking(
        roomy,
        regions=2,
        survive=(Loss(name="region eu", servers=frozenset({0, 1})),),
        forbidden=(ServerSpan(server=2, start=0, end=1),),
    )
    plan = api.plan(problem, method, settings=Settings(time_limit_s=2.0))
    assert not verify(problem, plan)


def test_the_verifier_names_every_demand_that_a_plan_misses(tiny: Problem) -> None:
    plan = api.plan(tiny, "cg-bp")
    problem = asking(
        tiny,
        copies=4,
        survive=(Loss(name="region eu", servers=frozenset({0, 1})),),
        pinned=(ServerSpan(server=3, start=0, end=0),),
        forbidden=(ServerSpan(server=0, start=0, end=6),),
    )
    told = "\n".join(map(str, verify(problem, plan)))
    for part in ("on 4 servers", "without region eu", "pinned to 0:0", "hosts forbidden"):
        assert part in told


def test_a_server_that_may_not_move_stays(tiny: Problem) -> None:
    stay = ServerSpan(server=1, start=2, end=4)
    problem = asking(tiny, pinned=(stay,))
    plan = api.plan(problem, "cg-bp")
    assert plan.placement.span(1) is not None
    assert (plan.placement.start[1], plan.placement.end[1]) == (2, 4)
    assert not verify(problem, plan)


@pytest.mark.parametrize(
    "demands",
    [
        {"copies": 2},
        {"pinned": (ServerSpan(server=1, start=0, end=5),)},
        {"forbidden": (ServerSpan(server=0, start=0, end=5), ServerSpan(server=2, start=0, end=5))},
    ],
    ids=["copies", "pinned", "forbidden"],
)
def test_where_blocks_differ_demands_that_can_be_met_are_not_called_impossible(
    demands: dict[str, Any],
) -> None:
    problem = heavy_tailed(3.5, 6.2, 3.5, 6.2)
    planning = replace(problem.planning, constraints=Constraints(**demands))
    task = task_of(replace(problem, planning=planning))
    by_hand = task.cost.placed([(5, 6), (0, 5), (5, 6), (0, 5)])
    assert not [*unmet(task.cost, by_hand), *misplaced(task.cost, by_hand)]
    found = honoured(task, task.cost.placed([(0, 0)] * 4))
    assert not [*unmet(task.cost, found), *misplaced(task.cost, found)]
