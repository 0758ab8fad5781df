"""The process in which HiGHS solves: ``python -m swarmplan.solve.worker PARENT``.

HiGHS' presolve and restarts hear neither limits nor signals, so whoever waits for them must be able
to end them: as a process of their own. It reads pairs (task, seconds) from its standard input and
answers each with any number of ``News`` and one ``Outcome`` or ``Failure`` on its standard output.
It ends with its input, or when the process PARENT is gone.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO

import highspy
import numpy as np

from .deadline import Deadline
from .highs import Silent, lp_of
from .messages import Failure, News, Task
from .outcome import Outcome

#: Bounds are told this far apart; solutions always.
TELL_EVERY_S = 0.1
#: How often to look whether the parent is alive, should somebody else hold its end of the pipe.
LOOK_EVERY_S = 1.0

_Kind = highspy.cb.HighsCallbackType
_Status = highspy.HighsModelStatus
_FAILED = {
    _Status.kLoadError,
    _Status.kModelError,
    _Status.kPresolveError,
    _Status.kSolveError,
    _Status.kPostsolveError,
    _Status.kUnbounded,
}


def solve(task: Task, deadline: Deadline, tell: Callable[[News], None]) -> Outcome | Failure:
    """Run HiGHS on a task."""
    highs = Silent(mip_rel_gap=task.gap, random_seed=task.seed % 2**31)
    if task.target is not None:
        highs.setOptionValue("objective_target", task.target)
    highs.passModel(lp_of(task.programme))
    if task.start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = task.start
        solution.value_valid = True
        highs.setSolution(solution)
    _tell_of(highs, tell)
    highs.setOptionValue("time_limit", max(deadline.left_s(), 0.01))
    highs.run()
    return _read(highs)


def _tell_of(highs: Silent, tell: Callable[[News], None]) -> None:
    """Have better solutions and bounds told from now on; the callback must not raise."""
    told_s, told = 0.0, -np.inf

    def listen(kind: Any, _message: str, out: Any, _into: Any, _data: Any) -> None:
        nonlocal told_s, told
        bound, now_s = float(out.mip_dual_bound), time.monotonic()
        if kind == _Kind.kCallbackMipImprovingSolution:
            tell(News(values=np.array(out.mip_solution, dtype=np.float64), bound=bound))
        elif bound > told and now_s - told_s >= TELL_EVERY_S:
            tell(News(values=None, bound=bound))
        else:
            return
        told_s, told = now_s, bound

    highs.setCallback(listen, None)
    for kind in (_Kind.kCallbackMipImprovingSolution, _Kind.kCallbackMipInterrupt):
        highs.startCallback(kind)


def _read(highs: Silent) -> Outcome | Failure:
    """The state as HiGHS itself tells it."""
    status, info = highs.getModelStatus(), highs.getInfo()
    bound = float(info.mip_dual_bound)
    known = bound if np.isfinite(bound) else None
    if status in (_Status.kInfeasible, _Status.kUnboundedOrInfeasible):
        return Outcome(state="infeasible")
    if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
        values = np.array(highs.getSolution().col_value, dtype=np.float64)
        proven = status == _Status.kOptimal
        return Outcome(state="optimal" if proven else "feasible", values=values, bound=known)
    if status in _FAILED:
        return Failure(f"HiGHS ended with {highs.modelStatusToString(status)}")
    return Outcome(state="nothing", bound=known)


def main() -> None:
    """Solve tasks until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = private_stdout()
    tasks: SimpleQueue[tuple[Task, float]] = SimpleQueue()
    threading.Thread(target=_take, args=(tasks,), daemon=True).start()
    threading.Thread(target=_watch, args=(int(sys.argv[1]),), daemon=True).start()
    _send(pipe, "ready")
    while True:
        task, limit_s = tasks.get()
        try:
            answer = solve(task, Deadline.after(limit_s), lambda news: _send(pipe, news))
        except Exception as error:  # whatever it is, the parent waits for an answer
            answer = Failure(f"HiGHS failed: {error!r}")
        _send(pipe, answer)


def private_stdout() -> BinaryIO:
    """The pipe to the parent; what anybody else prints goes nowhere from now on."""
    pipe = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    return pipe


def _send(pipe: BinaryIO, message: object) -> None:
    try:
        pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
        pipe.flush()
    except OSError:  # nobody listens any more
        os._exit(0)


def _take(tasks: SimpleQueue[tuple[Task, float]]) -> None:
    """Tasks from the input; at its end, which may come while HiGHS works, end everything."""
    try:
        while True:
            tasks.put(pickle.load(sys.stdin.buffer))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(0)


def _watch(parent: int) -> None:
    """End when the parent is gone."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os._exit(0)


if __name__ == "__main__":
    main()
