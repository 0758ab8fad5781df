"""Looks at a swarm that nobody runs: announcements, statements and plans as they would be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from swarmplan.core.problem import Problem
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.scenarios.checkpoint import model_figures
from swarmplan.swarm.announce import Announcement, Stated
from swarmplan.swarm.inspecting import Notes
from swarmplan.swarm.places import ClientPlace
from swarmplan.swarm.planseen import PlanSeen
from swarmplan.swarm.snapshot import Assumptions, scenario_document
from swarmplan.swarm.turn import Turn

MODEL = model_figures("Llama-3.1-8B")
NOW_S = 1_795_900_000.0
PLACES = [(52.5, 13.4), (48.9, 2.4), (40.7, -74.0), (35.7, 139.7)]


def peer(number: int) -> str:
    """A well-formed peer id."""
    return "Qm" + "ABCDEFGH"[number] * 38 + f"end{'pqrstuvw'[number] * 3}"


def server(number: int, start: int, end: int, **more: Any) -> Announcement:
    """A server as it announces itself."""
    figures: dict[str, Any] = {
        "inference_rps": 500.0,
        "forward_rps": 5_000.0,
        "cache_tokens_left": 8_000 * (end - start),
        "quant_type": "nf4",
        "public_name": f"server-{number}",
        "version": "2.2.0.post1",
        "coordinates": PLACES[number % len(PLACES)],
    }
    figures |= {"peer": peer(number), "state": "online", "start": start, "end": end}
    return Announcement(**{**figures, **more})


def stated(blocks: int, **more: Any) -> Stated:
    """What a server under the plugin says beside."""
    figures: dict[str, Any] = {
        "issued_s": NOW_S,
        "cache_tokens": 16_384 * blocks,
        "operator": "a" * 16,
        "limits": {"inference_max_length": 8_192},
        "busy": 0.25,
    }
    return Stated(**{**figures, **more})


def plan_of(servers: Sequence[Announcement], **more: Any) -> PlanSeen:
    """A plan in force that keeps them where they are."""
    figures: dict[str, Any] = {
        "standing": "in force",
        "version": 7,
        "issued_s": NOW_S - 600,
        "expires_s": NOW_S + 7_200,
        "router": "ws-rr",
        "spans": {s.peer: (s.start, s.end) for s in servers},
        "session_tokens": 1_000,
    }
    return PlanSeen(**{**figures, **more})


def problem_of(servers: Sequence[Announcement], rtt_s: Mapping[str, float]) -> Problem:
    """The scenario that is made of them."""
    place = ClientPlace(name="here", rtt_s=rtt_s, coordinates=(52.4, 9.7))
    document, _ = scenario_document(MODEL, servers, [place], Assumptions(sessions=1))
    return build(msgspec.convert(document, schema.Scenario), Path()).problem


def turn(servers: Sequence[Announcement], **more: Any) -> Turn:
    """One look at them, in which a watcher leaves them where they are."""
    notes: dict[str, Any] = {"warnings": (), "estimated": ("the load",), "servers": tuple(servers)}
    beside = ("plan", "probed_s", "warnings")
    notes |= {name: more.pop(name) for name in beside if name in more}
    found = Turn(
        at_s=NOW_S,
        action="stay",
        reason="nothing to gain",
        problem=problem_of(servers, {s.peer: 0.02 for s in servers}),
        notes=Notes(**notes),
    )
    return replace(found, **more)
