"""The pool in which decode steps of several sessions meet, in place of PETALS' own."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from hivemind.utils import get_logger
from petals.data_structures import ServerInfo
from petals.server import server
from petals.server.task_pool import PrioritizedTaskPool, _move_to_device_if_tensor

from ..batching import FIELD, Batching
from .batch_step import BatchedStep

logger = get_logger(__name__)


class Companions(NamedTuple):
    """Inputs of tasks that are one pass."""

    tasks: Sequence[Sequence[Any]]


class BatchingPool(PrioritizedTaskPool):
    """Hands the oldest task to the runtime, and all that wait and can share its pass.

    These are decode steps with the same priority, each of another session: of one token, or of
    one and its drafts. The others keep their places.
    """

    def __init__(self, step: BatchedStep, **options: Any) -> None:
        super().__init__(self._work, **options)
        self.step = step
        self._together: dict[int, list[int]] = {}

    def load_batch_to_runtime(self, timeout: float | None = None, device: Any = None) -> Any:
        """The inputs of the next pass, under the number of its oldest task."""
        uid, inputs = super().load_batch_to_runtime(timeout, device)
        oldest = self._dispatched_tasks[uid]
        if not self.step.may_join(oldest.args):
            return uid, inputs
        companions = self._companions(oldest)
        self.step.counts.took(1 + len(companions))
        if not companions:
            return uid, inputs
        device = device if device is not None else self.device
        tasks = [inputs]
        for task in companions:
            self._dispatched_tasks[task.uid] = task
            self.batch_receiver.recv()  # one for each task in the pool
            tasks.append([_move_to_device_if_tensor(arg, device) for arg in task.args])
        self._together[uid] = [uid, *(task.uid for task in companions)]
        return uid, [Companions(tasks)]

    def _companions(self, oldest: Any) -> list[Any]:
        """Take out of the line what can share the pass of the oldest task, oldest first."""
        sessions, rows = {_session(oldest)}, self.get_task_size(oldest)
        companions = []
        with self._ordered_tasks.mutex:
            waiting = self._ordered_tasks.queue
            for task in sorted(waiting):
                if (
                    task.priority == oldest.priority
                    and rows + self.get_task_size(task) <= self.max_batch_size
                    and self.step.may_join(task.args)
                    and _session(task) not in sessions
                ):
                    sessions.add(_session(task))
                    rows += self.get_task_size(task)
                    companions.append(task)
            taken = {task.uid for task in companions}
            waiting[:] = [task for task in waiting if task.uid not in taken]
            heapq.heapify(waiting)
            if waiting:
                self.priority = (waiting[0].priority, waiting[0].time_submitted)
        return companions

    def _work(self, *inputs: Any) -> tuple[Any, ...]:
        if not isinstance(inputs[0], Companions):
            return tuple(self.step(*inputs))
        answers = self.step.together(inputs[0].tasks)
        # The runtime asks the first output for the size of the batch.
        return torch.empty(len(answers)), answers

    def send_outputs_from_runtime(self, uid: int, batch_outputs: Any) -> None:
        """To every task what is its own."""
        together = self._together.pop(uid, None)
        if together is None:
            super().send_outputs_from_runtime(uid, batch_outputs)
            return
        for each, answer in zip(together, batch_outputs[1], strict=True):
            if isinstance(answer, Exception):
                logger.warning("one session of a pass failed: %r", answer)
                super().send_exception_from_runtime(each, answer)
            else:
                super().send_outputs_from_runtime(each, [answer])

    def send_exception_from_runtime(self, uid: int, exception: BaseException) -> None:
        """To all of a pass."""
        for each in self._together.pop(uid, [uid]):
            super().send_exception_from_runtime(each, exception)


def _session(task: Any) -> tuple[Any, ...]:
    """A session by its cache."""
    return tuple(task.args[2][0].cache_handles)


def run_together() -> None:
    """Put the pool in place of PETALS' own, and have servers announce it."""
    declare, to_tuple = server.declare_active_modules, ServerInfo.to_tuple
    start = server.RuntimeWithDeduplicatedPools.__init__
    served: list[BatchedStep] = []

    def merge(backends: Mapping[str, Any]) -> None:
        first = next(iter(backends.values())).inference_pool
        step = BatchedStep(backends)
        _say(step)
        pool = BatchingPool(
            step,
            max_batch_size=first.max_batch_size,
            device=first.device,
            name="merged_inference",
        )
        for backend in backends.values():
            assert not backend.inference_pool.is_alive()
            backend.inference_pool = pool
        served[:] = [step]

    def unhurried(self: Any, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **kwargs)
        # Tasks that were fetched one by one while the runtime is at work would never meet.
        self.prefetch_batches = 0

    def declaring(dht: Any, uids: Any, server_info: Any, *args: Any, **kwargs: Any) -> Any:
        told = served[0].told() if served else None
        if told is not None:
            _log(told, getattr(server_info, FIELD, None))
        setattr(server_info, FIELD, told and told.told())
        return declare(dht, uids, server_info, *args, **kwargs)

    def with_batching(self: Any) -> Any:
        state, throughput, more = to_tuple(self)
        told = getattr(self, FIELD, None)
        return state, throughput, more if told is None else {**more, FIELD: told}

    server.merge_inference_pools_inplace = merge
    server.RuntimeWithDeduplicatedPools.__init__ = unhurried
    server.declare_active_modules = declaring
    ServerInfo.to_tuple = with_batching


def _say(step: BatchedStep) -> None:
    """How passes of several sessions run here, or why they do not."""
    for why in sorted(set(step.refused.values())):
        number = list(step.refused.values()).count(why)
        logger.warning("%d blocks take one session at a time (%s)", number, why)
    if step.ways is not None:
        tried = zip(step.ways.curve, step.ways.best, strict=True)
        points = ", ".join(f"{r:g} in {t:.2f} ({name})" for (r, t), (_, name) in tried)
        logger.info("waiting steps run together; sessions in times of one: %s", points)


def _log(told: Batching, before: Any) -> None:
    """What came of it, when there is more than at the announcement before."""
    if isinstance(before, Mapping) and before.get("steps") != told.steps:
        logger.info(
            "steps together: %d steps in %d passes (%.2f on average, %d at most), "
            "%d beside others, %d fell back to single steps",
            *(told.steps, told.passes, told.mean, told.largest, told.joined, told.fallbacks),
        )
