"""Rounds as the simulator sees them, and what measured rounds tell of overheads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.overhead import HopOverhead, fit_overhead
from swarmplan.swarm.contend import Measured, Round, Station, Times, Visit
from swarmplan.swarm.forecast import hop_rows, predict, problem_of, together_s

TIMING = Timing(decode_base_s=0.01, prefill_floor_s=0.01, prefill_per_token_s=1e-4)
STATIONS = (
    Station(name="A", rtt_s=0.02, clock=TIMING),
    Station(name="B", rtt_s=0.04, clock=TIMING),
)
HOP = HopOverhead(step_s=0.008, task_s=0.002, prefill_s=0.012, piece_s=0.003)
BLOCKS = 8


def visits(clients: int, *chain: tuple[str, int, int], prompt: int = 8) -> Round:
    return [
        Visit(at_s=0.05 * i, prompt_tokens=prompt, new_tokens=9, chain=chain)
        for i in range(clients)
    ]


def test_a_client_alone_takes_round_trips_overheads_and_blocks() -> None:
    problem = problem_of(STATIONS, HOP, blocks=BLOCKS)
    (times,) = predict(problem, visits(1, ("A", 0, 3), ("B", 3, 8)))
    assert times.step_s == pytest.approx(0.06 + 2 * 0.010 + 8 * 0.01)
    assert times.first_s == pytest.approx(0.06 + 2 * 0.014 + 8 * 0.01)
    assert times.whole_s == pytest.approx(times.first_s + 8 * times.step_s)


def test_a_long_prompt_pays_for_every_task_it_is_cut_into() -> None:
    problem = problem_of(STATIONS, HOP, blocks=BLOCKS)
    (times,) = predict(problem, visits(1, ("A", 0, 8), prompt=200))
    assert times.first_s == pytest.approx(0.02 + 0.012 + 8 * (0.02 + 0.002 + 0.003))


def test_clients_on_one_server_stand_in_line_and_on_two_they_do_not() -> None:
    problem = problem_of(STATIONS, HOP, blocks=BLOCKS)
    line = predict(problem, visits(4, ("A", 0, 8)))
    assert line[1].step_s == pytest.approx(4 * 0.082, rel=0.1)
    apart = predict(problem, [*visits(1, ("A", 0, 8)), *visits(1, ("B", 0, 8))])
    assert [t.step_s for t in apart] == pytest.approx([0.11, 0.13])


def test_clients_on_a_server_that_batches_step_together() -> None:
    curved = replace(TIMING, step_curve=((4, 0.005),))
    batching = replace(STATIONS[0], clock=curved, batched=True)
    problem = problem_of([batching], HOP, blocks=BLOCKS)
    times = predict(problem, visits(4, ("A", 0, 8)))
    line = predict(problem_of(STATIONS, HOP, blocks=BLOCKS), visits(4, ("A", 0, 8)))
    # A pass of all four takes half again as long as one; who comes back early is in none or two.
    assert all(0.110 < t.step_s < 2 * (0.122 + 0.03) for t in times)
    assert max(t.step_s for t in times) < min(t.step_s for t in line)


def test_rounds_on_one_hop_give_back_the_overheads_that_made_them() -> None:
    problem = problem_of(STATIONS, HOP, blocks=BLOCKS)
    rounds = [visits(1, ("B", 0, 8), prompt=p) for p in (8, 100, 160, 300)]
    made = [Measured(times=predict(problem, r), idle_frac=1.0, swarm_frac=0.0) for r in rounds]
    for clients in (4, 8):  # nobody has a pause: a token for each in the time of all their tasks
        stamps = [0.5 + 0.1 * clients + clients * 0.082 * k for k in range(9)]
        times = [Times(tokens_s=tuple(t - 0.05 * i for t in stamps)) for i in range(clients)]
        rounds.append(visits(clients, ("A", 0, 8)))
        made.append(Measured(times=tuple(times), idle_frac=1.0, swarm_frac=0.0))
    found = fit_overhead(list(hop_rows(STATIONS, rounds, made)))
    assert found.step_s == pytest.approx(HOP.step_s, rel=0.05)
    assert found.task_s == pytest.approx(HOP.task_s, rel=0.05)
    assert found.prefill_s == pytest.approx(HOP.prefill_s, rel=0.05)
    assert found.piece_s == pytest.approx(HOP.piece_s, rel=0.05)


def test_overheads_are_not_read_off_rounds_of_several_hops_or_chains() -> None:
    problem = problem_of(STATIONS, HOP, blocks=BLOCKS)
    for rounds in (
        [visits(1, ("A", 0, 3), ("B", 3, 8))],
        [[*visits(1, ("A", 0, 8)), *visits(1, ("B", 0, 8))]],
    ):
        made = [Measured(times=predict(problem, r), idle_frac=1.0, swarm_frac=0.0) for r in rounds]
        with pytest.raises(ValueError, match="share a chain of one hop"):
            list(hop_rows(STATIONS, rounds, made))


def test_times_together_need_tokens_while_all_are_there() -> None:
    late = [*visits(1, ("A", 0, 8)), Visit(at_s=60.0, prompt_tokens=8, new_tokens=9,
                                          chain=(("A", 0, 8),))]  # fmt: skip
    problem = problem_of(STATIONS, HOP, blocks=BLOCKS)
    with pytest.raises(ValueError, match="more tokens are needed"):
        together_s(late, predict(problem, late))


def test_a_server_that_has_told_nothing_yet_cannot_be_predicted() -> None:
    silent = [Station(name="A", rtt_s=0.02)]
    with pytest.raises(ValueError, match="A has not told yet"):
        problem_of(silent, HOP, blocks=BLOCKS)
