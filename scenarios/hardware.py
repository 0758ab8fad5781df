"""Models, device types and servers of a scenario file, in SI units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ..core.errors import CalibrationError, InputProblem, ScenarioError
from ..core.problem import ModelSpec, Server, Span, Timing, Validity
from ..perfmodel.catalogue import (
    BYTES_PER_VALUE,
    TASK_TOKENS,
    block_bytes,
    block_parameters,
    model_spec,
)
from ..perfmodel.devices import Device, Rated, device_of_sheet, devices_named, timing_for
from ..perfmodel.kernels import DataSheet
from ..perfmodel.overhead import HopOverhead
from ..perfmodel.profilefile import parse_profiles
from . import schema
from .files import decode, read_referenced

T = TypeVar("T")


def build_model(given: schema.Model) -> ModelSpec:
    """A model of the catalogue, or one of the file's own figures."""
    own = (given.num_blocks, given.hidden_size, given.block_mb, given.cache_bytes_per_token)
    if all(v is None for v in own):
        return _known(lambda: model_spec(given.name, given.quantisation), "model.name")
    if given.num_blocks is None or given.hidden_size is None or given.block_mb is None:
        first = next(n for n in ("num_blocks", "hidden_size", "block_mb") if not getattr(given, n))
        raise ScenarioError.single(
            f"model.{first}",
            "an own model needs num_blocks, hidden_size and block_mb together; leave all of them "
            "out to take a model of the catalogue",
        )
    # Without grouped queries: K and V, 16 bit each, of the full width.
    cache = given.cache_bytes_per_token or 4 * given.hidden_size
    return ModelSpec(
        name=given.name,
        num_blocks=given.num_blocks,
        hidden_size=given.hidden_size,
        block_bytes=max(1, round(given.block_mb * 1e6)),
        cache_bytes_per_token=cache,
        activation_bytes_per_token=2 * given.hidden_size,
        grouped_query=given.grouped_query,
        quantisation=given.quantisation,
    )


def _known(look_up: Callable[[], T], path: str) -> T:
    """A look-up by name whose failure belongs to one field."""
    try:
        return look_up()
    except ScenarioError as error:
        raise ScenarioError([InputProblem(path, p.message) for p in error.problems]) from error


def _memory_bytes(given: schema.Device | schema.Server, where: str) -> int | None:
    if given.memory_gb is not None and given.memory_gib is not None:
        raise ScenarioError.single(f"{where}.memory_gb", "give memory_gb or memory_gib, not both")
    if given.memory_gb is not None:
        return round(given.memory_gb * 1e9)
    return None if given.memory_gib is None else round(given.memory_gib * 2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A device type of the file: measured profiles with overrides, or own figures alone."""

    base: tuple[Device, ...]
    given: schema.Device
    memory_bytes: int | None


def build_kind(
    name: str, given: schema.Device, base_dir: Path, referenced: dict[str, bytes]
) -> Kind:
    """A device type of the file; ``referenced`` receives the bytes of its profile file."""
    where = f"devices.{name}"
    _check_curve(given, f"{where}.decode_ms_by_batch")
    profile = given.profile
    if profile is not None and profile.endswith(".json"):
        referenced[name] = read_referenced(base_dir / profile, f"{where}.profile")
        measured = _measured(referenced[name], base_dir / profile, f"{where}.profile")
        return Kind(base=measured, given=given, memory_bytes=_memory_bytes(given, where))
    own_sheet = _own_sheet(name, given, where)
    if own_sheet is not None:
        return Kind(base=(own_sheet,), given=given, memory_bytes=_memory_bytes(given, where))
    base = _known(lambda: devices_named(profile), f"{where}.profile") if profile else ()
    known = (given.decode_ms, given.decode_ms_by_batch, given.inference_rps)
    if not base and all(figure is None for figure in known):
        raise ScenarioError.single(
            f"{where}.decode_ms",
            "is missing: give decode_ms, inference_rps, a shipped profile, or of the data sheet "
            "bandwidth_gb_per_s and tflop_per_s",
        )
    return Kind(base=base, given=given, memory_bytes=_memory_bytes(given, where))


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
        memory_bytes=_memory_bytes(given, where) or 0,
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


def _measured(content: bytes, path: Path, field: str) -> tuple[Device, ...]:
    try:
        return parse_profiles(decode(content, path, field), source=path.name)
    except CalibrationError as error:
        raise ScenarioError.single(field, str(error)) from error


def _rated(kind: Kind, model: ModelSpec) -> Rated:
    """Own figures over the profile's over the announced rates."""
    given = kind.given
    launch_s = None if given.launch_ms is None else given.launch_ms / 1e3
    rated = timing_for(kind.base, model, launch_s) if kind.base else None
    base = rated.timing if rated else None
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
    made = Timing(
        step_curve=curve,
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
    own_step = given.decode_ms is not None or points is not None
    if rated is None or (own_step and given.prefill_us_per_token is not None):
        return Rated(timing=made, validity=Validity(), device=rated.device if rated else None)
    return replace(rated, timing=made)


def _curve(points: Sequence[schema.BatchPoint]) -> tuple[tuple[tuple[float, float], ...], float]:
    """Rows and seconds beyond a step of one sequence; what a row more costs where it ends."""
    first_ms = points[0][1]
    curve = [(float(batch), (ms - first_ms) * 1e-3) for batch, ms in points]
    (before, before_s), (last, last_s) = ([(1.0, 0.0), *curve][-2], curve[-1])
    slope_s = (last_s - before_s) / (last - before) if last > before else 0.0
    return tuple(curve[1:]), slope_s


def build_server(
    given: schema.Server,
    name: str,
    where: str,
    document: schema.Scenario,
    model: ModelSpec,
    kinds: dict[str, Kind],
) -> Server:
    """One server; ``where`` is its field in the file, for errors."""
    kind = kinds.get(given.device)
    if kind is None:
        base = _known(lambda: _shipped(given.device, document), f"{where}.device")
        kind = Kind(base=base, given=schema.Device(), memory_bytes=None)
    memory = _memory_bytes(given, where)
    if memory is None:
        memory = kind.memory_bytes
    if memory is None:
        memory = next((d.memory_bytes for d in kind.base if d.memory_bytes), None)
    if memory is None:
        raise ScenarioError.single(
            f"{where}.memory_gb", f"is missing, and device {given.device!r} gives no memory"
        )
    span = given.span
    if span is not None and not span[0] < span[1] <= model.num_blocks:
        raise ScenarioError.single(
            f"{where}.span", f"[{span[0]}, {span[1]}) is not within the {model.num_blocks} blocks"
        )
    own_bytes = _block_bytes(given, document.model, model)
    precision = given.quantisation or document.model.quantisation
    own = replace(model, block_bytes=own_bytes, quantisation=precision)
    rated = _known(lambda: _rated(kind, own), f"{where}.quantisation")
    if kind.given.launch_ms is not None and rated.validity.origin != "estimated":
        raise ScenarioError.single(
            f"devices.{given.device}.launch_ms",
            f"is the host's of an estimate; those of {given.device} are {rated.validity.origin}: "
            "leave it out, or give decode_floor_ms",
        )
    hop = _hop(kind, rated)
    return Server(
        id=name,
        memory_bytes=memory,
        block_bytes=own_bytes,
        timing=rated.timing,
        validity=rated.validity,
        max_blocks=given.max_blocks,
        forward_rps=_rate(kind, rated, "forward_rps"),
        inference_rps=_rate(kind, rated, "inference_rps"),
        network_rps=_rate(kind, rated, "network_rps"),
        relayed=given.relayed,
        device=given.device,
        region=given.region,
        pinned=Span(start=span[0], end=span[1]) if span else None,
        load_block_bytes=_file_bytes(document.model, model),
        download_bytes_per_s=_download(given),
        disk_bytes_per_s=None if given.disk_gb_per_s is None else given.disk_gb_per_s * 1e9,
        sharing=given.sharing or kind.given.sharing or document.sharing,
        task_tokens=TASK_TOKENS[precision],
        task_overhead_s=_overhead_s(kind.given.task_overhead_ms, hop.task_s if hop else 0.0),
        piece_delay_s=_overhead_s(kind.given.piece_delay_ms, hop.piece_s if hop else 0.0),
    )


def _hop(kind: Kind, rated: Rated) -> HopOverhead | None:
    """Overheads of host and runtime: whatever blocks they were measured with, own ones first."""
    known = (*([rated.device] if rated.device else ()), *kind.base)
    return next((device.hop for device in known if device.hop), None)


def _overhead_s(given_ms: float | None, calibrated_s: float) -> float:
    """Own figure over that of a calibrated profile."""
    return calibrated_s if given_ms is None else given_ms / 1e3


def _shipped(name: str, document: schema.Scenario) -> tuple[Device, ...]:
    """A shipped profile named by a server; near matches include the file's own device types."""
    try:
        return devices_named(name)
    except ScenarioError as error:
        own = ", ".join(document.devices) or "none"
        raise ScenarioError.single(
            "", f"{error.problems[0].message}; device types of this file: {own}"
        ) from error


def _rate(kind: Kind, rated: Rated, name: str) -> float | None:
    """What a server announces: of a profile only where it was measured on these blocks."""
    own: float | None = getattr(kind.given, name)
    return own if own is not None else getattr(rated.device, name) if rated.device else None


def _download(given: schema.Server) -> float | None:
    """Bytes per second of a download; the rate of its link where only that is given."""
    mbit = given.download_mbit_per_s or given.bandwidth_mbit_per_s
    return None if mbit is None else mbit * 1e6 / 8


def _file_bytes(named: schema.Model, model: ModelSpec) -> int:
    """Weights of one block as published, 16 bit: what is read before any quantisation."""
    if named.num_blocks is None:
        return 2 * block_parameters(model)
    return max(1, round(model.block_bytes * 2.0 / BYTES_PER_VALUE[named.quantisation]))


def _block_bytes(given: schema.Server, named: schema.Model, model: ModelSpec) -> int:
    if given.quantisation is None or given.quantisation == named.quantisation:
        return model.block_bytes
    if named.num_blocks is None:
        return block_bytes(named.name, given.quantisation)
    ratio = BYTES_PER_VALUE[given.quantisation] / BYTES_PER_VALUE[named.quantisation]
    return max(1, round(model.block_bytes * ratio))
