"""Device profiles: measured block timings with their source and fit error, and which one to take.

The shipped figures lie in ``profiles/devices.json``, written by ``benchmarks/derive_profiles.py``;
own ones in files of ``swarmplan calibrate`` and ``swarmplan swarm measure`` (``profilefile.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from ..core.errors import ScenarioError
from ..core.problem import ModelSpec, Timing, Validity, alike
from .catalogue import block_parameters, model_spec, shipped_architecture, unknown_name
from .kernels import DataSheet, estimated_timing, petals_kernels
from .overhead import HopOverhead, overhead_of
from .roofline import GPUS, gpu_of_device, sheet_of_device
from .shape import usual_block
from .timing import timing_of

#: How well estimates meet measured H100 blocks of models that were left out, per cent
#: (benchmarks/block_times.py): what is printed beside them.
ESTIMATE_ERROR = "decode median error 14 %, worst 52 % on H100s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What one accelerator (or several that work together) does with one block.

    Attributes
    ----------
    memory_bytes : nominal accelerator memory; drivers and fragmentation take a little of it. 0 =
        not said.
    timing : measured on blocks of ``model`` at ``precision``; see ``timing_for``.
    source : who measured, with what.
    estimated : a part of the timing was not measured (named in ``source``).
    model, precision : what was measured, "" = not said: as measured, whatever is asked for.
    style : how attention ran, "petals" = eagerly, as in PETALS.
    gpu, count : GPU of the data sheet, "" = none; how many work together.
    sheet : the data sheet itself of a GPU that is not among the shipped ones, or None.
    block_parameters, block_bytes, cache_bytes_per_token : of the blocks measured, 0 = not said.
    fit_mean_error_percent, fit_max_error_percent : relative error of the formula on the measured
        points, the worse of prefill and decode; None = constants of a publication.
    forward_rps, inference_rps, network_rps : what PETALS measured on it, tokens/s, or None.
    hop : what a hop to it costs beside round trip and blocks, or None.
    validity : how far the timing reaches.
    """

    name: str
    timing: Timing
    source: str
    memory_bytes: int = 0
    estimated: bool = False
    model: str = ""
    precision: str = ""
    style: str = ""
    gpu: str = ""
    count: int = 1
    sheet: DataSheet | None = None
    block_parameters: int = 0
    block_bytes: int = 0
    cache_bytes_per_token: int = 0
    fit_mean_error_percent: float | None = None
    fit_max_error_percent: float | None = None
    forward_rps: float | None = None
    inference_rps: float | None = None
    network_rps: float | None = None
    hop: HopOverhead | None = None
    validity: Validity = field(default_factory=Validity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """The timing of a block on a device; ``device`` where it was measured on such blocks."""

    timing: Timing
    validity: Validity
    device: Device | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedBlocks:
    """The timing of a model's blocks: one for all, or where they differ one for each.

    ``validity`` is that of the block that is known worst, ``device`` that of the usual block.
    """

    timing: Timing | tuple[Timing, ...]
    validity: Validity
    device: Device | None = None


def device_names() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted: ``GPU/model``, several GPUs as ``GPUx2/model``."""
    return tuple(_devices())


def device(name: str) -> Device:
    """A shipped profile by its name; upper and lower case are alike.

    The part before a ``/`` is enough where only one profile has it.

    Raises
    ------
    ScenarioError
        If no profile or more than one has that name; the message lists near matches.
    """
    found = devices_named(name)
    if len(found) != 1:
        raise unknown_name("device (say which model)", name, tuple(d.name for d in found))
    return found[0]


def devices_named(name: str) -> tuple[Device, ...]:
    """Shipped profiles of a name, or of all models and precisions measured on a GPU.

    A GPU that nobody measured is known by its data sheet, where there is one.

    Raises
    ------
    ScenarioError
        If there is none; the message lists near matches.
    """
    wanted = name.casefold()
    found = [
        entry
        for entry in _devices().values()
        if f"{entry.name.casefold()}/".startswith(f"{wanted}/")
    ]
    return tuple(found) or _of_gpu(name)


def _of_gpu(name: str) -> tuple[Device, ...]:
    """What was measured, as in PETALS, on one GPU that a driver calls so; else its data sheet."""
    known = gpu_of_device(name)
    if known is None:
        raise unknown_name("device", name, (*device_names(), *GPUS))
    measured = [d for d in _devices().values() if (d.gpu, d.count, d.style) == (known, 1, "petals")]
    asked_for = name.casefold() == known.casefold()  # the data sheet itself
    return tuple(measured if not asked_for else ()) or (device_of_sheet(known, GPUS[known]),)


def device_of_sheet(name: str, sheet: DataSheet) -> Device:
    """A GPU that nobody measured, by its data sheet."""
    return Device(
        name=name,
        timing=Timing(decode_base_s=0.0),
        source="data sheet",
        memory_bytes=sheet.memory_bytes,
        estimated=True,
        precision="no precision",
        gpu=name,
        sheet=sheet,
    )


def timings_for(
    devices: Sequence[Device], model: ModelSpec, dense_launch_s: float | None = None
) -> RatedBlocks:
    """Timings of all blocks of a model on a device; see ``timing_for``."""
    each = model.each_block()
    rated = {one: timing_for(devices, one, dense_launch_s) for one in dict.fromkeys(each)}
    usual = rated[usual_block(model)]
    worst = max((r.validity for r in rated.values()), key=lambda v: _TRUST.index(v.origin))
    timing = alike(tuple(rated[one].timing for one in each))
    return RatedBlocks(timing=timing, validity=worst, device=usual.device)


#: Where timings come from, the best first.
_TRUST = ("given", "measured", "scaled", "estimated")


def timing_for(
    devices: Sequence[Device], model: ModelSpec, dense_launch_s: float | None = None
) -> Rated:
    """Timing of a model's usual block on a device: measured, else scaled, else estimated.

    Blocks of another model at the same precision are scaled by what binds each term. What was
    measured at one precision is never taken for another: that is another kernel, estimated from
    the GPU's data sheet and the launches of a typical host.

    Parameters
    ----------
    devices : profiles of one kind of device.
    dense_launch_s : what its host takes to launch a dense 16-bit block, for estimates; None = what
        those of our H100s took.

    Raises
    ------
    ScenarioError
        If the device was not measured at the model's precision and has no data sheet.
    """
    one = usual_block(model)
    found = _timed(devices, one, dense_launch_s)
    if one.window_tokens is None:
        return found
    assert isinstance(one.window_tokens, int)
    return replace(found, timing=replace(found.timing, window_tokens=float(one.window_tokens)))


def _timed(devices: Sequence[Device], model: ModelSpec, dense_launch_s: float | None) -> Rated:
    wanted = model.quantisation
    kin = [d for d in devices if d.precision in ("", wanted)]
    same = [d for d in kin if _measured_on(d, model)]
    if same:
        found = min(same, key=lambda d: (d.precision == "", d.model == ""))
        return Rated(timing=found.timing, validity=found.validity, device=found)
    kin = [d for d in kin if d.block_parameters]
    if kin:
        parameters = block_parameters(model)
        near = min(kin, key=lambda d: abs(math.log(d.block_parameters / parameters)))
        remark = f"from {near.model} on {near.name}"
        validity = replace(near.validity, origin="scaled", remark=remark)
        return Rated(timing=scaled_timing(near, model), validity=validity)
    known = next((d for d in devices if _sheet(d) is not None), None)
    if known is None:
        raise ScenarioError.single(
            "",
            f"{devices[0].name} was measured at {', '.join(sorted({d.precision for d in devices}))}"
            f", not at {wanted}: measure it (swarmplan swarm measure) or give decode_ms and "
            "prefill_us_per_token",
        )
    sheet = _sheet(known)
    assert sheet is not None
    remark = f"{wanted} from the data sheet of {known.gpu}; {ESTIMATE_ERROR}"
    typical = petals_kernels()
    kernels = typical if dense_launch_s is None else typical.on_host(dense_launch_s)
    return Rated(
        timing=estimated_timing(model, sheet, kernels),
        validity=Validity(origin="estimated", remark=remark),
    )


def _measured_on(device: Device, model: ModelSpec) -> bool:
    """Whether a profile is of just such a block: of the model, and where its blocks differ, of one
    with as many weights."""
    if device.model.casefold() not in ("", model.name.casefold()):
        return False
    unsaid = not device.model or not device.block_parameters or model.blocks is None
    return unsaid or device.block_parameters == block_parameters(model)


def scaled_timing(device: Device, model: ModelSpec) -> Timing:
    """Timing of a device for a block of another model at the precision that was measured.

    In PETALS every term grows as its estimate does: launches, bytes that a step reads, attention,
    arithmetic. In other runtimes launches do not bind: what is bound by memory (decode step, flat
    part of prefill) grows with the bytes of the block, the context term with the cache bytes per
    token, what is bound by arithmetic (prefill line, further sequences of a batch) with the
    parameters.
    """
    measured = device.timing
    if device.style == "petals" and shipped_architecture(device.model) is not None:
        return _scaled_by_kernels(device, model)
    memory = model.whole_bytes / model.num_blocks / device.block_bytes
    compute = block_parameters(model) / device.block_parameters
    context = model.mean_cache_bytes_per_token / device.cache_bytes_per_token
    return Timing(
        decode_base_s=measured.decode_base_s * memory,
        decode_per_context_token_s=measured.decode_per_context_token_s * context,
        decode_per_sequence_s=measured.decode_per_sequence_s * compute,
        decode_floor_s=measured.decode_floor_s,
        step_curve=tuple((rows, more_s * compute) for rows, more_s in measured.step_curve),
        prefill_floor_s=measured.prefill_floor_s * memory,
        prefill_base_s=measured.prefill_base_s * compute,
        prefill_per_token_s=measured.prefill_per_token_s * compute,
        prefill_per_token2_s=measured.prefill_per_token2_s * context,
    )


def _scaled_by_kernels(device: Device, model: ModelSpec) -> Timing:
    """Every term times the ratio of its estimates; the curve is the estimate's."""
    sheet = _sheet(device) or GPUS["H100-SXM"]
    was = estimated_timing(model_spec(device.model, device.precision), sheet)
    now = estimated_timing(model, sheet)

    def term(name: str) -> float:
        before, after = getattr(was, name), getattr(now, name)
        own: float = getattr(device.timing, name)
        return own * after / before if before > 0 else own

    return Timing(
        decode_base_s=term("decode_base_s"),
        decode_per_context_token_s=term("decode_per_context_token_s"),
        decode_per_sequence_s=term("decode_per_sequence_s"),
        # Where the floor was not seen beneath large blocks it is there beneath small ones.
        decode_floor_s=term("decode_floor_s") or now.decode_floor_s,
        step_curve=now.step_curve,
        prefill_floor_s=term("prefill_floor_s"),
        prefill_base_s=term("prefill_base_s"),
        prefill_per_token_s=term("prefill_per_token_s"),
        prefill_per_token2_s=term("prefill_per_token2_s"),
    )


def _sheet(device: Device) -> DataSheet | None:
    """The data sheet of all GPUs of a device together."""
    one = device.sheet or sheet_of_device(device.gpu)
    if one is None or device.count == 1:
        return one
    return DataSheet(
        memory_bytes=device.count * one.memory_bytes,
        bandwidth_bytes_per_s=device.count * one.bandwidth_bytes_per_s,
        flops_per_s=device.count * one.flops_per_s,
        board_w=None if one.board_w is None else device.count * one.board_w,
    )


def board_w(devices: Sequence[Device]) -> float | None:
    """The most that the boards of a kind of device take by their data sheet; None if not said."""
    sheets = (_sheet(device) for device in devices)
    return next((sheet.board_w for sheet in sheets if sheet is not None), None)


@cache
def _devices() -> dict[str, Device]:
    text = (files(__package__) / "profiles" / "devices.json").read_text(encoding="utf-8")
    return {entry["name"]: device_of(entry) for entry in json.loads(text)}


def device_of(entry: dict[str, Any]) -> Device:
    """One entry of a file: ``timing_ms`` and ``hop_ms`` in milliseconds, ``measured`` the ranges,
    the rest as in ``Device``."""
    own = ("timing_ms", "hop_ms", "measured")
    rest = {key: value for key, value in entry.items() if key not in own}
    hop = entry.get("hop_ms")
    ranges = {f"{name}": (int(a), int(b)) for name, (a, b) in entry.get("measured", {}).items()}
    worst = entry.get("fit_max_error_percent")
    remark = entry["source"] + ("" if worst is None else f"; worst fit error {worst:.0f} %")
    validity = Validity(origin="measured", remark=remark, **ranges)
    return Device(
        timing=timing_of(entry["timing_ms"]),
        hop=None if hop is None else overhead_of(hop),
        validity=validity,
        **rest,
    )
