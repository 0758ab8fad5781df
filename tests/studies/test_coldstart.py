"""Servers that load blocks: sums by hand, and what the loss of each leaves dark."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.reload import Reload
from swarmplan.routing.alternatives import first_tokens_s
from swarmplan.studies.coldstart import cold_starts, in_words, recoveries

RELOAD = Reload(restart_s=2.0)


def linked(tiny: Problem, memory: int = 10**6) -> Problem:
    """Servers that read 1000 bytes, one block, in ten seconds over the link, in one from disk."""
    return replace(
        tiny,
        servers=tuple(
            replace(s, download_bytes_per_s=100.0, disk_bytes_per_s=1_000.0, memory_bytes=memory)
            for s in tiny.servers
        ),
    )


def placed(problem: Problem, *spans: tuple[int, int]) -> Placement:
    return CostModel.of(problem).placed(spans)


def test_a_first_token_waits_for_the_loading_and_the_prompt(tiny: Problem) -> None:
    problem = linked(tiny)
    old = placed(problem, (0, 3), (3, 6), (0, 0), (0, 3))
    new = placed(problem, (0, 3), (3, 6), (3, 6), (0, 4))
    found = cold_starts(problem, old, new, RELOAD)
    assert [c.server for c in found] == [problem.servers[j].id for j in (2, 3)]
    assert [c.load_s for c in found] == [2.0 + 30.0, 2.0 + 10.0 + 3.0]
    first = first_tokens_s(CostModel.of(problem), new)
    assert [c.first_token_s - c.load_s for c in found] == pytest.approx([first[2], first[3]])
    cost = CostModel.of(problem)
    least = [
        min(
            cost.opening_s + cost.planned(c).prefill_hop_s[2] + cost.planned(c).prefill_hop_s[j]
            for c in range(len(problem.clients))
            for j in (0, 3)
        )
    ]
    assert first[2] >= least[0]


def test_what_quantising_and_adapters_add(tiny: Problem) -> None:
    server = replace(linked(tiny).servers[0], precision="nf4", quantise_bytes_per_s=500.0)
    move = RELOAD.move_s(server, (0, 3), (1, 4))
    assert move == 2.0 + 10.0 + 2.0 + 6.0
    fast = Reload(restart_s=2.0, what="new blocks")
    assert fast.move_s(server, (0, 3), (1, 4)) == 2.0 + 10.0 + 2.0
    plain = replace(server, precision="bf16")
    assert RELOAD.move_s(plain, (0, 3), (1, 4)) == 2.0 + 10.0 + 2.0
    more = (0, 0, 0, 500, 0, 0)
    assert RELOAD.move_s(plain, (0, 3), (1, 4), adapters=more) == 2.0 + 15.0 + 2.0
    assert RELOAD.start_s(plain, (2, 4), stored=True, adapters=more) == 2.0 + 2.5
    assert RELOAD.start_s(plain, (2, 4), stored=False, adapters=more) == 2.0 + 25.0


def test_an_idle_spare_loads_what_a_loss_leaves_dark(tiny: Problem) -> None:
    problem = linked(tiny)
    cost = CostModel.of(problem)
    found = recoveries(cost, placed(problem, (0, 3), (3, 6), (0, 0), (0, 3)), reload=RELOAD)
    names = [s.id for s in problem.servers]
    assert [(r.lost, r.dark, r.seconds) for r in found] == [
        (names[1], 3, 32.0),
        (names[0], 0, 0.0),
        (names[3], 0, 0.0),
    ]
    assert found[0].spares[0] == (names[2], (3, 6)) or found[0].spares[0][1] == (3, 6)
    disk = recoveries(
        cost, placed(problem, (0, 3), (3, 6), (0, 0), (0, 3)), reload=RELOAD, stored=True
    )
    assert disk[0].seconds == 2.0 + 3.0
    assert "3 blocks are dark for 32 s" in in_words(found[0])
    assert in_words(found[1]) == "no block goes dark whichever server is lost"


def test_spares_share_what_none_holds_alone_and_nobody_leaves_his_own(tiny: Problem) -> None:
    cost = CostModel.of(linked(tiny))
    each = int(cost.session_bytes(0, 1))
    small = linked(tiny, memory=2 * (1_000 + each) + 10)
    cost = CostModel.of(small)
    shared = recoveries(
        cost, cost.placed([(0, 2), (2, 6), (0, 0), (0, 0)], cache_bytes=[0] * 4), reload=RELOAD
    )
    worst = shared[0]
    assert (worst.dark, worst.seconds) == (4, 22.0)
    assert sorted(span for _, span in worst.spares) == [(2, 4), (4, 6)]
    none = recoveries(cost, cost.placed([(0, 2), (2, 4), (4, 6), (4, 6)]), reload=RELOAD)
    by_name = {r.lost: r for r in none}
    names = [s.id for s in small.servers]
    assert by_name[names[2]].dark == 0
    # One of the two that host the end may go, and it is enough.
    assert by_name[names[0]].seconds == 22.0
    alone = recoveries(cost, cost.placed([(0, 2), (2, 4), (4, 6), (0, 0)]), reload=RELOAD)
    assert all(r.seconds == 22.0 for r in alone)
    broken = recoveries(cost, cost.placed([(0, 2), (2, 5), (5, 6), (0, 1)]), reload=RELOAD)
    assert math.isinf(max(r.seconds for r in broken))
    assert "no spare can load them" in in_words(broken[0])
    assert not np.isnan([r.seconds for r in broken]).any()
