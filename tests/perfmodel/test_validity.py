"""What is said of block times that were not measured, or not for such lengths."""

from __future__ import annotations

from dataclasses import replace

from swarmplan.core.problem import Problem, Validity
from swarmplan.core.workload import Lengths, Request, RequestClass, Workload
from swarmplan.perfmodel.validity import doubtful, doubts

MEASURED = Validity(origin="measured", prompt_tokens=(128, 2048), context_tokens=(1, 8192))


def of(tiny: Problem, *validities: Validity, prompt: int = 200, session: int = 400) -> Problem:
    rest = [Validity()] * (len(tiny.servers) - len(validities))
    servers = tuple(
        replace(s, device="card", validity=v)
        for s, v in zip(tiny.servers, [*validities, *rest], strict=True)
    )
    planning = replace(tiny.planning, prompt_tokens=prompt, session_tokens=session)
    return replace(tiny, servers=servers, planning=planning, workload=load([prompt], [1]))


def load(prompts: list[int], outputs: list[int]) -> Workload:
    stream = RequestClass(
        client=0,
        rate_per_s=1.0,
        prompt_tokens=Lengths(values=tuple(prompts)),
        output_tokens=Lengths(values=tuple(outputs)),
    )
    return Workload(classes=(stream,))


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
        f"contexts of 8,193 tokens {outside} (0 to 8,192)",
    )


def test_the_shortest_and_the_longest_requests_of_the_load_count_too(tiny: Problem) -> None:
    problem = of(tiny, MEASURED)
    outside = "lie outside what was measured on 1 server (card)"
    said = (
        f"prompts of 60 and 4,000 tokens {outside} (128 to 2,048)",
        f"contexts of 9,000 tokens {outside} (0 to 8,192)",
    )
    assert doubts(replace(problem, workload=load([60, 200, 4_000], [5, 5_000]))) == said
    traced = tuple(
        Request(
            id=i, client=0, arrival_s=0.0, prompt_tokens=p, output_tokens=o, reserved_tokens=p + o
        )
        for i, (p, o) in enumerate([(60, 1), (4_000, 5_000)])
    )
    assert doubts(replace(problem, workload=Workload(trace=traced))) == said


def test_batches_are_told_up_to_which_rows_they_were_measured(tiny: Problem) -> None:
    rows = replace(MEASURED, rows=(1, 32))
    problem = of(tiny, rows)
    assert doubts(problem) == ()
    batched = (replace(problem.servers[0], sharing="batched"), *problem.servers[1:])
    assert doubts(replace(problem, servers=batched)) == (
        "steps of more than 32 rows lie outside what was measured on 1 server (card)",
    )
