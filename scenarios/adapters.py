"""Adapters of a scenario file, and who asks for them and loads them."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.adapters import Adapter
from ..core.errors import InputProblem, ScenarioError
from ..core.problem import ModelSpec, alike, per_block
from ..perfmodel.adapters import lora_bytes
from . import schema


def build_adapters(document: schema.Scenario, model: ModelSpec) -> tuple[Adapter, ...]:
    """The adapters of a document.

    Raises
    ------
    ScenarioError
        For names that are not there, and sizes that do not follow from the model.
    """
    wrong = list(_unknown(document))
    found = []
    for name, given in document.adapters.items():
        try:
            size = _block_bytes(given, model)
        except ValueError as error:
            message = f"{error} of {model.name}: say block_mb, what the adapter takes on a block"
            wrong.append(InputProblem(f"adapters.{name}.modules", message))
            continue
        if size is None:
            message = "say rank and modules, or block_mb, not both"
            wrong.append(InputProblem(f"adapters.{name}.rank", message))
            continue
        found.append(Adapter(id=name, block_bytes=size, source=given.source))
    if wrong:
        raise ScenarioError(wrong)
    return tuple(found)


def check_adapters(document: schema.Scenario) -> Iterator[str]:
    """A warning about adapters of no known size."""
    open_ones = [n for n, a in document.adapters.items() if a.rank is None and a.block_mb is None]
    if open_ones:
        yield (
            f"no size is known of {len(open_ones)} adapter(s): {', '.join(open_ones[:8])}; they "
            "count as nothing: say rank and modules, or block_mb"
        )


def _unknown(document: schema.Scenario) -> Iterator[InputProblem]:
    """Adapters that are named and not there, and servers that name one twice."""
    known = document.adapters
    there = f"there are {', '.join(list(known)[:20])}" if known else "there is no [adapters] table"
    for i, client in enumerate(document.clients):
        if client.adapter is not None and client.adapter not in known:
            yield InputProblem(f"clients[{i}].adapter", f"no adapter {client.adapter!r}; {there}")
    for i, server in enumerate(document.servers):
        own = server.adapters or []
        for name in own:
            if name not in known:
                yield InputProblem(f"servers[{i}].adapters", f"no adapter {name!r}; {there}")
        if len(set(own)) < len(own):
            yield InputProblem(f"servers[{i}].adapters", "names one twice")


def _block_bytes(given: schema.Adapter, model: ModelSpec) -> int | tuple[int, ...] | None:
    """What it takes on every block; None where that is said twice or by half.

    Raises
    ------
    ValueError
        If it does not follow from what is known of the blocks.
    """
    if given.block_mb is not None:
        return None if given.rank or given.modules else round(given.block_mb * 1e6)
    if given.rank is None or not given.modules:
        return None if given.rank or given.modules else 0
    each = []
    for block in per_block(model.blocks, model.num_blocks):
        if block is None:
            raise ValueError("the matrices are not known")
        each.append(lora_bytes(block, model.hidden_size, given.rank, given.modules))
    return alike(tuple(each))
