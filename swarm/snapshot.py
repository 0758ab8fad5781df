"""A running swarm as a scenario: what is announced, and estimates for what is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..core.errors import ScenarioError
from ..perfmodel.announced import DEFAULT_CACHE_TOKENS
from ..perfmodel.catalogue import BYTES_PER_TYPE, BYTES_PER_VALUE
from ..scenarios.checkpoint import ModelFigures
from ..scenarios.kinds import device_figures
from .announce import Announcement
from .places import ClientPlace, network_of

#: PETALS takes these where it knows nothing.
DEFAULT_INFERENCE_RPS = 300.0
DEFAULT_FORWARD_RPS = 3_000.0
#: No step of a scenario takes longer.
MOST_STEP_MS = 1e7
#: What PETALS announces beside 16 bit.
_QUANTISED = tuple(q for q in BYTES_PER_VALUE if q != "bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What no announcement tells.

    Attributes
    ----------
    step_overhead_s : software overhead of one hop; measured 6 to 12 ms with small models.
    memory_bytes : usable memory by peer id or public name, in place of the estimate.
    rate_per_s, prompt_tokens, output_tokens : the load, per client.
    """

    relay: Literal["client", "server"] = "client"
    step_overhead_s: float = 0.010
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    rate_per_s: float = 0.1
    prompt_tokens: int = 128
    output_tokens: int = 128
    sessions: int | None = None


def scenario_document(
    model: ModelFigures,
    entries: Sequence[Announcement],
    clients: Sequence[ClientPlace],
    assume: Assumptions,
) -> tuple[dict[str, Any], list[str]]:
    """The scenario of what is online, and a list of what was estimated.

    Raises
    ------
    ScenarioError
        If no server is online.
    """
    online = [entry for entry in entries if entry.state == "online"]
    if not online:
        raise ScenarioError.single("servers", "no server of this model is online")
    value_bytes = max(BYTES_PER_TYPE.get(e.torch_dtype or "", 2.0) for e in online)
    estimated: list[str] = []
    where = network_of(clients, online, estimated)
    usual = _usual(online)
    figures = [_device(entry, usual, estimated) for entry in online]
    # Servers that announce the same are of one kind.
    names = {key: f"kind-{i}" for i, key in enumerate(dict.fromkeys(map(_key, figures)))}
    kinds = {names[_key(one)]: one for one in figures}
    servers = [
        {
            **_server(names[_key(one)], entry, model, value_bytes, assume, estimated),
            **place,
        }
        for one, entry, place in zip(figures, online, where.servers, strict=True)
    ]
    loaded = dict.fromkeys(name for entry in online for name in entry.adapters)
    if loaded:
        estimated.append("the size of adapters (none)")
        for one in servers:
            one.setdefault("adapters", [])
    network = {
        **where.network,
        "relay": assume.relay,
        "step_overhead_ms": assume.step_overhead_s * 1e3,
        "prefill_overhead_ms": assume.step_overhead_s * 1e3,
    }
    if any(entry.rollback for entry in online):
        stuck = [entry.public_name or entry.peer for entry in online if not entry.rollback]
        estimated += ["drafts (none can be made over servers that take none back: "
                      f"{', '.join(stuck[:5])})"] if stuck else []  # fmt: skip
    estimated += ["overhead of a hop", "the load"]
    document = {
        "format": "swarmplan/scenario/1",
        "name": f"swarm {model.name}"[:200],
        "description": "Read from a live swarm. Estimated: " + "; ".join(_counted(estimated)) + ".",
        "model": model.document(value_bytes),
        "network": network,
        "workload": {
            "streams": [
                {
                    "client": client.name,
                    "rate_per_s": assume.rate_per_s,
                    "prompt_tokens": assume.prompt_tokens,
                    "output_tokens": assume.output_tokens,
                }
                for client in clients
            ]
        },
        "planning": {} if assume.sessions is None else {"sessions": assume.sessions},
        "devices": kinds,
        "clients": [
            {"id": client.name, **place}
            for client, place in zip(clients, where.clients, strict=True)
        ],
        "servers": servers,
        **({"adapters": {name: {} for name in loaded}} if loaded else {}),
    }
    return document, _counted(estimated)


def _key(figures: Mapping[str, Any]) -> str:
    return json.dumps(figures, sort_keys=True)


def _usual(online: Sequence[Announcement]) -> dict[str, float]:
    """What is taken for a missing rate: the median of the others, else PETALS' own default."""
    defaults = {"inference_rps": DEFAULT_INFERENCE_RPS, "forward_rps": DEFAULT_FORWARD_RPS}
    told = {n: [r for e in online if (r := getattr(e, n)) is not None] for n in defaults}
    return {n: float(np.median(told[n])) if told[n] else rate for n, rate in defaults.items()}


def _device(
    entry: Announcement, usual: Mapping[str, float], estimated: list[str]
) -> dict[str, Any]:
    """Block times as measured and stated, else rates as announced, missing ones as usual; what a
    pass takes where servers batch."""
    figures: dict[str, Any] = {}
    for name, rate in usual.items():
        told = getattr(entry, name)
        if told is None:
            estimated.append(name)
        figures[name] = rate if told is None else told
    if entry.network_rps is not None:
        figures["network_rps"] = entry.network_rps
    stated = entry.stated
    if stated is not None and stated.times is not None:
        figures |= device_figures(stated.times)
    if entry.batching is not None:
        step_ms = figures.get("decode_ms", 1e3 / figures["inference_rps"])
        curve = [(1, 1.0), *entry.batching.curve]
        figures["decode_ms_by_batch"] = [
            [rows, min(times * step_ms, MOST_STEP_MS)] for rows, times in curve
        ]
        figures["sharing"] = "batched"
    return figures


def _server(
    kind: str,
    entry: Announcement,
    model: ModelFigures,
    value_bytes: float,
    assume: Assumptions,
    estimated: list[str],
) -> dict[str, Any]:
    given = assume.memory_bytes.get(entry.peer, assume.memory_bytes.get(entry.public_name))
    if given is None:
        estimated.append("memory (its weights, and the cache it has left, PETALS' own at least)")
        blocks = entry.end - entry.start
        # A full cache is no small one: it was allocated at the start and is in use now.
        usual = 2 * DEFAULT_CACHE_TOKENS[1 if model.grouped_query else 0] * blocks
        left = max(entry.cache_tokens_left or 0, usual)
        given = model.held_bytes(blocks, value_bytes, entry.quant_type, left)
    server: dict[str, Any] = {
        "id": entry.peer,
        "device": kind,
        "memory_gb": min(1e6, given / 1e9),
        "span": [entry.start, entry.end],
    }
    if entry.quant_type in _QUANTISED:
        server["quantisation"] = entry.quant_type
    if entry.using_relay:
        server["relayed"] = True
    if not entry.rollback:
        server["rollback"] = False
    if entry.task_tokens is not None:
        server["task_tokens"] = entry.task_tokens
    if entry.adapters:
        server["adapters"] = list(entry.adapters)
    return server


def _counted(notes: Sequence[str]) -> list[str]:
    """Each note once, with how often it occurred."""
    return [
        note if notes.count(note) == 1 else f"{note} of {notes.count(note)} servers"
        for note in dict.fromkeys(notes)
    ]
