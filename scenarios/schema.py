"""The scenario file as typed structures: human units, unknown fields refused.

``scenario.schema.json`` is generated from here and committed; a test compares them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

SCENARIO_FORMAT = "swarmplan/scenario/1"
PLAN_FORMAT = "swarmplan/plan/1"

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
Positive = Annotated[float, Meta(gt=0, le=1e12)]
NotNegative = Annotated[float, Meta(ge=0, le=1e12)]
Block = Annotated[int, Meta(ge=0, le=1_000)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Quantisation = Literal["bf16", "int8", "nf4"]


class Model(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A catalogue model (``name``), or your own: then all figures must be given."""

    name: Name
    quantisation: Quantisation = "nf4"
    num_blocks: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    hidden_size: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    block_mb: Positive | None = None
    cache_bytes_per_token: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    grouped_query: bool = False


class Device(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A type of server. ``profile`` takes a shipped device profile; other fields override it."""

    profile: Name | None = None
    memory_gb: Positive | None = None
    memory_gib: Positive | None = None
    decode_ms: NotNegative | None = None
    decode_us_per_context_token: NotNegative | None = None
    decode_ms_per_sequence: NotNegative | None = None
    prefill_floor_ms: NotNegative | None = None
    prefill_base_ms: NotNegative | None = None
    prefill_us_per_token: NotNegative | None = None
    forward_rps: Positive | None = None
    inference_rps: Positive | None = None
    network_rps: Positive | None = None


class Server(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server, or ``count`` like ones (``id-0``, ``id-1`` ...)."""

    id: Name
    device: Name
    count: Count = 1
    lat: Latitude | None = None
    lon: Longitude | None = None
    node: int | str | None = None
    region: str = ""
    last_mile_ms: NotNegative = 0.0
    memory_gb: Positive | None = None
    memory_gib: Positive | None = None
    quantisation: Quantisation | None = None
    max_blocks: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    relayed: bool = False
    bandwidth_mbit_per_s: Positive | None = None
    span: tuple[Block, Block] | None = None


class Client(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place where requests come from."""

    id: Name
    lat: Latitude | None = None
    lon: Longitude | None = None
    node: int | str | None = None
    region: str = ""
    last_mile_ms: NotNegative = 0.0


class Network(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where round-trip times come from: a topology, coordinates, or a measured matrix."""

    delay: Literal["repetita", "fibre", "internet", "measured"] = "internet"
    topology: Name | None = None
    rtt_ms: list[list[NotNegative]] | None = None
    rtt_csv: Name | None = None
    relay: Literal["client", "server"] = "client"
    step_overhead_ms: NotNegative = 0.0
    prefill_overhead_ms: NotNegative = 0.0
    prefill_overhead_us_per_token: NotNegative = 0.0


class Stream(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Requests of one client. Token counts are one number or a list to draw from."""

    client: Name
    rate_per_s: NotNegative
    gap_cv: Annotated[float, Meta(ge=0, le=100)] = 1.0
    prompt_tokens: Tokens | Annotated[list[Tokens], Meta(min_length=1, max_length=1_000_000)]
    output_tokens: Tokens | Annotated[list[Tokens], Meta(min_length=1, max_length=1_000_000)]


class Trace(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A CSV of arrival, prompt tokens and output tokens, and how to use it."""

    csv: Name
    rate_per_s: Positive | None = None
    client: Name | None = None
    max_requests: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None


class Workload(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Either ``streams`` or a ``trace``."""

    streams: list[Stream] = []
    trace: Trace | None = None
    requests: Annotated[int, Meta(ge=1, le=10_000_000)] = 1_000


class Planning(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What planners assume; every field can be left out."""

    sessions: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    safety_z: Annotated[float, Meta(ge=0, le=100)] = 1.0
    session_tokens: Tokens | None = None
    session_quantile: Annotated[float, Meta(gt=0, le=1)] = 0.95


class Event(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server (or a whole region) fails or joins during a simulation."""

    at_s: NotNegative
    action: Literal["fail", "join"]
    server: Name | None = None
    region: Name | None = None


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    format: Literal["swarmplan/scenario/1"]
    name: Name
    description: str = ""
    model: Model
    devices: dict[Name, Device] = {}
    servers: Annotated[list[Server], Meta(min_length=1, max_length=10_000)]
    clients: Annotated[list[Client], Meta(min_length=1, max_length=1_000)]
    network: Network = Network()
    workload: Workload
    planning: Planning = Planning()
    session_setup_ms: NotNegative = 0.0
    testbed_alloc_delay_ms: NotNegative = 0.0
    events: list[Event] = []


class PlacedServer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The blocks ``[start_block, end_block)`` and the cache pool of one server."""

    server: Name
    start_block: Block
    end_block: Block
    cache_bytes: Annotated[int, Meta(ge=0)]


class PlanHop(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Blocks run at one server."""

    server: Name
    start_block: Block
    end_block: Block


class PlanRoute(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``sessions`` concurrent requests of a client on one chain."""

    client: Name
    sessions: Annotated[int, Meta(ge=1)]
    hops: Annotated[list[PlanHop], Meta(min_length=1)]


class PlanPrediction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Figures of an unloaded request."""

    client: Name
    ttft_ms: NotNegative
    tpot_ms: NotNegative
    response_ms: NotNegative


class PlanCertificate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is proven."""

    status: Literal["optimal", "feasible", "infeasible", "limit"]
    objective: float | None
    bound: float | None
    gap: float | None
    method: str
    meaning: str


class PlanFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole plan file."""

    format: Literal["swarmplan/plan/1"]
    scenario: Name
    scenario_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    tool: str
    method: str
    seed: int
    sessions: Annotated[int, Meta(ge=1)]
    placement: list[PlacedServer]
    routes: list[PlanRoute]
    predicted: list[PlanPrediction]
    certificate: PlanCertificate
    notes: list[str] = []


def json_schema() -> dict[str, Any]:
    """The JSON Schema of scenario files."""
    return _schema_of(Scenario, "swarmplan scenario")


def plan_json_schema() -> dict[str, Any]:
    """The JSON Schema of plan files."""
    return _schema_of(PlanFile, "swarmplan plan")


def _schema_of(kind: type[Any], title: str) -> dict[str, Any]:
    document = msgspec.json.schema(kind)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": title, **document}
