"""The limits that PETALS' servers refuse or cut sessions by, and what a plan's sessions need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.plan import Predicted
from ..core.problem import Problem
from ..perfmodel.announced import default_session_tokens
from ..scenarios.check import longest_session_tokens

#: Fields of ``Limits`` -> the flags of PETALS' server, and the names of its own attributes.
FLAG_OF = {
    "inference_max_length": "inference_max_length",
    "max_batch_size": "max_batch_size",
    "request_timeout_s": "request_timeout",
    "step_timeout_s": "step_timeout",
    "session_timeout_s": "session_timeout",
}
FLAGS = frozenset(FLAG_OF.values())
#: Times are predicted for requests alone; beside others they last longer.
PATIENCE = 4.0
#: Steps of a session that only measures: the first opens it, the least of the others counts.
PROBE_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Named as the flags of PETALS' server, with units.

    Attributes
    ----------
    inference_max_length : tokens of a session; a longer one is refused at its start.
    max_batch_size : tokens of one task; a longer prompt is refused.
    request_timeout_s : of a pushed step, forward or backward pass.
    step_timeout_s : from one step of a session to the next, after which it is cut.
    session_timeout_s : of a whole session.
    """

    inference_max_length: int
    max_batch_size: int
    request_timeout_s: int = 180
    step_timeout_s: int = 300
    session_timeout_s: int = 1_800

    def beyond(self, other: Limits) -> dict[str, int]:
        """PETALS' name of each limit that is wider here -> its value."""
        return {
            flag: getattr(self, name)
            for name, flag in FLAG_OF.items()
            if getattr(self, name) > getattr(other, name)
        }


def petals_limits(problem: Problem) -> Limits:
    """What a server allows that was told nothing (PETALS 2.2.0.post1)."""
    tokens = default_session_tokens(grouped=problem.model.grouped_query)
    return Limits(inference_max_length=tokens, max_batch_size=tokens)


def limits_for(problem: Problem, predicted: Iterable[Predicted]) -> Limits:
    """What the longest session that is reckoned with needs.

    Prompts and answers longer than those that times were predicted for are taken to last longer in
    proportion.
    """
    load, planning = problem.workload, problem.planning
    prompts = [planning.prompt_tokens, *(max(c.prompt_tokens.values) for c in load.classes)]
    answers = [planning.output_tokens, *(max(c.output_tokens.values) for c in load.classes)]
    prompts += [r.prompt_tokens for r in load.trace]
    answers += [r.output_tokens for r in load.trace]
    prompt, answer = max(prompts), max(answers)
    first_s = step_s = 0.0
    for one in predicted:
        first_s = max(first_s, one.ttft_s * max(1.0, prompt / planning.prompt_tokens))
        step_s = max(step_s, one.tpot_s)
    return Limits(
        inference_max_length=longest_session_tokens(problem),
        max_batch_size=prompt,
        request_timeout_s=math.ceil(PATIENCE * max(first_s, step_s)),
        step_timeout_s=math.ceil(PATIENCE * max(first_s, step_s)),
        session_timeout_s=math.ceil(PATIENCE * (first_s + step_s * answer)),
    )


def limit_flags(problem: Problem, predicted: Iterable[Predicted]) -> tuple[str, ...]:
    """What a server has to be told to serve the planned sessions; nothing that it allows anyway."""
    wider = limits_for(problem, predicted).beyond(petals_limits(problem))
    return tuple(word for flag, value in wider.items() for word in (f"--{flag}", str(value)))
