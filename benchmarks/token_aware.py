"""``overlap`` against the other routers on the same plan: benefit, harm, lengths, age of figures.

Four swarms (the scenarios of ``before/``, and ``twenty`` of ``auto.py``), each with one plan of
chain composition and three clients of shares 0.6, 0.3, 0.1. Prompts are those of the Azure
conversation trace 2023 (at most 1,024 tokens), answers those of LMSYS (at most 512); both must lie
in ../shared/data. Arrivals are Poisson, or those of the Azure code trace stretched to the rate.
Load 1 is the rate at which compute saturates in the best mix of the plan's chains. Every router
gets the same requests, and clients wait as those of PETALS do; the first tenth is not counted.

    python benchmarks/token_aware.py --save runs.jsonl        # all of it: an hour
    python benchmarks/token_aware.py --setting cloud --loads 0.7 --arrivals poisson --seeds 3
    python benchmarks/token_aware.py --report runs.jsonl      # the tables again

What is judged: rows 4 to 7 of the acceptance list, docs/routing.md.
"""

from __future__ import annotations

import argparse
import copy
import copyreg
import json
import sys
import tomllib
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
from auto import PLACES, TRACE, twenty
from reservation import DATA, LIMIT, LONGEST_PROMPT, columns

from swarmplan.chains.compose import job_costs
from swarmplan.chains.graph import build_graph, request_costs_s
from swarmplan.chains.shortest import shortest
from swarmplan.chains.sustain import sustained
from swarmplan.core.content import FloatArray
from swarmplan.core.errors import SwarmplanWarning
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Lengths, LengthUse, Mix, Request
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.contention import Crowd, Pace
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.length.distribution import LEVELS
from swarmplan.placement.rules.gbp_cr import Queue, filled, gbp_cr
from swarmplan.routing.api import Decision, RouterFactory, SwarmView
from swarmplan.routing.state import SwarmState
from swarmplan.routing.ws_rr import WaitGraphs, refuse
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import WARM_UP, Interval
from swarmplan.workload.lengths import known_of, predicted_by_class, provided

BEFORE = Path(__file__).resolve().parent / "before"
SETTINGS = ("abvt", "bellcanada", "cloud", "twenty")
LOADS = (0.3, 0.7, 0.85)
SHARES = (0.6, 0.3, 0.1)
NODES = {
    "abvt": ("New York", "Paris", "Tokyo"),
    "bellcanada": ("Lethbridge", "New York", "Vancouver"),
}
TWENTY_CLIENTS = 0, 4, 16
REQUESTS = 400
#: Seeds of these requests are nobody else's.
SEED_OFFSET = 7_000_000
#: GBP-CR leaves servers idle that this rate does not need: abvt has one chain.
ASKED_PER_S = 0.03
RIVALS = ("petals", "ws-rr", "jffc")
ROUTERS = (*RIVALS, "fastest-free", "least-response", "jsq", "overlap")
FIGURES = ("mean", "p95", "slow-down", "ttft", "ttft p95")
AGES_S = (0, 30, 60)
#: ``overlap`` that knows its own sessions at once, those of others late.
OWN = "overlap, own work known"
#: Row 4 at 0.7 and row 5 at 0.3, Poisson: the most that a figure may be of the rival's.
BENEFIT = {"mean": 0.95, "p95": 0.95, "slow-down": 0.95, "ttft p95": 0.95}
BENEFIT_JSQ = {"mean": 0.95, "ttft p95": 1.10}
GEOMETRIC = 0.50
NO_HARM = {"mean": 1.02, "p95": 1.05, "slow-down": 1.05, "ttft p95": 1.10}
ONE_CHAIN = {"mean": 1.015, "p95": 1.015, "slow-down": 1.015, "ttft p95": 1.05}
#: Rows 6 and 7: the most that the mean may be of what it is with all known. Times are told from the
#: mean of the predicted class (as everywhere in swarmplan) or its median, reservations from its
#: 95 % quantile; or everybody is taken for the longest answer.
LENGTHS = {"predictor": 1.15, "median": 1.15, "longest": 1.30}
FEW_SEEDS, MORE = 10, 0.05
LONGEST_JSQ = 0.95
AGED = {30: 1.12, 60: 1.22}

# A crowd holds on to a module, its compiled part: a copy holds on to the same one.
copyreg.pickle(ModuleType, lambda module: (import_module, (module.__name__,)))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A swarm with its plan; ``rate_per_s`` is that of load 1."""

    problem: Problem
    placement: Placement
    rate_per_s: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a router: what was asked, and FIGURES in seconds (the slow-down is a ratio)."""

    setting: str
    load: float
    arrivals: str
    known: str
    age_s: int
    router: str
    seed: int
    figures: tuple[float, ...]


@cache
def prompts() -> tuple[int, ...]:
    """Prompt tokens of the trace that are not too many."""
    rows = columns(DATA / "traces" / "azure2023_conv.csv.gz")
    return tuple(int(row[1]) for row in rows if int(row[1]) <= LONGEST_PROMPT)


@cache
def answers() -> Lengths:
    """Output tokens, with what their predicted class says of them."""
    rows = columns(DATA / "lengths" / "lmsys_vicuna13b_lengths_ssjf.csv.gz")
    tokens = np.array([int(row[0]) for row in rows], dtype=np.int64)
    said = predicted_by_class(tokens, [row[1] for row in rows])
    return Lengths(values=tuple(tokens.tolist()), predicted=said)


@cache
def bursts_s() -> FloatArray:
    """Instants of the Azure code trace."""
    at = np.array([np.datetime64(row[0]) for row in columns(TRACE)])
    seconds: FloatArray = (at - at[0]) / np.timedelta64(1, "s")
    return seconds


def document_of(name: str) -> dict[str, Any]:
    """The scenario with its three clients and streams."""
    if name == "twenty":
        document = twenty()
        places = [PLACES[i] for i in TWENTY_CLIENTS]
        ends = [{"id": f"c{i}", "lat": a, "lon": b} for i, (a, b) in enumerate(places)]
    else:
        document = tomllib.loads((BEFORE / f"{name}.toml").read_text())
        ends = document["clients"]
    if name in NODES:
        ends = [{"id": f"c{i}", "node": node} for i, node in enumerate(NODES[name])]
    streams = [
        {
            "client": end["id"],
            "rate_per_s": share * ASKED_PER_S,
            "prompt_tokens": prompts()[::10],
            "output_tokens": answers().values[::40],
        }
        for end, share in zip(ends, SHARES, strict=True)
    ]
    workload = {"requests": REQUESTS, "streams": streams}
    return {**document, "clients": ends, "workload": workload}


def plan_of(name: str, cost: CostModel) -> Placement:
    """The plan of chain composition for a setting."""
    if name == "abvt":
        return gbp_cr(cost, 10)
    if name == "twenty":
        return gbp_cr(cost, 20, load=None)
    many, count, few = {"bellcanada": (32, 1, 5), "cloud": (84, 2, 14)}[name]
    return two_tiers(cost, many, count, few)


def two_tiers(cost: CostModel, many: int, count: int, few: int) -> Placement:
    """``tiers c=many x count, c=few`` of ``placement/rules/tiers.py``."""
    jobs, length = job_costs(cost), cost.num_blocks
    head = list(islice(filled(Queue.of(cost, jobs, many), length), count))
    taken = frozenset(j for chain in head for j in chain.servers)
    tail = filled(Queue.of(cost, jobs, few), length, without=taken)
    spans = [(0, 0)] * cost.problem.num_servers
    for chain in (*head, *tail):
        for j, span in zip(chain.servers, chain.spans, strict=True):
            spans[j] = span
    return cost.placed(spans)


@cache
def setting_of(name: str) -> Setting:
    """A setting, its load 1 found by the linear programme over flows, caches without limit."""
    problem = build(msgspec.convert(document_of(name), schema.Scenario), BEFORE).problem
    cost = CostModel.of(problem)
    placement = plan_of(name, cost)
    drawn = requests_of(1.0, -1, "poisson")
    asked = ("client", "prompt_tokens", "output_tokens", "reserved_tokens")
    rows = np.array([[getattr(r, what) for what in asked] for r in drawn])
    endless = replace(placement, cache_bytes=placement.cache_bytes * 1_000)
    rate = sustained(cost, endless, Mix.of(rows, np.ones(len(rows)))).rate_per_s
    return Setting(problem=problem, placement=placement, rate_per_s=rate)


@cache
def requests_of(
    rate_per_s: float, seed: int, arrivals: str, known: str = "oracle"
) -> tuple[Request, ...]:
    """The requests of a seed; the same but for their instants at every rate."""
    rng = np.random.default_rng(SEED_OFFSET + seed)
    count = REQUESTS if seed >= 0 else 5 * REQUESTS
    client = rng.choice(len(SHARES), count, p=SHARES)
    prompt = rng.choice(prompts(), count)
    rows = rng.integers(len(answers().values), size=count)
    output = np.array(answers().values)[rows]
    if arrivals == "poisson":
        at = np.cumsum(rng.exponential(size=count))
    else:
        first = int(rng.integers(len(bursts_s()) - count))
        at = bursts_s()[first : first + count] - bursts_s()[first]
        at = at * (count - 1) / at[-1]
    made = [
        Request(
            id=i,
            client=int(client[i]),
            arrival_s=float(at[i]) / rate_per_s,
            prompt_tokens=int(prompt[i]),
            output_tokens=int(output[i]),
            reserved_tokens=int(prompt[i] + output[i]),
        )
        for i in range(count)
    ]
    if known == "oracle":
        return tuple(made)
    if known == "longest":
        use = LengthUse(mode="maximum", limit_tokens=LIMIT)
        return provided(made, use, known_of(answers(), rows))
    knowledge = known_of(answers(), rows)
    use = LengthUse(mode="predictor", quantile=0.95, limit_tokens=LIMIT)
    told = provided(made, use, knowledge)
    if known == "predictor" or knowledge.predicted is None:
        return told
    median = knowledge.predicted[:, LEVELS.index(0.5)].tolist()
    return tuple(
        replace(r, expected_tokens=max(1, round(m))) for r, m in zip(told, median, strict=True)
    )


class FewestSessions:
    """The rival that counts heads: least sum of sessions x blocks where there is room.

    Ties go to the chain that is fastest alone.
    """

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._graph = cost, WaitGraphs(cost, placement)

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain to take; where nobody has room the one to ask again."""
        graph, waits = self._graph(start_block)
        shape = self._cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
        alone, leave = request_costs_s(self._cost, graph, shape)
        sessions = np.array([view.count_at(j) for j in graph.server.tolist()])
        counted = sessions * (graph.end - graph.origin) + 1e-6 * alone
        closed = view.closed(exclude)
        if closed is not None:
            counted[closed[graph.server]] = np.inf
        wait = waits.waits_s(view, request.reserved_tokens, now_s)
        for costs in (np.where(wait > 0, np.inf, counted), np.where(wait == np.inf, wait, counted)):
            links, total = shortest(graph, costs, None if leave is None else 1e-6 * leave)
            if links:
                return Decision(route=graph.route(links), cost_s=total)
        refuse(self._cost.problem, request, graph.start, chain_exists=True)
        raise AssertionError


class _Aged:
    """A view whose crowd is an older one."""

    def __init__(self, view: SwarmView, crowd: Crowd) -> None:
        self._view, self.crowd = view, crowd

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


class Aged:
    """``overlap`` with figures of work that are read every ``age_s`` seconds; memory is live.

    ``own``: of its own sessions every client knows, as it does in a swarm.
    """

    def __init__(self, age_s: float, own: bool, cost: CostModel, placement: Placement) -> None:
        self._router = router_named("overlap")(cost, placement)
        self._age_s, self._read_s, self._own = age_s, -np.inf, own
        self._crowd = Crowd(cost.serial)
        self._then: dict[int, set[int]] = {}

    def __call__(self, request: Request, view: SwarmView, now_s: float, **where: Any) -> Decision:
        """As ``overlap``."""
        if now_s - self._read_s >= self._age_s:
            self._crowd, self._read_s = copy.deepcopy(view.crowd), now_s
            self._then = {c: set(_own(view, c)) for c in range(len(SHARES))}
        crowd = self._crowd
        if self._own:
            crowd, then = copy.deepcopy(crowd), self._then[request.client]
            now = _own(view, request.client)
            for session in sorted(then - set(now)):
                crowd.leave(session)
            for session in sorted(set(now) - then):
                crowd.join(session, *now[session])
        return self._router(request, _Aged(view, crowd), now_s, **where)


def _own(view: SwarmView, client: int) -> dict[int, tuple[tuple[int, ...], Pace]]:
    """What a client knows of its own sessions."""
    assert isinstance(view, SwarmState)
    return view.paces_of(client)


def factory_of(router: str, age_s: int) -> RouterFactory:
    """What makes a router."""
    if age_s:
        return partial(Aged, age_s, router == OWN)
    return FewestSessions if router == "jsq" else router_named(router)


@cache
def alone_s(name: str, client: int, prompt: int, output: int) -> float:
    """Response of a request with the whole swarm for itself, on its fastest chain."""
    setting = setting_of(name)
    cost = CostModel.of(setting.problem)
    graph = build_graph(cost, setting.placement)
    links_s, leave_s = request_costs_s(cost, graph, cost.shape(client, prompt, output))
    return shortest(graph, links_s, leave_s)[1] + cost.opening_s


def figures_of(name: str, router: RouterFactory, requests: Sequence[Request]) -> tuple[float, ...]:
    """FIGURES of one run."""
    setting = setting_of(name)
    made = router(CostModel.of(setting.problem), setting.placement)
    result = simulate(setting.problem, setting.placement, made, requests, admission="retry")
    assert set(result.status) == {"completed"}
    alone = [alone_s(name, r.client, r.prompt_tokens, r.output_tokens) for r in requests]
    counted = slice(int(WARM_UP * len(requests)), None)
    response, first = result.response_s[counted], result.ttft_s[counted]
    found = (
        response.mean(),
        np.quantile(response, 0.95),
        (response / np.array(alone)[counted]).mean(),
        first.mean(),
        np.quantile(first, 0.95),
    )
    return tuple(float(f) for f in found)


def cells(args: argparse.Namespace) -> Iterator[tuple[str, float, str, str, int, str]]:
    """(setting, load, arrivals, what is known of lengths, age, router) of every run."""
    for name in args.setting:
        for load in args.loads:
            for arrivals in args.arrivals:
                if "routers" in args.parts:
                    for router in ROUTERS:
                        yield name, load, arrivals, "oracle", 0, router
                if "lengths" in args.parts:
                    for known in LENGTHS:
                        yield name, load, arrivals, known, 0, "overlap"
                    yield name, load, arrivals, "longest", 0, "jsq"
                if "age" in args.parts:
                    for age in AGES_S[1:]:
                        for router in ("overlap", OWN):
                            yield name, load, arrivals, "oracle", age, router


def measured(args: argparse.Namespace) -> Iterator[Run]:
    """Every run asked for, seed by seed, so that what is broken off is complete for some."""
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for name, load, arrivals, known, age, router in cells(args):
            requests = requests_of(load * setting_of(name).rate_per_s, seed, arrivals, known)
            yield Run(
                setting=name,
                load=load,
                arrivals=arrivals,
                known=known,
                age_s=age,
                router=router,
                seed=seed,
                figures=figures_of(name, factory_of(router, age), requests),
            )


#: Setting, load and kind of arrivals; what is known, age and router; runs by seed.
Cell = tuple[str, float, str]
Way = tuple[str, int, str]
Table = dict[Cell, dict[Way, dict[int, tuple[float, ...]]]]


def table_of(runs: Iterable[Run]) -> Table:
    """The runs by what was asked."""
    table: Table = defaultdict(lambda: defaultdict(dict))
    for r in runs:
        way = r.known, r.age_s, r.router
        table[r.setting, r.load, r.arrivals][way][r.seed] = tuple(r.figures)
    return {cell: table[cell] for cell in sorted(table, key=lambda c: (c[2] != "poisson", c[:2]))}


class Pair:
    """Figures of two ways over the seeds that both have."""

    def __init__(self, ways: dict[Way, dict[int, tuple[float, ...]]], one: Way, two: Way) -> None:
        seeds = sorted(set(ways.get(one, {})) & set(ways.get(two, {})))
        shape = len(seeds), len(FIGURES)
        self.one = np.array([ways[one][s] for s in seeds]).reshape(shape)
        self.two = np.array([ways[two][s] for s in seeds]).reshape(shape)

    def ratio(self, figure: str) -> float:
        """Of the averages over seeds."""
        column = FIGURES.index(figure)
        return float(self.one[:, column].mean() / self.two[:, column].mean())

    def change(self, figure: str) -> str:
        """Paired 95 % interval, in per cent."""
        column = FIGURES.index(figure)
        found = Interval.of((self.one[:, column] / self.two[:, column] - 1).tolist())
        return f"{found.mean * 100:+.1f} ± {found.half_width * 100:.1f} %"


OVERLAP: Way = ("oracle", 0, "overlap")


def best_rival(ways: dict[Way, dict[int, tuple[float, ...]]]) -> str | None:
    """The one of the three with the best mean response."""
    pairs = {name: Pair(ways, ("oracle", 0, name), OVERLAP) for name in RIVALS}
    if not all(len(pair.one) for pair in pairs.values()):
        return None
    return min(RIVALS, key=lambda name: float(pairs[name].one[:, 0].mean()))


def text(figures: FloatArray) -> str:
    """Mean / P95 response; slow-down; mean / P95 of the first token."""
    mean, p95, slow, first, first95 = figures.mean(axis=0)
    return f"{mean:.0f} / {p95:.0f}; {slow:.2f}; {first:.1f} / {first95:.1f}"


def judged(what: str, pair: Pair, bounds: dict[str, float]) -> None:
    """One line per bound."""
    for figure, most in bounds.items():
        ratio = pair.ratio(figure)
        verdict = "PASS" if ratio <= most else "FAIL"
        print(f"* {verdict} {what}: {figure} {ratio:.3f} (at most {most})")


def report(table: Table) -> None:
    """The tables, and every bound that the runs can tell."""
    print("\nMean / P95 response s; slow-down; mean / P95 first token s\n")
    print("| setting, load, arrivals | seeds | " + " | ".join(ROUTERS) + " |")
    print("|---" * (len(ROUTERS) + 2) + "|")
    for (name, load, arrivals), ways in table.items():
        found = [ways.get(("oracle", 0, router), {}) for router in ROUTERS]
        if all(found):
            shown = [text(np.array(list(runs.values()))) for runs in found]
            seeds = len(found[-1])
            print(f"| {name} {load} {arrivals} | {seeds} | " + " | ".join(shown) + " |")
    print("\n`overlap` against the best of the three, and against jsq; paired 95 % intervals\n")
    print("| setting, load, arrivals | best | " + " | ".join(FIGURES) + " | jsq: mean | ttft p95 |")
    print("|---" * (len(FIGURES) + 4) + "|")
    for (name, load, arrivals), ways in table.items():
        best = best_rival(ways)
        if best:
            pair, heads = (Pair(ways, OVERLAP, ("oracle", 0, n)) for n in (best, "jsq"))
            if not len(heads.one):
                continue
            shown = [pair.change(f) for f in FIGURES]
            shown += [heads.change(f) for f in BENEFIT_JSQ]
            print(f"| {name} {load} {arrivals} | {best} | " + " | ".join(shown) + " |")
    print()
    benefits(table)
    knowledge(table)


def benefits(table: Table) -> None:
    """Rows 4 and 5."""
    ratios = []
    for (name, load, arrivals), ways in table.items():
        best = best_rival(ways)
        if arrivals != "poisson" or best is None:
            continue
        pair = Pair(ways, OVERLAP, ("oracle", 0, best))
        if load == 0.3:
            judged(f"row 5, {name} 0.3 against {best}", pair, NO_HARM)
        elif load == 0.7 and name == "abvt":
            judged(f"row 5, {name} 0.7 against {best}", pair, ONE_CHAIN)
        elif load == 0.7:
            ratios.append(pair.ratio("mean"))
            judged(f"row 4, {name} 0.7 against {best}", pair, BENEFIT)
            heads = Pair(ways, OVERLAP, ("oracle", 0, "jsq"))
            judged(f"row 4, {name} 0.7 against jsq", heads, BENEFIT_JSQ)
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        verdict = "PASS" if mean <= GEOMETRIC else "FAIL"
        print(f"* {verdict} row 4, mean over {len(ratios)} settings: {mean:.3f} ({GEOMETRIC})")


def knowledge(table: Table) -> None:
    """Rows 6 and 7: a table of all loads, and the bounds at 0.7."""
    lines = []
    print("\nThe same with less known: mean response over what it is with all known, paired\n")
    print("| setting, load, arrivals | what is known | seeds | figures | mean response |")
    print("|---" * 5 + "|")
    for (name, load, arrivals), ways in table.items():
        for (known, age, router), runs in sorted(ways.items()):
            pair = Pair(ways, (known, age, router), OVERLAP)
            if (
                router not in ("overlap", OWN)
                or (known == "oracle" and not age)
                or not len(pair.one)
            ):
                continue
            whose = "others' work" if router == OWN else "work"
            what = f"{whose} {age} s old" if age else known
            where = f"{name} {load} {arrivals}"
            shown = f"{text(pair.one)} | {pair.change('mean')}"
            print(f"| {where} | {what} | {len(pair.one)} | {shown} |")
            if (load, arrivals) == (0.7, "poisson"):
                few = MORE if known in ("predictor", "median") and len(runs) < FEW_SEEDS else 0.0
                most = AGED[age] if age else LENGTHS[known] + few
                row = f"row {7 if age else 6}, {name} 0.7, {what}"
                lines.append((row, pair, {"mean": most}))
                heads = Pair(ways, (known, age, router), (known, age, "jsq"))
                if known == "longest" and name != "abvt" and len(heads.one):
                    lines.append((f"{row}, against jsq", heads, {"mean": LONGEST_JSQ}))
    print()
    for line in lines:
        judged(*line)


def read(paths: Sequence[Path]) -> list[Run]:
    """Saved runs."""
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [Run(**json.loads(line)) for line in lines]


def main() -> None:
    """Run what is asked for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS)
    kinds = ("poisson", "azure")
    parser.add_argument("--arrivals", nargs="+", choices=kinds, default=kinds)
    parts = ("routers", "lengths", "age")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="append every run to a JSON Lines file")
    parser.add_argument("--report", type=Path, nargs="+", help="print the tables of saved runs")
    args = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    if args.report:
        report(table_of(read(args.report)))
        return
    for name in args.setting:
        print(f"{name}: load 1 is {setting_of(name).rate_per_s:.3f} requests/s", flush=True)
    runs = []
    for run in measured(args):
        runs.append(run)
        print(run, file=sys.stderr)
        if args.save:
            with args.save.open("a") as file:
                file.write(json.dumps(asdict(run)) + "\n")
    report(table_of(runs))


if __name__ == "__main__":
    main()
