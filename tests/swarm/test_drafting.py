"""How many tokens a live client drafts, and what it learned of its drafts. No PETALS needed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.api import plan
from swarmplan.core.content import frozen_array
from swarmplan.core.drafting import MOST_DRAFTS, NO_USE
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.speculation import survival, tokens_per_pass
from swarmplan.scenarios import schema
from swarmplan.scenarios.planfile import plan_document
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.drafting import (
    PRIOR,
    REVIEW,
    WEIGHT,
    Acceptance,
    LiveDrafts,
    PassTimes,
    best_of,
    planned_passes,
    price_of,
    prior_of,
)
from swarmplan.swarm.record import LivePlan, read_record, record_of

CHAIN = (("A", 0, 4), ("B", 4, 8))


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=30))
def test_acceptance_is_hits_over_tries_with_what_was_known_before(
    passes: list[tuple[int, int]],
) -> None:
    learned = Acceptance((0.9, 0.5))
    told = [(k, min(k, right)) for k, right in passes]
    for k, right in told:
        learned.saw(k, right)
    for i in range(6):
        tried = sum(k > i and right >= i for k, right in told)
        hits = sum(right > i for _, right in told)
        prior = 0.9 if i == 0 else 0.5
        assert learned.by_place[i] == pytest.approx((hits + WEIGHT * prior) / (tried + WEIGHT))
    assert len(learned.known) == max((min(k, right + 1) for k, right in told), default=0)


def test_what_is_learned_comes_near_the_truth_and_k_with_it() -> None:
    """Three draft models, each drafting what was thought best until then."""
    rng = np.random.default_rng(0)
    found = []
    for alpha in (0.35, 0.63, 0.86):
        live = LiveDrafts(draft_s=0.004)
        for _ in range(4):
            live.saw(CHAIN, drafts=0, right=0, new=1, draft_s=0.0, verify_s=0.17)
        drafts = 0
        for number in range(400):
            if number % REVIEW == 0:
                drafts, _ = live.best(CHAIN, None)
            right = 0
            while right < drafts and rng.random() < alpha:
                right += 1
            live.saw(
                CHAIN,
                drafts=drafts,
                right=right,
                new=right + 1,
                draft_s=0.004 * drafts,
                verify_s=0.17 * (1 + 0.02 * drafts),
            )
        verify_s = 0.17 * (1 + 0.02 * np.arange(MOST_DRAFTS + 1))
        best = best_of(frozen_array(verify_s, np.float64), 0.004, np.full(MOST_DRAFTS, alpha))
        assert abs(drafts - best) <= max(1, 0.35 * best)
        assert live.report().acceptance[0] == pytest.approx(alpha, abs=0.06)
        assert live.draft_s == pytest.approx(0.004)
        found.append(drafts)
    assert found == sorted(found)


@given(
    st.floats(0.01, 2.0),
    st.floats(0.0, 0.2),
    st.floats(0.0, 0.1),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_the_number_of_drafts_is_the_best_of_all(
    plain_s: float, slope: float, draft_s: float, acceptance: list[float]
) -> None:
    live = LiveDrafts(prior=acceptance, draft_s=draft_s)
    each = live.acceptance.by_place
    verify_s = plain_s * (1 + slope * np.arange(MOST_DRAFTS + 1))
    best = best_of(frozen_array(verify_s, np.float64), draft_s, each)
    alive = survival(each.tolist(), MOST_DRAFTS)
    token_s = [
        (verify_s[k] + k * draft_s) / tokens_per_pass(alive, k) for k in range(MOST_DRAFTS + 1)
    ]
    assert token_s[best] == min(token_s)


def test_without_a_plan_passes_of_one_token_are_timed_first() -> None:
    live = LiveDrafts(draft_s=0.001)
    drafts, holds = live.best(CHAIN, None)
    assert (drafts, holds) == (0, 2)
    for _ in range(holds):
        live.saw(CHAIN, drafts=0, right=0, new=1, draft_s=0.0, verify_s=0.2)
    drafts, holds = live.best(CHAIN, None)
    assert drafts > 3
    assert holds == REVIEW
    assert live.best((("C", 0, 8),), None) == (0, 2)


def test_times_of_passes_lie_on_a_line_through_that_of_one_token() -> None:
    times = PassTimes()
    assert times.verify_s() is None
    for _ in range(3):
        times.saw(0, 0.1)
    assert times.verify_s() == pytest.approx(0.1 * (1 + 0.02 * np.arange(MOST_DRAFTS + 1)))
    for _ in range(400):
        times.saw(4, 0.14)
    line = times.verify_s()
    assert line is not None
    assert line[4] == pytest.approx(0.14, rel=0.02)
    # Passes that seem to get shorter with their drafts do not.
    for _ in range(4000):
        times.saw(8, 0.05)
    assert times.verify_s() == pytest.approx(np.full(MOST_DRAFTS + 1, 0.1))


def test_a_fixed_number_stays_and_the_first_drafts_of_an_answer_are_not_usual_ones() -> None:
    live = LiveDrafts(wanted=5, draft_s=0.01)
    assert live.best(CHAIN, None) == (5, REVIEW)
    live.saw(CHAIN, drafts=5, right=5, new=6, draft_s=1.0, verify_s=0.1, usual=False)
    assert live.draft_s == 0.01
    live.saw(CHAIN, drafts=5, right=5, new=6, draft_s=0.1, verify_s=0.1)
    assert live.draft_s == pytest.approx(0.011)
    assert live.report().token_s == pytest.approx(1.3 / 12)


def test_a_report_tells_what_can_be_put_into_the_scenario() -> None:
    live = LiveDrafts(wanted=2, draft_s=0.01)
    assert "speculation" not in live.report().document()
    assert live.report().lines() == ["nothing was drafted"]
    live.saw(CHAIN, drafts=2, right=1, new=2, draft_s=0.02, verify_s=0.1)
    document = live.report().document()
    table = msgspec.convert(document["speculation"], schema.Speculation)
    assert table.acceptance == [round((20 * 0.7 + 1) / 21, 4), round(20 * 0.7 / 21, 4)]
    assert table.draft_ms == 10.0
    assert any("1 of 2 drafts kept" in line for line in live.report().lines())


TINY = tomllib.loads(
    (Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml").read_text(encoding="utf-8")
)


def live_plan(tmp_path: Path, *, rate: float = 0.001, drafts: object = "auto") -> LivePlan:
    """A plan that went through a swarm's table; its client may draft, where anything is said."""
    stream = {**TINY["workload"]["streams"][0], "rate_per_s": rate, "output_tokens": 200}
    path = tmp_path / "tiny.json"
    document = {
        **TINY,
        "workload": {**TINY["workload"], "streams": [stream]},
    }
    if drafts is not None:
        speculation = {"acceptance": [0.8, 0.6], "draft_ms": 10, "draft_tokens": drafts}
        document["speculation"] = speculation
    path.write_bytes(msgspec.json.encode(document))
    loaded = load_scenario(path)
    made = plan(loaded.problem, "cg-bp")
    packed = record_of(
        loaded, plan_document(made, loaded), prefix="p", version=1, now_s=1.0, valid_s=1e4
    )
    return read_record(packed, prefix="p", now_s=2.0)


def chain_of(live: LivePlan) -> tuple[tuple[str, int, int], ...]:
    """Its first route, as peers and spans."""
    names = [s.id for s in live.problem.servers]
    return tuple((names[h.server], h.start, h.end) for h in live.routes[0].route.hops)


def test_by_a_plan_passes_take_what_its_model_says_with_measured_round_trips(
    tmp_path: Path,
) -> None:
    live = live_plan(tmp_path)
    chain, price = chain_of(live), price_of(live)
    told = planned_passes(live, price, "me", chain, {})
    assert told is not None
    assert told.wanted
    # Idle: a pass without drafts is a step of one token.
    cost = CostModel.of(live.problem.with_drafts((NO_USE,)))
    step_s = cost.step_s(live.routes[0].route, cost.planned(0))
    assert told.verify_s[0] == pytest.approx(step_s, rel=0.01)
    far = planned_passes(live, price, "me", chain, {chain[0][0]: 0.5})
    assert far is not None
    near_s = live.problem.network.client_rtt_s[0, live.routes[0].route.hops[0].server]
    assert far.verify_s - told.verify_s == pytest.approx(np.full(MOST_DRAFTS + 1, 0.5 - near_s))
    assert planned_passes(live, price, "me", (("stranger", 0, 12),), {}) is None


def test_the_work_of_busy_servers_is_dear_to_drafts(tmp_path: Path) -> None:
    idle, busy = live_plan(tmp_path), live_plan(tmp_path, rate=0.06)
    chain = chain_of(busy)
    two = [planned_passes(p, price_of(p), "me", chain, {}) for p in (idle, busy)]
    dearer = two[1].verify_s - two[0].verify_s  # type: ignore[union-attr]
    assert (dearer > 0).all()
    assert dearer[4] > dearer[0]


def test_what_the_plan_decided_against_is_not_drafted(tmp_path: Path) -> None:
    live = live_plan(tmp_path, drafts=0)
    chain = chain_of(live)
    told = planned_passes(live, price_of(live), "me", chain, {})
    assert told is not None
    assert not told.wanted
    drafts = LiveDrafts(draft_s=0.001)
    assert drafts.best(chain, told) == (0, REVIEW)
    assert drafts.report().notes == ("the plan has this client draft nothing",)
    # Who asks for a number gets it.
    assert LiveDrafts(wanted=3).best(chain, told)[0] == 3


def test_a_plan_that_says_nothing_of_drafts_leaves_them_open(tmp_path: Path) -> None:
    silent, speaks = live_plan(tmp_path, drafts=None), live_plan(tmp_path)
    chain = chain_of(silent)
    told = planned_passes(silent, price_of(silent), "me", chain, {})
    same = planned_passes(speaks, price_of(speaks), "me", chain, {})
    assert told is not None
    assert same is not None
    assert told.wanted
    assert told.verify_s == pytest.approx(same.verify_s)
    assert prior_of(silent, "me") == PRIOR


def test_what_the_scenario_says_of_drafts_is_known_before(tmp_path: Path) -> None:
    assert prior_of(live_plan(tmp_path), "me") == (0.8, 0.6)
    assert prior_of(None, None) == PRIOR
