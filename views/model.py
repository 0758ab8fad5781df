"""What a model's blocks weigh, read and keep, as text and as a document."""

from __future__ import annotations

from typing import Any, get_args

from ..core.blocks import Block
from ..core.names import CacheKept, block_ranges
from ..perfmodel.catalogue import BYTES_PER_VALUE, spec_of, weights_bytes
from ..perfmodel.configs import Architecture
from ..perfmodel.kept import Kept
from ..render import print_lines, print_table

#: Tokens of the sessions whose cache is shown.
SESSIONS = (4_096, 32_768)
KEPT: tuple[CacheKept, ...] = get_args(CacheKept)


def print_model(name: str, model: Architecture) -> None:
    """Blocks by kind, totals, bytes at each precision, cache of sessions."""
    rows: list[list[object]] = []
    for block, which in kinds(model):
        rows.append(
            [
                _ranges(which),
                len(which),
                f"{block.parameters:,}",
                f"{block.active_parameters:,}",
                f"{block.active} of {block.experts}" if block.experts else "-",
                *(f"{weights_bytes(block, q) / 1e6:,.1f}" for q in BYTES_PER_VALUE),
                f"{block.cache_bytes:,}",
                f"{block.window_tokens:,}" if block.window_tokens else "-",
                f"{block.state_bytes:,}" if block.state_bytes else "-",
            ]
        )
    columns = ["blocks", "count", "parameters", "active", "experts"]
    columns += [f"MB {q}" for q in BYTES_PER_VALUE]
    columns += ["cache B/token", "window tokens", "state B"]
    title = f"{name}: {model.family}, {model.num_blocks} blocks of width {model.hidden_size:,}"
    print_table(title, columns, rows)
    print_table(
        "Cache of a session over all blocks, MB, by what the runtime keeps (cache = ...)",
        ["cache", "bytes per token", *(f"{tokens:,} tokens" for tokens in SESSIONS)],
        [
            [kept, f"{_per_token(name, model, kept):,}", *_session_mb(name, model, kept)]
            for kept in KEPT
        ],
    )
    sizes = [f"{_whole(model, q) / 1e9:,.1f} GB {q}" for q in BYTES_PER_VALUE]
    said = model.context_tokens
    print_lines(
        [
            f"{model.total_parameters:,} parameters, {model.active_parameters:,} of them active",
            f"all blocks: {', '.join(sizes)}",
            f"context: {said:,} tokens" if said else "context: the configuration does not say",
        ]
    )


def model_document(name: str, model: Architecture) -> dict[str, Any]:
    """The same for programs; ``kinds`` in order of their first block."""
    return {
        "name": name,
        "family": model.family,
        "num_blocks": model.num_blocks,
        "hidden_size": model.hidden_size,
        "context_tokens": model.context_tokens,
        "total_parameters": model.total_parameters,
        "active_parameters": model.active_parameters,
        "embedding_parameters": model.embedding_parameters,
        "head_parameters": model.head_parameters,
        "outer_parameters": model.outer_parameters,
        "kinds": [_kind(block, which) for block, which in kinds(model)],
        "all_blocks_bytes": {q: _whole(model, q) for q in BYTES_PER_VALUE},
        "cache": {
            kept: {
                "bytes_per_token": _per_token(name, model, kept),
                "session_bytes": {
                    str(tokens): _session(name, model, kept, tokens) for tokens in SESSIONS
                },
            }
            for kept in KEPT
        },
    }


def model_section(name: str, model: Architecture, kept: CacheKept) -> dict[str, Any]:
    """The ``model`` section of a scenario file: its blocks as runs of like ones."""
    section: dict[str, Any] = {
        "name": name,
        "hidden_size": model.hidden_size,
        "cache": kept,
        "grouped_query": model.grouped_query,
    }
    if model.context_tokens:
        section["context_tokens"] = model.context_tokens
    return {"model": {**section, "layers": [_layers(b, n, kept) for b, n in runs(model.blocks)]}}


def kinds(model: Architecture) -> list[tuple[Block, list[int]]]:
    """Blocks that are alike, and which."""
    found: dict[Block, list[int]] = {}
    for number, block in enumerate(model.blocks):
        found.setdefault(block, []).append(number)
    return list(found.items())


def runs(blocks: tuple[Block, ...]) -> list[tuple[Block, int]]:
    """Consecutive blocks that are alike, and how many."""
    found: list[tuple[Block, int]] = []
    for block in blocks:
        if found and found[-1][0] == block:
            found[-1] = (block, found[-1][1] + 1)
        else:
            found.append((block, 1))
    return found


def _ranges(which: list[int]) -> str:
    """The ranges of some blocks; of many only how they begin."""
    ranges = block_ranges(which)
    return ", ".join(ranges[:3]) + (" ..." if len(ranges) > 3 else "")


def _kind(block: Block, which: list[int]) -> dict[str, Any]:
    expanded = block.cache_bytes if block.expanded_bytes is None else block.expanded_bytes
    return {
        "blocks": block_ranges(which),
        "count": len(which),
        "parameters": block.parameters,
        "active_parameters": block.active_parameters,
        "vector_parameters": block.vector_parameters,
        "experts": block.experts,
        "experts_per_token": block.active,
        "bytes": {q: weights_bytes(block, q) for q in BYTES_PER_VALUE},
        "cache_bytes_per_token": block.cache_bytes,
        "expanded_bytes_per_token": expanded,
        "window_tokens": block.window_tokens,
        "state_bytes": block.state_bytes,
    }


def _layers(block: Block, count: int, kept: CacheKept) -> dict[str, Any]:
    expanded = block.expanded_bytes if kept == "expanded" else None
    found: dict[str, Any] = {
        "count": count,
        "parameters": block.parameters,
        "active_parameters": block.active_parameters,
        "cache_bytes_per_token": block.cache_bytes if expanded is None else expanded,
    }
    if block.experts:
        found |= {"experts": block.experts, "experts_per_token": block.active}
    if block.window_tokens:
        found["window_tokens"] = block.window_tokens
    if block.state_bytes:
        found["state_bytes"] = block.state_bytes
    return found


def _whole(model: Architecture, quantisation: str) -> int:
    return sum(weights_bytes(block, quantisation) for block in model.blocks)


def _session(name: str, model: Architecture, kept: CacheKept, tokens: int) -> int:
    return int(Kept(spec_of(name, model, kept=kept)).bytes(tokens, 0, model.num_blocks))


def _session_mb(name: str, model: Architecture, kept: CacheKept) -> list[str]:
    return [f"{_session(name, model, kept, tokens) / 1e6:,.1f}" for tokens in SESSIONS]


def _per_token(name: str, model: Architecture, kept: CacheKept) -> int:
    """What a token more takes while no window is full."""
    return _session(name, model, kept, 2) - _session(name, model, kept, 1)
