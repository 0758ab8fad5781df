"""The linear programme that grows."""

import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from swarmplan.core.errors import SolverError
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.lp import Lp, Solution
from swarmplan.tests.solve.programmes import script


def large(size: int = 1500) -> Lp:
    """A sparse programme: 0.3 s of the simplex with 400 rows, 15 s with 1,500."""
    rng = np.random.default_rng(0)
    lp = Lp()
    for _ in range(size):
        lp.add_row({}, 1.0, np.inf)
    for _ in range(2 * size):
        rows = rng.choice(size, size // 20, replace=False).tolist()
        shares = rng.uniform(0, 1, len(rows)).tolist()
        lp.add_column(float(rng.uniform(1, 2)), dict(zip(rows, shares, strict=True)))
    return lp


def test_columns_and_rows_added_later_move_the_optimum() -> None:
    lp = Lp()
    row = lp.add_row({}, 1.0, 1.0)
    dear = lp.add_column(5.0, {row: 1.0})
    found = lp.solve(Deadline())
    assert found is not None
    assert (found.objective, found.values.tolist(), found.dual.tolist()) == (5.0, [1.0], [5.0])
    cheap = lp.add_column(2.0, {row: 1.0})
    lp.add_row({cheap: 1.0}, -np.inf, 0.25)
    found = lp.solve(Deadline())
    assert found is not None
    assert found.values.tolist() == [0.75, 0.25]
    assert found.objective == pytest.approx(0.75 * 5 + 0.25 * 2)
    lp.set_open(cheap, is_open=False)
    lp.set_cost(dear, 3.0)
    found = lp.solve(Deadline())
    assert found is not None
    assert found.objective == 3.0
    assert found.reduced.tolist() == [0.0, -1.0]
    assert lp.num_rows == 2


def test_a_programme_without_a_solution_is_an_error() -> None:
    lp = Lp()
    lp.add_column(1.0, {lp.add_row({}, 1.0, 1.0): -1.0})
    with pytest.raises(SolverError, match="kInfeasible"):
        lp.solve(Deadline())


def test_a_limit_is_kept_and_the_next_run_goes_on() -> None:
    lp = large(400)
    began = time.monotonic()
    assert lp.solve(Deadline.after(0.05)) is None
    assert time.monotonic() - began < 1.0
    assert lp.solve(Deadline()) is not None


def test_nothing_keeps_a_programme_alive() -> None:
    lp = Lp()
    lp.add_row({}, 1.0, 1.0)
    lp.add_column(5.0, {0: 1.0})
    lp.solve(Deadline())
    known = weakref.ref(lp)
    del lp
    gc.collect()
    assert known() is None


def test_a_thread_may_solve() -> None:
    found = []
    lp = large(200)
    thread = threading.Thread(target=lambda: found.append(lp.solve(Deadline())))
    thread.start()
    thread.join()
    assert found[0] is not None


def raised(number: signal.Signals, handler: Callable[..., None]) -> Solution | None:
    """Solve a programme while a signal arrives that ``handler`` hears."""
    old = signal.signal(number, handler)
    timer = threading.Timer(0.1, signal.raise_signal, (number,))
    try:
        timer.start()
        return large(400).solve(Deadline())
    finally:
        timer.join()
        signal.signal(number, old)


def test_a_handler_that_does_not_raise_is_called_and_the_run_goes_on() -> None:
    heard: list[int] = []
    found, alone = raised(signal.SIGINT, lambda *_: heard.append(1)), large(400).solve(Deadline())
    assert heard
    assert found is not None
    assert alone is not None
    assert found.objective == pytest.approx(alone.objective)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_handler_raises_reaches_the_caller(number: signal.Signals) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(7)

    with pytest.raises(SystemExit):
        raised(number, leave)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


INTERRUPTED = """
import os, signal, threading, time
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.solve.test_lp import large

lp, sent = large(), []

def send():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.5, send).start()
try:
    lp.solve(Deadline())
    print("solved")
except KeyboardInterrupt:
    print("heard" if time.monotonic() - sent[0] < 1.0 else "late")
"""


def test_ctrl_c_is_heard_during_a_long_run() -> None:
    out, err = script(INTERRUPTED).communicate(timeout=60)
    assert (out.strip(), err) == ("heard", "")
