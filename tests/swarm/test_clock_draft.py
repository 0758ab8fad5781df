"""Drafts by the clock: right where they are to be, over in their time, usable as a draft model."""

from __future__ import annotations

import time
import warnings
from typing import Any

import pytest

from swarmplan.core.drafting import Drafting, DraftModel, Use
from swarmplan.core.problem import Timing
from swarmplan.perfmodel.overhead import HopOverhead
from swarmplan.simulator.drafts import luck_of
from swarmplan.simulator.luck import chance
from swarmplan.swarm.contend import Drafter, Station, Visit, drafts_of
from swarmplan.swarm.forecast import drafted, predict, problem_of, rehearse
from swarmplan.tests.extras import needs

DRAFTER = Drafter(tokens=3, acceptance=0.6, draft_s=0.002)
ANSWER = tuple(range(10, 40))
TIMING = Timing(decode_base_s=0.01, prefill_floor_s=0.01, step_curve=((8.0, 0.004),))
STATIONS = [Station(name="A", rtt_s=0.1, clock=TIMING), Station(name="B", rtt_s=0.02, clock=TIMING)]
HOP = HopOverhead(step_s=0.0, task_s=0.0, prefill_s=0.0)


def visit(number: int = 0, **more: Any) -> Visit:
    given = {"prompt_tokens": 8, "new_tokens": len(ANSWER), "answer": ANSWER, "drafter": DRAFTER}
    chain = (("A", 0, 8),)
    return Visit(at_s=0.1 * number, **{"chain": chain, **given, **more})


def test_those_drafts_are_wrong_that_the_simulator_takes_to_be() -> None:
    told = drafts_of(visit(2), 2)
    assert told["drafts"] == 3
    luck = luck_of(visit(2).asked(2))
    right = [chance(luck, 8 + i, 0) < 0.6 for i in range(len(ANSWER))]
    assert [a == b for a, b in zip(told["guesses"], ANSWER, strict=True)] == right
    assert 0 < sum(right) < len(right)
    assert drafts_of(visit(drafter=None), 0) == {}
    assert drafts_of(visit(drafter=Drafter(tokens=0, acceptance=0.6, draft_s=0.002)), 0) == {}


def test_it_guesses_what_it_knows_wherever_the_text_goes_and_takes_its_time() -> None:
    needs("swarm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers 4.34 warns of names that torch renamed
        import transformers.generation.utils  # noqa: F401
    import torch

    from swarmplan.swarm.clock_draft import ClockDraft
    from swarmplan.swarm.draft_model import Guesser, time_drafts

    model = ClockDraft(64, 0.005)
    model.know([1, 2, 3], [11, 12, 13, 14, 15])
    model.know([1, 2], [21])
    guesser = Guesser(model)

    def guessed(text: list[int], drafts: int) -> list[int]:
        return guesser.guess(torch.tensor([text]), drafts, lambda _t, s: s, draws=False)[0]

    began = time.perf_counter()
    assert guessed([1, 2, 3, 11], 3) == [12, 13, 14]
    assert time.perf_counter() - began >= 0.015
    # The target took another token: it goes on by the place in the answer, after that text.
    assert guessed([1, 2, 3, 11, 50], 2) == [13, 14]
    assert guessed([1, 2, 3, 11, 12, 13, 14], 2) == [15, 0]
    assert guessed([9, 9], 1) == [0]
    assert time_drafts(model) >= 0.005


def test_who_drafts_is_predicted_to_pass_and_draft_so() -> None:
    problem = problem_of(STATIONS, HOP, blocks=8)
    one = Drafting(models=(DraftModel(acceptance=(0.6,), draft_s=0.002),), use=Use(3))
    assert drafted(problem, [visit()]).drafting == (one,)
    assert drafted(problem, [visit(drafter=None)]) is problem
    sure = Drafter(tokens=3, acceptance=1.0, draft_s=0.002)
    (plain,), (fast,) = (predict(problem, [visit(drafter=d)]) for d in (None, sure))
    assert plain.step_s == pytest.approx(0.1 + 0.08)
    # 29 tokens after the first in seven passes of four and one of one, which drafts nothing.
    four_s = 3 * 0.002 + 0.1 + 8 * (0.01 + 0.004 * 3 / 7)
    assert fast.whole_s - fast.first_s == pytest.approx(7 * four_s + 0.18)
    with pytest.raises(ValueError, match="too many"):
        drafted(problem, [visit(), visit(drafter=None)])


def test_a_rehearsal_chooses_chains_itself() -> None:
    problem = problem_of(STATIONS, HOP, blocks=8)
    (free,) = rehearse(problem, [visit(chain=())], {"A": (0, 8), "B": (0, 8)})
    (near,) = predict(problem, [visit(chain=(("B", 0, 8),))])
    assert free == near
