"""Servers of a scenario file, in SI units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ..core.errors import ScenarioError
from ..core.names import Sharing
from ..core.problem import ModelSpec, Server, Span, Timing, Variant
from ..perfmodel.catalogue import TASK_TOKENS
from ..perfmodel.devices import Device, RatedBlocks, devices_named
from ..perfmodel.overhead import HopOverhead
from ..perfmodel.passes import usual_verify
from . import schema
from .budget import power_w, price_of
from .kinds import Kind, memory_bytes, rated_for
from .known import known
from .models import file_bytes, weights_at
from .wire import wires_of


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
        base = known(lambda: _shipped(given.device, document), f"{where}.device")
        kind = Kind(base=base, given=schema.Device(), memory_bytes=None)
    memory = memory_bytes(given, where)
    if memory is None:
        memory = kind.whole_bytes
    if memory is None:
        raise ScenarioError.single(
            f"{where}.memory_gb", f"is missing, and device {given.device!r} gives no memory"
        )
    span = given.span
    if span is not None and not span[0] < span[1] <= model.num_blocks:
        raise ScenarioError.single(
            f"{where}.span", f"[{span[0]}, {span[1]}) is not within the {model.num_blocks} blocks"
        )
    names, field = _precisions(given, where, document)
    wires = wires_of(given, where, document)
    rates = {
        p: known(partial(rated_for, kind, _at(model, document.model, p)), field) for p in names
    }
    rated = rates[names[0]]
    if kind.given.launch_ms is not None and rated.validity.origin != "estimated":
        raise ScenarioError.single(
            f"devices.{given.device}.launch_ms",
            f"belongs to an estimate; block times of {given.device} are {rated.validity.origin}: "
            "leave it out, or give decode_floor_ms",
        )
    variants = [_variant(p, r, given, kind, _at(model, document.model, p))
                for p, r in rates.items()]  # fmt: skip
    present = {n: getattr(variants[0], n) for n in Variant.__slots__}
    hop = _hop(kind, rated)
    idle_w, busy_w = power_w(given, kind, where)
    return Server(
        id=name,
        memory_bytes=memory,
        **present,
        variants=tuple(variants) if given.precisions else (),
        wire=wires[0],
        wires=wires if len(wires) > 1 else (),
        max_blocks=given.max_blocks,
        network_rps=_rate(kind, rated, "network_rps"),
        relayed=given.relayed,
        device=given.device,
        region=given.region,
        pinned=Span(start=span[0], end=span[1]) if span else None,
        load_block_bytes=file_bytes(model, document.model),
        download_bytes_per_s=_download(given),
        disk_bytes_per_s=None if given.disk_gb_per_s is None else given.disk_gb_per_s * 1e9,
        quantise_bytes_per_s=(
            None if given.quantise_gb_per_s is None else given.quantise_gb_per_s * 1e9
        ),
        sharing=_sharing(given, kind, document),
        batch_prompts=kind.given.batch_prompts,
        chunk_tokens=kind.given.chunk_tokens or 0,
        page_tokens=kind.given.preempting_page_tokens or 0,
        rated_per_s=tuple(kind.given.rated_tokens_per_s),
        task_overhead_s=_overhead_s(kind.given.task_overhead_ms, hop.task_s if hop else 0.0),
        piece_delay_s=_overhead_s(kind.given.piece_delay_ms, hop.piece_s if hop else 0.0),
        idle_w=idle_w,
        busy_w=busy_w,
        price_per_s=price_of(given, kind),
        rollback=given.rollback,
        adapters=_adapters(given, document),
        gpus=kind.given.gpus,
        only=tuple(given.only),
        local=given.local,
    )


def _sharing(given: schema.Server, kind: Kind, document: schema.Scenario) -> Sharing:
    """How it shares its compute; chunks and pages are of servers that batch."""
    sharing = given.sharing or kind.given.sharing or document.sharing
    for field in ("chunk_tokens", "preempting_page_tokens"):
        if getattr(kind.given, field) and sharing != "batched":
            message = f"is of servers that batch: needs sharing = 'batched', it is {sharing!r}"
            raise ScenarioError.single(f"devices.{given.device}.{field}", message)
    return sharing


def _precisions(
    given: schema.Server, where: str, document: schema.Scenario
) -> tuple[Sequence[str], str]:
    """Those that a server may host its blocks at, the first one until a planner chooses; and the
    field that says so."""
    if given.precisions is None:
        return (given.quantisation or document.model.quantisation,), f"{where}.quantisation"
    field = f"{where}.precisions"
    if given.quantisation is not None:
        raise ScenarioError.single(field, "give precisions to choose from, or one quantisation")
    if len(set(given.precisions)) < len(given.precisions):
        raise ScenarioError.single(field, "names one twice")
    return given.precisions, field


def _adapters(given: schema.Server, document: schema.Scenario) -> tuple[str, ...] | None:
    """Those that it loads; for the planner to choose where the file has some and does not say."""
    if given.adapters is None:
        return None if document.adapters else ()
    return tuple(given.adapters)


def _at(model: ModelSpec, named: schema.Model, precision: str) -> ModelSpec:
    """The model at a precision."""
    return replace(model, block_bytes=weights_at(model, named, precision), quantisation=precision)


def _variant(
    precision: str, rated: RatedBlocks, given: schema.Server, kind: Kind, own: ModelSpec
) -> Variant:
    """A server at a precision, of which ``own`` is the model."""
    return Variant(
        precision=precision,
        block_bytes=own.block_bytes,
        timing=rated.timing,
        validity=rated.validity,
        task_tokens=given.task_tokens or kind.given.task_tokens or TASK_TOKENS[precision],
        forward_rps=_rate(kind, rated, "forward_rps"),
        inference_rps=_rate(kind, rated, "inference_rps"),
        verify=_verify(kind, rated, own),
    )


def _verify(kind: Kind, rated: RatedBlocks, model: ModelSpec) -> tuple[tuple[float, float], ...]:
    """What passes of more positions take: own figures, else the measured curve of steps, else what
    is usual at that precision."""
    if kind.given.verify is not None:
        return tuple((float(positions), times) for positions, times in kind.given.verify)
    timing = rated.timing
    curved = timing.step_curve if isinstance(timing, Timing) else all(t.step_curve for t in timing)
    return () if curved else usual_verify(model)


def _hop(kind: Kind, rated: RatedBlocks) -> HopOverhead | None:
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


def _rate(kind: Kind, rated: RatedBlocks, name: str) -> float | None:
    """What a server announces: of a profile only where it was measured on these blocks."""
    own: float | None = getattr(kind.given, name)
    return own if own is not None else getattr(rated.device, name) if rated.device else None


def _download(given: schema.Server) -> float | None:
    """Bytes per second of a download; the rate of its link where only that is given."""
    mbit = given.download_mbit_per_s or given.bandwidth_mbit_per_s
    return None if mbit is None else mbit * 1e6 / 8
