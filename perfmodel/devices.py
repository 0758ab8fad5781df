"""Shipped device profiles: measured block timings with their source and fit error.

The figures lie in ``profiles/devices.json``, written by ``benchmarks/derive_profiles.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ..core.problem import ModelSpec, Timing
from .catalogue import block_parameters, unknown_name
from .timing import timing_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What one accelerator (or several that work together) does with one block.

    Attributes
    ----------
    memory_bytes : nominal accelerator memory; drivers and fragmentation take a little of it.
    timing : measured on blocks of ``model``; see ``scaled_timing`` for other models.
    source : who measured, with what.
    estimated : a part of the timing was not measured (named in ``source``).
    model, block_parameters, block_bytes, cache_bytes_per_token : what was measured.
    fit_mean_error_percent, fit_max_error_percent : relative error of the formula on the measured
        points, the worse of prefill and decode; None = constants of a publication.
    forward_rps, inference_rps, network_rps : what PETALS measured on it, tokens/s, or None.
    """

    name: str
    memory_bytes: int
    timing: Timing
    source: str
    estimated: bool
    model: str
    block_parameters: int
    block_bytes: int
    cache_bytes_per_token: int
    fit_mean_error_percent: float | None = None
    fit_max_error_percent: float | None = None
    forward_rps: float | None = None
    inference_rps: float | None = None
    network_rps: float | None = None


def device_names() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted: ``GPU/model``, several GPUs as ``GPUx2/model``."""
    return tuple(_devices())


def device(name: str) -> Device:
    """A shipped profile by its name; upper and lower case are alike.

    The part before the ``/`` is enough where only one profile has it.

    Raises
    ------
    ScenarioError
        If no profile or more than one has that name; the message lists near matches.
    """
    wanted = name.casefold()
    found = [
        entry
        for entry in _devices().values()
        if wanted in (entry.name.casefold(), entry.name.partition("/")[0].casefold())
    ]
    if len(found) != 1:
        known = tuple(entry.name for entry in found) or device_names()
        raise unknown_name("device" if not found else "device (say which model)", name, known)
    return found[0]


def scaled_timing(device: Device, model: ModelSpec) -> Timing:
    """Timing of a device for the blocks of another model or quantisation: an estimate.

    What is bound by memory (decode step, flat part of prefill) scales with the bytes of the
    block, the context term with the cache bytes per token, what is bound by arithmetic (prefill
    line, further sequences of a batch) with the parameters, that is the block bytes at equal
    precision.

    Notes
    -----
    Scaling 16-bit measurements down to 8 or 4 bits is optimistic: unpacking takes time. Calibrate
    where it matters.
    """
    measured = device.timing
    memory = model.block_bytes / device.block_bytes
    compute = block_parameters(model) / device.block_parameters
    context = model.mean_cache_bytes_per_token / device.cache_bytes_per_token
    return Timing(
        decode_base_s=measured.decode_base_s * memory,
        decode_per_context_token_s=measured.decode_per_context_token_s * context,
        decode_per_sequence_s=measured.decode_per_sequence_s * compute,
        prefill_floor_s=measured.prefill_floor_s * memory,
        prefill_base_s=measured.prefill_base_s * compute,
        prefill_per_token_s=measured.prefill_per_token_s * compute,
    )


@cache
def _devices() -> dict[str, Device]:
    text = (files(__package__) / "profiles" / "devices.json").read_text(encoding="utf-8")
    return {entry["name"]: _device_of(entry) for entry in json.loads(text)}


def _device_of(entry: dict[str, Any]) -> Device:
    """One entry of the file: ``timing_ms`` in milliseconds, everything else as in ``Device``."""
    rest = {key: value for key, value in entry.items() if key != "timing_ms"}
    return Device(timing=timing_of(entry["timing_ms"]), **rest)
