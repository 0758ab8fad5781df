"""The calendar of decisions."""

import math

from swarmplan.simulator.kernel import Kernel, Rank


def test_events_run_by_time_then_rank_then_order_of_scheduling() -> None:
    kernel = Kernel()
    seen: list[str] = []
    kernel.at(2.0, Rank.SERVER, seen.append, "late")
    kernel.at(1.0, Rank.ARRIVAL, seen.append, "arrival")
    kernel.at(1.0, Rank.START, seen.append, "start")
    kernel.at(1.0, Rank.SERVER, seen.append, "first server")
    kernel.at(1.0, Rank.SERVER, seen.append, "second server")
    while kernel.next_s < math.inf:
        kernel.step()
    assert seen == ["first server", "second server", "start", "arrival", "late"]
    assert kernel.now_s == 2.0


def test_an_event_in_the_past_happens_now() -> None:
    kernel = Kernel()
    seen: list[float] = []
    kernel.at(
        5.0, Rank.START, lambda: kernel.at(1.0, Rank.START, lambda: seen.append(kernel.now_s))
    )
    assert kernel.next_s == 5.0
    kernel.step()
    kernel.step()
    assert seen == [5.0]
    assert kernel.next_s == math.inf
