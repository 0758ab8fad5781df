"""Mixed-integer programmes: right answers, on time, whatever HiGHS or its process is doing."""

import itertools
import json
import os
import signal
import threading
import time
from typing import Any, NamedTuple

import numpy as np
import pytest

from swarmplan.core.errors import SolverError
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.mip import solve_programme
from swarmplan.solve.programme import Builder, Programme
from swarmplan.tests.solve.programmes import cover, knapsacks, script, small, workers

#: What a call may be late by on a busy machine.
LATE_S = 1.5


def drawn(seed: int) -> Programme:
    """Six whole variables of 0 to 2 and one that is not whole, under three random rows."""
    rng = np.random.default_rng(seed)
    written = Builder()
    for _ in range(6):
        written.variable(float(rng.integers(-9, 10)), upper=2.0, integer=True)
    written.variable(1.0, upper=4.0)
    for _ in range(3):
        entries = dict(enumerate(rng.integers(-5, 6, 6).astype(float).tolist()))
        written.row({**entries, 6: 1.0}, lower=float(rng.integers(-4, 7)))
    return written.programme()


def least(programme: Programme) -> float:
    """The optimum of a drawn programme by trying all whole values; inf when there is none."""
    rows = np.zeros((3, 7))
    for i in range(3):
        part = slice(programme.starts[i], programme.starts[i + 1])
        rows[i, programme.columns[part]] = programme.values[part]
    best = np.inf
    for whole in itertools.product(range(3), repeat=6):
        rest = max(0.0, (programme.row_lower - rows[:, :6] @ whole).max())
        if rest <= 4.0:
            best = min(best, float(programme.cost[:6] @ whole) + rest)
    return best


@pytest.mark.parametrize("seed", range(20))
def test_the_optimum_is_that_of_trying_everything(seed: int) -> None:
    programme, best = drawn(seed), least(drawn(seed))
    found = solve_programme(programme, deadline=Deadline(), gap=0.0)
    if not np.isfinite(best):
        assert found.state == "infeasible"
        return
    assert found.values is not None
    assert found.bound is not None
    assert found.state == "optimal"
    assert programme.accepts(found.values)
    assert programme.objective(found.values) == pytest.approx(best)
    assert found.bound == pytest.approx(best)


def test_a_target_ends_the_run_and_a_gap_ends_it_as_optimal() -> None:
    programme = knapsacks()
    enough = solve_programme(programme, deadline=Deadline.after(30), gap=0.0, target=-1.0)
    assert enough.state == "feasible"
    near = solve_programme(programme, deadline=Deadline.after(30), gap=0.5)
    assert near.state == "optimal"
    assert near.values is not None
    assert near.bound is not None
    assert near.bound >= 1.5 * programme.objective(near.values)


def test_progress_tells_objectives_that_fall_and_bounds_that_rise_to_the_outcome() -> None:
    told: list[Told] = []
    programme = knapsacks()
    found = solve_programme(
        programme,
        deadline=Deadline.after(1.0),
        gap=0.0,
        on_better=lambda *known: told.append(Told(*known)),
    )
    assert found.values is not None
    assert found.bound is not None
    objectives = [t.cost for t in told if t.cost is not None]
    bounds = [t.bound for t in told if t.bound is not None]
    assert objectives == sorted(objectives, reverse=True)
    assert bounds == sorted(bounds)
    assert programme.objective(found.values) <= objectives[-1]
    assert bounds[-1] <= found.bound <= programme.objective(found.values)


def test_a_limit_is_kept_where_highs_hears_none_and_the_start_survives() -> None:
    programme, start = cover(), np.ones(2000)
    began = time.monotonic()
    found = solve_programme(programme, deadline=Deadline.after(1.0), gap=0.0, start=start)
    assert time.monotonic() - began < 1.0 + LATE_S
    assert found.state == "feasible"
    assert found.values is not None
    assert programme.accepts(found.values)
    assert programme.objective(found.values) <= programme.objective(start)
    assert found.bound is None or found.bound <= 100.0  # the optimum is near 70


def test_a_start_that_is_not_sound_is_no_solution() -> None:
    programme = cover()
    found = solve_programme(programme, deadline=Deadline.after(0.1), gap=0.0, start=np.zeros(2000))
    assert found.state == "nothing"
    assert found.values is None


class Told(NamedTuple):
    """What a run says of itself."""

    elapsed_s: float
    cost: float | None
    bound: float | None


class Stop:
    """Sends a signal to the process that solves once it has told a solution and a bound."""

    def __init__(self, number: signal.Signals) -> None:
        self.number, self.told = number, Told(0.0, None, None)
        self.sent: list[int] = []

    def __call__(self, *known: Any) -> None:
        self.told = Told(*known)
        if None not in known and not self.sent:
            self.sent = workers(os.getpid())
            for process in self.sent:
                os.kill(process, self.number)


def test_a_process_that_stands_still_is_left_in_time_with_what_it_told() -> None:
    programme, stop = knapsacks(), Stop(signal.SIGSTOP)
    began = time.monotonic()
    # Long enough for a first solution on a machine that is busy.
    found = solve_programme(programme, deadline=Deadline.after(5.0), gap=0.0, on_better=stop)
    assert time.monotonic() - began < 5.0 + LATE_S
    assert found.state == "feasible"
    assert found.values is not None
    assert programme.accepts(found.values)
    assert programme.objective(found.values) == stop.told.cost
    assert found.bound == stop.told.bound
    assert stop.sent
    assert not set(stop.sent) & set(workers(os.getpid()))
    again = solve_programme(small(), deadline=Deadline.after(30), gap=0.0)
    assert again.bound == pytest.approx(-9.0)


def test_a_process_that_is_killed_leaves_what_it_told() -> None:
    programme, stop = knapsacks(), Stop(signal.SIGKILL)
    began = time.monotonic()
    found = solve_programme(programme, deadline=Deadline.after(60), gap=0.0, on_better=stop)
    assert time.monotonic() - began < 30.0
    assert found.state == "feasible"
    assert found.values is not None
    assert not found.interrupted
    assert programme.objective(found.values) == stop.told.cost
    assert not set(stop.sent) & set(workers(os.getpid()))


def test_a_process_that_is_killed_before_it_told_anything_is_an_error_with_the_cause() -> None:
    before = set(workers(os.getpid()))

    def kill() -> None:
        while not (started := set(workers(os.getpid())) - before):
            time.sleep(0.01)
        for process in started:
            os.kill(process, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(SolverError, match="ended by signal 9: perhaps memory ran out"):
        solve_programme(cover(), deadline=Deadline.after(60), gap=0.0)


def test_what_progress_raises_reaches_the_caller_and_nothing_runs_on() -> None:
    def refuse(*_known: Any) -> None:
        raise ZeroDivisionError

    before = workers(os.getpid())
    with pytest.raises(ZeroDivisionError):
        solve_programme(knapsacks(), deadline=Deadline.after(60), gap=0.0, on_better=refuse)
    assert not set(workers(os.getpid())) & set(before)


def test_threads_solve_side_by_side() -> None:
    found: dict[int, float | None] = {}

    def solve(seed: int) -> None:
        found[seed] = solve_programme(drawn(seed), deadline=Deadline(), gap=0.0).bound

    seeds = [s for s in range(6) if np.isfinite(least(drawn(s)))]
    threads = [threading.Thread(target=solve, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == pytest.approx({seed: least(drawn(seed)) for seed in seeds})
    assert len(workers(os.getpid())) <= 1


INTERRUPTED = """
import json, os, signal, sys, threading, time
import numpy as np
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.mip import solve_programme
from swarmplan.tests.solve.programmes import cover, knapsacks, small, workers

programme, start = {programme}
solve_programme(small(), deadline=Deadline(), gap=0.0)
sent = []

def send():
    sent.append(time.monotonic())
    os.killpg(0, signal.SIGINT)  # as a terminal does: the whole group

threading.Timer({after}, send).start()
found = solve_programme(programme, deadline=Deadline(), gap=0.0, start=start)
late = time.monotonic() - sent[0]
again = solve_programme(small(), deadline=Deadline(), gap=0.0)
print(json.dumps({{
    "late": late, "state": found.state, "interrupted": found.interrupted, "bound": found.bound,
    "objective": programme.objective(found.values), "sound": programme.accepts(found.values),
    "again": again.state, "workers": len(workers(os.getpid())),
}}))
"""


@pytest.mark.parametrize(
    ("programme", "after"), [("cover(), np.ones(2000)", 0.7), ("knapsacks(), None", 1.5)]
)
def test_ctrl_c_is_heard_in_presolve_and_in_the_tree_and_keeps_the_best(
    programme: str, after: float
) -> None:
    out, err = script(INTERRUPTED.format(programme=programme, after=after)).communicate(timeout=60)
    assert err == ""
    told = json.loads(out)
    assert told["interrupted"]
    assert told["late"] < 1.0
    assert told["state"] == "feasible"
    assert told["sound"]
    assert told["bound"] is None or told["bound"] <= told["objective"]
    assert told["bound"] is not None or "cover" in programme
    assert (told["again"], told["workers"]) == ("optimal", 1)
