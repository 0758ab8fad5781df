"""The names that files, options and code share, each in one place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

#: Who hands a session's step on: every hop returns to the client, servers push to the next, or they
#: push prompts too and the last one alone answers.
Relay = Literal["client", "server", "pipeline"]
#: How a server shares its compute among sessions: one task at a time (PETALS), all steps that wait
#: together, or everybody at once as if alone (the assumption of the papers).
Sharing = Literal["serial", "batched", "independent"]
#: What a request does when its servers are full (simulator.admission).
Admission = Literal["retry", "queue", "reserve", "notify", "sized", "ordered"]
#: What policies know of output lengths (core.workload.LengthUse).
LengthMode = Literal["oracle", "predictor", "model-constant", "maximum"]
#: What a plan is chosen by: response time under the workload, time per token of the planned
#: concurrent sessions, or the highest rate that the swarm sustains.
Aim = Literal["response", "latency", "throughput"]
#: Which response time counts.
Metric = Literal["mean", "p95"]
#: What service is judged by: the response's mean or 95th percentile, how much slower than alone,
#: seconds beyond deadlines, or every client's mean as much as any other's.
Quality = Literal["mean", "p95", "slow-down", "late", "fair"]
#: Precision of a block's weights.
Quantisation = Literal["bf16", "int8", "nf4"]
#: How hidden states go over a server's links: by a format of 8 bit that PETALS has, or as they are.
Packed = Literal["uniform_8bit", "quantile_8bit", "blockwise_8bit"]
Wire = Literal["none", Packed]
#: What a runtime keeps of a session's tokens: what attention needs of those in its window; that of
#: all of them; the keys and values of every head of all of them.
CacheKept = Literal["windowed", "full", "expanded"]
#: What a pass over drafts gives: the drafts that are right and a token of the target's own, or, as
#: the class in PETALS' repository, that token only where no draft was right.
Semantics = Literal["standard", "petals"]
#: How clients draft in a comparison: not at all, ten tokens by PETALS' class, as it is planned.
Speculating = Literal["none", "petals", "auto"]
#: Kinds of things that are known by name.
Listed = Literal["devices", "models", "methods", "routers", "topologies", "scenarios"]
#: How far a plan is proven.
Status = Literal["optimal", "feasible"]


def names(literal: Any) -> tuple[str, ...]:
    """The names that a literal type allows, in order."""
    return tuple(get_args(literal))


def blocks(start: int, end: int) -> str:
    """Blocks ``[start, end)`` as they are printed everywhere: PETALS' own ``start:end``."""
    return f"{start}:{end}"


def block_ranges(which: Iterable[int]) -> list[str]:
    """Blocks in increasing order as ranges: 0, 1, 2, 5 are ``0:3`` and ``5:6``."""
    parts: list[list[int]] = []
    for b in which:
        if parts and parts[-1][1] == b:
            parts[-1][1] = b + 1
        else:
            parts.append([b, b + 1])
    return [blocks(a, e) for a, e in parts]
