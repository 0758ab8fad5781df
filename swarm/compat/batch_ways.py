"""Which way a machine multiplies several rows fastest, and how long a pass takes by their number.

Libraries differ: one's product of two rows takes as long as two of one row on one processor, and
half of that on another. So every way is tried on the server's own blocks, once, before it serves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from .llama_step import Place, Way, block_step, layers

#: Sessions of the passes that are tried; a pass of others goes by the next larger one.
TRIED_ROWS = (2, 4, 8, 16, 32)
#: Blocks that a try runs through, so that weights do not stay in a cache; runs, of which the least
#: counts; tokens before the new one; seconds after which nothing more is tried.
TRIED_BLOCKS, RUNS, CONTEXT, LIMIT_S = 4, 3, 128, 8.0


def _whole(layer: Any, rows: Any) -> Any:
    return layer(rows)


def _one_by_one(layer: Any, rows: Any) -> Any:
    return torch.cat([layer(row) for row in rows.split(1)])


def _onednn(layer: Any, rows: Any) -> Any:
    return torch.ops.mkldnn._linear_pointwise(rows, layer.weight, layer.bias, "none", [], "")


def ways_of(blocks: Sequence[Any]) -> dict[str, Way]:
    """The ways that these blocks can go, by name."""
    ways: dict[str, Way] = {"whole": _whole, "one by one": _one_by_one}
    plain = all(
        type(layer) is torch.nn.Linear
        and layer.weight.dtype == torch.float32
        and layer.weight.device.type == "cpu"
        for block in blocks
        for layer in layers(block)
    )
    if plain and torch.backends.mkldnn.is_available():
        ways["oneDNN"] = _onednn
    return ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The fastest way by the number of sessions, and what a pass takes.

    Attributes
    ----------
    best : (sessions, name of the way), the number rising.
    curve : as ``Batching.curve``.
    """

    ways: Mapping[str, Way]
    best: tuple[tuple[int, str], ...]
    curve: tuple[tuple[int, float], ...]

    def of(self, rows: int) -> Way:
        """The way of a pass of so many sessions."""
        name = next((name for most, name in self.best if rows <= most), self.best[-1][1])
        return self.ways[name]


def tried(backends: Sequence[Any]) -> Ways:
    """Try all ways on the first of some blocks that can take several sessions."""
    modules = [backend.module for backend in backends[:TRIED_BLOCKS]]
    blocks = [module.module_shards[0] for module in modules]
    ways, until = ways_of(blocks), time.monotonic() + LIMIT_S
    hidden, caches = _made_up(blocks[0], max(TRIED_ROWS))
    alone_s = float("inf")
    best: list[tuple[int, str]] = []
    fastest_s: list[float] = []
    with torch.inference_mode():
        for rows in TRIED_ROWS:
            if best and time.monotonic() > until:
                break
            runs = {"alone": partial(_petals_step, modules, hidden[:1], caches[0])}
            for name, way in ways.items():
                # Beyond the fewest rows only what does not grow with them can gain.
                if name != "one by one" or rows <= TRIED_ROWS[1]:
                    runs[name] = partial(_pass, blocks, hidden[:rows], caches, way)
            took_s = _least_s(runs, hidden.device)
            alone_s = min(alone_s, took_s.pop("alone"))
            name = min(took_s, key=took_s.__getitem__)
            best.append((rows, name))
            fastest_s.append(took_s[name])
    curve: list[tuple[int, float]] = []
    for (rows, _), pass_s in zip(best, fastest_s, strict=True):
        before = curve[-1][1] if curve else 1.0
        curve.append((rows, min(float(rows), max(before, pass_s / alone_s))))
    return Ways(ways=ways, best=tuple(best), curve=tuple(curve))


def _made_up(block: Any, rows: int) -> tuple[Any, list[Place]]:
    """Hidden states and caches of so many sessions."""
    weight, attention = block.input_layernorm.weight, block.self_attn
    like: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
    heads, size = attention.num_key_value_heads, attention.head_dim
    places = [
        Place(
            keys=torch.randn(1, heads, size, CONTEXT + 1, **like),
            values=torch.randn(1, heads, CONTEXT + 1, size, **like),
            position=CONTEXT,
        )
        for _ in range(rows)
    ]
    return torch.randn(rows, attention.hidden_size, **like), places


def _petals_step(modules: Sequence[Any], hidden: Any, place: Place) -> None:
    """PETALS' own step of one session."""
    past = (place.keys[0, :, :, :CONTEXT], place.values[0, :, :CONTEXT])
    for module in modules:
        module.forward(hidden[None], layer_past=past, use_cache=True)


def _pass(blocks: Sequence[Any], hidden: Any, places: Sequence[Place], way: Way) -> None:
    for block in blocks:
        hidden = block_step(block, hidden, places[: len(hidden)], way)


def _least_s(runs: Mapping[str, Callable[[], None]], device: Any) -> dict[str, float]:
    """The least that each takes, in turn, after one time that warms up."""
    least = dict.fromkeys(runs, float("inf"))
    for number in range(RUNS + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                least[name] = min(least[name], time.perf_counter() - began)
    return least
