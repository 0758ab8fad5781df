"""What is served with always somebody waiting: which run is chosen, how many requests are asked."""

from __future__ import annotations

from dataclasses import replace

from swarmplan.chains.compose import client_shares
from swarmplan.core.plan import Throughput
from swarmplan.core.problem import Problem
from swarmplan.methods.saturated import ENOUGH, MOST, best_of, trial_for
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.fluid import fluid


def run(decode_per_s: float, half_width_per_s: float, token_s: float) -> Throughput:
    return Throughput(
        decode_per_s=decode_per_s,
        prompt_per_s=0.0,
        half_width_per_s=half_width_per_s,
        requests_per_s=decode_per_s / 10,
        token_s=token_s,
        first_token_s=1.0,
        sessions=1.0,
        window_s=1.0,
    )


def test_of_runs_that_are_not_told_apart_the_one_with_less_time_per_token_is_taken() -> None:
    runs = [run(100.0, 6.0, 2.0), run(93.0, 5.0, 1.0), run(91.0, 5.0, 0.5)]
    assert best_of(runs, batched=True) == 1  # 7 and 9 less, where 7.8 may be chance
    assert best_of(runs, batched=False) == 0


def test_a_run_that_is_surely_better_is_taken_whatever_its_latency() -> None:
    assert best_of([run(50.0, 1.0, 0.1), run(100.0, 1.0, 9.0)], batched=True) == 1


def test_a_trial_has_more_requests_than_a_good_placement_has_room_for(tiny: Problem) -> None:
    servers = tuple(
        replace(s, sharing="batched", memory_bytes=3_000_000 if s.memory_bytes > 3_000 else 3_001)
        for s in tiny.servers
    )
    cost = CostModel.of(replace(tiny, servers=servers))
    placement = cost.placed([(0, 3), (3, 6), (3, 6), (0, 0)])
    room = fluid(cost, client_shares(cost.problem), placement).room
    assert room > MOST
    assert trial_for(cost, 0, placement).requests == int(ENOUGH * room)
    assert trial_for(cost, 0).requests < int(ENOUGH * room)
