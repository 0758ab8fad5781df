"""The event kernel."""

from swarmplan.simulator.kernel import Kernel, Rank


def test_events_run_by_time_then_rank_then_order_of_scheduling() -> None:
    kernel = Kernel()
    seen: list[str] = []
    kernel.at(2.0, Rank.FINISH, seen.append, "late")
    kernel.at(1.0, Rank.ARRIVAL, seen.append, "arrival")
    kernel.at(1.0, Rank.START, seen.append, "start")
    kernel.at(1.0, Rank.FINISH, seen.append, "first finish")
    kernel.at(1.0, Rank.FINISH, seen.append, "second finish")
    kernel.run()
    assert seen == ["first finish", "second finish", "start", "arrival", "late"]
    assert kernel.now_s == 2.0


def test_a_horizon_keeps_later_events_for_another_run() -> None:
    kernel = Kernel()
    seen: list[float] = []
    for at in (1.0, 2.0, 3.0):
        kernel.at(at, Rank.START, seen.append, at)
    kernel.run(until_s=2.0)
    assert seen == [1.0, 2.0]
    kernel.run()
    assert seen == [1.0, 2.0, 3.0]


def test_an_event_in_the_past_happens_now() -> None:
    kernel = Kernel()
    seen: list[float] = []
    kernel.at(
        5.0, Rank.START, lambda: kernel.at(1.0, Rank.START, lambda: seen.append(kernel.now_s))
    )
    kernel.run()
    assert seen == [5.0]
