"""Candidates that did equally well are told apart by what they do when more comes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan.core.problem import Problem
from swarmplan.methods import ties
from swarmplan.methods.draft import Settings
from swarmplan.methods.race import Runner
from swarmplan.methods.ties import untied
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.sessions import task_of


def runner(problem: Problem, name: str, router: str = "overlap", **known: float) -> Runner:
    placement = CostModel.of(problem).placed([(0, 3), (3, 6), (0, 0), (0, 0)])
    made = Runner(name=name, placement=placement, router=router, bound_s=1.0, alone_s=0.0)
    made.figure_s, made.requests = known.get("figure_s", 2.0), 100
    return made


def test_the_order_of_equal_candidates_does_not_matter(tiny: Problem) -> None:
    full, less = runner(tiny, "full"), runner(tiny, "less")
    less = replace(less, placement=CostModel.of(tiny).placed([(0, 5), (5, 6), (0, 0), (0, 0)]))
    task = task_of(tiny)
    judges = ties.judges_of(task, Settings())
    scores = {r.name: ties.score(r, judges) for r in (full, less)}
    assert scores["full"] != scores["less"]
    best = min(scores, key=scores.__getitem__)
    for ranked in ([full, less], [less, full]):
        found = untied(task, Settings(), ranked)
        assert found[0].name == best
        assert len(found) == 2


def test_who_was_better_in_the_race_stays_first(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ties, "judges_of", lambda *_: pytest.fail("nobody is equal"))
    ranked = [runner(tiny, "first"), runner(tiny, "second", figure_s=2.0 + 1e-6)]
    assert untied(task_of(tiny), Settings(), ranked) == ranked
    given = replace(runner(tiny, "given"), given=True)
    assert untied(task_of(tiny), Settings(), [ranked[0], given]) == [ranked[0], given]
