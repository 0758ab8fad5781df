"""The planner's process from inside: does one job after the other and tells as it goes."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from ..core.errors import SwarmplanError, SwarmplanWarning
from ..solve.progress import Progress
from . import planner
from .replay import replay
from .saving import report_text
from .worker import Job, Told

#: How often a search tells where it stands.
TOLD_EVERY_S = 0.3


class _Stop:
    """Ctrl-C ends a job and never the process; between jobs it is nothing."""

    def __init__(self) -> None:
        self.armed = False
        signal.signal(signal.SIGINT, self._heard)

    def _heard(self, _number: int, _frame: object) -> None:
        if self.armed:
            raise KeyboardInterrupt


def work(pipe: Connection) -> None:
    """The life of the process: until nobody is left to ask."""
    warnings.simplefilter("ignore", SwarmplanWarning)
    stop = _Stop()
    with suppress(EOFError, OSError):
        pipe.send(Told(number=0, what="ready"))
        while True:
            job: Job = pipe.recv()
            if not pipe.poll():
                pipe.send(_done(pipe, job, stop))
            else:
                pipe.send(Told(number=job.number, what="stopped"))


def _done(pipe: Connection, job: Job, stop: _Stop) -> Told:
    """Do a job; how it ended."""
    try:
        try:
            stop.armed = True
            for found in _answers(pipe, job):
                pipe.send(Told(number=job.number, what="found", value=found))
                if pipe.poll():
                    return Told(number=job.number, what="stopped")
            return Told(number=job.number, what="done")
        finally:
            stop.armed = False
    except KeyboardInterrupt:
        return Told(number=job.number, what="stopped")
    except SwarmplanError as error:
        return Told(number=job.number, what="failed", value=str(error))


def _answers(pipe: Connection, job: Job) -> Iterator[Any]:
    if job.name == "replay":
        yield replay(*job.values)
    elif job.name == "report":
        yield report_text(*job.values)
    elif job.name == "judge":
        yield from planner.judge(*job.values)
    elif job.name == "measure":
        yield from planner.measure(*job.values)
    else:
        last = 0.0

        def on_progress(progress: Progress) -> None:
            nonlocal last
            if time.monotonic() - last > TOLD_EVERY_S:
                last = time.monotonic()
                reached = progress.objective.value
                pipe.send(
                    Told(number=job.number, what="progress", value=(progress.elapsed_s, reached))
                )

        scenario, found, seconds = job.values
        yield from planner.improve(scenario, found, seconds, on_progress)


if __name__ == "__main__":
    os.nice(int(sys.argv[2]))
    work(Connection(int(sys.argv[1])))
