"""What is said of block times that were not measured, or not for such lengths."""

from __future__ import annotations

from dataclasses import replace

from swarmplan.core.problem import Problem, Validity
from swarmplan.perfmodel.validity import doubtful, doubts

MEASURED = Validity(origin="measured", prompt_tokens=(128, 2048), context_tokens=(1, 8192))


def of(tiny: Problem, *validities: Validity, prompt: int = 200, session: int = 400) -> Problem:
    rest = [Validity()] * (len(tiny.servers) - len(validities))
    servers = tuple(
        replace(s, device="card", validity=v)
        for s, v in zip(tiny.servers, [*validities, *rest], strict=True)
    )
    planning = replace(tiny.planning, prompt_tokens=prompt, session_tokens=session)
    return replace(tiny, servers=servers, planning=planning)


def test_own_figures_and_measured_ranges_leave_no_doubt(tiny: Problem) -> None:
    assert doubts(of(tiny)) == ()
    assert doubts(of(tiny, MEASURED, MEASURED)) == ()
    assert doubts(of(tiny, MEASURED, prompt=128, session=8192)) == ()


def test_servers_with_one_estimate_are_named_together(tiny: Problem) -> None:
    guess = Validity(origin="estimated", remark="nf4 from a data sheet")
    scaled = Validity(origin="scaled", remark="from Llama")
    problem = of(tiny, guess, guess, scaled)
    assert doubts(problem) == (
        "block times of 2 servers (card) are estimated: nf4 from a data sheet",
        "block times of 1 server (card) are scaled: from Llama",
    )
    assert [doubtful(s) for s in problem.servers[:3]] == [True, True, True]
    assert not doubtful(of(tiny, MEASURED).servers[0])


def test_lengths_outside_what_was_measured_are_told(tiny: Problem) -> None:
    outside = "lie outside what was measured on 1 server (card)"
    assert doubts(of(tiny, MEASURED, prompt=127)) == (
        f"prompts of 127 tokens {outside} (128 to 2,048)",
    )
    assert doubts(of(tiny, MEASURED, prompt=2_049, session=8_193)) == (
        f"prompts of 2,049 tokens {outside} (128 to 2,048)",
        f"contexts of 8,193 tokens {outside} (1 to 8,192)",
    )
