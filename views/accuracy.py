"""Time against accuracy as a table and as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..core.plan import Hop
from ..core.problem import Hosting, Problem
from ..perfmodel.accuracy import percent_of
from ..render import milliseconds, number, print_json, print_lines, print_table
from ..studies.accuracy import Tradeoff


def show_tradeoffs(problem: Problem, found: Sequence[Tradeoff], *, as_json: bool) -> None:
    """Every point: what it takes, what it costs, which precisions it uses."""
    if as_json:
        print_json({"frontier": [_document(problem, t) for t in found]})
        return
    packed = ["wires"] if any({*_wires(problem, t)} - {"none"} for t in found) else []
    print_table(
        "Time per token against accuracy, one chain for all planned sessions",
        ["ms per token", "perplexity +%", "servers", "blocks by precision", *packed],
        [
            [
                milliseconds(t.step_s),
                number(percent_of(t.harm)),
                str(len(t.routes[0].route.hops)),
                ", ".join(f"{count} {name}" for name, count in _blocks(problem, t).items()),
                *(", ".join(_wires(problem, t)) for _ in packed),
            ]
            for t in found
        ],
    )
    if problem.accuracy is not None:
        print_lines([problem.accuracy.remark])


def _hops(problem: Problem, point: Tradeoff) -> list[tuple[Hop, Hosting]]:
    hosting = point.placement.settled(problem).hosting
    return [(hop, hosting[hop.server]) for hop in point.routes[0].route.hops]


def _blocks(problem: Problem, point: Tradeoff) -> Counter[str]:
    counts: Counter[str] = Counter()
    for hop, hosting in _hops(problem, point):
        counts[hosting.precision] += len(hop)
    return counts


def _wires(problem: Problem, point: Tradeoff) -> list[str]:
    return [hosting.wire for _, hosting in _hops(problem, point)]


def _document(problem: Problem, point: Tradeoff) -> dict[str, object]:
    return {
        "tpot_ms": point.step_s * 1e3,
        "harm": percent_of(point.harm),
        "hops": [
            {
                "server": problem.servers[h.server].id,
                "start_block": h.start,
                "end_block": h.end,
                "precision": hosting.precision,
                **({} if hosting.wire == "none" else {"wire": hosting.wire}),
            }
            for h, hosting in _hops(problem, point)
        ],
    }
