"""Clients that draft at servers that run steps together: right tokens, passes that they share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.overhead import HopOverhead
from swarmplan.swarm.contend import Arena, Drafter, Station, Visit, prompt_of
from swarmplan.swarm.forecast import predict, problem_of

pytestmark = [pytest.mark.live, pytest.mark.alone]
BLOCKS, NEW_TOKENS = 8, 14
CLOCK = Timing(
    decode_base_s=0.020,
    prefill_floor_s=0.020,
    prefill_per_token_s=2e-4,
    step_curve=((4.0, 0.004), (16.0, 0.012)),
)
STATION = Station(name="A", rtt_s=0.03, clock=CLOCK, batched=True)
DRAFTER = Drafter(tokens=3, acceptance=0.75, draft_s=0.004)
#: What hops take beside, about.
HOP = HopOverhead(step_s=0.012, task_s=0.004, prefill_s=0.015)


def test_drafts_of_several_clients_share_passes_and_change_no_token(
    tiny_model: Path, tmp_path: Path
) -> None:
    from swarmplan.swarm.tiny_model import local_tokens

    prompts = [prompt_of(i, 6 + 3 * i) for i in range(4)]
    wanted = local_tokens(tiny_model, prompts, NEW_TOKENS)
    plain = [
        Visit(
            at_s=0.2 * i,
            prompt_tokens=len(prompts[i]),
            new_tokens=NEW_TOKENS,
            chain=(("A", 0, BLOCKS),),
            answer=tuple(wanted[i]),
        )
        for i in range(4)
    ]
    rounds = [plain, [replace(visit, drafter=DRAFTER) for visit in plain]]
    folder = tmp_path / "swarm"
    with Arena(folder=folder, model=tiny_model, stations=[STATION], blocks=BLOCKS) as arena:
        found = arena.run(rounds, name="crowd")
        said = arena.swarm.children["A"].wait_for("steps together:", limit_s=20)
    assert [[list(t) for t in m.tokens] for m in found] == [wanted, wanted]
    assert "0 fell back" in said
    problem = problem_of([STATION], HOP, blocks=BLOCKS)
    plain_s, drafted_s = (
        np.mean([t.whole_s for t in predict(problem, visits)]) for visits in rounds
    )
    # Three of four drafts are right. How long it takes is for benchmarks/live_load.py to measure.
    assert drafted_s < 0.8 * plain_s
