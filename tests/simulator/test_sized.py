"""Polling by size: who takes little asks again sooner, who takes much later."""

from __future__ import annotations

from swarmplan.core.problem import Problem
from swarmplan.routing.waiting import LONGEST, SHORTEST, Sizes
from swarmplan.simulator.admission import Retry, Rule
from swarmplan.simulator.sized import Sized
from swarmplan.tests.simulator.test_line import starts as starts_of


def starts(tiny: Problem, rule: Rule, *asked: tuple[float, int]) -> list[float]:
    """Starts of (arrival, tokens) of one client on one server with room for 100 tokens."""
    return starts_of(tiny, rule, *((at, 0, tokens) for at, tokens in asked))


def test_sizes_are_beside_the_mean_of_what_was_asked_for_within_limits() -> None:
    sizes = Sizes()
    assert sizes.times(5.0) == 1.0
    for size in (1.0, 3.0):
        sizes.seen(size)
    assert sizes.times(2.0) == 1.0
    assert sizes.times(3.0) == 1.5
    assert (sizes.times(0.01), sizes.times(900.0)) == (SHORTEST, LONGEST)


def test_alike_sessions_pause_as_those_of_petals(tiny: Problem) -> None:
    asked = [(0.01 * i, 90) for i in range(6)]
    assert starts(tiny, Sized(), *asked) == starts(tiny, Retry(), *asked)


def test_short_sessions_slip_in_before_long_ones(tiny: Problem) -> None:
    asked = [(0.2 * i, 90 if i % 2 else 20) for i in range(80)]

    def mean_wait_s(rule: Rule, parity: int) -> float:
        waits = [
            start - at for start, (at, _) in zip(starts(tiny, rule, *asked), asked, strict=True)
        ]
        return sum(waits[parity::2]) / len(waits[parity::2])

    assert mean_wait_s(Sized(), 0) < 0.8 * mean_wait_s(Retry(), 0)
    assert mean_wait_s(Sized(), 0) < mean_wait_s(Sized(), 1)
