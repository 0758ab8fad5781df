"""What an offline planner must serve at once: sessions per client, and what a step costs them.

The mixed-integer programme and the exact method read the same ``Demand`` and the same
``StepCosts``, so that their objectives can be compared (docs/model.md section 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.problem import FloatArray, Problem, frozen_array
from ..core.workload import Demand
from ..perfmodel.chains import client_shares
from ..perfmodel.latency import step_block_s, step_hop_s
from ..perfmodel.predict import STEP_OBJECTIVE, WEIGHTED_OBJECTIVE

__all__ = ["Demand", "StepCosts", "demand_of", "meaning_of", "step_costs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """Seconds of one decode step of the representative request under client relay.

    A hop of client ``c`` that runs ``k`` blocks at server ``j`` costs
    ``hop_s[c, j] + block_s[j] * k``.

    Attributes
    ----------
    hop_s : (clients, n) t_cj.
    block_s : (n,) tau_j at the mean context of the representative generation.
    """

    hop_s: FloatArray
    block_s: FloatArray


def step_costs(problem: Problem) -> StepCosts:
    """The decode costs that every offline planner shares."""
    plan = problem.planning
    context = plan.prompt_tokens + 0.5 * plan.output_tokens
    return StepCosts(
        hop_s=frozen_array(step_hop_s(problem), np.float64),
        block_s=step_block_s(problem, context),
    )


def meaning_of(demand: Sequence[Demand]) -> str:
    """What a plan's objective stands for, in the words of a certificate."""
    weighted = any(d.weight_tokens != 1.0 for d in demand)
    return WEIGHTED_OBJECTIVE if weighted else STEP_OBJECTIVE


def demand_of(problem: Problem, sessions: int | None = None) -> tuple[Demand, ...]:
    """R concurrent sessions, split over the clients in proportion to their request rates.

    Parameters
    ----------
    problem : the problem; its planning figures give R and the session's cache.
    sessions : R; ``problem.planning.sessions`` when left out.

    Returns
    -------
    One ``Demand`` for each client that gets at least one session, in client order. Shares are
    rounded by largest remainder (ties: first client).

    Raises
    ------
    ValueError
        If neither gives R, or R < 1.
    """
    total = problem.planning.sessions if sessions is None else sessions
    if total is None:
        raise ValueError("the number of sessions is not set: give sessions= or planning.sessions")
    if total < 1:
        raise ValueError(f"the number of sessions must be at least 1, got {total}")
    counts = _largest_remainder(client_shares(problem), total)
    return tuple(
        Demand(client=c, sessions=r, weight_tokens=1.0, cache_bytes=problem.session_bytes)
        for c, r in enumerate(counts)
        if r > 0
    )


def _largest_remainder(weights: FloatArray, total: int) -> Sequence[int]:
    """``total`` split into whole parts in proportion to ``weights``."""
    shares = weights * (total / weights.sum())
    counts = np.floor(shares + 1e-9).astype(int)
    order = np.argsort(-(shares - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return [int(c) for c in counts]
