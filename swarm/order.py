"""Who moves when: a safe order from what is live to a plan; plain data in, plain data out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ..core.plan import Placement
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..placement.moves.migration import order_moves
from ..scenarios import schema
from .announce import Announcement
from .follow import spans_of
from .record import Step, planned_hosting


def moves_between(
    problem: Problem, live: Mapping[str, tuple[int, int]], planned: Placement
) -> tuple[Step, ...]:
    """A safe order of moving from what is live to the plan; joins and leaves included."""
    ids = [s.id for s in problem.servers]
    now = CostModel.of(problem).placed([live.get(name, (0, 0)) for name in ids])
    migration = order_moves(problem, now, planned, [1.0] * len(ids))
    # Before the first server joins, every block is dark, and waiting would not help.
    return tuple(Step(peer=ids[m.server], dark=list(m.dark)) for m in migration.moves)


def reloads_after(
    document: schema.Scenario, problem: Problem, planned: Placement, live: Sequence[Announcement]
) -> tuple[Step, ...]:
    """Servers that keep their blocks and load them anew, after all moves, one after another: at
    another precision, or with other adapters. Blocks that nobody else serves then are dark."""
    problem = planned.settled(problem)
    wanted = planned_hosting(document, problem, planned)
    spans, steps = spans_of(live), []
    told = {e.peer: e for e in live}
    last = {
        s.id: range(int(planned.start[j]), int(planned.end[j]))
        for j, s in enumerate(problem.servers)
        if s.id in spans
    }
    holders = Counter(block for blocks in last.values() for block in blocks)
    for peer, blocks in last.items():
        one = told[peer]
        stays = blocks and spans[peer] == (blocks.start, blocks.stop)
        if stays and not wanted.is_so(peer, one.quant_type, one.adapters):
            steps.append(Step(peer=peer, dark=[b for b in blocks if holders[b] == 1]))
    return tuple(steps)
