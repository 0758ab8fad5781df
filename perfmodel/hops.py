"""What one request shape from one client costs at every server: prompt, step, whole request.

Notation of docs/model.md: hop times t (decode) and t^I (prefill), compute per block tau and tau^I.
All arrays are in server order; all times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.content import ByContent, FloatArray
from .runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HopCost(ByContent):
    """What one request shape costs at every server, for one client, every hop from the client.

    Attributes
    ----------
    client : row of the client.
    prefill_hop_s, prefill_run_s : (n,) t^I_cj and the run of a prompt: once per request.
    step_hop_s, step_run_s : (n,) t_cj and the run of one step: once per output token after the
        first, at the mean context of the generation.
    steps : output tokens after the first, ``l - 1``.
    hop_s, run_s : (n,) the whole request, ``T_ij = hop_s[j] + run_s(j, start, end)`` (model.md
        section 3).
    passes : of a token: 1, or less where a pass looks at several drafted tokens (model.md 15). What
        is said of a step is that share of a pass; ``draft_s`` is the client's own part of it.
    ahead, ahead_s : how often a pass is drafted while the last one is looked at; what that takes.
    prompt_tokens : of the prompt. positions, pass_run_s : of a whole pass.
    """

    client: int
    prefill_hop_s: FloatArray
    prefill_run_s: Runs
    step_hop_s: FloatArray
    step_run_s: Runs
    steps: int
    hop_s: FloatArray
    run_s: Runs
    pass_run_s: Runs
    prompt_tokens: int
    positions: int = 1
    passes: float = 1.0
    draft_s: float = 0.0
    ahead: float = 0.0
    ahead_s: float = 0.0

    def with_drafts_s(self, way_s: float) -> float:
        """A step of which the swarm's part takes so long, the client's own part included."""
        return way_s + self.draft_s + self.ahead * max(0.0, self.ahead_s - way_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTime:
    """Times of one request on one route, without waiting and session set-up.

    ``ttft_s`` covers the prompt; ``tpot_s`` is one later token; ``total_s`` the whole request.
    """

    ttft_s: float
    tpot_s: float
    total_s: float


def mean_context_tokens(prompt_tokens: float, output_tokens: float) -> float:
    """Tokens that a step attends to on average: step i of a generation sees prompt + i."""
    return prompt_tokens + 0.5 * output_tokens
