"""How results look: each as tables for people and as one document for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .api import Explanation
from .core.plan import Plan, Route
from .core.problem import Problem
from .core.verify import Violation
from .perfmodel.calibrate import Calibration
from .render import milliseconds, number, print_lines, print_table
from .simulator.compare import Comparison, Row
from .simulator.metrics import Distribution, Interval, Summary, summarise
from .simulator.result import SimulationResult

Figure = Callable[[Summary], float]


def chain(problem: Problem, route: Route) -> str:
    """A route in one line."""
    return " > ".join(f"{problem.servers[h.server].id}[{h.start}:{h.end}]" for h in route.hops)


def percent(fraction: float | None) -> str:
    """A share as a percentage."""
    return "-" if fraction is None or fraction != fraction else f"{fraction * 100:.1f} %"


def print_plan(problem: Problem, plan: Plan) -> None:
    """Placement, routes and predictions."""
    rows = []
    for j, server in enumerate(problem.servers):
        start, end = int(plan.placement.start[j]), int(plan.placement.end[j])
        span = f"{start}:{end}" if end > start else "idle"
        tokens = int(plan.placement.cache_bytes[j]) // problem.model.cache_bytes_per_token
        cache = f"{tokens // (end - start):,}" if end > start else "-"
        used = (end - start) * server.block_bytes / server.memory_bytes
        rows.append(
            [server.id, server.device, server.region, span, end - start, cache, percent(used)]
        )
    print_table(
        f"Placement by {plan.method} for {plan.sessions} concurrent sessions",
        [
            "server",
            "device",
            "region",
            "blocks",
            "count",
            "cache tokens/block",
            "weights of memory",
        ],
        rows,
    )
    print_table(
        "Planned routes",
        ["client", "sessions", "chain"],
        [[problem.clients[r.client].id, r.sessions, chain(problem, r.route)] for r in plan.routes],
    )
    print_table(
        "Predicted for one request alone",
        ["client", "TTFT ms", "per token ms", "response s"],
        [
            [
                problem.clients[p.client].id,
                milliseconds(p.ttft_s),
                milliseconds(p.tpot_s),
                number(p.response_s),
            ]
            for p in plan.predicted
        ],
    )
    if plan.candidates:
        print_table(
            "Candidates",
            ["placement", "router", "bound", "figure", "requests", "verdict"],
            [
                [c.placement, c.router, number(c.bound), number(c.figure), c.requests, c.verdict]
                for c in plan.candidates
            ],
        )
    proof = plan.certificate
    print_lines(
        [
            f"requests are routed by {plan.router}",
            f"{proof.status}: {number(proof.objective)} {proof.meaning}; "
            f"bound {number(proof.bound)}, gap {percent(proof.gap)}",
            *plan.notes,
        ]
    )


FIGURES: tuple[tuple[str, Figure], ...] = (
    ("response s", lambda s: s.response_s.mean),
    ("p95", lambda s: s.response_s.p95),
    ("TTFT s", lambda s: s.ttft_s.mean),
    ("per token ms", lambda s: s.tpot_s.mean * 1e3),
    ("waiting s", lambda s: s.wait_s.mean),
    ("tokens/s", lambda s: s.tokens_per_s),
    ("hops", lambda s: s.mean_hops),
)


def print_comparison(comparison: Comparison) -> None:
    """One row per method: mean and 95 % interval of each figure, gain over the first method."""
    base = comparison.rows[0].method
    columns = ["method", *(name for name, _ in FIGURES), "completed", f"gain over {base}"]
    rows: list[list[object]] = []
    for row in comparison.rows:
        if row.error:
            rows.append([row.method, *["-"] * len(FIGURES), "-", row.error])
            continue
        size = comparison.per_seed(row)
        cells = [_interval(row.interval(figure, size)) for _, figure in FIGURES]
        done = sum(r.completed for r in row.runs) / sum(r.requests for r in row.runs)
        gain = comparison.gain(row, lambda s: s.response_s.mean)
        rows.append(
            [row.method, *cells, percent(done), "" if row is comparison.rows[0] else _gain(gain)]
        )
    print_table(
        f"Mean over {len(comparison.seeds)} seeds (95 % interval), waiting rule "
        f"'{comparison.admission}', {comparison.join_orders} join orders for PETALS",
        columns,
        rows,
    )
    if comparison.alloc_delay_s:
        print_lines([f"testbed constant in force: {comparison.alloc_delay_s:g} s per request"])


def _interval(value: Interval) -> str:
    text = number(value.mean)
    return (
        text if value.half_width != value.half_width else f"{text} ± {number(value.half_width, 2)}"
    )


def _gain(value: Interval) -> str:
    if value.mean != value.mean:
        return "-"
    spread = "" if value.half_width != value.half_width else f" ± {value.half_width * 100:.1f}"
    return f"{value.mean * 100:+.1f}{spread} %"


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Everything that the table shows and every run behind it."""
    return {
        "admission": comparison.admission,
        "seeds": list(comparison.seeds),
        "join_orders": comparison.join_orders,
        "testbed_alloc_delay_s": comparison.alloc_delay_s,
        "methods": [_row_document(comparison, row) for row in comparison.rows],
    }


def _row_document(comparison: Comparison, row: Row) -> dict[str, Any]:
    document: dict[str, Any] = {"method": row.method, "note": row.note, "error": row.error}
    if row.error:
        return document
    size = comparison.per_seed(row)
    for name, figure in FIGURES:
        document[name.replace(" ", "_").replace("/", "_per_")] = asdict(row.interval(figure, size))
    document["gain_over_first"] = asdict(comparison.gain(row, lambda s: s.response_s.mean))
    document["runs"] = [asdict(r) for r in row.runs]
    return document


def print_result(problem: Problem, result: SimulationResult) -> None:
    """Figures of one run and how busy the servers were."""
    summary = summarise(result)
    print_table(
        f"{summary.completed} of {summary.requests} requests completed, {summary.rejected} "
        f"rejected, {summary.lost} lost",
        ["figure", "mean", "p50", "p95", "p99"],
        [
            ["response s", *_quantiles(summary.response_s)],
            ["TTFT s", *_quantiles(summary.ttft_s)],
            ["per output token s", *_quantiles(summary.tpot_s)],
            ["waiting s", *_quantiles(summary.wait_s)],
        ],
    )
    print_table(
        "Servers",
        ["server", "peak memory", "cache in use", "compute busy"],
        [
            [
                s.id,
                percent(float(result.peak_memory_frac[j])),
                percent(float(result.cache_used_frac[j])),
                percent(float(result.compute_busy_frac[j])),
            ]
            for j, s in enumerate(problem.servers)
        ],
    )
    lines = [
        f"throughput {number(summary.tokens_per_s)} tokens/s, {number(summary.requests_per_s)} "
        f"requests/s; {summary.retries} retries, {summary.replays} replays, "
        f"{summary.overflows} cache extensions"
    ]
    if result.alloc_delay_s:
        lines.append(f"testbed constant in force: {result.alloc_delay_s:g} s per request")
    print_lines(lines)


def _quantiles(values: Distribution) -> list[str]:
    return [number(v) for v in (values.mean, values.p50, values.p95, values.p99)]


def result_document(problem: Problem, result: SimulationResult) -> dict[str, Any]:
    """Summary and per-server figures; the per-request table is ``--table``."""
    return {
        "summary": asdict(summarise(result)),
        "testbed_alloc_delay_s": result.alloc_delay_s,
        "servers": [
            {
                "server": s.id,
                "peak_memory_bytes": int(result.peak_memory_bytes[j]),
                "cache_used_frac": float(result.cache_used_frac[j]),
                "compute_busy_frac": float(result.compute_busy_frac[j]),
            }
            for j, s in enumerate(problem.servers)
        ],
    }


def print_violations(path: Path, violations: Sequence[Violation]) -> None:
    """Sound, or every violation on a line."""
    if not violations:
        print_lines([f"{path}: sound, no violations"])
    else:
        print_lines([f"{path}: {len(violations)} violation(s)", *(f"  {v}" for v in violations)])


def violations_document(violations: Sequence[Violation]) -> dict[str, Any]:
    """The same for programs."""
    return {"sound": not violations, "violations": [asdict(v) for v in violations]}


def print_explanations(problem: Problem, found: Sequence[Explanation]) -> None:
    """Per-hop breakdown of every client's route, then the cheapest chain through each server."""
    for e in found:
        name = problem.clients[e.client].id
        print_table(
            f"Client {name}: {number(e.tpot_s * 1e3)} ms per token, first token after "
            f"{number(e.ttft_s)} s (no waiting)",
            ["hop", "blocks", "network ms", "overhead ms", "compute ms", "share", "prefill ms"],
            [
                [
                    problem.servers[h.server].id,
                    f"{h.start}:{h.end}",
                    milliseconds(h.rtt_s),
                    milliseconds(h.overhead_s),
                    milliseconds(h.compute_s),
                    percent((h.rtt_s + h.overhead_s + h.compute_s) / e.tpot_s),
                    milliseconds(h.prefill_s),
                ]
                for h in e.hops
            ],
        )
        used = set(e.route.servers)
        others = [a for a in e.alternatives if a.server not in used]
        print_table(
            f"Why not another server? The cheapest chain of {name} through each",
            ["server", "per token ms", "more than the route ms", "chain"],
            [
                [
                    problem.servers[a.server].id,
                    milliseconds(a.step_s) if a.route else "-",
                    milliseconds(a.step_s - e.tpot_s) if a.route else "-",
                    chain(problem, a.route) if a.route else "no chain passes through it",
                ]
                for a in others[:15]
            ],
        )
        if len(others) > 15:
            print_lines([f"and {len(others) - 15} more servers"])


def explanations_document(problem: Problem, found: Sequence[Explanation]) -> dict[str, Any]:
    """The same for programs, ids instead of rows."""
    names = [s.id for s in problem.servers]
    return {
        "clients": [
            {
                "client": problem.clients[e.client].id,
                "ttft_s": e.ttft_s,
                "tpot_s": e.tpot_s,
                "hops": [{**asdict(h), "server": names[h.server]} for h in e.hops],
                "alternatives": [
                    {
                        "server": names[a.server],
                        "tpot_s": a.step_s,
                        "chain": chain(problem, a.route) if a.route else None,
                    }
                    for a in e.alternatives
                ],
            }
            for e in found
        ]
    }


def print_calibration(fitted: Calibration) -> None:
    """The fitted profile and how well it predicts points it has not seen."""
    timing = fitted.timing
    print_table(
        f"Profile {fitted.name} from {fitted.source}",
        ["figure", "value"],
        [
            ["decode, ms per block", milliseconds(timing.decode_base_s)],
            ["decode, us per context token", number(timing.decode_per_context_token_s * 1e6)],
            ["decode, ms per further sequence", milliseconds(timing.decode_per_sequence_s)],
            ["prefill floor, ms", milliseconds(timing.prefill_floor_s)],
            ["prefill base, ms", milliseconds(timing.prefill_base_s)],
            ["prefill, us per token", number(timing.prefill_per_token_s * 1e6)],
            ["held-out error, mean %", number(fitted.mean_error_percent)],
            ["held-out error, worst %", number(fitted.max_error_percent)],
        ],
    )
    print_table(
        "Points, each predicted by a fit without it",
        ["phase", "tokens", "batch", "measured ms", "predicted ms", "error %"],
        [
            [
                p.phase,
                p.tokens,
                p.batch,
                milliseconds(p.measured_s),
                milliseconds(p.predicted_s),
                number(p.error_percent, 3),
            ]
            for p in fitted.points
        ],
    )
    print_lines([f"warning: {w}" for w in fitted.warnings] or ["no warnings"])


def calibration_document(fitted: Calibration) -> dict[str, Any]:
    """The same for programs."""
    return asdict(fitted)
