"""Speculation in scenario files: who drafts with what, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmplan.core.drafting import DraftModel, Use
from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.tests.scenarios.test_scenario import edited
from swarmplan.workload.draw import draw_requests

COMMON = "[speculation]\nacceptance = 0.7\ndraft_ms = 10\n\n"


def loaded(tmp_path: Path, *changes: tuple[str, str]) -> Problem:
    return load_scenario(edited(tmp_path, *changes)).problem


def with_table(table: str) -> tuple[str, str]:
    """A table before that of the workload."""
    return "[workload", table + "[workload"


def client(line: str) -> tuple[str, str]:
    return 'id = "me"', f'id = "me"\n{line}'


def test_nobody_drafts_where_the_file_says_nothing_of_it(tmp_path: Path) -> None:
    problem = loaded(tmp_path)
    assert problem.drafting == ()
    assert problem.drafts == (Use(0),)
    assert not problem.drafts_freely


def test_one_model_for_all_clients_leaves_its_use_to_the_planner(tmp_path: Path) -> None:
    problem = loaded(tmp_path, with_table(COMMON))
    (own,) = problem.drafting
    assert own.models == (DraftModel(acceptance=(0.7,), draft_s=0.01),)
    assert (own.free, own.use, own.semantics) == (True, Use(0), "standard")
    assert problem.with_drafts([Use(4)]).drafts == (Use(4),)


def test_a_client_overrides_what_is_different_there(tmp_path: Path) -> None:
    change = client("speculation = { acceptance = [0.9, 0.5], draft_tokens = 3 }")
    (own,) = loaded(tmp_path, with_table(COMMON), change).drafting
    assert own.models == (DraftModel(acceptance=(0.9, 0.5), draft_s=0.01),)
    assert (own.free, own.use) == (False, Use(3))
    alone = client("speculation = { acceptance = 0.9, draft_ms = 40 }")
    (own,) = loaded(tmp_path, alone).drafting
    assert own.model.draft_s == 0.04
    none = client("speculation = { draft_tokens = 0 }")
    (own,) = loaded(tmp_path, with_table(COMMON), none).drafting
    assert not own.free
    assert own.use == Use(0)


MODELS = """[speculation]
[speculation.models.small]
acceptance = 0.5
draft_ms = 4
[speculation.models.large]
acceptance = 0.8
draft_ms = 30

"""


def test_clients_draft_with_any_model_that_they_can_run(tmp_path: Path) -> None:
    (own,) = loaded(tmp_path, with_table(MODELS)).drafting
    assert [m.name for m in own.models] == ["small", "large"]
    (own,) = loaded(
        tmp_path, with_table(MODELS), client('speculation = { models = ["large"] }')
    ).drafting
    assert own.models == (DraftModel(name="large", acceptance=(0.8,), draft_s=0.03),)


def test_a_stream_may_have_an_acceptance_of_its_own(tmp_path: Path) -> None:
    problem = loaded(
        tmp_path, with_table(COMMON), ("rate_per_s = 0.4", "rate_per_s = 0.4\nacceptance = [0.6]")
    )
    assert draw_requests(problem, 0, num_requests=1)[0].acceptance == (0.6,)


def test_a_device_may_say_what_passes_take(tmp_path: Path) -> None:
    table = "memory_gb = 1.0\nverify = [[1, 1.0], [3, 2.0]]\ntask_tokens = 32"
    problem = loaded(tmp_path, with_table(COMMON), ("memory_gb = 1.0", table))
    problem = problem.with_drafts([Use(3)])
    cost = CostModel.of(problem)
    row = next(j for j, s in enumerate(problem.servers) if s.device == "fast")
    assert cost.verify[0, row].tolist() == [1.0, 1.0, 1.5, 2.0, 2.0]
    assert problem.servers[row].task_tokens == 32
    own = edited(tmp_path, ('device = "slow"', 'device = "slow"\ntask_tokens = 7'))
    assert {s.task_tokens for s in load_scenario(own).problem.servers} == {1, 7}
    assert problem.forward_only == frozenset()
    stuck = edited(tmp_path, ('device = "slow"', 'device = "slow"\nrollback = false'))
    found = load_scenario(stuck).problem
    assert found.forward_only == {j for j, s in enumerate(found.servers) if s.device == "slow"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ([with_table("[speculation]\nacceptance = 1.2\ndraft_ms = 10\n\n")], "speculation"),
        ([with_table("[speculation]\nacceptance = 0.7\n\n")], "speculation.draft_ms"),
        ([with_table("[speculation]\ndraft_ms = 7\n\n")], "speculation.acceptance"),
        (
            [with_table(COMMON.replace("\n\n", "\ndraft_tokens = 65\n\n"))],
            "speculation.draft_tokens",
        ),
        (
            [with_table(MODELS.replace("[speculation]\n", "[speculation]\nacceptance = 0.5\n", 1))],
            "speculation.models",
        ),
        (
            [with_table(COMMON.replace("\n\n", '\nsemantics = "petals"\ndraft_ahead = true\n\n'))],
            "speculation.draft_ahead",
        ),
        (
            [with_table(MODELS), client('speculation = { models = ["huge"] }')],
            "clients[0].speculation.models",
        ),
        (
            [with_table(MODELS), client("speculation = { draft_tokens = 3 }")],
            "clients[0].speculation.models",
        ),
        (
            [with_table(MODELS), ("rate_per_s = 0.4", "rate_per_s = 0.4\nacceptance = 0.6")],
            "workload.streams[0].acceptance",
        ),
        ([("memory_gb = 1.0", "memory_gb = 1.0\nverify = [[1, 1.2]]")], "devices.fast.verify"),
        (
            [("memory_gb = 1.0", "memory_gb = 1.0\nverify = [[4, 2.0], [2, 1.5]]")],
            "devices.fast.verify",
        ),
    ],
)
def test_a_defect_is_reported_with_its_field(
    tmp_path: Path, changes: list[tuple[str, str]], field: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, *changes)
    assert any(p.path.startswith(field) for p in caught.value.problems), str(caught.value)
