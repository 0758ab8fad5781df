"""Groups of servers as tables for people and documents for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..core.problem import Problem
from ..render import milliseconds, number, print_lines, print_table
from ..studies.regions import Aggregation, ClientTimes, Group

_SPREADS = ("hop spread ms", "block spread ms")
#: Groups that get a row of their own.
MOST_GROUPS = 30


def print_aggregation(problem: Problem, found: Aggregation) -> None:
    """Groups, what reading them loses, what planning on them can err."""
    groups = found.reading.groups
    shown = groups[:MOST_GROUPS]
    while len(groups) > MOST_GROUPS and shown and shown[-1].share == 0:
        shown = shown[:-1]
    print_table(
        "Groups by their share of the traffic (block runs of the plan on single servers)",
        ["group", "servers", "devices", "memory GB", "traffic", "bits lost", *_SPREADS],
        [
            [
                g.name,
                len(g.rows),
                ", ".join(g.devices),
                f"{g.memory_bytes / 1e9:.1f}",
                f"{g.share * 100:.1f} %",
                f"{g.lost_bits:.3f}",
                milliseconds(g.hop_spread_s),
                milliseconds(g.block_spread_s),
            ]
            for g in shown
        ],
    )
    if len(shown) < len(groups):
        print_lines([_rest(groups[len(shown) :]), ""])
    if found.times:
        columns = ["client", "worst members", "as planned", "best members", "bound", "relative"]
        print_table(
            "Planned on groups: ms per token of a request alone",
            [*columns, "planned on servers"],
            [_row(problem, t) for t in found.times],
        )
    print_lines(lines_of(problem, found))


def _rest(groups: Sequence[Group]) -> str:
    servers = sum(len(g.rows) for g in groups)
    share = sum(g.share for g in groups)
    return f"{len(groups)} more groups, {servers} servers with {share * 100:.1f} % of the traffic"


def _row(problem: Problem, t: ClientTimes) -> list[object]:
    return [
        problem.clients[t.client].id,
        milliseconds(t.worst.tpot_s),
        milliseconds(t.true.tpot_s),
        milliseconds(t.best.tpot_s),
        milliseconds(t.bound_s),
        f"{t.bound_s / t.worst.tpot_s * 100:.1f} %",
        milliseconds(t.single.tpot_s if t.single else None),
    ]


def lines_of(problem: Problem, found: Aggregation) -> list[str]:
    """What was lost, in words."""
    r = found.reading
    kept = r.between_bits / r.total_bits * 100 if r.total_bits > 0 else 100.0
    lines = [
        f"{problem.num_servers} servers in {len(r.groups)} groups: traffic has "
        f"{r.total_bits:.3f} bits over servers, {r.between_bits:.3f} over groups; "
        f"{r.lost_bits:.3f} bits are lost ({kept:.1f} % kept)"
    ]
    if found.plan is None:
        return [*lines, f"no plan on groups: {found.error}"]
    widest = max(found.times, key=lambda t: t.bound_s)
    lines.append(
        f"planning on groups errs by at most {milliseconds(widest.bound_s)} ms per token "
        f"({problem.clients[widest.client].id}) in what these chains take"
    )
    if found.lost_blocks:
        lines.append(
            f"{found.lost_blocks} blocks less fit when every server counts as the smallest of its "
            "group"
        )
    both = [(t.true.tpot_s, t.single.tpot_s) for t in found.times if t.single is not None]
    if both:
        grouped, single = (sum(v) / len(both) for v in zip(*both, strict=True))
        lines.append(
            f"here the plan on groups takes {milliseconds(grouped)} ms per token (mean of the "
            f"clients), the plan on single servers {number(single * 1e3)}"
        )
    return lines


def aggregation_document(problem: Problem, found: Aggregation) -> dict[str, Any]:
    """The same for programs."""
    reading = asdict(found.reading)
    for group in reading["groups"]:
        group["servers"] = [problem.servers[j].id for j in group.pop("rows")]
    return {
        **reading,
        "lost_blocks": found.lost_blocks,
        "error": found.error,
        "clients": [
            {
                "client": problem.clients[t.client].id,
                "bound_per_token_s": t.bound_s,
                "bound_response_s": t.response_bound_s,
                "worst_per_token_s": t.worst.tpot_s,
                "planned_per_token_s": t.true.tpot_s,
                "best_per_token_s": t.best.tpot_s,
                "single_per_token_s": t.single.tpot_s if t.single else None,
            }
            for t in found.times
        ],
    }
