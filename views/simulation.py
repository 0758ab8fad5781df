"""One simulated run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ..core.problem import Problem
from ..methods.certify import beside_most
from ..render import number, print_lines, print_table
from ..simulator.distribution import Distribution
from ..simulator.metrics import Summary, summarise
from ..simulator.result import SimulationResult
from ..simulator.service import Yardstick
from .text import assumed, percent, spent


def print_result(problem: Problem, result: SimulationResult) -> None:
    """Figures of one run and how busy the servers were."""
    summary = _summary(problem, result)
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
    if result.uplink_names:
        print_table(
            "Uplinks",
            ["uplink", "out GB", "in GB", "busy out", "busy in"],
            [
                [name, *map(number, sent / 1e9), *map(percent, busy)]
                for name, sent, busy in zip(
                    result.uplink_names,
                    result.uplink_bytes,
                    result.uplink_busy_frac.tolist(),
                    strict=True,
                )
            ],
        )
    lines = [
        f"throughput {number(summary.tokens_per_s)} tokens/s, {number(summary.requests_per_s)} "
        f"requests/s; {summary.retries} retries, {summary.replays} replays, "
        f"{summary.overflows} cache extensions"
    ]
    lines += _service(problem, summary)
    lines += spent(summary.kwh_per_million_tokens, summary.money_per_million_tokens)
    if summary.egress_per_million_tokens is not None:
        lines.append(
            f"what leaves uplinks costs {number(summary.egress_per_million_tokens)} per million "
            "output tokens, in the currency of its prices"
        )
    if result.tokens_per_pass == result.tokens_per_pass:
        passes = float(result.passes[result.passes > 0].mean())
        lines.append(
            f"clients draft: {number(result.tokens_per_pass)} tokens a pass, {number(passes)} "
            "passes an answer; tokens come several at once"
        )
    lines += assumed(problem)
    if result.offered_per_s > result.most_per_s:
        lines.append(beside_most(result.offered_per_s, result.most_per_s))
    if result.alloc_delay_s:
        lines.append(f"testbed constant in force: {result.alloc_delay_s:g} s per request")
    print_lines(lines)


def _summary(problem: Problem, result: SimulationResult) -> Summary:
    """Its figures; how slow requests were beside what is possible is for comparisons."""
    return summarise(result, by=Yardstick(deadlines=problem.planning.deadlines))


def _service(problem: Problem, summary: Summary) -> Iterator[str]:
    """What each client got where there are several, and deadlines where there are any."""
    service = summary.service
    if len(problem.clients) > 1 and summary.completed:
        yield (
            f"clients' mean response {number(service.fair_response_s)} s (each client counts the "
            f"same), of the worst served {number(service.worst_response_s)} s"
        )
    if problem.planning.deadlines is not None and summary.completed:
        yield (
            f"{percent(service.on_time_share)} of the requests met the deadlines; mean time beyond "
            f"them {number(service.late_s)} s"
        )


def _quantiles(values: Distribution) -> list[str]:
    return [number(v) for v in (values.mean, values.p50, values.p95, values.p99)]


def result_document(problem: Problem, result: SimulationResult) -> dict[str, Any]:
    """Summary and per-server figures; the per-request table is ``--table``."""
    return {
        "summary": asdict(_summary(problem, result)),
        "testbed_alloc_delay_s": result.alloc_delay_s,
        "independent_servers": list(problem.independent),
        "offered_per_s": result.offered_per_s,
        "most_per_s": result.most_per_s,
        "energy_j": result.energy_j,
        "money": result.money,
        "egress_money": result.egress_money,
        "tokens_per_pass": result.tokens_per_pass,
        "servers": [
            {
                "server": s.id,
                "peak_memory_bytes": int(result.peak_memory_bytes[j]),
                "cache_used_frac": float(result.cache_used_frac[j]),
                "compute_busy_frac": float(result.compute_busy_frac[j]),
            }
            for j, s in enumerate(problem.servers)
        ],
        "uplinks": [
            {
                "uplink": name,
                "up_bytes": sent[0],
                "down_bytes": sent[1],
                "up_busy_frac": busy[0],
                "down_busy_frac": busy[1],
            }
            for name, sent, busy in zip(
                result.uplink_names,
                result.uplink_bytes.tolist(),
                result.uplink_busy_frac.tolist(),
                strict=True,
            )
        ],
    }
