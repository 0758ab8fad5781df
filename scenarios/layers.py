"""Own models whose blocks differ: ``[[model.layers]]`` of a scenario file."""

from __future__ import annotations

from dataclasses import replace

from ..core.blocks import Block
from ..core.errors import ScenarioError
from ..core.problem import ModelSpec, alike
from ..perfmodel.catalogue import block_parameters, shipped_architecture, weights_bytes
from ..perfmodel.shape import DENSE_LINEARS, TYPICAL_HEAD, shape_of
from . import schema


def by_layers(given: schema.Model) -> ModelSpec:
    """The model of runs of blocks that are alike.

    Raises
    ------
    ScenarioError
        For figures that are missing, said twice or at odds.
    """
    if given.hidden_size is None:
        raise ScenarioError.single("model.hidden_size", "is missing beside layers")
    windowed, found = given.cache == "windowed", shipped_architecture(given.name)
    runs = [
        _run(run, given, given.hidden_size, f"model.layers[{i}]")
        for i, run in enumerate(given.layers)
    ]
    each = [one for one, run in zip(runs, given.layers, strict=True) for _ in range(run.count)]
    if len(each) > 1_000:
        raise ScenarioError.single("model.layers", f"are {len(each)} blocks, at most 1,000")
    blocks = [b for b, _ in each]
    if found is not None:
        shipped = found.blocks if len(found.blocks) == len(each) else (found.block,) * len(each)
        blocks = [
            _as_shipped(own, kind, size, given.quantisation)
            for (own, size), kind in zip(each, shipped, strict=True)
        ]
    model = ModelSpec(
        name=given.name,
        num_blocks=len(each),
        hidden_size=given.hidden_size,
        block_bytes=alike(tuple(size for _, size in each)),
        cache_bytes_per_token=alike(tuple(int(b.cache_bytes) for b in blocks)),
        window_tokens=alike(tuple(b.window_tokens for b in blocks)) if windowed else None,
        state_bytes=alike(tuple(b.state_bytes for b in blocks)),
        activation_bytes_per_token=2 * given.hidden_size,
        grouped_query=given.grouped_query if found is None else found.grouped_query,
        quantisation=given.quantisation,
        context_tokens=None if found is None else found.context_tokens,
    )
    # Blocks of which nothing is said but what one takes them for anyway stay unsaid.
    told = alike(tuple(blocks))
    return model if told == shape_of(model) else replace(model, blocks=told)


def _as_shipped(own: Block, shipped: Block, size: int, quantisation: str) -> Block:
    """What a block of a shipped model is made of, where it weighs as much, with the cache that the
    file gives it."""
    if weights_bytes(shipped, quantisation) != size:
        return own
    return replace(
        shipped,
        cache_bytes=own.cache_bytes,
        window_tokens=own.window_tokens,
        state_bytes=own.state_bytes,
    )


def _run(
    given: schema.Layers, model: schema.Model, hidden_size: int, where: str
) -> tuple[Block, int]:
    """A block of a run and its weights, bytes."""
    all_of, size = _parameters(given, model, where)
    active = _active(given, model, all_of, where)
    shared, each, experts, visited = _experts(given, all_of, active, where)
    kept = given.cache_bytes_per_token
    cache = 4 * hidden_size if kept is None else kept
    if not cache + given.state_bytes:
        message = "is 0, and so are state_bytes: a session would keep nothing"
        raise ScenarioError.single(f"{where}.cache_bytes_per_token", message)
    dense = not experts
    return Block(
        shared_parameters=shared,
        expert_parameters=each,
        experts=experts,
        active=visited,
        linears=DENSE_LINEARS if dense else DENSE_LINEARS - 2,
        heads=max(1, hidden_size // TYPICAL_HEAD) if cache else 0,
        cache_bytes=cache,
        wide_bytes=max(cache, 4 * hidden_size) if cache else 0,
        window_tokens=given.window_tokens,
        state_bytes=given.state_bytes,
    ), size


def _parameters(given: schema.Layers, model: schema.Model, where: str) -> tuple[int, int]:
    """Weights of a block, and their bytes."""
    if (given.block_mb is None) == (given.parameters is None):
        raise ScenarioError.single(f"{where}.block_mb", "give either block_mb or parameters")
    if given.parameters is not None:
        block = Block(shared_parameters=given.parameters, heads=1, cache_bytes=1, wide_bytes=1)
        return given.parameters, weights_bytes(block, model.quantisation)
    assert given.block_mb is not None
    size = max(1, round(given.block_mb * 1e6))
    return _weights(size, model.quantisation), size


def _weights(size: int, quantisation: str) -> int:
    """Weights that so many bytes hold."""
    sized = ModelSpec(
        name="",
        num_blocks=1,
        hidden_size=1,
        block_bytes=size,
        cache_bytes_per_token=1,
        activation_bytes_per_token=2,
        quantisation=quantisation,
    )
    return block_parameters(sized)


def _active(given: schema.Layers, model: schema.Model, all_of: int, where: str) -> int:
    """Weights of a block that a token meets."""
    if given.active_mb is not None and given.active_parameters is not None:
        message = "give active_mb or active_parameters, not both"
        raise ScenarioError.single(f"{where}.active_mb", message)
    active = all_of
    if given.active_parameters is not None:
        active = given.active_parameters
    elif given.active_mb is not None and given.active_mb != given.block_mb:
        active = _weights(max(1, round(given.active_mb * 1e6)), model.quantisation)
    if active > all_of:
        field = "active_mb" if given.active_mb is not None else "active_parameters"
        raise ScenarioError.single(f"{where}.{field}", "is more than the block has")
    return active


def _experts(
    given: schema.Layers, all_of: int, active: int, where: str
) -> tuple[int, int, int, int]:
    """Weights that all tokens meet, weights of an expert, experts, and how many a token visits."""
    experts, visited = given.experts, given.experts_per_token
    if (experts is None) != (visited is None):
        message = "experts and experts_per_token belong together"
        raise ScenarioError.single(f"{where}.experts", message)
    if active == all_of:
        return all_of, 0, 0, 0
    if experts is None or visited is None:
        # Of whatever is not active only so much is known: a prompt meets it, a step does not.
        return active, all_of - active, 1, 0
    if visited >= experts:
        message = f"is {visited} of {experts}: then all weights are active"
        raise ScenarioError.single(f"{where}.experts_per_token", message)
    each = (all_of - active) // (experts - visited)
    shared = all_of - experts * each
    if shared < 0:
        message = f"experts of {each:,} parameters do not leave {active:,} active ones"
        raise ScenarioError.single(f"{where}.active_parameters", message)
    return shared, each, experts, visited
