"""Speculative decoding: what is promised of it, row by row, with the bound and what came out.

    python benchmarks/speculation.py formulas   # best k: brute force, its three monotonicities
    python benchmarks/speculation.py idle       # gains on idle swarms, formula and drawn
    python benchmarks/speculation.py load       # loaded swarms, plans of CG-BP, best single k
    python benchmarks/speculation.py chain      # one chain: what is chosen, what comes out
    python benchmarks/speculation.py batches    # servers that batch: k falls as sessions rise
    python benchmarks/speculation.py auto       # auto with drafts against auto without

Scenarios as they were before servers had lines (``before/``); ``bf16`` is the same block times with
passes that take what they take on 16-bit blocks, and are never cut. Drafts take 10 ms where nothing
else is said. Means over seeds; the same requests and the same luck for everybody.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from swarmplan import api
from swarmplan.core.content import FloatArray, frozen_array
from swarmplan.core.drafting import MOST_DRAFTS, NO_USE, Drafting, DraftModel, Use
from swarmplan.core.errors import SwarmplanWarning
from swarmplan.core.names import Semantics
from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.plan import Hop, Placement, Plan, PlannedRoute, Route
from swarmplan.core.problem import (
    Client,
    ModelSpec,
    Network,
    Planning,
    Problem,
    Server,
    Timing,
)
from swarmplan.core.workload import Lengths, Request, RequestClass, Workload
from swarmplan.methods.draft import Settings
from swarmplan.methods.drafting import DraftChoice
from swarmplan.methods.judge import Judge
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.passcurve import PassCurves
from swarmplan.perfmodel.passes import VERIFY
from swarmplan.perfmodel.speculation import best_drafts, survival, tokens_per_pass
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.placement.sessions import task_of
from swarmplan.routing.offline import Shortest
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.state import SwarmState
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import Interval
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

BEFORE = Path(__file__).resolve().parent / "before"
SEMANTICS: tuple[Semantics, ...] = ("standard", "petals")
#: Precision of each scenario's own blocks.
OWN = {"abvt": "nf4", "bellcanada": "nf4", "cloud": "int8", "volunteers": "nf4"}
#: Idle swarms: scenario, plain seconds, then acceptance and draft ms with the gains of PETALS' ten,
#: of ten, and of the best single k, at the scenario's own precision and on 16 bit.
IDLE = (
    ("abvt", 56.1, 0.5, 10, (0.84, 1.10, 1.19, 2), (1.18, 1.54, 1.67, 4)),
    ("abvt", 56.1, 0.7, 10, (1.39, 1.74, 1.75, 8), (1.94, 2.40, 2.44, 7)),
    ("abvt", 56.1, 0.85, 10, (2.42, 2.80, 2.90, 15), (3.29, 3.78, 3.85, 13)),
    ("abvt", 56.1, 0.7, 40, (1.02, 1.28, 1.41, 5), (1.28, 1.60, 1.88, 4)),
    ("bellcanada", 39.4, 0.5, 10, (0.71, 0.93, 1.07, 1), (1.08, 1.40, 1.58, 4)),
    ("bellcanada", 39.4, 0.7, 10, (1.17, 1.46, 1.47, 8), (1.76, 2.17, 2.25, 6)),
    ("bellcanada", 39.4, 0.7, 40, (0.81, 1.02, 1.16, 2), (1.06, 1.32, 1.66, 3)),
    ("cloud", 34.1, 0.5, 10, (0.96, 1.28, 1.57, 3), (1.05, 1.39, 1.62, 3)),
    ("cloud", 34.1, 0.7, 10, (1.63, 2.05, 2.20, 5), (1.77, 2.23, 2.35, 6)),
    ("cloud", 34.1, 0.7, 40, (0.94, 1.18, 1.62, 3), (0.98, 1.24, 1.66, 3)),
    ("volunteers", 54.5, 0.5, 10, (0.72, 0.93, 1.24, 2), (0.85, 1.10, 1.48, 3)),
    ("volunteers", 54.5, 0.7, 10, (1.22, 1.51, 1.66, 5), (1.44, 1.77, 2.03, 5)),
    ("volunteers", 54.5, 0.7, 40, (0.92, 1.14, 1.41, 4), (1.04, 1.28, 1.70, 3)),
)
#: Time to prove that a plan of an idle swarm is the fastest.
IDLE_LIMIT_S = 60.0
#: Loaded swarms at acceptance 0.7: scenario, share of its rate, precision, bound on the best mean.
LOADED = (("abvt", 0.2, "bf16", 50.0), ("cloud", 0.4, "int8", 25.0))
TRIED = (1, 2, 4, 6, 10)
#: Where auto with drafts is held against auto without: scenario, shares of its rate.
AGAINST = (("abvt", (0.02, 0.1, 0.2)), ("bellcanada", (0.05, 0.2)), ("cloud", (0.2, 0.4)),
           ("volunteers", (0.4, 1.0)))  # fmt: skip
ALPHAS = (0.0, 0.3, 0.5, 0.7, 0.9)


def swarm(name: str, precision: str = "", rate: float = 1.0) -> Problem:
    """A scenario of then, at a share of its rate; blocks of another precision but their times."""
    problem = at_load(load_scenario(BEFORE / f"{name}.toml").problem, rate)
    if not precision or precision == OWN[name]:
        return problem
    tasks = 1 if precision == "nf4" else 128
    servers = tuple(
        replace(s, verify=VERIFY[precision], task_tokens=tasks) for s in problem.servers
    )
    return replace(problem, servers=servers)


def drafting(
    problem: Problem, alpha: float, draft_ms: float = 10.0, semantics: Semantics = "standard"
) -> Problem:
    """Clients that may draft as it suits."""
    model = DraftModel(acceptance=(alpha,), draft_s=draft_ms / 1e3)
    own = Drafting(models=(model,), free=True, semantics=semantics)
    return replace(problem, drafting=(own,) * len(problem.clients))


def using(problem: Problem, drafts: int) -> Problem:
    """So many drafts for every client."""
    return problem.with_drafts((Use(drafts),) * len(problem.clients))


def mean_s(problem: Problem, placement: Placement, requests: Sequence[Request]) -> float:
    """Mean simulated response, all of them routed by overlap."""
    judge = Judge(CostModel.of(problem), requests, admission="retry", goal=MEAN_RESPONSE)
    found = judge(placement, "overlap")
    return float("inf") if found.unserved else found.figure_s


def said(row: str, bound: str, found: str, good: bool) -> None:
    """One row of the acceptance."""
    print(f"{'ok  ' if good else 'FAIL'} {row}: {bound}; found {found}", flush=True)


# -------------------------------------------------------------------------------- formulas


def formulas() -> None:
    """Best k against brute force on 1,000 chains, monotone on 10,000."""
    rng = np.random.default_rng(7)
    tokens: Callable[[float], FloatArray] = cache(
        lambda alpha: np.array(
            [tokens_per_pass(survival((alpha,)), k) for k in range(MOST_DRAFTS + 1)]
        )
    )
    drafts = np.arange(MOST_DRAFTS + 1)
    wrong, broken = 0, 0
    for trial in range(10_000):
        steps = 1 + rng.uniform(0, 0.5, 65) * (rng.random(65) < 0.2)
        work = frozen_array(rng.uniform(0.001, 0.5) * np.cumprod(steps), np.float64)
        way_s, draft_s, alpha = rng.uniform(0, 1), rng.uniform(0, 0.06), rng.uniform(0.02, 0.97)
        more = rng.uniform(0, 1), rng.uniform(0, 0.05), rng.uniform(0, 0.98 - alpha)

        def best(way: float, draft: float, a: float, work: FloatArray = work) -> int:
            return best_drafts((way + drafts * draft + work).tolist(), tokens(a).tolist())

        k = best(way_s, draft_s, alpha)
        if trial < 1_000:
            each = [(way_s + i * draft_s + work[i]) / tokens(alpha)[i] for i in drafts]
            wrong += k != each.index(min(each))
        broken += best(way_s + more[0], draft_s, alpha) < k
        broken += best(way_s, draft_s + more[1], alpha) > k
        broken += best(way_s, draft_s, alpha + max(0.0, more[2])) < k
    said("best k is brute force's, 1,000 chains", "0 wrong", f"{wrong}", wrong == 0)
    said("best k is monotone, 10,000 chains", "0 broken", f"{broken}", broken == 0)


# -------------------------------------------------------------------------------- idle swarms


@cache
def idle_plan(name: str) -> tuple[Placement, tuple[Request, ...]]:
    """The fastest plan of an idle swarm, a session of every client, and requests of so much luck
    that the figures' own error is half a per cent."""
    problem = swarm(name, rate=1e-4)
    asked = Settings(time_limit_s=IDLE_LIMIT_S)
    plan = api.plan(problem, "exact", sessions=len(problem.clients), settings=asked)
    return plan.placement, tuple(draw_requests(problem, 0, num_requests=800))


def idle(names: Sequence[str]) -> None:
    """Gains of the idle table, by formula and drawn."""
    for name, plain_s, alpha, draft_ms, *wanted in (row for row in IDLE if row[0] in names):
        placement, requests = idle_plan(name)
        for precision, (petals, ten, best, best_k) in zip((OWN[name], "bf16"), wanted, strict=True):
            problem = drafting(swarm(name, precision, 1e-4), alpha, draft_ms)
            base = mean_s(using(problem, 0), placement, requests)
            drawn = {k: base / mean_s(using(problem, k), placement, requests)
                     for k in sorted({10, *range(max(1, best_k - 2), best_k + 3)})}  # fmt: skip
            own = drafting(swarm(name, precision, 1e-4), alpha, draft_ms, "petals")
            petals_gain = base / mean_s(using(own, 10), placement, requests)
            k = max(drawn, key=lambda k: drawn[k])
            row = (
                f"{name} {precision} alpha {alpha} {draft_ms} ms (plain {base:.1f}, then {plain_s})"
            )
            for what, bound, found in (
                ("PETALS' ten", petals, petals_gain),
                ("ten", ten, drawn[10]),
                (f"best k {k}, then {best_k}", best, drawn[k]),
            ):
                off = found / bound - 1
                said(f"{row} {what}", f"{bound:.2f} within 2 %", f"{found:.3f} ({off:+.1%})",
                     abs(off) <= 0.02 + 0.005 / bound)  # fmt: skip
            routes = _routes(using(problem, k), placement)
            formula, five = [], []
            for seed in range(5):
                drawn_requests = draw_requests(problem, seed, num_requests=120)
                five.append(mean_s(using(problem, k), placement, drawn_requests))
            cost = CostModel.of(using(problem, k))
            shares = np.array([_rate(problem, c) for c in range(len(problem.clients))])
            for c, route in enumerate(routes):
                formula.append(cost.route_time(route, cost.planned(c)).total_s + cost.opening_s)
            told = float(np.average(formula, weights=shares))
            if all(len(c.output_tokens.values) == 1 for c in problem.workload.classes):
                off = float(np.mean(five)) / told - 1
                said(f"{row} drawn against formula, k {k}", "2 %", f"{off:+.2%}", abs(off) <= 0.02)


def _routes(problem: Problem, placement: Placement) -> list[Route]:
    """The fastest chain of every client where nobody drafts."""
    cost = CostModel.of(problem)
    request = Request(id=0, client=0, arrival_s=0.0, prompt_tokens=problem.planning.prompt_tokens,
                      output_tokens=problem.planning.output_tokens, reserved_tokens=1,
        expected_tokens=problem.planning.output_tokens)  # fmt: skip
    view, router = SwarmState(cost, placement), Shortest(cost, placement)
    asked = [replace(request, client=c) for c in range(len(problem.clients))]
    return [router(r, view, 0.0).route for r in asked]


def _rate(problem: Problem, client: int) -> float:
    return sum(c.rate_per_s for c in problem.workload.classes if c.client == client)


# -------------------------------------------------------------------------------- loaded swarms


def load() -> None:
    """Loaded swarms with the best single k, and what is chosen for them."""
    for name, rate, precision, bound in LOADED:
        problem = drafting(swarm(name, precision, rate), 0.7)
        task = task_of(using(problem, 0))
        placement = cg_bp(task)
        seeds = [draw_requests(problem, seed, num_requests=400) for seed in range(3)]
        found = {k: float(np.mean([mean_s(using(problem, k), placement, r) for r in seeds]))
                 for k in (0, *TRIED)}  # fmt: skip
        best = min(TRIED, key=lambda k: found[k])
        shown = ", ".join(f"k {k}: {s:.1f}" for k, s in found.items())
        row = f"{name} x {rate} {precision} alpha 0.7, CG-BP for R {task.sessions}"
        said(row, f"at most {bound} s", f"{found[best]:.1f} s ({shown})", found[best] <= bound)


# -------------------------------------------------------------------------------- one chain


def chain(short_passes: bool, alpha: float, sessions: float) -> tuple[Problem, PlannedRoute]:
    """Two nf4 servers with 35 blocks each, and so many sessions on average if nobody drafts."""
    tokens = 32 if short_passes else 1
    servers = tuple(
        Server(
            id=f"s{j}",
            memory_bytes=10**9,
            block_bytes=1,
            timing=Timing(decode_base_s=0.0032),
            task_tokens=tokens,
            verify=VERIFY["nf4"],
        )
        for j in range(2)
    )
    plain = Problem(
        model=ModelSpec(
            name="chain",
            num_blocks=70,
            hidden_size=64,
            block_bytes=1,
            cache_bytes_per_token=1,
            activation_bytes_per_token=2,
        ),
        servers=servers,
        clients=(Client(id="client"),),
        network=Network(
            client_rtt_s=np.full((1, 2), 0.132),
            server_rtt_s=np.zeros((2, 2)),
            step_overhead_s=0.018,
        ),
        workload=Workload(),
        planning=Planning(prompt_tokens=20, output_tokens=128, session_tokens=148),
    )
    hops = (Hop(server=0, start=0, end=35), Hop(server=1, start=35, end=70))
    cost, route = CostModel.of(plain), Route(hops=hops)
    step_s = cost.step_s(route, cost.planned(0))
    work_s = 35 * 0.0032
    # A closed chain of N sessions: the rate at which they come again.
    rate = min(sessions / (127 * step_s), 0.97 / (127 * work_s))
    stream = RequestClass(
        client=0,
        rate_per_s=rate,
        prompt_tokens=Lengths(values=(20,)),
        output_tokens=Lengths(values=(128,)),
    )
    problem = replace(plain, workload=Workload(classes=(stream,), num_requests=400))
    return drafting(problem, alpha), PlannedRoute(client=0, sessions=1, route=route)


def closed(problem: Problem, drafts: Sequence[int], seed: int = 0) -> list[float]:
    """Seconds per token of sessions that go on side by side on the chain, one for each entry."""
    own = problem.drafting[0]
    many = replace(
        problem,
        clients=tuple(Client(id=f"c{i}") for i in range(len(drafts))),
        network=replace(
            problem.network,
            client_rtt_s=np.tile(problem.network.client_rtt_s, (len(drafts), 1)),
        ),
        drafting=tuple(replace(own, use=Use(k) if k else NO_USE) for k in drafts),
    )
    cost = CostModel.of(many)
    placement = cost.placed([(0, 35), (35, 70)])
    rng = np.random.default_rng(seed)
    requests = [
        Request(id=i, client=i, arrival_s=float(rng.uniform(0, 2)), prompt_tokens=20,
                output_tokens=4_000, reserved_tokens=4_020)
        for i in range(len(drafts))
    ]  # fmt: skip
    result = simulate(many, placement, Overlap(cost, placement), requests)
    return [float(s) for s in result.tpot_s]


def one_chain() -> None:
    """What is chosen on one chain, and whether that is what comes out."""
    problem, route = chain(False, 0.4, 0.01)
    alone = DraftChoice(problem, [route]).alone()[0]
    plain, drafted = (closed(problem, [k])[0] for k in (0, alone.tokens))
    gain = plain / drafted
    said("nf4 alpha 0.4, alone", "k 1, gain 1.13 to 1.15", f"k {alone.tokens}, {gain:.3f}",
         alone.tokens == 1 and 1.12 <= gain <= 1.16)  # fmt: skip
    problem, route = chain(False, 0.4, 8)
    chosen = DraftChoice(problem, [route]).chosen()[0]
    said("nf4 alpha 0.4, eight sessions", "k 0", f"k {chosen.tokens}", chosen.tokens == 0)
    for short in (False, True):
        for sessions in (2.0, 3.0, 8.0):
            problem, route = chain(short, 0.5, sessions)
            choice = DraftChoice(problem, [route])
            busy, chosen = float(choice.busy((NO_USE,)).max()), choice.chosen()[0]
            right = chosen.tokens >= 1 if short else chosen.tokens == 0 or busy < 0.4
            what = "short passes announced" if short else "cut passes"
            said(f"nf4 alpha 0.5, {what}, U {busy:.2f}", "k >= 1" if short else "k 0 from U .4 on",
                 f"k {chosen.tokens}", right)  # fmt: skip
    problem, route = chain(False, 0.7, 8)
    choice = DraftChoice(problem, [route])
    eight = [PlannedRoute(client=c, sessions=1, route=route.route) for c in range(8)]
    many = replace(
        problem,
        clients=tuple(Client(id=f"c{i}") for i in range(8)),
        network=replace(
            problem.network, client_rtt_s=np.tile(problem.network.client_rtt_s, (8, 1))
        ),
        workload=Workload(
            classes=tuple(
                replace(problem.workload.classes[0], client=c,
                        rate_per_s=problem.workload.classes[0].rate_per_s / 8)
                for c in range(8)
            )
        ),
        drafting=problem.drafting * 8,
    )  # fmt: skip
    counts = [u.tokens for u in DraftChoice(many, eight).chosen()]
    mixed = 0 < sum(k > 0 for k in counts) < 8
    said("nf4 alpha 0.7, eight clients", "all draft or none", f"{counts}", not mixed)
    one = closed(problem, [4, 0, 0, 0, 0, 0, 0, 0])
    same = closed(problem, [0] * 8)
    every = closed(problem, [4] * 8)
    print(f"     one that drafts among eight: {one[0]:.2f} s a token, the others {one[1]:.2f}; "
          f"if nobody does {same[0]:.2f}, if all do {np.mean(every):.2f}; alone "
          f"{_alone(problem, route.route, 4):.2f}")  # fmt: skip


def batches() -> None:
    """Servers that batch: what is chosen as sessions rise, and what is best in simulation."""
    curve = ((8.0, 0.0), (64.0, 0.16))
    timing = Timing(decode_base_s=0.0034, decode_per_sequence_s=3e-4,
                    step_curve=tuple((rows, s / 12) for rows, s in curve))  # fmt: skip
    for sessions in (0.1, 4, 8, 16, 30, 60):
        problem, route = chain(True, 0.7, 1)
        stream = problem.workload.classes[0]
        servers = tuple(replace(s, timing=timing, sharing="batched") for s in problem.servers)
        load = replace(stream, rate_per_s=sessions / (127 * 0.54))
        problem = replace(problem, servers=servers, workload=Workload(classes=(load,)))
        chosen = DraftChoice(problem, [route]).chosen()[0].tokens
        placement = CostModel.of(problem).placed([(0, 35), (35, 70)])
        requests = draw_requests(problem, 1, num_requests=400)
        found = {k: mean_s(using(problem, k), placement, requests)
                 for k in sorted({0, chosen, *TRIED, 8, 14})}  # fmt: skip
        best = min(found, key=lambda k: found[k])
        shown = ", ".join(f"{k}: {s:.1f}" for k, s in found.items())
        said(f"batches, {sessions} sessions, alpha 0.7", f"within 15 % of the best k, {best}",
             f"k {chosen} ({shown})", found[chosen] <= 1.15 * found[best])  # fmt: skip


def _alone(problem: Problem, route: Route, drafts: int) -> float:
    curve = PassCurves(problem).curve(0, route, problem.drafting[0].model)
    return float(curve.token_s(np.ones(2), np.zeros(2))[drafts])


# -------------------------------------------------------------------------------- auto


def against(names: Sequence[str], alphas: Sequence[float], limit_s: float) -> None:
    """Auto with drafts free against auto without, on fresh requests."""
    api.plan(swarm(names[0], rate=1e-3), settings=Settings(time_limit_s=5))  # compiles all code
    for name, rates in AGAINST:
        for rate in rates if name in names else ():
            for precision in dict.fromkeys((OWN[name], "bf16")):
                plain = swarm(name, precision, rate)
                base = api.plan(plain, settings=Settings(time_limit_s=limit_s))
                for alpha in alphas:
                    _one(drafting(plain, alpha), base, f"{name} x {rate} {precision}", alpha,
                         limit_s)  # fmt: skip


def _one(problem: Problem, base: Plan, row: str, alpha: float, limit_s: float) -> None:
    begun = time.monotonic()
    made = api.plan(problem, settings=Settings(time_limit_s=limit_s))
    pairs = []
    for seed in range(100, 108):
        requests = draw_requests(problem, seed, num_requests=400)
        ours = _response(problem.with_drafts(made.drafts), made, requests)
        theirs = _response(using(problem, 0), base, requests)
        pairs.append(ours / theirs)
    share = Interval.of(pairs)
    drafts = sorted({u.tokens for u in made.drafts})
    good = share.mean - np.nan_to_num(share.half_width) <= 1.01
    said(f"{row} alpha {alpha}", "at most 1.01 of plain",
         f"{share.mean:.3f} ± {share.half_width:.3f} with k {drafts} "
         f"({time.monotonic() - begun:.0f} s)", good)  # fmt: skip


def _response(problem: Problem, plan: Plan, requests: Sequence[Request]) -> float:
    judge = Judge(CostModel.of(problem), requests, admission="retry", goal=MEAN_RESPONSE)
    return judge(plan.placement, plan.router).figure_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("formulas", "idle", "load", "chain", "batches", "auto"))
    parser.add_argument("--scenarios", default=",".join(OWN))
    parser.add_argument("--alphas", default=",".join(map(str, ALPHAS)))
    parser.add_argument("--time-limit", type=float, default=20.0)
    given = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    if given.what == "auto":
        alphas = [float(a) for a in given.alphas.split(",")]
        against(given.scenarios.split(","), alphas, given.time_limit)
        return
    if given.what == "idle":
        idle(given.scenarios.split(","))
        return
    rows = {"formulas": formulas, "load": load, "chain": one_chain}
    {**rows, "batches": batches}[given.what]()


if __name__ == "__main__":
    main()
