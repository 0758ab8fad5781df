"""Models of a scenario file, in SI units: of the catalogue, by a configuration, by own figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..core.blocks import Block
from ..core.errors import ScenarioError
from ..core.problem import ModelSpec, alike, per_block
from ..perfmodel.catalogue import (
    BYTES_PER_VALUE,
    model_spec,
    shipped_architecture,
    spec_of,
    weights_bytes,
)
from . import schema
from .checkpoint import MAX_CONFIG_BYTES, name_of, read_config
from .files import check_file, read_bytes
from .known import known
from .layers import by_layers

#: Fields of a model that say what ``layers`` or ``config`` say.
_ONCE = ("num_blocks", "block_mb", "cache_bytes_per_token")


def build_model(given: schema.Model, base_dir: Path, referenced: dict[str, bytes]) -> ModelSpec:
    """The model of a file; ``referenced`` receives the bytes of its configuration, under "".

    Raises
    ------
    ScenarioError
        For an unknown name or configuration, and for figures that are missing or said twice.
    """
    _check_sources(given)
    if given.config is not None:
        model = _by_config(given, given.config, base_dir, referenced)
    elif given.layers:
        model = by_layers(given)
    elif all(getattr(given, name) is None for name in (*_ONCE, "hidden_size")):
        model = known(
            lambda: model_spec(given.name, given.quantisation, given.cache or "full"), "model.name"
        )
    else:
        model = _by_own_figures(given)
    context = given.context_tokens or model.context_tokens
    return replace(model, context_tokens=context)


def weights_at(model: ModelSpec, given: schema.Model, quantisation: str) -> int | tuple[int, ...]:
    """Weights of a block, or of each, at another quantisation than the model's."""
    if quantisation == model.quantisation:
        return model.block_bytes
    ratio = BYTES_PER_VALUE[quantisation] / BYTES_PER_VALUE[model.quantisation]

    def one(block: Block | None, size: int) -> int:
        if block is not None and given.num_blocks is None:
            exact = weights_bytes(block, quantisation)
            if weights_bytes(block, model.quantisation) == size:
                return exact
        return max(1, round(size * ratio))

    return alike(tuple(one(*pair) for pair in _pairs(model)))


def file_bytes(model: ModelSpec, given: schema.Model) -> int | tuple[int, ...]:
    """Weights of a block, or of each, as published, 16 bit: read before any quantisation."""
    ratio = 2.0 / BYTES_PER_VALUE[model.quantisation]

    def one(block: Block | None, size: int) -> int:
        if block is not None and given.num_blocks is None:
            return 2 * block.parameters
        return max(1, round(size * ratio))

    return alike(tuple(one(*pair) for pair in _pairs(model)))


def _pairs(model: ModelSpec) -> Iterator[tuple[Block | None, int]]:
    length = model.num_blocks
    return zip(per_block(model.blocks, length), per_block(model.block_bytes, length), strict=True)


def _check_sources(given: schema.Model) -> None:
    """A figure is said in one place."""
    said = [name for name in (*_ONCE, "hidden_size") if getattr(given, name) is not None]
    if given.config is not None:
        for name in [*said, *(["layers"] if given.layers else [])]:
            message = f"is what {given.config} says: leave it out, or leave config out"
            raise ScenarioError.single(f"model.{name}", message)
    elif not given.name:
        message = "is missing: name a model of the catalogue, or give config or own figures"
        raise ScenarioError.single("model.name", message)
    elif given.layers:
        blocks = sum(run.count for run in given.layers)
        for name in said:
            if name == "hidden_size" or (name == "num_blocks" and given.num_blocks == blocks):
                continue
            message = f"is what layers say ({blocks} blocks): leave it out"
            raise ScenarioError.single(f"model.{name}", message)


def _by_config(
    given: schema.Model, config: str, base_dir: Path, referenced: dict[str, bytes]
) -> ModelSpec:
    path = base_dir / config
    check_file(path, "model.config")
    content = referenced[""] = read_bytes(path, MAX_CONFIG_BYTES)
    architecture = known(lambda: read_config(content, str(path)), "model.config", within=config)
    name = given.name or name_of(path, architecture)
    return spec_of(name, architecture, given.quantisation, given.cache or "full")


def _by_own_figures(given: schema.Model) -> ModelSpec:
    """Blocks that are alike."""
    if given.num_blocks is None or given.hidden_size is None or given.block_mb is None:
        first = next(n for n in ("num_blocks", "hidden_size", "block_mb") if not getattr(given, n))
        raise ScenarioError.single(
            f"model.{first}",
            "an own model needs num_blocks, hidden_size and block_mb together; leave all of them "
            "out to take a model of the catalogue",
        )
    # Without grouped queries: K and V, 16 bit each, of the full width.
    cache = given.cache_bytes_per_token or 4 * given.hidden_size
    found = shipped_architecture(given.name)
    return ModelSpec(
        name=given.name,
        num_blocks=given.num_blocks,
        hidden_size=given.hidden_size,
        block_bytes=max(1, round(given.block_mb * 1e6)),
        cache_bytes_per_token=cache,
        activation_bytes_per_token=2 * given.hidden_size,
        grouped_query=given.grouped_query,
        quantisation=given.quantisation,
        blocks=None if found is None else found.block,
        context_tokens=None if found is None else found.context_tokens,
    )
