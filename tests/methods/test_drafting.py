"""What clients draft: alone, under load, all together; raced by auto against none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swarmplan import api
from swarmplan.core.drafting import MOST_DRAFTS, NO_USE, Drafting, DraftModel, Use
from swarmplan.core.errors import ScenarioError
from swarmplan.core.plan import Hop, PlannedRoute, Route
from swarmplan.core.problem import Client, Problem, Timing
from swarmplan.core.workload import Lengths, RequestClass, Workload
from swarmplan.methods.draft import Draft, Settings
from swarmplan.methods.drafting import DraftChoice, drafted
from swarmplan.methods.draftrace import with_uses
from swarmplan.methods.judge import Judge
from swarmplan.methods.verify import verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.passcurve import PassCurves
from swarmplan.workload.draw import draw_requests

FREE = Drafting(models=(DraftModel(acceptance=(0.7,), draft_s=0.01),), free=True)
NF4 = ((2.0, 1.46), (3.0, 1.76), (4.0, 2.06))
ROUTE = Route(hops=(Hop(server=0, start=0, end=3), Hop(server=1, start=3, end=6)))


def chain(tiny: Problem, sessions: float, alpha: float, *, task_tokens: int = 1) -> Problem:
    """Two servers that share six blocks, and about so many sessions where nobody drafts."""
    servers = tuple(
        replace(
            s,
            memory_bytes=1_000_000,
            timing=Timing(decode_base_s=0.04),
            verify=NF4,
            task_tokens=task_tokens,
        )
        for s in tiny.servers[:2]
    )
    model = DraftModel(acceptance=(alpha,), draft_s=0.01)
    problem = replace(
        tiny,
        servers=servers,
        clients=(Client(id="me"),),
        network=replace(
            tiny.network,
            client_rtt_s=np.full((1, 2), 0.13),
            server_rtt_s=np.zeros((2, 2)),
        ),
        planning=replace(tiny.planning, prompt_tokens=4, output_tokens=128, session_tokens=132),
        drafting=(Drafting(models=(model,), free=True),),
    )
    step_s = CostModel.of(problem).step_s(ROUTE, CostModel.of(problem).planned(0))
    rate = min(sessions / (127 * step_s), 0.97 / (127 * 0.12))
    tokens = Lengths(values=(4,)), Lengths(values=(128,))
    stream = RequestClass(
        client=0, rate_per_s=rate, prompt_tokens=tokens[0], output_tokens=tokens[1]
    )
    return replace(problem, workload=Workload(classes=(stream,), num_requests=100))


def choice(problem: Problem) -> DraftChoice:
    routes = [PlannedRoute(client=c, sessions=1, route=ROUTE) for c in range(len(problem.clients))]
    return DraftChoice(problem, routes)


def test_alone_a_client_drafts_what_the_costs_of_its_chain_like_best(tiny: Problem) -> None:
    problem = chain(tiny, 0.01, 0.7)
    (chosen,) = choice(problem).alone()
    each = []
    for k in range(MOST_DRAFTS + 1):
        cost = CostModel.of(problem.with_drafts([Use(k)]))
        each.append(cost.step_s(ROUTE, cost.planned(0)))
    assert chosen.tokens == int(np.argmin(each))
    assert chosen.tokens >= 3


def test_a_curve_is_the_cost_of_a_pass_by_the_number_of_drafts(tiny: Problem) -> None:
    problem = chain(tiny, 0.01, 0.7)
    curve = PassCurves(problem).curve(0, ROUTE, problem.drafting[0].model)
    for k in (0, 1, 5):
        cost = CostModel.of(problem.with_drafts([Use(k)]))
        paid = cost.planned(0)
        pass_s = (cost.step_s(ROUTE, paid)) / paid.passes
        verify_s = curve.idle_s[k] + curve.work_s[k].sum()
        assert verify_s + curve.draft_s[k] == pytest.approx(pass_s, rel=1e-9)
        assert curve.tokens[k] == pytest.approx(1 / paid.passes)
        assert curve.tasks[k].tolist() == ([1, 1] if k == 0 else [3, 3])


def test_drafts_on_nf4_do_not_pay_where_eight_sessions_share_a_chain(tiny: Problem) -> None:
    assert choice(chain(tiny, 0.01, 0.4)).alone() == (Use(1),)
    assert choice(chain(tiny, 8, 0.4)).chosen() == (NO_USE,)


@pytest.mark.parametrize("sessions", [2.5, 4.0, 8.0])
def test_passes_that_are_one_task_pay_where_cut_ones_do_not(tiny: Problem, sessions: float) -> None:
    cut, whole = (choice(chain(tiny, sessions, 0.5, task_tokens=t)) for t in (1, 32))
    assert cut.busy((NO_USE,)).max() > 0.4
    assert cut.chosen() == (NO_USE,)
    assert whole.chosen()[0].tokens >= 1


def test_utilisation_is_what_the_rates_make_of_the_work(tiny: Problem) -> None:
    problem = chain(tiny, 1.0, 0.7)
    cost = CostModel.of(problem)
    rate = problem.workload.rate_per_s
    span = np.array([0, 1]), np.array([0, 3]), np.array([3, 6])
    expected = rate * (127 * 0.12 + cost.prompt_work_s(4, *span))
    assert choice(problem).busy((NO_USE,)) == pytest.approx(expected)
    drafts = choice(problem).busy((Use(1),))
    passes = CostModel.of(problem.with_drafts([Use(1)])).planned(0).passes
    assert drafts == pytest.approx(expected - rate * 127 * 0.12 * (1 - 1.46 * passes))


def test_like_clients_draft_all_or_none(tiny: Problem) -> None:
    for alpha in (0.4, 0.5, 0.7):
        one = chain(tiny, 8, alpha)
        stream = one.workload.classes[0]
        many = replace(
            one,
            clients=tuple(Client(id=f"c{i}") for i in range(8)),
            network=replace(one.network, client_rtt_s=np.full((8, 2), 0.13)),
            workload=Workload(
                classes=tuple(
                    replace(stream, client=c, rate_per_s=stream.rate_per_s / 8) for c in range(8)
                )
            ),
            drafting=one.drafting * 8,
        )
        assert len(set(choice(many).chosen())) == 1


def test_every_client_takes_the_best_of_its_models_and_keeps_what_is_fixed(tiny: Problem) -> None:
    models = (
        DraftModel(name="slow", acceptance=(0.8,), draft_s=0.2),
        DraftModel(name="fast", acceptance=(0.6,), draft_s=0.002),
    )
    problem = chain(tiny, 0.01, 0.7)
    problem = replace(problem, drafting=(Drafting(models=models, free=True),))
    assert [use.model for use in choice(problem).alone()] == [1]
    fixed = Drafting(models=models[:1], use=Use(3))
    problem = replace(problem, drafting=(fixed,))
    assert choice(problem).alone() == choice(problem).chosen() == (Use(3),)


def drafting(tiny: Problem, *alphas: float) -> Problem:
    each = [replace(FREE, models=(DraftModel(acceptance=(a,), draft_s=0.001),)) for a in alphas]
    return replace(tiny, drafting=tuple(each))


def test_auto_drafts_where_it_pays_and_tells_what_it_gains(tiny: Problem) -> None:
    problem = drafting(tiny, 0.8, 0.8)
    plan = api.plan(problem, settings=Settings(time_limit_s=10.0))
    assert all(use.tokens for use in plan.drafts)
    assert any(note.startswith("drafts: mean simulated response") for note in plan.notes)
    assert verify(problem, plan) == ()
    requests = draw_requests(problem, 77, num_requests=300)
    goal = plan.certificate.objective.goal
    ours, none = (
        Judge(CostModel.of(problem.with_drafts(uses)), requests, admission="retry", goal=goal)(
            plan.placement, plan.router
        ).figure_s
        for uses in (plan.drafts, (NO_USE, NO_USE))
    )
    assert ours < 0.9 * none


def test_auto_drafts_nothing_that_is_never_right(tiny: Problem) -> None:
    problem = drafting(tiny, 0.0, 0.0)
    plan = api.plan(problem, settings=Settings(time_limit_s=None))
    assert plan.drafts == (NO_USE, NO_USE)
    plain = api.plan(tiny, settings=Settings(time_limit_s=None))
    assert plan.placement == plain.placement
    assert plan.certificate == plain.certificate


@pytest.mark.parametrize("method", ["cg-bp", "search", "exact"])
def test_other_methods_draft_what_formulas_like_best(tiny: Problem, method: str) -> None:
    problem = drafting(tiny, 0.8, 0.8)
    plan = api.plan(problem, method, settings=Settings(time_limit_s=2))
    assert all(use.tokens for use in plan.drafts)
    assert not any(f.grave for f in verify(problem, plan))
    alone = api.plan(tiny, method, settings=Settings(time_limit_s=2))
    assert plan.predicted[0].tpot_s < alone.predicted[0].tpot_s


def unlike(tiny: Problem) -> Problem:
    """Clients of which one drafts more than the other, over servers where that is dear or not."""
    models = DraftModel(acceptance=(0.8,), draft_s=0.001)
    each = tuple(Drafting(models=(models,), use=Use(k)) for k in (1, 6))
    tables = ((), NF4, ((2.0, 3.0),), NF4)
    servers = tuple(replace(s, verify=v) for s, v in zip(tiny.servers, tables, strict=True))
    return replace(tiny, servers=servers, drafting=each)


@pytest.mark.parametrize("method", ["search", "exact", "milp", "auto"])
def test_solvers_plan_for_clients_that_draft_each_in_its_own_way(
    tiny: Problem, method: str
) -> None:
    problem, asked = unlike(tiny), Settings(time_limit_s=5, aim="latency")
    plan = api.plan(problem, method, settings=asked, sessions=2)
    assert plan.drafts == (Use(1), Use(6))
    assert not any(f.grave for f in verify(problem, plan))
    assert not any("as if nobody drafted" in note for note in plan.notes)
    best = api.plan(problem, "exact", settings=asked, sessions=2).certificate.objective
    value = plan.certificate.objective.value
    assert best.value is not None
    assert best.bound is not None
    cost = CostModel.of(problem)  # bounds leave out what clients' own models take
    own_s = sum(r.sessions * cost.planned(r.client).draft_s for r in plan.routes)
    assert best.bound + own_s == pytest.approx(best.value)
    assert value == pytest.approx(best.value)


def test_rules_plan_for_them_as_if_nobody_drafted_and_say_so(tiny: Problem) -> None:
    plan = api.plan(unlike(tiny), "cg-bp")
    assert plan.drafts == (Use(1), Use(6))
    assert plan.placement == api.plan(tiny, "cg-bp").placement
    assert any(note.startswith("cg-bp placed blocks as if nobody drafted") for note in plan.notes)
    assert not any(f.grave for f in verify(unlike(tiny), plan))


def two_chains(tiny: Problem) -> tuple[Problem, list[PlannedRoute]]:
    """A client with a near and a far server, each with all blocks, and a session on each."""
    problem = chain(tiny, 0.01, 0.7, task_tokens=128)
    near = np.array([[0.02, 0.9]])
    problem = replace(problem, network=replace(problem.network, client_rtt_s=near))
    routes = [Route(hops=(Hop(server=j, start=0, end=6),)) for j in (0, 1)]
    return problem, [PlannedRoute(client=0, sessions=1, route=r) for r in routes]


def test_each_chain_of_a_client_has_its_own_number_where_that_is_better(tiny: Problem) -> None:
    problem, routes = two_chains(tiny)
    made = DraftChoice(problem, routes)
    (one,) = made.alone()
    (each,) = made.by_route((one,))
    near, far = (each.on((j,)) for j in (0, 1))
    assert near < one.tokens < far
    best = [DraftChoice(problem, [r]).alone()[0].tokens for r in routes]
    assert (near, far) == pytest.approx(best, abs=1)
    assert made.share((each,)) < made.share((one,)) < 1
    assert made.by_route((NO_USE,)) == (NO_USE,)


def test_a_chain_that_cannot_go_back_is_not_drafted_and_decides_nothing(tiny: Problem) -> None:
    problem, routes = two_chains(tiny)
    (far,) = DraftChoice(problem, routes[1:]).alone()
    stuck = tuple(replace(s, rollback=j > 0) for j, s in enumerate(problem.servers))
    problem = replace(problem, servers=stuck)
    made = DraftChoice(problem, routes)
    assert made.alone() == (far,)
    assert DraftChoice(problem, routes[:1]).chosen() == (NO_USE,)
    work = CostModel.of(problem).planned(0).steps * 6 * 0.04 * problem.workload.rate_per_s / 2
    assert (
        made.busy((far,))[0]
        == pytest.approx(made.busy((NO_USE,))[0])
        == pytest.approx(work, rel=0.2)
    )


def test_plans_are_drafted_around_a_server_that_cannot_go_back(tiny: Problem) -> None:
    servers = tuple(replace(s, rollback=j > 0) for j, s in enumerate(tiny.servers))
    problem = replace(drafting(tiny, 0.9, 0.0), servers=servers)
    plan = api.plan(problem, "cg-bp")
    assert not any(f.grave for f in verify(problem, plan))
    drafted_there = problem.with_drafts(plan.drafts)
    for route in plan.routes:
        if 0 in route.route.servers:
            assert drafted_there.drafts_on(route.client, route.route.servers) == 0
    assert plan.certificate.objective.bound is None or not drafted(drafted_there)


def test_a_draft_of_a_plan_says_nothing_where_nobody_can_draft(tiny: Problem) -> None:
    draft = Draft(placement=CostModel.of(tiny).placed([(0, 6), *[(0, 0)] * 3]), router="overlap")
    assert with_uses(draft, tiny) is draft
    assert not drafted(tiny)


def test_a_comparison_may_take_every_method_once_for_each_way_to_draft(tiny: Problem) -> None:
    problem = drafting(tiny, 0.8, 0.8)
    found = api.compare(
        problem, ["cg-bp"], seeds=range(2), requests=80, speculation=("none", "petals", "auto")
    )
    names = [r.method for r in found.rows]
    assert names == [f"cg-bp, drafts {way}" for way in ("none", "petals", "auto")]
    none, _, auto = (np.mean([s.response_s.mean for s in r.runs]) for r in found.rows)
    assert auto < 0.9 * none
    with pytest.raises(ScenarioError, match="no draft model"):
        api.compare(tiny, ["cg-bp"], speculation=("auto",))


def test_explanations_tell_what_drafts_make_of_a_route(tiny: Problem) -> None:
    problem = drafting(tiny, 0.8, 0.8)
    plan = api.plan(problem, "cg-bp")
    (told, _) = api.explain(problem, plan)
    assert told.drafts is not None
    assert told.drafts.drafts == plan.drafts[0].tokens
    assert told.drafts.gain > 1.3
    assert told.drafts.gain_over_ten >= 0.98
    assert told.drafts.gain_over_petals > told.drafts.gain_over_ten
    passes = CostModel.of(problem.with_drafts(plan.drafts)).planned(0).passes
    assert told.drafts.pass_s * passes == pytest.approx(told.tpot_s)
    assert api.explain(tiny, api.plan(tiny, "cg-bp"))[0].drafts is None


def batched(tiny: Problem, sessions: float) -> Problem:
    """The chain where waiting passes are one step, dearer by every row beyond eight."""
    problem = chain(tiny, sessions, 0.7)
    curve = ((8.0, 0.0), (64.0, 0.16))
    timing = Timing(decode_base_s=0.04, decode_per_sequence_s=0.003, step_curve=curve)
    servers = tuple(replace(s, sharing="batched", timing=timing) for s in problem.servers)
    stream = problem.workload.classes[0]
    rate = stream.rate_per_s if sessions < 8 else sessions / (127 * 0.54)
    workload = replace(problem.workload, classes=(replace(stream, rate_per_s=rate),))
    return replace(problem, servers=servers, workload=workload)


def test_where_passes_are_batched_clients_draft_less_the_more_they_are(tiny: Problem) -> None:
    drafts = [choice(batched(tiny, n)).together()[0][0].tokens for n in (0.1, 16, 30, 60)]
    assert drafts == sorted(drafts, reverse=True)
    assert drafts[0] > drafts[2] > drafts[3] == 0
