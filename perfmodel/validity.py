"""Which block times of a problem were not measured, or are asked for outside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..core.problem import Problem, Server, Validity

_HOW = {"scaled": "scaled", "estimated": "estimated"}


def doubts(problem: Problem) -> tuple[str, ...]:
    """One line for every reason to doubt a figure, with the servers that it concerns."""
    prompts, longest = _asked(problem)
    batching = [s for s in problem.servers if s.sharing == "batched"]
    return (
        *_origins(problem.servers),
        *_outside(problem.servers, "prompts", prompts, lambda s: s.validity.prompt_tokens),
        *_outside(problem.servers, "contexts", [longest], lambda s: _up_to(s.validity)),
        *_many_rows(batching),
    )


def _asked(problem: Problem) -> tuple[list[int], int]:
    """Shortest, representative and longest prompt, and longest context that are reckoned with."""
    load, plan = problem.workload, problem.planning
    prompts = [plan.prompt_tokens, *(r.prompt_tokens for r in load.trace)]
    longest = [plan.session_tokens, *(r.prompt_tokens + r.output_tokens for r in load.trace)]
    for stream in load.classes:
        values = stream.prompt_tokens.values
        prompts += [min(values), max(values)]
        longest.append(max(values) + max(stream.output_tokens.values))
    return sorted({min(prompts), plan.prompt_tokens, max(prompts)}), max(longest)


def doubtful(server: Server) -> bool:
    """Whether a server's block times are not measured on such blocks."""
    return server.validity.origin in _HOW


def mark(server: Server) -> str:
    """What stands before a figure that follows from a server's block times."""
    return "~" if doubtful(server) else ""


def _origins(servers: Iterable[Server]) -> Iterable[str]:
    kinds: dict[tuple[str, str], list[str]] = {}
    for server in servers:
        if doubtful(server):
            key = (server.validity.origin, server.validity.remark)
            kinds.setdefault(key, []).append(server.device or server.id)
    for (origin, remark), devices in kinds.items():
        yield f"block times of {_named(devices)} are {_HOW[origin]}: {remark}"


def _outside(
    servers: Iterable[Server],
    what: str,
    asked: Sequence[int],
    measured: Callable[[Server], tuple[int, int] | None],
) -> Iterable[str]:
    """Where so many tokens are more or fewer than were measured."""
    for (least, most), devices in _by_range(servers, measured):
        beyond = [f"{tokens:,}" for tokens in asked if not least <= tokens <= most]
        if beyond:
            yield (
                f"{what} of {' and '.join(beyond)} tokens lie outside what was measured on "
                f"{_named(devices)} ({least:,} to {most:,})"
            )


def _up_to(validity: Validity) -> tuple[int, int] | None:
    """Every context up to the longest: what is added to a step shrinks towards an empty cache."""
    return validity.context_tokens and (0, validity.context_tokens[1])


def _many_rows(servers: Iterable[Server]) -> Iterable[str]:
    """How many sequences a step of batching servers may hold as they were measured."""
    for (_, most), devices in _by_range(servers, lambda s: s.validity.rows):
        yield f"steps of more than {most:,} rows lie outside what was measured on {_named(devices)}"


def _by_range(
    servers: Iterable[Server], measured: Callable[[Server], tuple[int, int] | None]
) -> Iterable[tuple[tuple[int, int], list[str]]]:
    """Ranges that were measured, and the servers of each."""
    kinds: dict[tuple[int, int], list[str]] = {}
    for server in servers:
        if (span := measured(server)) is not None:
            kinds.setdefault(span, []).append(server.device or server.id)
    return kinds.items()


def _named(devices: list[str]) -> str:
    count = f"{len(devices)} server" + ("s" if len(devices) > 1 else "")
    return f"{count} ({', '.join(sorted(set(devices)))})"
