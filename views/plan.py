"""A plan as tables; its document is the plan file's."""

from __future__ import annotations

from ..chains.expected import expected_per_million
from ..core.plan import Certificate, Plan, Throughput
from ..core.problem import Problem
from ..perfmodel.adapters import adapter_bytes
from ..perfmodel.cost import CostModel
from ..render import milliseconds, number, print_lines, print_table
from .text import assumed, chain, percent, span, spent

#: Columns of ``placement_rows``.
PLACEMENT = (
    "server",
    "device",
    "region",
    "blocks",
    "count",
    "cache tokens/block",
    "weights of memory",
)


def placement_rows(problem: Problem, plan: Plan) -> list[list[object]]:
    """Who hosts what, a row for each server."""
    problem = plan.placement.settled(problem)
    cost = CostModel.of(problem)
    rows: list[list[object]] = []
    for j, server in enumerate(problem.servers):
        start, end = int(plan.placement.start[j]), int(plan.placement.end[j])
        pool = int(plan.placement.cache_bytes[j])
        tokens = f"{cost.tokens_held(pool, start, end):,}" if end > start else "-"
        used = float(cost.weights_bytes(j, start, end)) / server.memory_bytes
        device = f"{server.device} {plan.placement.hosted(j)}".rstrip()
        place = [server.id, device, server.region, span(start, end), end - start]
        rows.append([*place, tokens, percent(used)])
    return rows


def route_rows(problem: Problem, plan: Plan, *, drafts: bool) -> list[list[object]]:
    """The planned chains, with the drafts of a pass there if asked for."""
    drafted = problem.with_drafts(plan.drafts)
    return [
        [
            problem.clients[r.client].id,
            r.sessions,
            *([drafted.drafts_on(r.client, r.route.servers) or "none"] if drafts else []),
            chain(problem, r.route),
        ]
        for r in plan.routes
    ]


def predicted_rows(problem: Problem, plan: Plan) -> list[list[object]]:
    """Times of one request alone, a row for each client."""
    return [
        [
            problem.clients[p.client].id,
            milliseconds(p.ttft_s),
            milliseconds(p.tpot_s),
            number(p.response_s),
        ]
        for p in plan.predicted
    ]


def adapter_rows(problem: Problem, plan: Plan) -> list[list[object]]:
    """Who asks for each adapter and who loads it; empty where nobody asks for any."""
    problem = plan.placement.settled(problem)
    memory = adapter_bytes(CostModel.of(problem), plan.placement)
    rows: list[list[object]] = []
    for name, taken in memory.items():
        loaded = [j for j, s in enumerate(problem.servers) if name in (s.adapters or ())]
        asking = [c.id for c in problem.clients if c.adapter == name]
        size = f"{int(taken[loaded].sum()) / 1e6:.1f}"
        servers = [problem.servers[j].id for j in loaded]
        rows.append([name, ", ".join(asking), len(loaded), ", ".join(servers), size])
    return rows


#: Columns of ``adapter_rows``.
ADAPTERS = ("adapter", "clients", "loads", "servers", "memory MB")

#: Columns of ``predicted_rows``.
PREDICTED = ("client", "TTFT ms", "per token ms", "response s")


def front_rows(found: Throughput) -> list[list[object]]:
    """Tokens per second and the latency that goes with them, from part loads to everything full."""
    rows: list[list[object]] = [
        [f"{share:g}", number(share * found.decode_per_s), milliseconds(token_s), number(first_s)]
        for share, token_s, first_s in found.part_loads
    ]
    full = f"{found.decode_per_s:.4g} +- {found.half_width_per_s:.2g}"
    rows.append(["full", full, milliseconds(found.token_s), number(found.first_token_s)])
    return rows


#: Columns of ``front_rows``.
FRONT = ("load", "decode tokens/s", "per token ms", "first token s")


def drafted_rows(problem: Problem, plan: Plan) -> list[list[object]]:
    """How each client drafts, a row for each."""
    passes = CostModel.of(plan.settled(problem)).passes
    return [
        [
            client.id,
            use.tokens or "none",
            own.models[use.model].name or "-" if use.tokens else "-",
            number(made.tokens),
        ]
        for client, own, use, made in zip(
            problem.clients, problem.drafting, plan.drafts, passes, strict=True
        )
    ]


#: Columns of ``drafted_rows``.
DRAFTED = ("client", "drafts per pass", "draft model", "tokens per pass")


def print_plan(problem: Problem, plan: Plan) -> None:
    """Placement, routes and predictions."""
    print_table(
        f"Placement by {plan.method} for {plan.sessions} concurrent sessions",
        PLACEMENT,
        placement_rows(problem, plan),
    )
    drafts = any(use.tokens for use in plan.drafts)
    print_table(
        "Planned routes",
        ["client", "sessions", *(["drafts per pass"] if drafts else []), "chain"],
        route_rows(problem, plan, drafts=drafts),
    )
    if drafts:
        print_table("Drafts", DRAFTED, drafted_rows(problem, plan))
    print_table("Predicted for one request alone", PREDICTED, predicted_rows(problem, plan))
    if plan.throughput is not None:
        print_table("Throughput against latency", FRONT, front_rows(plan.throughput))
    if adapters := adapter_rows(problem, plan):
        print_table("Adapters", ADAPTERS, adapters)
    if plan.candidates:
        print_table(
            "Candidates",
            ["placement", "router", "bound", "figure", "requests", "verdict"],
            [
                [c.placement, c.router, number(c.bound), number(c.figure), c.requests, c.verdict]
                for c in plan.candidates
            ],
        )
    lines = [f"requests are routed by {plan.router}", proven(plan.certificate), *plan.notes]
    print_lines([*lines, *expected_lines(problem, plan), *assumed(problem)])


def expected_lines(problem: Problem, plan: Plan) -> list[str]:
    """What serving the planned load takes, where watts or prices are known."""
    hosted = plan.placement.settled(problem)
    taken = expected_per_million(CostModel.of(hosted), plan.placement)
    return [f"expected at the planned load: {line}" for line in spent(*taken)]


def proven(proof: Certificate) -> str:
    """What was reached and what is proven, in one line."""
    reached = proof.objective
    goal = reached.goal
    if reached.value is None:
        known = f"{goal.words}: not measured by this method"
    else:
        known = f"{goal.words}: {number(reached.value)} {goal.unit}"
    if reached.bound is None:
        return f"{proof.status}: {known}; nothing is proven about it"
    side = "below" if goal.direction == "min" else "above"
    return (
        f"{proof.status}: {known}; no plan {side} {number(reached.bound)} {goal.unit} "
        f"({proof.proof}), gap {percent(reached.gap)}"
    )
