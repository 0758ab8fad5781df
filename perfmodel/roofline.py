"""Block timings from data sheets, for a GPU that nobody measured: an estimate, nothing more.

A decode step reads the block's weights and the session's cache once, so memory bandwidth binds it;
a long prompt is bound by arithmetic, two operations per parameter and token. Real kernels reach a
part of the data sheet; the two shares below are typical of the measured profiles, which the
estimate meets within 30 % (decode) and a factor of 1.7 (prefill) at 16 bits (docs/perfmodel.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.problem import ModelSpec, Timing
from .catalogue import block_parameters, unknown_name

MEMORY_SHARE = 0.75
COMPUTE_SHARE = 0.65


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """Public figures of a GPU: memory, bandwidth, dense 16-bit tensor operations per second."""

    memory_bytes: int
    bandwidth_bytes_per_s: float
    flops_per_s: float


def _sheet(memory_gb: float, bandwidth_gb_per_s: float, teraflops: float) -> DataSheet:
    return DataSheet(
        memory_bytes=round(memory_gb * 1e9),
        bandwidth_bytes_per_s=bandwidth_gb_per_s * 1e9,
        flops_per_s=teraflops * 1e12,
    )


# Vendors' data sheets: nominal GB, GB/s, dense 16-bit TFLOP/s with 32-bit accumulation.
GPUS = {
    "A10": _sheet(24, 600, 125),
    "A100-40GB": _sheet(40, 1_555, 312),
    "A100-80GB": _sheet(80, 2_039, 312),
    "A6000": _sheet(48, 768, 154.8),
    "H100-PCIe": _sheet(80, 2_000, 756),
    "H100-SXM": _sheet(80, 3_350, 989),
    "L4": _sheet(24, 300, 121),
    "L40S": _sheet(48, 864, 362),
    "RTX2080Ti": _sheet(11, 616, 53.8),
    "RTX3060": _sheet(12, 360, 25.5),
    "RTX3090": _sheet(24, 936, 71),
    "RTX4090": _sheet(24, 1_008, 165.2),
    "T4": _sheet(15.8, 320, 65),
    "V100-16GB": _sheet(16, 900, 125),
}


def gpu_names() -> tuple[str, ...]:
    """GPUs with a data sheet, sorted."""
    return tuple(sorted(GPUS))


def data_sheet(gpu_name: str) -> DataSheet:
    """Public figures of a GPU; upper and lower case are alike.

    Raises
    ------
    ScenarioError
        If the GPU is unknown; the message names near matches.
    """
    for name, sheet in GPUS.items():
        if name.casefold() == gpu_name.casefold():
            return sheet
    raise unknown_name("GPU", gpu_name, gpu_names())


def roofline_timing(model: ModelSpec, gpu_name: str) -> Timing:
    """Estimated timing of one block from public bandwidth and arithmetic; mark it as such.

    Launch overheads, unpacking of 4- and 8-bit weights and further sessions are not modelled, so
    the estimate tends to be too fast for small or quantised blocks.

    Raises
    ------
    ScenarioError
        If the GPU is unknown.
    """
    sheet = data_sheet(gpu_name)
    bandwidth = MEMORY_SHARE * sheet.bandwidth_bytes_per_s
    weights_s = model.block_bytes / bandwidth
    return Timing(
        decode_base_s=weights_s,
        decode_per_context_token_s=model.mean_cache_bytes_per_token / bandwidth,
        prefill_floor_s=weights_s,
        prefill_per_token_s=2.0 * block_parameters(model) / (COMPUTE_SHARE * sheet.flops_per_s),
    )
