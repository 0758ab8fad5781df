"""The offline problem as arrays where servers choose how they host: what each could be, per class.

A *variant* is a server in one of its ways: a precision of blocks, and by what states go over its
links. A visit of class c runs blocks ``[p, e)`` at a variant: it costs ``hop[c] + run(p, e)``,
harms ``hop_harm + harm(p, e)``, holds ``cache_c(p, e)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.plan import Placement
from ...core.problem import Hosting, Problem
from ...core.workload import Demand
from ...perfmodel.cost import CostModel
from ..task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variant:
    """A server in one of its ways.

    Attributes
    ----------
    hop_s : (C,) seconds of a step's hop; under server relay with the cheapest leg into the server,
        so that sums are lower bounds. hop_harm : of each hop.
    run_s : (C, L + 1) seconds of a step of each class over the first 0..L blocks.
    weights, harm : (L + 1,) bytes and harm of the first 0..L blocks.
    most_cache : bytes of sessions for which it computes; its memory limits them too.
    """

    server: int
    hosting: Hosting
    hop_s: FloatArray
    hop_harm: float
    run_s: FloatArray
    weights: IntArray
    harm: FloatArray
    memory: int
    most_cache: int
    most_blocks: int

    def room(self, start: int, end: int) -> int:
        """Bytes of cache beside the weights of blocks ``[start, end)``."""
        return min(self.memory - int(self.weights[end] - self.weights[start]), self.most_cache)

    def visit(self, start: Any, end: Any, times: FloatArray) -> tuple[Any, Any]:
        """What so many visits of each class, (C,), cost in all, and what each harms; broadcasts."""
        run_s = times @ self.run_s
        cost_s = float(times @ self.hop_s) + run_s[end] - run_s[start]
        return cost_s, self.harmed(start, end)

    def harmed(self, start: Any, end: Any) -> Any:
        """What a visit of blocks ``[start, end)`` harms; broadcasts."""
        return self.hop_harm + (self.harm[end] - self.harm[start])

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
    base_s : (C,) seconds of a step that every chain adds.
    weight : (C,) sessions times weight of each class.
    cache : (C, L + 1) bytes that one session of a class holds on the first 0..L blocks.
    budgets : (C,).
    variants : by server.
    """

    task: Task
    demand: tuple[Demand, ...]
    base_s: FloatArray
    weight: FloatArray
    cache: IntArray
    budgets: FloatArray
    variants: tuple[tuple[Variant, ...], ...]

    @classmethod
    def of(cls, task: Task) -> Menu:
        """The menu of a task; how its servers host is one choice among those of the problem."""
        cost, demand = task.cost, task.demand
        problem, clients = cost.problem, [d.client for d in demand]
        names = dict.fromkeys(h for s in problem.servers for h in s.hostings)
        models = {h: settled_cost(problem, h, cost.lasting_s) for h in names}
        hops = {
            h: m.relaying.cheapest_s(m.step_hop_s[clients], clients)[0] for h, m in models.items()
        }
        runs = {
            h: np.array([m.planned(c).step_run_s.ramp(slice(None)) for c in clients])
            for h, m in models.items()
        }
        every = slice(None)
        weights = {h: m.weights_bytes.ramp(every) for h, m in models.items()}
        harm = {h: m.block_harm.ramp(every) for h, m in models.items()}
        block = np.arange(cost.num_blocks + 1)
        return cls(
            task=task,
            demand=demand,
            base_s=cost.relaying.cheapest_s(cost.step_hop_s[clients], clients)[1],
            weight=np.array([d.sessions * d.weight_tokens for d in demand]),
            cache=np.array([cost.cache_bytes(max(1, d.cache_tokens), 0, block) for d in demand]),
            budgets=cost.budgets[clients],
            variants=tuple(
                tuple(
                    Variant(
                        server=j,
                        hosting=h,
                        hop_s=hops[h][:, j],
                        hop_harm=float(models[h].wires.harm[j]),
                        run_s=runs[h][:, j],
                        weights=weights[h][j],
                        harm=harm[h][j],
                        memory=int(problem.memory_bytes[j]),
                        most_cache=int(models[h].most_cache_bytes[j]),
                        most_blocks=int(problem.max_blocks[j]),
                    )
                    for h in server.hostings
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
            cost_s += float(self.weight @ (v.hop_s + v.run_s[:, e] - v.run_s[:, a]))
        return cost_s, float(sum(v.harmed(a, e) for v, a, e in spans))

    def settled(self, chosen: Sequence[Variant]) -> Task:
        """The task where these servers host as these variants, all others as they are."""
        problem = self.task.problem
        ways = list(problem.hosting)
        for variant in chosen:
            ways[variant.server] = variant.hosting
        cost = CostModel(problem.hosting_as(ways)).lasting(self.task.cost.lasting_s)
        return Task(**{n: getattr(self.task, n) for n in Task.__slots__} | {"cost": cost})

    def placed(self, spans: Sequence[tuple[Variant, int, int]]) -> tuple[Task, Placement]:
        """(variant, start, end) of the servers in use as a placement, and the task settled so."""
        settled = self.settled([v for v, _, _ in spans])
        every = [(0, 0)] * len(self.variants)
        for variant, start, end in spans:
            every[variant.server] = start, end
        return settled, settled.cost.placed(every)


def settled_cost(problem: Problem, hosting: Hosting, lasting_s: float) -> CostModel:
    """What everything costs where all servers that can host so do."""
    ways = [s.nearest(hosting) for s in problem.servers]
    return CostModel(problem.hosting_as(ways)).lasting(lasting_s)
