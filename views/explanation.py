"""Where the time of planned routes goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..api import DraftShare, Explanation
from ..core.problem import Problem
from ..perfmodel.accuracy import percent_of
from ..perfmodel.validity import mark
from ..render import milliseconds, number, print_lines, print_table
from .text import chain, percent, span


def print_explanations(problem: Problem, found: Sequence[Explanation]) -> None:
    """Per-hop breakdown of every client's route, then the cheapest chain through each server."""
    for e in found:
        name = problem.clients[e.client].id
        print_table(
            f"Client {name}: {number(e.tpot_s * 1e3)} ms per token, first token after "
            f"{number(e.ttft_s)} s (no waiting)",
            ["hop", "blocks", "network ms", "overhead ms", "compute ms", "share", "prefill ms"],
            [
                [
                    problem.servers[h.server].id,
                    span(h.start, h.end),
                    milliseconds(h.rtt_s),
                    milliseconds(h.overhead_s),
                    mark(problem.servers[h.server]) + milliseconds(h.compute_s),
                    percent((h.rtt_s + h.overhead_s + h.compute_s) / e.tpot_s),
                    mark(problem.servers[h.server]) + milliseconds(h.prefill_s),
                ]
                for h in e.hops
            ],
        )
        if e.harm is not None:
            print_lines([_harmed(e)])
        if adapter := problem.clients[e.client].adapter:
            print_lines([f"adapter: {adapter}; all of these servers load it"])
        if e.drafts is not None:
            print_lines([_drafted(e.drafts)])
        used = set(e.route.servers)
        others = [a for a in e.alternatives if a.server not in used]
        print_table(
            f"Why not another server? The cheapest chain of {name} through each",
            ["server", "per token ms", "more than the route ms", "chain"],
            [
                [
                    problem.servers[a.server].id,
                    milliseconds(a.step_s) if a.route else "-",
                    milliseconds(a.step_s - e.tpot_s) if a.route else "-",
                    chain(problem, a.route) if a.route else "no chain passes through it",
                ]
                for a in others[:15]
            ],
        )
        if len(others) > 15:
            print_lines([f"and {len(others) - 15} more servers"])


def _harmed(e: Explanation) -> str:
    """How each hop's server hosts and what the route costs in accuracy, in a line."""
    assert e.harm is not None
    wires = f"; wires: {', '.join(e.wires)}" if {*e.wires} - {"none"} else ""
    return (
        f"precisions: {', '.join(e.precisions)}{wires}; by them the perplexity rises "
        f"{number(percent_of(e.harm))} %"
    )


def _asked(problem: Problem, client: int) -> dict[str, str]:
    """The adapter that a client asks for, where it does."""
    adapter = problem.clients[client].adapter
    return {"adapter": adapter} if adapter else {}


def _drafted(d: DraftShare) -> str:
    """What drafts make of a route, in a line."""
    if not d.drafts:
        return (
            f"no drafts: a token takes {d.gain_over_ten:.2f} times as long with ten a pass, "
            f"{d.gain_over_petals:.2f} times with ten as PETALS' class uses them"
        )
    by = f" by {d.model}" if d.model else ""
    return (
        f"{d.drafts} drafts a pass{by} ({number(d.draft_s * 1e3)} ms of the client's own): "
        f"{d.tokens:.2f} tokens in {number(d.pass_s * 1e3)} ms; a token takes {d.gain:.2f} times "
        f"as long without drafts, {d.gain_over_ten:.2f} times with ten, {d.gain_over_petals:.2f} "
        "times with ten as PETALS' class uses them"
    )


def explanations_document(problem: Problem, found: Sequence[Explanation]) -> dict[str, Any]:
    """The same for programs, ids instead of rows."""
    names = [s.id for s in problem.servers]
    origins = [s.validity.origin for s in problem.servers]
    return {
        "clients": [
            {
                "client": problem.clients[e.client].id,
                **_asked(problem, e.client),
                "ttft_s": e.ttft_s,
                "tpot_s": e.tpot_s,
                "drafts": None if e.drafts is None else asdict(e.drafts),
                **({} if e.harm is None else {"harm": percent_of(e.harm)}),
                "hops": [
                    {
                        **asdict(h),
                        "server": names[h.server],
                        "block_times": origins[h.server],
                        **({} if e.harm is None else {"precision": precision}),
                        **({} if wire == "none" else {"wire": wire}),
                    }
                    for h, precision, wire in zip(e.hops, e.precisions, e.wires, strict=True)
                ],
                "alternatives": [
                    {
                        "server": names[a.server],
                        "tpot_s": a.step_s,
                        "chain": chain(problem, a.route) if a.route else None,
                    }
                    for a in e.alternatives
                ],
            }
            for e in found
        ]
    }
