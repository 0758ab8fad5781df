"""Device types of a scenario file: measured profiles, data sheets, own figures over both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import CalibrationError, ScenarioError
from ..core.problem import ModelSpec, Timing, Validity, alike
from ..perfmodel.devices import (
    BlockTimes,
    Device,
    RatedBlocks,
    device_of_sheet,
    devices_named,
    timings_for,
)
from ..perfmodel.kernels import DataSheet
from ..perfmodel.profilefile import parse_profiles
from ..perfmodel.tensor_parallel import SYNC_S, shared_among
from . import schema
from .files import decode, read_referenced
from .known import known


def memory_bytes(given: schema.Device | schema.Server, where: str) -> int | None:
    """The memory that a device type or a server gives, None where it gives none."""
    if given.memory_gb is not None and given.memory_gib is not None:
        raise ScenarioError.single(f"{where}.memory_gb", "give memory_gb or memory_gib, not both")
    if given.memory_gb is not None:
        return round(given.memory_gb * 1e9)
    return None if given.memory_gib is None else round(given.memory_gib * 2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A device type of the file: measured profiles with overrides, or own figures alone.

    Attributes
    ----------
    base, given, memory_bytes : of one GPU where it has several.
    """

    base: tuple[Device, ...]
    given: schema.Device
    memory_bytes: int | None

    @property
    def whole_bytes(self) -> int | None:
        """Memory of all of its GPUs, None where neither the file nor a profile tells it."""
        one = self.memory_bytes
        if one is None:
            one = next((d.memory_bytes for d in self.base if d.memory_bytes), None)
        return None if one is None else one * self.given.gpus


def build_kind(
    name: str, given: schema.Device, base_dir: Path, referenced: dict[str, bytes]
) -> Kind:
    """A device type of the file; ``referenced`` receives the bytes of its profile file."""
    where = f"devices.{name}"
    _check_curve(given, f"{where}.decode_ms_by_batch")
    _check_verify(given, f"{where}.verify")
    _check_group(given, where)
    sheet = _own_sheet(name, given, where)
    if sheet is not None:
        return Kind(base=(sheet,), given=given, memory_bytes=memory_bytes(given, where))
    profile = given.profile
    if profile is not None and profile.endswith(".json"):
        referenced[name] = read_referenced(base_dir / profile, f"{where}.profile")
        measured = _measured(referenced[name], base_dir / profile, f"{where}.profile")
        return Kind(base=measured, given=given, memory_bytes=memory_bytes(given, where))
    base = known(lambda: devices_named(profile), f"{where}.profile") if profile else ()
    own = (given.decode_ms, given.decode_ms_by_batch, given.inference_rps)
    if not base and all(figure is None for figure in own):
        raise ScenarioError.single(
            f"{where}.decode_ms",
            "is missing: give decode_ms, inference_rps, a shipped profile, or of the data sheet "
            "bandwidth_gb_per_s and tflop_per_s",
        )
    return Kind(base=base, given=given, memory_bytes=memory_bytes(given, where))


def _own_sheet(name: str, given: schema.Device, where: str) -> Device | None:
    """A GPU by figures of its data sheet in the file, None where there are none."""
    figures = {
        "bandwidth_gb_per_s": given.bandwidth_gb_per_s,
        "tflop_per_s": given.tflop_per_s,
    }
    bandwidth, operations = figures.values()
    if bandwidth is None and operations is None:
        return None
    if given.profile is not None:
        raise ScenarioError.single(f"{where}.profile", "give a profile or a data sheet, not both")
    if bandwidth is None or operations is None:
        first = next(field for field, figure in figures.items() if figure is None)
        message = "is missing: a data sheet is bandwidth_gb_per_s and tflop_per_s together"
        raise ScenarioError.single(f"{where}.{first}", message)
    sheet = DataSheet(
        memory_bytes=memory_bytes(given, where) or 0,
        bandwidth_bytes_per_s=bandwidth * 1e9,
        flops_per_s=operations * 1e12,
    )
    return device_of_sheet(name, sheet)


def _check_curve(given: schema.Device, where: str) -> None:
    """A curve begins with one sequence; more of them are no faster."""
    curve = given.decode_ms_by_batch or [(1, 0.0)]
    batches, times = [b for b, _ in curve], [ms for _, ms in curve]
    if batches[0] != 1 or batches != sorted(set(batches)) or times != sorted(times):
        raise ScenarioError.single(
            where, "must begin with batch 1 and rise: [[1, 0.8], [8, 0.9], [32, 1.2]]"
        )


def _check_verify(given: schema.Device, where: str) -> None:
    """Positions rise, and one position takes what it takes."""
    table = given.verify or [(1, 1.0)]
    at = [positions for positions, _ in table]
    if at != sorted(set(at)) or any(p == 1 and times != 1 for p, times in table):
        raise ScenarioError.single(
            where, "positions must rise, and 1 takes 1 time: [[1, 1.0], [2, 1.46], [4, 2.06]]"
        )


def _check_group(given: schema.Device, where: str) -> None:
    """Several GPUs are made of one, not of a profile that was measured on several."""
    if given.sync_ms is not None and given.gpus == 1:
        raise ScenarioError.single(f"{where}.sync_ms", "is of several gpus that share blocks")
    gpu = (given.profile or "").split("/")[0]
    if given.gpus > 1 and re.search(r"x\d+$", gpu):
        message = f"{given.profile} was measured on several GPUs already: leave gpus out"
        raise ScenarioError.single(f"{where}.gpus", message)


def _measured(content: bytes, path: Path, field: str) -> tuple[Device, ...]:
    try:
        return parse_profiles(decode(content, path, field), source=path.name)
    except CalibrationError as error:
        raise ScenarioError.single(field, str(error)) from error


def rated_for(kind: Kind, model: ModelSpec) -> RatedBlocks:
    """Own figures over the profile's over the announced rates; of all GPUs together."""
    rated, given = _of_one(kind, model), kind.given
    if given.gpus == 1:
        return rated
    sync_s = SYNC_S if given.sync_ms is None else given.sync_ms / 1e3
    each = (rated.timing,) if isinstance(rated.timing, Timing) else rated.timing
    made = tuple(shared_among(one, given.gpus, sync_s) for one in each)
    timing = made[0] if isinstance(rated.timing, Timing) else alike(made)
    remark = f"{given.gpus} GPUs made of one; {rated.validity.remark}".removesuffix("; ")
    return RatedBlocks(timing=timing, validity=Validity(origin="estimated", remark=remark))


def _of_one(kind: Kind, model: ModelSpec) -> RatedBlocks:
    """The same of one of its GPUs."""
    given = kind.given
    launch_s = None if given.launch_ms is None else given.launch_ms / 1e3
    rated = timings_for(kind.base, model, launch_s) if kind.base else None
    if rated is None:
        return RatedBlocks(timing=_timing(given, None), validity=Validity())
    each = (rated.timing,) if isinstance(rated.timing, Timing) else rated.timing
    made = tuple(_timing(given, one) for one in each)
    timing = made[0] if isinstance(rated.timing, Timing) else alike(made)
    own_step = given.decode_ms is not None or given.decode_ms_by_batch is not None
    if own_step and given.prefill_us_per_token is not None:
        return RatedBlocks(timing=timing, validity=Validity(), device=rated.device)
    return replace(rated, timing=timing)


def _timing(given: schema.Device, base: Timing | None) -> Timing:
    """Own figures over those of a block; they hold for every block."""
    announced = 1.0 / given.inference_rps if given.inference_rps else 0.0
    per_token = 1.0 / given.forward_rps if given.forward_rps and not base else 0.0

    def pick(own: float | None, unit: float, fallback: float) -> float:
        return own * unit if own is not None else fallback

    timing = base or Timing(decode_base_s=announced, prefill_per_token_s=per_token)
    points = given.decode_ms_by_batch
    curve, beyond_s = timing.step_curve, timing.decode_per_sequence_s
    step_s, floor_s = timing.decode_base_s, timing.decode_floor_s
    if points:
        curve, beyond_s = _curve(points)
        step_s = points[0][1] * 1e-3
    elif given.decode_ms_per_sequence is not None:
        curve = ()
    if points or given.decode_ms is not None:
        floor_s = 0.0  # an own step is the whole step
    return Timing(
        step_curve=curve,
        window_tokens=timing.window_tokens,
        decode_base_s=pick(given.decode_ms, 1e-3, step_s),
        decode_per_context_token_s=pick(
            given.decode_us_per_context_token, 1e-6, timing.decode_per_context_token_s
        ),
        decode_per_sequence_s=pick(given.decode_ms_per_sequence, 1e-3, beyond_s),
        decode_floor_s=pick(given.decode_floor_ms, 1e-3, floor_s),
        prefill_floor_s=pick(given.prefill_floor_ms, 1e-3, timing.prefill_floor_s),
        prefill_base_s=pick(given.prefill_base_ms, 1e-3, timing.prefill_base_s),
        prefill_per_token_s=pick(given.prefill_us_per_token, 1e-6, timing.prefill_per_token_s),
        prefill_per_token2_s=pick(
            given.prefill_ns_per_token_squared, 1e-9, timing.prefill_per_token2_s
        ),
    )


def _curve(points: Sequence[schema.BatchPoint]) -> tuple[tuple[tuple[float, float], ...], float]:
    """Rows and seconds beyond a step of one sequence; what a row more costs where it ends."""
    first_ms = points[0][1]
    curve = [(float(batch), (ms - first_ms) * 1e-3) for batch, ms in points]
    (before, before_s), (last, last_s) = ([(1.0, 0.0), *curve][-2], curve[-1])
    slope_s = (last_s - before_s) / (last - before) if last > before else 0.0
    return tuple(curve[1:]), slope_s


def device_figures(known: BlockTimes) -> dict[str, Any]:
    """Block times (and what a task costs beside them) as fields of ``devices.NAME``: what
    ``rated_for`` makes of them is the timing again."""
    timing, overhead = known.timing, known.hop
    step_ms = timing.decode_base_s * 1e3
    fields: dict[str, Any] = {
        "decode_ms": step_ms,
        "decode_us_per_context_token": timing.decode_per_context_token_s * 1e6,
        "decode_ms_per_sequence": timing.decode_per_sequence_s * 1e3,
        "decode_floor_ms": timing.decode_floor_s * 1e3,
        "prefill_floor_ms": timing.prefill_floor_s * 1e3,
        "prefill_base_ms": timing.prefill_base_s * 1e3,
        "prefill_us_per_token": timing.prefill_per_token_s * 1e6,
        "prefill_ns_per_token_squared": timing.prefill_per_token2_s * 1e9,
    }
    # In files the curve's rows are sequences, and it does not fall.
    curve, most_ms = {1: step_ms}, step_ms
    for rows, more_s in timing.step_curve:
        most_ms = max(most_ms, step_ms + more_s * 1e3)
        curve[max(1, round(rows))] = most_ms
    if len(curve) > 1:
        fields["decode_ms_by_batch"] = [[rows, ms] for rows, ms in sorted(curve.items())]
    if overhead is not None:
        fields["task_overhead_ms"] = overhead.task_s * 1e3
        fields["piece_delay_ms"] = overhead.piece_s * 1e3
    return fields
