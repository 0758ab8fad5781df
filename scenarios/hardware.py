"""Models, device types and servers of a scenario file, in SI units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ..core.errors import CalibrationError, InputProblem, ScenarioError
from ..core.problem import ModelSpec, Server, Span, Timing
from ..perfmodel.calibrate import Calibration, parse_profile
from ..perfmodel.catalogue import (
    BYTES_PER_VALUE,
    TASK_TOKENS,
    block_bytes,
    block_parameters,
    model_spec,
)
from ..perfmodel.devices import Device, device, scaled_timing
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
    """A device type of the file: a shipped profile with overrides, or own figures."""

    base: Device | None
    given: schema.Device
    memory_bytes: int | None
    calibrated: Calibration | None = None


def build_kind(
    name: str, given: schema.Device, base_dir: Path, referenced: dict[str, bytes]
) -> Kind:
    """A device type of the file; ``referenced`` receives the bytes of its profile file."""
    where = f"devices.{name}"
    _check_curve(given, f"{where}.decode_ms_by_batch")
    profile = given.profile
    if profile is not None and profile.endswith(".json"):
        referenced[name] = read_referenced(base_dir / profile, f"{where}.profile")
        measured = _calibrated(referenced[name], base_dir / profile, f"{where}.profile")
        memory = _memory_bytes(given, where)
        return Kind(base=None, given=given, memory_bytes=memory, calibrated=measured)
    base = _known(lambda: device(profile), f"{where}.profile") if profile else None
    known = (given.decode_ms, given.decode_ms_by_batch, given.inference_rps)
    if base is None and all(figure is None for figure in known):
        raise ScenarioError.single(
            f"{where}.decode_ms", "is missing: give decode_ms, inference_rps, or a shipped profile"
        )
    return Kind(base=base, given=given, memory_bytes=_memory_bytes(given, where))


def _check_curve(given: schema.Device, where: str) -> None:
    """A curve begins with one sequence; more of them are no faster."""
    curve = given.decode_ms_by_batch or [(1, 0.0)]
    batches, times = [b for b, _ in curve], [ms for _, ms in curve]
    if batches[0] != 1 or batches != sorted(set(batches)) or times != sorted(times):
        raise ScenarioError.single(
            where, "must begin with batch 1 and rise: [[1, 0.8], [8, 0.9], [32, 1.2]]"
        )


def _calibrated(content: bytes, path: Path, field: str) -> Calibration:
    try:
        return parse_profile(decode(content, path, field), source=path.name)
    except CalibrationError as error:
        raise ScenarioError.single(field, str(error)) from error


def _timing(kind: Kind, model: ModelSpec) -> Timing:
    """Own figures over the profile's over the announced rates.

    A shipped profile is scaled to the model; a calibrated one was measured on it.
    """
    given = kind.given
    base = scaled_timing(kind.base, model) if kind.base else None
    if kind.calibrated is not None:
        base = kind.calibrated.timing
    announced = 1.0 / given.inference_rps if given.inference_rps else None
    per_token = 1.0 / given.forward_rps if given.forward_rps and not base else None

    def pick(own: float | None, unit: float, fallback: float | None) -> float:
        return own * unit if own is not None else fallback or 0.0

    points = given.decode_ms_by_batch
    step_s = points[0][1] * 1e-3 if points else base.decode_base_s if base else announced
    curve, beyond_s = base.step_curve if base else (), base.decode_per_sequence_s if base else 0.0
    if points:
        curve, beyond_s = _curve(points)
    elif given.decode_ms_per_sequence is not None:
        curve = ()
    return Timing(
        step_curve=curve,
        decode_base_s=pick(given.decode_ms, 1e-3, step_s),
        decode_per_context_token_s=pick(
            given.decode_us_per_context_token, 1e-6, base.decode_per_context_token_s if base else 0
        ),
        decode_per_sequence_s=pick(given.decode_ms_per_sequence, 1e-3, beyond_s),
        prefill_floor_s=pick(given.prefill_floor_ms, 1e-3, base.prefill_floor_s if base else 0),
        prefill_base_s=pick(given.prefill_base_ms, 1e-3, base.prefill_base_s if base else 0),
        prefill_per_token_s=pick(
            given.prefill_us_per_token, 1e-6, base.prefill_per_token_s if base else per_token
        ),
    )


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
        kind = Kind(base=base, given=schema.Device(), memory_bytes=base.memory_bytes)
    memory = _memory_bytes(given, where)
    if memory is None:
        memory = kind.memory_bytes
    if memory is None:
        if kind.base is None:
            raise ScenarioError.single(
                f"{where}.memory_gb", f"is missing, and device {given.device!r} gives no memory"
            )
        memory = kind.base.memory_bytes
    span = given.span
    if span is not None and not span[0] < span[1] <= model.num_blocks:
        raise ScenarioError.single(
            f"{where}.span", f"[{span[0]}, {span[1]}) is not within the {model.num_blocks} blocks"
        )
    own_bytes = _block_bytes(given, document.model, model)
    return Server(
        id=name,
        memory_bytes=memory,
        block_bytes=own_bytes,
        timing=_timing(kind, replace(model, block_bytes=own_bytes)),
        max_blocks=given.max_blocks,
        forward_rps=_rate(kind, "forward_rps"),
        inference_rps=_rate(kind, "inference_rps"),
        network_rps=_rate(kind, "network_rps"),
        relayed=given.relayed,
        device=given.device,
        region=given.region,
        pinned=Span(start=span[0], end=span[1]) if span else None,
        load_block_bytes=_file_bytes(document.model, model),
        download_bytes_per_s=_download(given),
        disk_bytes_per_s=None if given.disk_gb_per_s is None else given.disk_gb_per_s * 1e9,
        sharing=given.sharing or kind.given.sharing or document.sharing,
        task_tokens=TASK_TOKENS[given.quantisation or document.model.quantisation],
    )


def _shipped(name: str, document: schema.Scenario) -> Device:
    """A shipped profile named by a server; near matches include the file's own device types."""
    try:
        return device(name)
    except ScenarioError as error:
        own = ", ".join(document.devices) or "none"
        raise ScenarioError.single(
            "", f"{error.problems[0].message}; device types of this file: {own}"
        ) from error


def _rate(kind: Kind, name: str) -> float | None:
    own: float | None = getattr(kind.given, name)
    base = kind.calibrated or kind.base
    return own if own is not None else getattr(base, name) if base else None


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
