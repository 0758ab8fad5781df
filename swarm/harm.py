"""What a live chain costs in accuracy: by the precisions that servers announce, not by those that a
plan hoped for. Plain Python, no hivemind.

A server may host its blocks at another precision than is planned: it has not loaded them anew yet,
cannot quantise them, or was started so. What an answer may cost is counted on what is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.accuracy import SAME_HARM, Accuracy
from ..core.errors import NoRouteError
from ..core.problem import Problem, Server

#: PETALS' ``quant_type`` -> precision as scenarios name it.
PRECISIONS = {"none": "bf16", "int8": "int8", "nf4": "nf4"}
#: Harm of a block of which nothing is known: more than any budget, and still a number.
BEYOND = 1e9
#: A chain as peers and half-open spans.
Chain = Sequence[tuple[str, int, int]]
#: Peer -> precision that it announces, None = none that is known.
Announced = Mapping[str, str | None]


def precision_of(quant_type: object) -> str | None:
    """As scenarios name it; None where nothing is announced that is known."""
    return PRECISIONS.get(quant_type.casefold()) if isinstance(quant_type, str) else None


def as_announced(problem: Problem, announced: Announced) -> Problem:
    """The problem where servers host their blocks at the precisions that they announce.

    Notes
    -----
    Where nothing is announced the problem's own counts. Times and sizes follow where the scenario
    knows the server at that precision.
    """
    servers = tuple(_at(s, announced.get(s.id)) for s in problem.servers)
    if all(new is old for new, old in zip(servers, problem.servers, strict=True)):
        return problem
    accuracy = problem.accuracy
    if accuracy is not None:
        used = {p: block_harms(accuracy, p) for p in sorted({s.precision for s in servers})}
        accuracy = replace(accuracy, harm=tuple({**used, **dict(accuracy.harm)}.items()))
    return replace(problem, servers=servers, accuracy=accuracy)


def block_harms(accuracy: Accuracy, precision: str | None) -> tuple[float, ...]:
    """(L,) harm of each block; nothing is known of a precision that the scenario does not name,
    but that 16 bit is what the others are measured against."""
    known = dict(accuracy.harm)
    if precision in known:
        return known[precision]
    return (0.0 if precision == "bf16" else BEYOND,) * len(accuracy.harm[0][1])


def harm_of(problem: Problem, announced: Announced, chain: Chain) -> float:
    """What a chain costs, servers that the problem does not know among it."""
    accuracy = problem.accuracy
    if accuracy is None:
        return 0.0
    hosted = {s.id: s.precision for s in problem.servers}
    hosted |= {peer: precision for peer, precision in announced.items() if precision}
    return math.fsum(
        math.fsum(block_harms(accuracy, hosted.get(peer))[a:z]) for peer, a, z in chain
    )


def accuracy_left(
    problem: Problem, row: int, spent: float, start: int, end: int
) -> Accuracy | None:
    """The accuracy of blocks ``[start, end)`` for the client in a row, which has spent so much of
    its budget on others."""
    accuracy = problem.accuracy
    if accuracy is None:
        return None
    harm = tuple((p, each[start:end]) for p, each in accuracy.harm)
    return replace(accuracy, harm=harm, budgets=(max(0.0, accuracy.budgets[row] - spent),))


def check_budget(problem: Problem, row: int, announced: Announced, chain: Chain) -> None:
    """Refuse a whole chain that costs more than the client in a row bears.

    Raises
    ------
    NoRouteError
        With what it costs.
    """
    accuracy = problem.accuracy
    if accuracy is None or not math.isfinite(accuracy.budgets[row]):
        return
    harm, most = harm_of(problem, announced, chain), accuracy.budgets[row]
    if harm > most + SAME_HARM:
        name = problem.clients[row].id
        told = f"{harm:.6g}" if harm < BEYOND else "nobody knows how much"
        raise NoRouteError(
            f"no chain of running servers is within what client {name!r} bears: this one harms "
            f"{told}, at most {most:.6g} is allowed (accuracy)"
        )


def _at(server: Server, precision: str | None) -> Server:
    if precision is None or precision == server.precision:
        return server
    if precision in server.precisions:
        return server.at_precision(precision)
    return replace(server, precision=precision)
