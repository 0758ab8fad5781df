"""What the kernels of a PETALS block take on a GPU and its host: one formula per term of a timing.

A PETALS server runs blocks eagerly: its host launches kernel after kernel, so that a step takes as
long as launching or as its work on the GPU, whichever is longer. Precision is a property of the
kernels: 8-bit layers launch more and make the host wait, 4-bit ones read slower than their bytes
tell and are unpacked for prompts. Nothing is scaled from one precision to another.
docs/perfmodel.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from importlib.resources import files

from ..core.blocks import Block
from ..core.problem import ModelSpec, Timing
from .catalogue import BYTES_PER_VALUE, OVERHEAD
from .shape import DENSE_LINEARS, shape_of

#: Bytes that eager attention moves for every pair of prompt tokens and head: scores and their
#: mask in 16 bits, softmax in 32, and back.
PAIR_BYTES = 24.0
#: Rows of a step at which estimated curves have their knots, and from which launching for many
#: rows is complete.
KNOTS, MANY_ROWS = (2, 4, 8, 16, 32), 128
#: Layers whose host waits for the GPU, here to learn of outliers: launches and work add up.
WAITING = ("int8",)
#: From so many rows on 4-bit kernels read their weights this many times as long as for one.
NF4_ROWS, NF4_TIMES = 4, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """Public figures of a GPU: memory, bandwidth, dense 16-bit tensor operations per second.

    ``board_w`` is the most that the board takes, None = not said or not the same for all boards.
    """

    memory_bytes: int
    bandwidth_bytes_per_s: float
    flops_per_s: float
    board_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Constants of a host and of kernels; times in seconds, shares of the data sheet.

    Attributes
    ----------
    block_launch_s : attention, norms and whatever else every block launches.
    expert_launch_s : sorting out the tokens of one expert.
    bf16_launch_s, int8_launch_s, nf4_launch_s : one linear layer, for one row.
    int8_rows_launch_s, nf4_rows_launch_s : the same for many rows.
    bf16_read, int8_read, nf4_read : share of the bandwidth at which weights are read for a step.
    compute, int8_compute : share of the 16-bit operations that long prompts reach.
    attention_read, pair_read : share of the bandwidth that attention to the cache, and that of a
        prompt to itself, reaches.
    unpack_read : share of the bandwidth at which 4-bit weights are unpacked for a prompt.
    """

    block_launch_s: float
    expert_launch_s: float
    bf16_launch_s: float
    int8_launch_s: float
    nf4_launch_s: float
    int8_rows_launch_s: float
    nf4_rows_launch_s: float
    bf16_read: float
    int8_read: float
    nf4_read: float
    compute: float
    int8_compute: float
    attention_read: float
    pair_read: float
    unpack_read: float

    def figure(self, precision: str, name: str) -> float:
        """A constant by precision."""
        found: float = getattr(self, f"{precision}_{name}")
        return found

    @property
    def dense_launch_s(self) -> float:
        """Launching a dense 16-bit block of seven layers: the figure by which hosts are told."""
        return self.block_launch_s + DENSE_LINEARS * self.bf16_launch_s

    def on_host(self, dense_launch_s: float) -> Kernels:
        """The same kernels on a host that launches a dense 16-bit block in so long."""
        factor = dense_launch_s / self.dense_launch_s
        launches = {
            f.name: factor * getattr(self, f.name)
            for f in fields(self)
            if f.name.endswith("launch_s")
        }
        return replace(self, **launches)


@cache
def petals_kernels() -> Kernels:
    """Fitted to our own measurements of PETALS blocks on H100s (benchmarks/block_times.py)."""
    text = (files(__package__) / "profiles" / "kernels.json").read_text(encoding="utf-8")
    return Kernels(**json.loads(text))


@lru_cache(maxsize=1024)  # servers of one device ask for the same
def estimated_timing(model: ModelSpec, sheet: DataSheet, kernels: Kernels | None = None) -> Timing:
    """Timing of a model's block on a GPU that nobody measured, from its data sheet.

    Parameters
    ----------
    kernels : the host's launches and what kernels reach; None = those of the H100s and hosts that
        were measured.
    """
    return block_timing(shape_of(model), model.quantisation, sheet, kernels or petals_kernels())


def block_timing(shape: Block, precision: str, sheet: DataSheet, kernels: Kernels) -> Timing:
    """Every term of the timing of a block, each by its own formula."""
    bandwidth = sheet.bandwidth_bytes_per_s
    active = shape.read(shape.active)
    step_s = _read_s(shape, precision, 1, bandwidth, kernels)
    launched_s = launch_s(shape, precision, 1, kernels)
    many_s = launch_s(shape, precision, MANY_ROWS, kernels)
    waits = precision in WAITING
    share = kernels.int8_compute if precision == "int8" else kernels.compute
    row_s = 2.0 * active / (share * sheet.flops_per_s)
    unpack_s = _unpack_s(shape, precision, bandwidth, kernels)
    return Timing(
        decode_floor_s=0.0 if waits else launched_s,
        decode_base_s=launched_s + step_s if waits else step_s,
        decode_per_context_token_s=shape.attention_bytes / (kernels.attention_read * bandwidth),
        decode_per_sequence_s=row_s,
        step_curve=_curve(shape, precision, bandwidth, kernels),
        prefill_floor_s=max(
            many_s, unpack_s + _prompt_read_s(shape, precision, bandwidth, kernels)
        ),
        prefill_base_s=many_s if waits else unpack_s,
        prefill_per_token_s=row_s,
        prefill_per_token2_s=shape.heads * PAIR_BYTES / (kernels.pair_read * bandwidth),
    )


def launch_s(shape: Block, precision: str, rows: float, kernels: Kernels) -> float:
    """Launching all kernels of a step of so many rows; every visited expert has its own."""
    experts = shape.visited(rows)
    linears = shape.linears + experts * shape.expert_linears
    linear_s = kernels.figure(precision, "launch_s")
    if precision != "bf16":
        many = min(1.0, math.log(rows) / math.log(MANY_ROWS))
        linear_s += many * (kernels.figure(precision, "rows_launch_s") - linear_s)
    return kernels.block_launch_s + experts * kernels.expert_launch_s + linears * linear_s


def _read_s(shape: Block, precision: str, rows: float, bandwidth: float, kernels: Kernels) -> float:
    """Reading the weights that a step of so many rows meets."""
    weights = shape.read(shape.visited(rows)) * BYTES_PER_VALUE[precision] * OVERHEAD
    seconds = weights / (kernels.figure(precision, "read") * bandwidth)
    if precision == "nf4":
        seconds *= 1.0 + (NF4_TIMES - 1.0) * min(1.0, math.log(rows) / math.log(NF4_ROWS))
    return seconds


def _prompt_read_s(shape: Block, precision: str, bandwidth: float, kernels: Kernels) -> float:
    """Reading all weights for a prompt: 4-bit ones as they were unpacked, 16 bit."""
    kind = "bf16" if precision == "nf4" else precision
    weights = shape.read(shape.experts) * BYTES_PER_VALUE[kind] * OVERHEAD
    return weights / (kernels.figure(kind, "read") * bandwidth)


def _unpack_s(shape: Block, precision: str, bandwidth: float, kernels: Kernels) -> float:
    """Reading 4-bit weights and writing them out in 16 bits, once per prompt and block."""
    if precision != "nf4":
        return 0.0
    moved = shape.read(shape.experts) * (BYTES_PER_VALUE["nf4"] + BYTES_PER_VALUE["bf16"])
    return moved / (kernels.unpack_read * bandwidth)


def _curve(
    shape: Block, precision: str, bandwidth: float, kernels: Kernels
) -> tuple[tuple[float, float], ...]:
    """What more rows cost: experts that are visited too, other kernels."""

    def step_s(rows: float) -> float:
        read_s = _read_s(shape, precision, rows, bandwidth, kernels)
        launched_s = launch_s(shape, precision, rows, kernels)
        return launched_s + read_s if precision in WAITING else max(launched_s, read_s)

    return tuple((float(rows), max(0.0, step_s(rows) - step_s(1))) for rows in KNOTS)


def kernels_document(kernels: Kernels) -> Mapping[str, float]:
    """Constants as the shipped file keeps them, four digits each."""
    return {f.name: float(f"{getattr(kernels, f.name):.4g}") for f in fields(Kernels)}
