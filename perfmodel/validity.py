"""Which block times of a problem were not measured, or are asked for outside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..core.problem import Problem, Server

_HOW = {"scaled": "scaled", "estimated": "estimated"}


def doubts(problem: Problem) -> tuple[str, ...]:
    """One line for every reason to doubt a figure, with the servers that it concerns."""
    lines = list(_origins(problem.servers))
    prompt, context = problem.planning.prompt_tokens, problem.planning.session_tokens
    lines += _outside(
        problem.servers, "prompts", prompt, lambda s: s.validity.prompt_tokens, below=True
    )
    lines += _outside(problem.servers, "contexts", context, lambda s: s.validity.context_tokens)
    return tuple(lines)


def doubtful(server: Server) -> bool:
    """Whether a server's block times are not measured on such blocks."""
    return server.validity.origin in _HOW


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
    tokens: int,
    measured: Callable[[Server], tuple[int, int] | None],
    *,
    below: bool = False,
) -> Iterable[str]:
    """Where so many tokens are more (or fewer) than were measured."""
    kinds: dict[tuple[int, int], list[str]] = {}
    for server in servers:
        span = measured(server)
        if span is not None and (tokens > span[1] or (below and tokens < span[0])):
            kinds.setdefault(span, []).append(server.device or server.id)
    for (least, most), devices in kinds.items():
        yield (
            f"{what} of {tokens:,} tokens lie outside what was measured on {_named(devices)} "
            f"({least:,} to {most:,})"
        )


def _named(devices: list[str]) -> str:
    count = f"{len(devices)} server" + ("s" if len(devices) > 1 else "")
    return f"{count} ({', '.join(sorted(set(devices)))})"
