"""Data sheets of GPUs, and the estimate of block times for one that nobody measured.

What a data sheet does not say is taken from measured H100s: how long a host takes to launch a
block's kernels, and which share of its bandwidth and operations they reach (``kernels.py``).
"""

from __future__ import annotations

from functools import cache

from ..core.problem import ModelSpec, Timing
from .catalogue import unknown_name
from .kernels import DataSheet, Kernels, estimated_timing


def _sheet(
    memory_gb: float, bandwidth_gb_per_s: float, teraflops: float, board_w: float | None = None
) -> DataSheet:
    return DataSheet(
        memory_bytes=round(memory_gb * 1e9),
        bandwidth_bytes_per_s=bandwidth_gb_per_s * 1e9,
        flops_per_s=teraflops * 1e12,
        board_w=board_w,
    )


# Vendors' data sheets: nominal GB, GB/s, dense 16-bit TFLOP/s with 32-bit accumulation, and the
# power of the board, W (its most). A100s of 40 GB are sold with 250 and 400 W, RTX 2080 Ti with 250
# and 260, and of a slice of a GPU nothing is said.
GPUS = {
    "A10": _sheet(24, 600, 125, 150),
    "A100-40GB": _sheet(40, 1_555, 312),
    "A100-80GB": _sheet(80, 2_039, 312, 400),
    "A100-80GB-MIG-1g": _sheet(10, 255, 44.6),  # an eighth of the bandwidth, a seventh of the rest
    "A6000": _sheet(48, 768, 154.8, 300),
    "H100-PCIe": _sheet(80, 2_000, 756, 350),
    "H100-SXM": _sheet(80, 3_350, 989, 700),
    "H200": _sheet(141, 4_800, 989, 700),
    "L4": _sheet(24, 300, 121, 72),
    "L40S": _sheet(48, 864, 362, 350),
    "RTX2080Ti": _sheet(11, 616, 53.8),
    "RTX3060": _sheet(12, 360, 25.5, 170),
    "RTX3090": _sheet(24, 936, 71, 350),
    "RTX4090": _sheet(24, 1_008, 165.2, 450),
    "RTXPRO6000": _sheet(96, 1_792, 503.8, 600),
    "T4": _sheet(15.8, 320, 65, 70),
    "V100-16GB": _sheet(16, 900, 125, 300),
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


def sheet_of_device(driver_name: str) -> DataSheet | None:
    """Data sheet by the name that a driver reports ("NVIDIA A100-SXM4-80GB"), None if unknown."""
    name = gpu_of_device(driver_name)
    return None if name is None else GPUS[name]


@cache
def gpu_of_device(driver_name: str) -> str | None:
    """The GPU that a driver, such as nvidia-smi, calls by a name; None if unknown."""
    folded = _folded(driver_name)
    if folded in (exact := {_folded(name): name for name in GPUS}):
        return exact[folded]
    return next(
        (name for marks, name in _DRIVER_NAMES if all(mark in folded for mark in marks)), None
    )


def _folded(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


#: Marks in a driver's name, the most telling first, and the data sheet.
_DRIVER_NAMES = (
    (("mig", "1g"), "A100-80GB-MIG-1g"),
    (("a100", "80g"), "A100-80GB"),
    (("a100",), "A100-40GB"),
    (("a6000",), "A6000"),
    (("a10",), "A10"),
    (("h200",), "H200"),
    (("h100", "pci"), "H100-PCIe"),
    (("h100",), "H100-SXM"),
    (("l40s",), "L40S"),
    (("l4",), "L4"),
    (("rtxpro6000",), "RTXPRO6000"),
    (("4090",), "RTX4090"),
    (("3090",), "RTX3090"),
    (("3060",), "RTX3060"),
    (("2080ti",), "RTX2080Ti"),
    (("teslat4",), "T4"),
    (("v100",), "V100-16GB"),
)


def roofline_timing(model: ModelSpec, gpu_name: str, kernels: Kernels | None = None) -> Timing:
    """Estimated timing of one block from public bandwidth and arithmetic; mark it as such.

    Parameters
    ----------
    kernels : the host's launches and what its kernels reach; None = those of measured H100s.

    Raises
    ------
    ScenarioError
        If the GPU is unknown.
    """
    return estimated_timing(model, data_sheet(gpu_name), kernels)
