"""How requests were served, beyond seconds: slow-downs, deadlines, one client beside another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..chains.knapsack import least_responses_s
from ..core.content import FloatArray
from ..core.problem import Deadlines
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .distribution import Distribution, picked

if TYPE_CHECKING:
    from .result import SimulationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What the service of some requests is measured by; the same for every plan.

    Attributes
    ----------
    least_s : (N,) response that no plan could beat, in the order of the requests; None = unknown.
    """

    least_s: FloatArray | None = None
    deadlines: Deadlines | None = None

    @classmethod
    def of(cls, cost: CostModel, requests: Sequence[Request]) -> Yardstick:
        """Of the requests of a problem."""
        least = least_responses_s(cost, requests)
        return cls(least_s=least, deadlines=cost.problem.planning.deadlines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How the completed requests were served; nan where nothing is known.

    Attributes
    ----------
    slow_down : response over the least that any plan could give.
    late_s : mean time beyond the deadlines. on_time_share : of the requests that met them all.
    fair_response_s : geometric mean over clients of their mean response: every client counts as
        much as any other. worst_response_s : mean response of the client with the longest.
    """

    slow_down: Distribution = field(default_factory=Distribution)
    late_s: float = math.nan
    on_time_share: float = math.nan
    fair_response_s: float = math.nan
    worst_response_s: float = math.nan


def service_of(result: SimulationResult, done: NDArray[np.bool_], by: Yardstick) -> Service:
    """The service of the requests that are ``done``, (N,) of bool."""
    response_s = picked(result.response_s, done)
    if not len(response_s):
        return Service()
    late_s = on_time = math.nan
    if by.deadlines is not None:
        per_token_s, steps = np.nan_to_num(result.tpot_s[done]), result.output_tokens[done] - 1
        late = by.deadlines.late_s(result.ttft_s[done], per_token_s, steps)
        late_s, on_time = float(late.mean()), float((late <= 0.0).mean())
    clients = picked(result.client, done)
    means = [float(picked(response_s, clients == c).mean()) for c in np.unique(clients)]
    slow_down = Distribution()
    if by.least_s is not None:
        slow_down = Distribution.of(response_s / by.least_s[done], spent=True)
    return Service(
        slow_down=slow_down,
        late_s=late_s,
        on_time_share=on_time,
        fair_response_s=float(np.exp(np.mean(np.log(means)))),
        worst_response_s=max(means),
    )
