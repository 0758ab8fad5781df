"""From a scenario document to a ``Problem``: the only place that converts units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..core.errors import InputProblem, ScenarioError
from ..core.problem import BlockSpan, Client, ModelSpec, Planning, Problem, Server, Timing
from ..core.workload import Lengths, Workload
from ..perfmodel.catalogue import block_bytes, model_spec
from ..perfmodel.devices import Device, device, scaled_timing
from . import schema
from .network import build_network
from .workload import build_workload

BYTES_PER_PARAMETER = {"bf16": 2.0, "int8": 1.0, "nf4": 4.25 / 8}
MAX_SERVERS = 10_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What ``build`` made: the problem, contents of referenced files, warnings, events."""

    problem: Problem
    referenced: tuple[bytes, ...]
    warnings: tuple[str, ...]
    events: tuple[tuple[float, int, bool], ...]


def build(document: schema.Scenario, base_dir: Path) -> Built:
    """Resolve every name and number of a document.

    Raises
    ------
    ScenarioError
        Listing all defects: unknown names, duplicate ids, missing places, impossible memory.
    """
    wrong: list[InputProblem] = []
    model = _collect(wrong, "model", lambda: _model(document.model))
    devices = {
        name: _collect(wrong, f"devices.{name}", partial(_device, d))
        for name, d in document.devices.items()
    }
    rows = _expand(document.servers)
    _check_ids(wrong, document, rows)
    if wrong or model is None:
        raise ScenarioError(wrong)
    servers = tuple(
        _collect(wrong, f"servers[{at}]", partial(_server, s, i, document, model, devices))
        for at, i, s in rows
    )
    network = _collect(
        wrong, "network", lambda: build_network(document, [s for _, _, s in rows], base_dir)
    )
    load = _collect(wrong, "workload", lambda: build_workload(document, base_dir))
    events = _events(wrong, document, rows)
    if wrong or network is None or load is None:
        raise ScenarioError(wrong)
    placed = tuple(s for s in servers if s is not None)
    problem = Problem(
        model=model,
        servers=tuple(_at(s, network.server_places[j]) for j, s in enumerate(placed)),
        clients=tuple(
            Client(id=c.id, region=c.region, coordinates=network.client_places[i])
            for i, c in enumerate(document.clients)
        ),
        network=network.network,
        workload=load.workload,
        planning=_planning(document, load.workload),
        session_setup_s=document.session_setup_ms / 1e3,
        alloc_delay_s=document.testbed_alloc_delay_ms / 1e3,
    )
    warnings = (*network.warnings, *load.warnings, *_memory_warnings(problem))
    return Built(
        problem=problem,
        referenced=(*network.referenced, *load.referenced),
        warnings=warnings,
        events=events,
    )


def _collect(wrong: list[InputProblem], path: str, make: Callable[[], T]) -> T | None:
    """Run one step; its defects are collected under ``path`` so that all are reported."""
    try:
        return make()
    except ScenarioError as error:
        for p in error.problems:
            inner = f"{path}.{p.path}" if p.path else path
            wrong.append(InputProblem(inner, p.message))
    except ValueError as error:
        wrong.append(InputProblem(path, str(error)))
    return None


def _model(given: schema.Model) -> ModelSpec:
    own = (given.num_blocks, given.hidden_size, given.block_mb, given.cache_bytes_per_token)
    if all(v is None for v in own):
        return model_spec(given.name, given.quantisation)
    if given.num_blocks is None or given.hidden_size is None or given.block_mb is None:
        raise ScenarioError.single(
            "",
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


def _memory_bytes(gb: float | None, gib: float | None) -> int | None:
    if gb is not None and gib is not None:
        raise ScenarioError.single("memory_gb", "give memory_gb or memory_gib, not both")
    if gb is not None:
        return round(gb * 1e9)
    return None if gib is None else round(gib * 2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A device type of the file: a shipped profile with overrides, or own figures."""

    base: Device | None
    given: schema.Device
    memory_bytes: int | None


def _device(given: schema.Device) -> _Kind:
    base = device(given.profile) if given.profile else None
    if base is None and given.decode_ms is None and given.inference_rps is None:
        raise ScenarioError.single(
            "decode_ms", "is missing: give decode_ms, inference_rps, or a shipped profile"
        )
    memory = _memory_bytes(given.memory_gb, given.memory_gib)
    return _Kind(base=base, given=given, memory_bytes=memory)


def _timing(kind: _Kind, model: ModelSpec) -> Timing:
    """Own figures over the profile's (scaled to the model) over the announced rates."""
    given = kind.given
    base = scaled_timing(kind.base, model) if kind.base else None
    announced = 1.0 / given.inference_rps if given.inference_rps else None
    per_token = 1.0 / given.forward_rps if given.forward_rps and not kind.base else None

    def pick(own: float | None, unit: float, fallback: float | None) -> float:
        return own * unit if own is not None else fallback or 0.0

    return Timing(
        decode_base_s=pick(given.decode_ms, 1e-3, base.decode_base_s if base else announced),
        decode_per_context_token_s=pick(
            given.decode_us_per_context_token, 1e-6, base.decode_per_context_token_s if base else 0
        ),
        decode_per_sequence_s=pick(
            given.decode_ms_per_sequence, 1e-3, base.decode_per_sequence_s if base else 0
        ),
        prefill_floor_s=pick(given.prefill_floor_ms, 1e-3, base.prefill_floor_s if base else 0),
        prefill_base_s=pick(given.prefill_base_ms, 1e-3, base.prefill_base_s if base else 0),
        prefill_per_token_s=pick(
            given.prefill_us_per_token, 1e-6, base.prefill_per_token_s if base else per_token
        ),
    )


def _expand(servers: list[schema.Server]) -> list[tuple[int, str, schema.Server]]:
    """(row in the file, id, server) with ``count`` unrolled."""
    if sum(s.count for s in servers) > MAX_SERVERS:
        raise ScenarioError.single("servers", f"more than {MAX_SERVERS} servers in total")
    return [
        (at, s.id if s.count == 1 else f"{s.id}-{i}", s)
        for at, s in enumerate(servers)
        for i in range(s.count)
    ]


def _check_ids(
    wrong: list[InputProblem],
    document: schema.Scenario,
    rows: list[tuple[int, str, schema.Server]],
) -> None:
    for name, count in Counter(i for _, i, _ in rows).items():
        if count > 1:
            wrong.append(InputProblem("servers", f"the id {name!r} is used {count} times"))
    for name, count in Counter(c.id for c in document.clients).items():
        if count > 1:
            wrong.append(InputProblem("clients", f"the id {name!r} is used {count} times"))


def _server(
    given: schema.Server,
    name: str,
    document: schema.Scenario,
    model: ModelSpec,
    devices: dict[str, _Kind | None],
) -> Server:
    if given.device in devices:
        kind = devices[given.device]
        assert kind is not None  # defects of devices stop the build earlier
    else:
        kind = _Kind(base=device(given.device), given=schema.Device(), memory_bytes=None)
    memory = _memory_bytes(given.memory_gb, given.memory_gib) or kind.memory_bytes
    if memory is None:
        if kind.base is None:
            raise ScenarioError.single("memory_gb", f"device {given.device!r} gives no memory")
        memory = kind.base.memory_bytes
    span = given.span
    if span is not None and not span[0] < span[1] <= model.num_blocks:
        raise ScenarioError.single(
            "span", f"[{span[0]}, {span[1]}) is not within the {model.num_blocks} blocks"
        )
    return Server(
        id=name,
        memory_bytes=memory,
        block_bytes=_block_bytes(given, document.model, model),
        timing=_timing(kind, model),
        max_blocks=given.max_blocks,
        forward_rps=_rate(kind, "forward_rps"),
        inference_rps=_rate(kind, "inference_rps"),
        network_rps=_rate(kind, "network_rps"),
        relayed=given.relayed,
        device=given.device,
        region=given.region,
        pinned=BlockSpan(start=span[0], end=span[1]) if span else None,
    )


def _rate(kind: _Kind, name: str) -> float | None:
    own: float | None = getattr(kind.given, name)
    return own if own is not None else getattr(kind.base, name) if kind.base else None


def _block_bytes(given: schema.Server, named: schema.Model, model: ModelSpec) -> int:
    if given.quantisation is None or given.quantisation == named.quantisation:
        return model.block_bytes
    if named.num_blocks is None:
        return block_bytes(named.name, given.quantisation)
    ratio = BYTES_PER_PARAMETER[given.quantisation] / BYTES_PER_PARAMETER[named.quantisation]
    return max(1, round(model.block_bytes * ratio))


def _at(server: Server, place: tuple[float, float] | None) -> Server:
    return replace(server, coordinates=place) if place is not None else server


def _planning(document: schema.Scenario, workload: Workload) -> Planning:
    """The representative request: mean lengths; sessions reserve the chosen quantile."""
    given = document.planning
    if workload.trace:
        prompts = Lengths(values=tuple(r.prompt_tokens for r in workload.trace))
        outputs = Lengths(values=tuple(r.output_tokens for r in workload.trace))
        totals = [r.prompt_tokens + r.output_tokens for r in workload.trace]
        tokens = Lengths(values=tuple(totals)).quantile(given.session_quantile)
        mean_prompt, mean_output = prompts.mean, outputs.mean
    else:
        rates = np.array([c.rate_per_s for c in workload.classes])
        weights = rates / rates.sum() if rates.sum() > 0 else np.full(len(rates), 1 / len(rates))
        mean_prompt = sum(
            w * c.prompt_tokens.mean for w, c in zip(weights, workload.classes, strict=True)
        )
        mean_output = sum(
            w * c.output_tokens.mean for w, c in zip(weights, workload.classes, strict=True)
        )
        # The sum of two quantiles is at least the quantile of the sum of independent lengths.
        q = given.session_quantile
        tokens = max(
            c.prompt_tokens.quantile(q) + c.output_tokens.quantile(q) for c in workload.classes
        )
    return Planning(
        prompt_tokens=max(1, round(mean_prompt)),
        output_tokens=max(1, round(mean_output)),
        session_tokens=given.session_tokens or tokens,
        sessions=given.sessions,
        safety_z=given.safety_z,
    )


def _events(
    wrong: list[InputProblem],
    document: schema.Scenario,
    rows: list[tuple[int, str, schema.Server]],
) -> tuple[tuple[float, int, bool], ...]:
    found = []
    for at, event in enumerate(document.events):
        if (event.server is None) == (event.region is None):
            wrong.append(InputProblem(f"events[{at}]", "give either server or region"))
            continue
        hit = [
            j
            for j, (_, name, s) in enumerate(rows)
            if (event.server is not None and event.server in (name, s.id))
            or (event.region is not None and s.region == event.region)
        ]
        if not hit:
            what = f"server {event.server!r}" if event.server else f"region {event.region!r}"
            wrong.append(InputProblem(f"events[{at}]", f"no {what} in this scenario"))
        found += [(event.at_s, j, event.action == "join") for j in hit]
    return tuple(sorted(found))


def _memory_warnings(problem: Problem) -> list[str]:
    small = [
        s.id for s in problem.servers if s.memory_bytes < s.block_bytes + problem.session_bytes
    ]
    if not small:
        return []
    shown = ", ".join(small[:8]) + (" ..." if len(small) > 8 else "")
    return [f"{len(small)} server(s) cannot hold one block and one session: {shown}"]
