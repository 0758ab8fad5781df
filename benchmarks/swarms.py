"""Swarms for the speed benchmarks: mixed GPUs around twelve cities, BLOOM-176B, 70 blocks."""

from __future__ import annotations

from pathlib import Path

import msgspec

from swarmplan.core.problem import Problem
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.scenarios.generate import Kind, generate


def swarm(servers: int, *, clients: int = 4, seed: int = 0, kind: Kind = "geographic") -> Problem:
    """A generated problem, built as a scenario file would be."""
    document = generate(kind, servers=servers, clients=clients, seed=seed)
    return build(msgspec.convert(document, schema.Scenario), Path()).problem
