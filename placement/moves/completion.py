"""Plans whose chains are given, with hosts added where an operator wants more of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ...chains.soundness import unmet, unsound
from ...core.errors import HeuristicFailedError
from ...core.needs import needs
from ...core.plan import Placement, PlannedRoute
from ..task import Task
from .cover import cover
from .repair import Spans, spans_of

#: Seconds that the covering programme may take.
LIMIT_S = 2.0


def completed(task: Task, placement: Placement, routes: Sequence[PlannedRoute]) -> Placement | None:
    """A placement that meets all demands and leaves the chains as they are; None = not found.

    Servers on chains keep their ends and host more blocks before what the chains run; the others
    host what is missing. Chains that do not suit the pins find no placement.
    """
    cost = task.cost
    if not any(unmet(cost, placement)):
        return placement
    spans, n = spans_of(cost), task.problem.num_servers
    used = _used(task, routes)
    windows = [
        [_longest(task, spans, j, *used[j])] if j in used else spans.windows(j) for j in range(n)
    ]
    try:
        found = cover(windows, needs(task.problem), cost.num_blocks, time_limit_s=LIMIT_S)
    except HeuristicFailedError:
        return None
    if found is None:
        return None
    chosen = list(zip(found[0].tolist(), found[1].tolist(), strict=True))
    for j in {*used, *spans.pinned.nonzero()[0].tolist()}:
        chosen[j] = windows[j][0] if windows[j] else (0, 0)
    made = cost.placed(chosen)
    bad = [*unmet(cost, made), *unsound(cost, made, routes, task.demand)]
    return None if bad else made


def _used(task: Task, routes: Sequence[PlannedRoute]) -> dict[int, tuple[int, int, int]]:
    """By server on a chain: first block that it runs, end, bytes that its sessions hold."""
    tokens = {d.client: d.cache_tokens for d in task.demand}
    held: dict[int, int] = defaultdict(int)
    span: dict[int, tuple[int, int]] = {}
    for r in routes:
        for h in r.route.hops:
            each = int(task.cost.cache_bytes(tokens[r.client], h.start, h.end))
            held[h.server] += r.sessions * each
            span[h.server] = min(h.start, span.get(h.server, (h.start, 0))[0]), h.end
    return {j: (start, end, held[j]) for j, (start, end) in span.items()}


def _longest(
    task: Task, spans: Spans, server: int, start: int, end: int, held: int
) -> tuple[int, int]:
    """The longest span of a server that ends there, keeps its sessions and counts as a host."""
    cost = task.cost
    if spans.pinned[server]:
        return int(spans.start[server]), int(spans.end[server])
    while start > 0 and spans.holds(server, start - 1, end):
        weights = int(cost.weights_bytes(server, start - 1, end))
        room = int(task.problem.memory_bytes[server]) - weights
        if room < max(held, int(cost.session_bytes(start - 1, end))):
            break
        start -= 1
    return start, end
