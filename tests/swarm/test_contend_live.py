"""Several clients at once: what was measured on live servers is what the simulator says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.overhead import fit_overhead
from swarmplan.swarm.contend import Arena, Round, Station, Visit
from swarmplan.swarm.forecast import hop_rows, predict, problem_of

pytestmark = [pytest.mark.live, pytest.mark.alone]
BLOCKS = 8
#: Of figures of rounds, on a machine that may be busy (quiet: docs/swarm.md).
MEDIAN_ERROR, WORST_STEP_ERROR = 0.12, 0.3


def timing(step_s: float) -> Timing:
    return Timing(decode_base_s=step_s, prefill_floor_s=step_s, prefill_per_token_s=0.01 * step_s)


STATIONS = (
    Station(name="A", rtt_s=0.02, clock=timing(0.014)),
    Station(name="B", rtt_s=0.04, clock=timing(0.010)),
)
ALL_A, ALL_B = (("A", 0, 8),), (("B", 0, 8),)
BOTH = (("A", 0, 4), ("B", 4, 8))


def crowd(clients: int, *chains: tuple[tuple[str, int, int], ...], prompts: list[int]) -> Round:
    """Clients one after another, dealt out to chains and prompts in turn."""
    return [
        Visit(
            at_s=0.07 * i,
            prompt_tokens=prompts[i % len(prompts)],
            new_tokens=8,
            chain=chains[i % len(chains)],
        )
        for i in range(clients)
    ]


def test_the_simulator_says_beforehand_what_several_clients_at_once_wait(
    tiny_model: Path, tmp_path: Path
) -> None:
    tuning = [crowd(n, ALL_A, prompts=[p]) for n, p in ((1, 8), (1, 100), (1, 160), (4, 8))]
    trial = [
        crowd(1, BOTH, prompts=[8]),
        crowd(4, BOTH, prompts=[8, 160]),
        crowd(4, ALL_A, ALL_B, prompts=[60]),
    ]
    with Arena(
        folder=tmp_path / "swarm", model=tiny_model, stations=STATIONS, blocks=BLOCKS
    ) as arena:
        found = arena.run([*tuning, *trial], name="crowd")
        late = arena.late_tasks()
    tuned, measured = found[: len(tuning)], found[len(tuning) :]
    hop = fit_overhead(list(hop_rows(STATIONS, tuning, tuned)))
    problem = problem_of(STATIONS, hop, blocks=BLOCKS)
    errors = []
    for visits, seen in zip(trial, measured, strict=True):
        said = predict(problem, visits)
        for figure in ("step_s", "first_s", "whole_s"):
            told, real = (np.median([getattr(t, figure) for t in ts]) for ts in (said, seen.times))
            errors.append(abs(told / real - 1.0))
    print(f"errors {np.round(errors, 3).tolist()}; {hop}; {late} late tasks")
    assert float(np.median(errors)) <= MEDIAN_ERROR
    assert max(errors[::3]) <= WORST_STEP_ERROR
    # Four on one server stand in line: they cannot step faster than it works for all four.
    assert np.median([t.step_s for t in tuned[3].times]) > 2.5 * tuned[0].times[0].step_s
