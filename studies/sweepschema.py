"""The schema of sweep files: lists per key in a cross product, named variants, seeds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ..core.names import Admission
from ..scenarios.schema import Label, Name, Positive, Requests

Factor = Annotated[float, Meta(gt=0, le=1e6)]
Scalar = str | int | float | bool | list[float]
Seed = Annotated[int, Meta(ge=0, le=2**31)]


class Variant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Edits under one name: the options of ``swarmplan whatif``, with ``_`` for ``-``."""

    add_server: list[dict[str, Scalar]] = []
    remove: list[Name] = []
    move: dict[Name, Name] = {}
    set: dict[Name, Scalar] = {}
    load: Factor = 1.0
    rtt_scale: Factor = 1.0
    method: Name | None = None
    router: Name | None = None


class Sweep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. ``grid`` keys are ``method``, ``router``, ``admission``, ``requests``,
    ``load``, ``rtt_scale``, or paths of the scenario as in ``whatif --set``."""

    format: Literal["swarmplan/sweep/1"]
    scenario: Name
    name: Label = ""
    seeds: Annotated[int, Meta(ge=1, le=100_000)] | Annotated[list[Seed], Meta(min_length=1)] = 3
    method: Name = "cg-bp"
    router: Name | None = None
    admission: Admission = "retry"
    requests: Requests | None = None
    time_limit_s: Positive | None = None
    grid: dict[Name, Annotated[list[Scalar], Meta(min_length=1)]] = {}
    variants: dict[Name, Variant] = {}


def sweep_schema() -> dict[str, Any]:
    """JSON Schema of sweep files."""
    return msgspec.json.schema(Sweep)
