"""Block times on this machine, as a PETALS server would reach them: ``swarmplan swarm measure``.

Blocks of a model's configuration are made with random weights, converted as PETALS converts them,
and run through PETALS' own inference step: its chunks, its cache, its kernels. What is not run is
the server around it (queues, network), which scenarios account for by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from petals.data_structures import InferenceMetadata
from petals.server.backend import TransformerBackend
from petals.server.throughput import get_device_name, synchronize
from petals.utils import peft
from petals.utils.auto_config import AutoDistributedConfig
from petals.utils.convert_block import QuantType, convert_block
from petals.utils.misc import DUMMY_INT64

from ..core.errors import ScenarioError
from ..perfmodel.calibrate import PETALS_STYLE
from ..perfmodel.catalogue import shipped_architecture
from ..perfmodel.configs import Architecture
from ..perfmodel.measurements import Measurement

QUANTISATIONS = {"bf16": QuantType.NONE, "int8": QuantType.INT8, "nf4": QuantType.NF4}
#: ``--max_chunk_size_bytes`` of PETALS' server.
CHUNK_BYTES = 256 * 2**20
#: Share of the free memory for blocks, so that their cache fits, and the most blocks.
BLOCK_SHARE, MOST_BLOCKS = 0.4, 4
#: A point is run so often at least, and no more often than this.
FEWEST_RUNS, MOST_RUNS = 3, 25
#: Random numbers that weights are tiled from; drawing every one takes minutes at 3 billion.
_TILE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A step to measure: ``new`` tokens of each of ``batch`` sequences after ``context``."""

    phase: str
    context: int = 0
    new: int = 1
    batch: int = 1

    @property
    def length(self) -> int:
        """Tokens in the cache afterwards."""
        return self.context + self.new


#: What profiles are fitted to: context, prompts, batches, verified tokens; what matters most first.
POINTS = (
    Point(phase="decode", context=1),
    Point(phase="decode", context=2048),
    Point(phase="prefill", new=128),
    Point(phase="prefill", new=1024),
    Point(phase="decode", context=512),
    Point(phase="prefill", new=2048),
    Point(phase="prefill", new=512),
    Point(phase="decode", context=8192),
    Point(phase="decode", context=512, batch=2),
    Point(phase="decode", context=512, batch=4),
    Point(phase="decode", context=512, batch=8),
    Point(phase="decode", context=512, batch=16),
    Point(phase="decode", context=512, batch=32),
    Point(phase="verify", context=512, new=4),
    Point(phase="verify", context=512, new=16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What to measure.

    Attributes
    ----------
    model : name in the catalogue, folder with a config.json, or repository (its config is read).
    precisions : of bf16, int8, nf4.
    longest : points with more tokens in the cache or prompt are passed over.
    limit_s : time for one model at one precision.
    device : torch's name, None = the GPU where there is one.
    """

    model: str
    precisions: Sequence[str] = ("bf16",)
    longest: int = 8192
    limit_s: float = 100.0
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cache:
    """Keys and values of one block, where PETALS' step looks for its memory cache."""

    tensors: list[Any] = field(default_factory=list)

    @contextmanager
    def use_cache(self, *_handles: Any) -> Iterator[list[Any]]:
        """The tensors; nothing is shared with other processes here."""
        yield self.tensors


class _Block(TransformerBackend):
    """PETALS' backend of one block without the pools of its server."""

    def __init__(self, module: Any, config: Any, dtype: torch.dtype) -> None:
        self.module, self.config, self.dtype = module, config, dtype
        self._peft_module, self.memory_cache = peft, _Cache()
        self.max_chunk_size_bytes = CHUNK_BYTES
        self.dtype_bytes = dtype.itemsize
        self.shard_num_heads = [config.num_attention_heads]
        self.name = "measured"

    def make_room(self, batch: int, tokens: int) -> None:
        """An attention cache for so many sequences and tokens."""
        found = self.get_inference_cache_descriptors(batch_size=batch, max_length=tokens)
        self.memory_cache.tensors[:] = [
            torch.randn(tuple(d.size), dtype=d.dtype, device=d.device) for d in found
        ]


def measure(options: MeasureOptions, say: Callable[[str], None]) -> list[Measurement]:
    """Rows of a table of measurements, one for every point that fits.

    Raises
    ------
    ScenarioError
        If PETALS cannot run the model, or not at that precision on this machine.
    """
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = _config(options.model)
    rows = []
    for precision in options.precisions:
        began = time.monotonic()
        if precision != "bf16" and device.type != "cuda":
            raise ScenarioError.single(
                "", f"{precision} needs a CUDA GPU (bitsandbytes); this is {device.type}"
            )
        blocks = _blocks(config, precision, device)
        say(f"{precision}: {len(blocks)} blocks made in {time.monotonic() - began:.0f} s")
        rows += _measured(blocks, precision, options, began, say)
        del blocks
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return rows


def _measured(
    blocks: Sequence[_Block],
    precision: str,
    options: MeasureOptions,
    began: float,
    say: Callable[[str], None],
) -> list[Measurement]:
    """Rows at one precision: points in order, each given its share of the time that is left."""
    device = blocks[0].module.devices[0]
    known = shipped_architecture(options.model) is not None
    points = [p for p in POINTS if p.length <= options.longest]
    rows = []
    for i, point in enumerate(points):
        left_s = options.limit_s - (time.monotonic() - began)
        if left_s <= 0:
            say(f"{precision}: out of time, {len(points) - i} points are missing")
            break
        try:
            seconds = _point_s(blocks, point, left_s / (len(points) - i))
        except torch.cuda.OutOfMemoryError:
            say(f"{precision}: no memory for {point}")
            continue
        rows.append(
            Measurement(
                phase=cast("Any", point.phase),
                tokens=point.new if point.phase == "prefill" else point.context,
                new_tokens=1 if point.phase == "prefill" else point.new,
                batch=point.batch,
                seconds=seconds,
                precision=precision,
                style=PETALS_STYLE,
                model=options.model if known else "",
                gpu=get_device_name(device).removesuffix(" GPU"),
            )
        )
    return rows


def _point_s(blocks: Sequence[_Block], point: Point, share_s: float) -> float:
    """The least time of one block in runs over the whole span, by the host's clock."""
    device = blocks[0].module.devices[0]
    for block in blocks:
        block.make_room(point.batch, point.length)
    shape = (point.batch, point.new, blocks[0].config.hidden_size)
    start = torch.randn(shape, dtype=blocks[0].dtype, device=device)
    info = InferenceMetadata(
        uid="measured", prefix_length=point.context, cache_handles=(), active_adapter=""
    )
    least, runs, until = float("inf"), 0, time.perf_counter() + share_s
    _run(blocks, start, info)  # warms up
    while runs < FEWEST_RUNS or (runs < MOST_RUNS and time.perf_counter() < until):
        synchronize(device)
        before = time.perf_counter()
        _run(blocks, start, info)
        synchronize(device)
        least = min(least, (time.perf_counter() - before) / len(blocks))
        runs += 1
    return least


def _run(blocks: Sequence[_Block], hidden: Any, info: Any) -> None:
    for block in blocks:
        (hidden,) = block.inference_step(hidden, DUMMY_INT64, info)


def _blocks(config: Any, precision: str, device: torch.device) -> list[_Block]:
    """Distinct blocks, as many as fit beside their cache: one alone may stay in the GPU's cache."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    made: list[_Block] = []
    for _ in range(MOST_BLOCKS):
        with _quick_weights(dtype):
            block = config.block_class(config)
        _fill(block)
        size = sum(p.numel() * p.element_size() for p in block.parameters())
        converted = convert_block(
            block, 0, config, (device,), device, quant_type=QUANTISATIONS[precision], freeze=True
        )
        made.append(_Block(converted, config, dtype))
        if (len(made) + 1) * size > BLOCK_SHARE * _free_bytes(device, len(made) * size):
            break
    return made


def _free_bytes(device: torch.device, taken: int) -> int:
    """Memory for blocks, those that were made included."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + taken
    return 4 * 2**30


@contextmanager
def _quick_weights(dtype: torch.dtype) -> Iterator[None]:
    """Modules are made in a type, and without drawing weights that are filled in afterwards."""
    names = ("kaiming_uniform_", "uniform_", "normal_", "xavier_uniform_")
    kept = {name: getattr(torch.nn.init, name) for name in names}
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        for name in names:
            setattr(torch.nn.init, name, lambda tensor, *_a, **_k: tensor)
        yield
    finally:
        torch.set_default_dtype(before)
        for name, function in kept.items():
            setattr(torch.nn.init, name, function)


def _fill(block: Any) -> None:
    """Small random weights, tiled: times do not depend on them, but 8-bit outliers would."""
    for parameter in block.parameters():
        flat = parameter.data.view(-1)
        tile = 0.02 * torch.randn(min(_TILE, flat.numel()), dtype=parameter.dtype)
        for start in range(0, flat.numel(), len(tile)):
            part = flat[start : start + len(tile)]
            part.copy_(tile[: len(part)])


def _config(model: str) -> Any:
    """PETALS' configuration of a model; of the catalogue's without asking anybody."""
    known = shipped_architecture(model)
    try:
        if known is not None:
            return _of_catalogue(known)
        if not Path(model).is_dir() and "/" not in model:
            raise ScenarioError.single(
                "", f"{model!r} is no model of the catalogue, folder or repository"
            )
        return AutoDistributedConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ScenarioError.single("", f"PETALS cannot read the model {model!r}: {said}") from error


def _of_catalogue(known: Architecture) -> Any:
    """The families that PETALS runs."""
    common = {"hidden_size": known.hidden_size, "vocab_size": known.vocabulary}
    heads = {"num_attention_heads": known.heads.count}
    layers = {"num_hidden_layers": known.num_blocks}
    if known.family == "llama":
        from petals.models.llama import DistributedLlamaConfig

        config = DistributedLlamaConfig(
            **common,
            **heads,
            **layers,
            intermediate_size=known.inner_size,
            num_key_value_heads=known.heads.key_value,
            max_position_embeddings=16_384,
        )
        config.pretraining_tp = 1
        return config
    if known.family == "bloom":
        from petals.models.bloom import DistributedBloomConfig

        return DistributedBloomConfig(**common, n_head=known.heads.count, n_layer=known.num_blocks)
    if known.family == "falcon":
        from petals.models.falcon import DistributedFalconConfig

        return DistributedFalconConfig(
            **common, **heads, **layers, num_kv_heads=known.heads.key_value,
            new_decoder_architecture=True, bias=False, alibi=False,
        )  # fmt: skip
    raise ScenarioError.single("", f"PETALS runs no models of the family {known.family}")
