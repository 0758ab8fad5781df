"""The offline problem as arrays where servers choose a precision: what each could be, per class.

A *variant* is a server at one of its precisions. A visit of class c runs blocks ``[p, e)`` at a
variant: it costs ``hop[c, j] + run(p, e)``, harms ``harm(p, e)``, holds ``cache_c(p, e)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.plan import Placement
from ...core.problem import Problem
from ...core.workload import Demand
from ...perfmodel.cost import CostModel
from ..task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variant:
    """A server at one precision.

    Attributes
    ----------
    run_s : (C, L + 1) seconds of a step of each class over the first 0..L blocks.
    weights, harm : (L + 1,) bytes and harm of the first 0..L blocks.
    most_cache : bytes of sessions for which it computes; its memory limits them too.
    """

    server: int
    precision: str
    run_s: FloatArray
    weights: IntArray
    harm: FloatArray
    memory: int
    most_cache: int
    most_blocks: int

    def room(self, start: int, end: int) -> int:
        """Bytes of cache beside the weights of blocks ``[start, end)``."""
        return min(self.memory - int(self.weights[end] - self.weights[start]), self.most_cache)

    def fits(self, cache: IntArray) -> NDArray[np.bool_]:
        """(L + 1, L + 1) whether blocks ``[row, column)`` fit beside a cache of so many bytes.

        Parameters
        ----------
        cache : (L + 1,) bytes on the first 0..L blocks.
        """
        block = np.arange(len(cache))
        held, weights = cache - cache[:, None], self.weights - self.weights[:, None]
        count = block - block[:, None]
        fit: NDArray[np.bool_] = (count >= 1) & (count <= self.most_blocks)
        fit &= (weights + held <= self.memory) & (held <= self.most_cache)
        return fit


@dataclass(frozen=True)
class Menu:
    """All variants of a task's servers, and its classes.

    Attributes
    ----------
    hop_s : (C, n) seconds of a step's hop; under server relay the cheapest leg into each server,
        so that sums are lower bounds.
    weight : (C,) sessions times weight of each class.
    cache : (C, L + 1) bytes that one session of a class holds on the first 0..L blocks.
    budgets : (C,).
    variants : by server.
    """

    task: Task
    demand: tuple[Demand, ...]
    hop_s: FloatArray
    base_s: FloatArray
    weight: FloatArray
    cache: IntArray
    budgets: FloatArray
    variants: tuple[tuple[Variant, ...], ...]

    @classmethod
    def of(cls, task: Task) -> Menu:
        """The menu of a task; its own precisions are one choice among those of the problem."""
        cost, demand = task.cost, task.demand
        problem, clients = cost.problem, [d.client for d in demand]
        hop_s, base_s = cost.relaying.cheapest_s(cost.step_hop_s[clients], clients)
        names = dict.fromkeys(p for s in problem.servers for p in s.precisions)
        models = {p: settled_cost(problem, p, cost.lasting_s) for p in names}
        runs = {
            p: np.array([m.planned(c).step_run_s.ramp(slice(None)) for c in clients])
            for p, m in models.items()
        }
        every = slice(None)
        weights = {p: m.weights_bytes.ramp(every) for p, m in models.items()}
        harm = {p: m.harm.ramp(every) for p, m in models.items()}
        block = np.arange(cost.num_blocks + 1)
        return cls(
            task=task,
            demand=demand,
            hop_s=hop_s,
            base_s=base_s,
            weight=np.array([d.sessions * d.weight_tokens for d in demand]),
            cache=np.array([cost.cache_bytes(max(1, d.cache_tokens), 0, block) for d in demand]),
            budgets=cost.budgets[clients],
            variants=tuple(
                tuple(
                    Variant(
                        server=j,
                        precision=p,
                        run_s=runs[p][:, j],
                        weights=weights[p][j],
                        harm=harm[p][j],
                        memory=int(problem.memory_bytes[j]),
                        most_cache=int(models[p].most_cache_bytes[j]),
                        most_blocks=int(problem.max_blocks[j]),
                    )
                    for p in server.precisions
                )
                for j, server in enumerate(problem.servers)
            ),
        )

    @property
    def length(self) -> int:
        """Blocks of the model, L."""
        return self.task.cost.num_blocks

    @cached_property
    def every(self) -> tuple[Variant, ...]:
        """All variants in a row."""
        return tuple(v for own in self.variants for v in own)

    @property
    def exact_cost(self) -> bool:
        """Whether sums of visits are what chains cost, not lower bounds only."""
        return not self.task.cost.relaying.pairs

    @cached_property
    def everyone(self) -> IntArray:
        """(L + 1,) cache of all sessions of all classes together."""
        sessions = np.array([d.sessions for d in self.demand])
        held: IntArray = (self.cache * sessions[:, None]).sum(axis=0)
        return held

    def paid(self, spans: Sequence[tuple[Variant, int, int]]) -> tuple[float, float]:
        """What all sessions together pay on one chain, and what it harms."""
        cost_s = float(self.weight @ self.base_s)
        for v, a, e in spans:
            each = self.hop_s[:, v.server] + v.run_s[:, e] - v.run_s[:, a]
            cost_s += float(self.weight @ each)
        return cost_s, float(sum(v.harm[e] - v.harm[a] for v, a, e in spans))

    def settled(self, chosen: Sequence[Variant]) -> Task:
        """The task where these servers host at these precisions, all others as they are."""
        problem = self.task.problem
        names = [s.precision for s in problem.servers]
        for variant in chosen:
            names[variant.server] = variant.precision
        cost = CostModel(problem.at_precisions(names)).lasting(self.task.cost.lasting_s)
        return Task(**{n: getattr(self.task, n) for n in Task.__slots__} | {"cost": cost})

    def placed(self, spans: Sequence[tuple[Variant, int, int]]) -> tuple[Task, Placement]:
        """(variant, start, end) of the servers in use as a placement, and the task settled so."""
        settled = self.settled([v for v, _, _ in spans])
        every = [(0, 0)] * len(self.variants)
        for variant, start, end in spans:
            every[variant.server] = start, end
        return settled, settled.cost.placed(every)


def settled_cost(problem: Problem, precision: str, lasting_s: float) -> CostModel:
    """What everything costs where all servers that can host at a precision do so."""
    names = [precision if precision in s.precisions else s.precision for s in problem.servers]
    return CostModel(problem.at_precisions(names)).lasting(lasting_s)
