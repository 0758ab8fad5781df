"""Time against accuracy as a table and as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..core.problem import Problem
from ..perfmodel.accuracy import percent_of
from ..render import milliseconds, number, print_json, print_lines, print_table
from ..studies.accuracy import Tradeoff


def show_tradeoffs(problem: Problem, found: Sequence[Tradeoff], *, as_json: bool) -> None:
    """Every point: what it takes, what it costs, which precisions it uses."""
    if as_json:
        print_json({"frontier": [_document(problem, t) for t in found]})
        return
    print_table(
        "Time per token against accuracy, one chain for all planned sessions",
        ["ms per token", "perplexity +%", "servers", "blocks by precision"],
        [
            [
                milliseconds(t.step_s),
                number(percent_of(t.harm)),
                str(len(t.routes[0].route.hops)),
                ", ".join(f"{count} {name}" for name, count in _blocks(problem, t).items()),
            ]
            for t in found
        ],
    )
    if problem.accuracy is not None:
        print_lines([problem.accuracy.remark])


def _precision(problem: Problem, point: Tradeoff, server: int) -> str:
    own = point.placement.precision
    return own[server] if own else problem.servers[server].precision


def _blocks(problem: Problem, point: Tradeoff) -> Counter[str]:
    counts: Counter[str] = Counter()
    for hop in point.routes[0].route.hops:
        counts[_precision(problem, point, hop.server)] += len(hop)
    return counts


def _document(problem: Problem, point: Tradeoff) -> dict[str, object]:
    return {
        "tpot_ms": point.step_s * 1e3,
        "harm": percent_of(point.harm),
        "hops": [
            {
                "server": problem.servers[h.server].id,
                "start_block": h.start,
                "end_block": h.end,
                "precision": _precision(problem, point, h.server),
            }
            for h in point.routes[0].route.hops
        ],
    }
