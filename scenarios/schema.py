"""The scenario file as typed structures: human units, unknown fields refused.

``scenario.schema.json`` is generated from here and committed; a test compares them.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ..core.allowance import SLOT_S, WEIGHT
from ..core.events import Cold
from ..core.names import (
    Admission,
    CacheKept,
    LengthMode,
    Quantisation,
    Relay,
    Semantics,
    Sharing,
    Status,
    Wire,
)
from ..core.objective import GoalId
from ..perfmodel.adapters import Matrix
from .instants import Unit

SCENARIO_FORMAT = "swarmplan/scenario/1"
PLAN_FORMAT = "swarmplan/plan/2"
#: Far more than any swarm has. Of more than ``core.between.MOST_HELD`` servers the round trips are
#: worked out when they are asked for.
MAX_SERVERS = 100_000

#: No control characters and no lone surrogates: names end up in tables and terminals.
_PLAIN = r"^(?![\s\S]*[\u0000-\u001f\u007f\ud800-\udfff])"
_TEXT = r"^(?![\s\S]*[\u0000-\u0008\u000b-\u001f\u007f\ud800-\udfff])"

# The upper limits are far beyond any real swarm; they keep every sum within 64 bits.
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_PLAIN)]
Label = Annotated[str, Meta(max_length=200, pattern=_PLAIN)]
Text = Annotated[str, Meta(max_length=10_000, pattern=_TEXT)]
Count = Annotated[int, Meta(ge=1, le=MAX_SERVERS)]
Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
Rate = Annotated[float, Meta(ge=0, le=1e6)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e7)]
Nanoseconds = Annotated[float, Meta(ge=0, le=1e7)]
Microseconds = Annotated[float, Meta(ge=0, le=1e7)]
Figure = Annotated[float, Meta(ge=0)]
#: One, or those to choose from.
Wires = Wire | Annotated[list[Wire], Meta(min_length=1, max_length=4)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Megabytes = Annotated[float, Meta(gt=0, le=1e6)]
Memory = Annotated[float, Meta(gt=0, le=1e6)]
Watts = Annotated[float, Meta(ge=0, le=1e6)]
Price = Annotated[float, Meta(ge=0, le=1e6)]
Requests = Annotated[int, Meta(ge=1, le=2_000_000)]
Sessions = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=0, le=2**60)]
Node = Annotated[int, Meta(ge=0, le=100_000)] | Name
Block = Annotated[int, Meta(ge=0, le=1_000)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


#: Nobody knows of a model with more blocks.
Blocks = Annotated[int, Meta(ge=1, le=1_000)]
Experts = Annotated[int, Meta(ge=1, le=100_000)]
Parameters = Annotated[int, Meta(ge=1, le=10**13)]


class Layers(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``count`` consecutive blocks that are alike: their weights, of these what a token meets, and
    what a session keeps. Weights as ``block_mb`` at the model's quantisation, or as
    ``parameters``."""

    count: Blocks = 1
    block_mb: Megabytes | None = None
    active_mb: Megabytes | None = None
    parameters: Parameters | None = None
    active_parameters: Parameters | None = None
    experts: Experts | None = None
    experts_per_token: Experts | None = None
    cache_bytes_per_token: Annotated[int, Meta(ge=0, le=10**7)] | None = None
    window_tokens: Tokens | None = None
    state_bytes: Annotated[int, Meta(ge=0, le=10**12)] = 0


class Model(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A catalogue model (``name``), one by its configuration (``config``, a file in the format of
    Hugging Face), or your own: then all figures must be given, once or as ``layers`` of blocks that
    differ. ``cache``: what the runtime keeps of a session."""

    name: Label = ""
    quantisation: Quantisation = "nf4"
    config: Name | None = None
    cache: CacheKept | None = None
    layers: Annotated[list[Layers], Meta(max_length=1_000)] = []
    num_blocks: Blocks | None = None
    hidden_size: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    block_mb: Megabytes | None = None
    cache_bytes_per_token: Annotated[int, Meta(ge=1, le=10**7)] | None = None
    grouped_query: bool = False
    context_tokens: Tokens | None = None


Chance = Annotated[float, Meta(ge=0, le=1)]
#: Of all drafts alike, or of the first, the second and so on; the last one is that of all further.
Acceptance = Chance | Annotated[list[Chance], Meta(min_length=1, max_length=64)]
Drafts = Annotated[int, Meta(ge=0, le=64)]
#: Positions of a pass, and how many times as long as with one it takes.
PassPoint = tuple[Annotated[int, Meta(ge=1, le=100_000)], Annotated[float, Meta(ge=0.1, le=1_000)]]
#: Sequences in one step, and the milliseconds that it takes one block.
BatchPoint = tuple[Annotated[int, Meta(ge=1, le=100_000)], Milliseconds]


class Device(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A type of server. ``profile`` takes a shipped device profile, or a ``.json`` file that
    ``swarmplan calibrate`` wrote; ``bandwidth_gb_per_s`` and ``tflop_per_s`` are the data sheet of
    a GPU that nobody measured; other fields override it. With ``gpus`` they are of one of several
    that share every block of one server, and tell one another so much longer in a step."""

    profile: Name | None = None
    gpus: Annotated[int, Meta(ge=1, le=64)] = 1
    sync_ms: Milliseconds | None = None
    memory_gb: Memory | None = None
    memory_gib: Memory | None = None
    bandwidth_gb_per_s: Annotated[float, Meta(ge=1, le=1e6)] | None = None
    tflop_per_s: Annotated[float, Meta(ge=0.1, le=1e6)] | None = None
    launch_ms: Annotated[float, Meta(ge=1e-3, le=1e3)] | None = None
    decode_ms: Milliseconds | None = None
    decode_us_per_context_token: Microseconds | None = None
    decode_ms_per_sequence: Milliseconds | None = None
    decode_ms_by_batch: Annotated[list[BatchPoint], Meta(min_length=1, max_length=64)] | None = None
    decode_floor_ms: Milliseconds | None = None
    prefill_floor_ms: Milliseconds | None = None
    prefill_base_ms: Milliseconds | None = None
    prefill_us_per_token: Microseconds | None = None
    prefill_ns_per_token_squared: Nanoseconds | None = None
    task_overhead_ms: Milliseconds | None = None
    piece_delay_ms: Milliseconds | None = None
    task_tokens: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    verify: Annotated[list[PassPoint], Meta(min_length=1, max_length=64)] | None = None
    forward_rps: Positive | None = None
    inference_rps: Positive | None = None
    network_rps: Positive | None = None
    sharing: Sharing | None = None
    batch_prompts: Annotated[int, Meta(ge=0, le=1_000)] = 0
    chunk_tokens: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    preempting_page_tokens: Tokens | None = None
    rated_tokens_per_s: Annotated[list[Positive], Meta(max_length=1_000)] = []
    idle_watts: Watts | None = None
    busy_watts: Watts | None = None
    price_per_hour: Price | None = None


class Server(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server, or ``count`` like ones (``id-0``, ``id-1`` ...)."""

    id: Name
    device: Name
    count: Count = 1
    lat: Latitude | None = None
    lon: Longitude | None = None
    node: Node | None = None
    city: Name | None = None
    region: Label = ""
    last_mile_ms: Milliseconds = 0.0
    rtt_as: Annotated[list[Name], Meta(max_length=10)] | None = None
    memory_gb: Memory | None = None
    memory_gib: Memory | None = None
    quantisation: Quantisation | None = None
    precisions: Annotated[list[Quantisation], Meta(min_length=1, max_length=3)] | None = None
    wire: Wires | None = None
    max_blocks: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    relayed: bool = False
    bandwidth_mbit_per_s: Positive | None = None
    download_mbit_per_s: Positive | None = None
    disk_gb_per_s: Positive | None = None
    quantise_gb_per_s: Positive | None = None
    span: tuple[Block, Block] | None = None
    sharing: Sharing | None = None
    idle_watts: Watts | None = None
    busy_watts: Watts | None = None
    price_per_hour: Price | None = None
    task_tokens: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    rollback: bool = True
    adapters: Annotated[list[Name], Meta(max_length=1_000)] | None = None
    only: Annotated[list[Name], Meta(max_length=1_000)] = []
    local: bool = False


class DraftModel(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A small model that guesses tokens on a client's device."""

    acceptance: Acceptance
    draft_ms: Milliseconds


class Speculation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Speculative decoding: clients draft tokens, the swarm looks at several in one pass.

    One draft model for all (``acceptance``, ``draft_ms``), or ``models`` of which every client
    takes the best; ``draft_tokens`` in each pass, or what the planner chooses. ``draft_ahead``:
    the next drafts are made while these are looked at.
    """

    acceptance: Acceptance | None = None
    draft_ms: Milliseconds | None = None
    models: dict[Name, DraftModel] = {}
    semantics: Semantics = "standard"
    draft_tokens: Literal["auto"] | Drafts = "auto"
    draft_ahead: bool = False


class ClientSpeculation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is different at one client; ``models`` are those of the file that it can run."""

    acceptance: Acceptance | None = None
    draft_ms: Milliseconds | None = None
    models: Annotated[list[Name], Meta(max_length=100)] | None = None
    draft_tokens: Literal["auto"] | Drafts | None = None


class Client(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place where requests come from."""

    id: Name
    lat: Latitude | None = None
    lon: Longitude | None = None
    node: Node | None = None
    city: Name | None = None
    region: Label = ""
    last_mile_ms: Milliseconds = 0.0
    speculation: ClientSpeculation | None = None
    adapter: Name | None = None


class Uplink(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What joins some machines to all others: what crosses it takes turns, in each direction.

    Behind it are ``servers`` (ids, or those of ``count``), ``clients`` and all machines of a
    ``region``; with ``each`` every server has one of its own. ``mbit_per_s`` is of both
    directions, ``up_mbit_per_s`` out of it, ``down_mbit_per_s`` into it, none = no limit; the
    price is that of what leaves it.
    """

    name: Name
    servers: Annotated[list[Name], Meta(max_length=MAX_SERVERS)] = []
    clients: Annotated[list[Name], Meta(max_length=1_000)] = []
    region: Name | None = None
    each: bool = False
    mbit_per_s: Positive | None = None
    up_mbit_per_s: Positive | None = None
    down_mbit_per_s: Positive | None = None
    egress_price_per_gb: Price | None = None


class WireTimes(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Packing and unpacking of a token's states on a hop, there and back, by format."""

    uniform_8bit: Microseconds | None = None
    quantile_8bit: Microseconds | None = None
    blockwise_8bit: Microseconds | None = None


class Network(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where round-trip times come from: a topology, coordinates, or measurements.

    With ``delay = "measured"`` a pair takes its time from ``rtt_ms`` (null, in TOML nan: not
    measured) or ``rtt_csv``, else from the other direction, else from the ``region_rtt_ms`` table,
    else from the places of both. With ``relay = "pipeline"`` links between servers may have a
    bandwidth, of each pair (``server_mbit_per_s``, row = from) or between regions. ``uplinks``
    are capacities that several links share; ``wire`` is that of servers which do not say.
    """

    delay: Literal["repetita", "fibre", "internet", "measured"] = "internet"
    topology: Name | None = None
    rtt_ms: list[list[Milliseconds | None]] | None = None
    rtt_csv: Name | None = None
    region_rtt_ms: dict[Name, dict[Name, Milliseconds]] | None = None
    relay: Relay = "client"
    server_mbit_per_s: list[list[Positive | None]] | None = None
    region_mbit_per_s: dict[Name, dict[Name, Positive]] | None = None
    uplinks: Annotated[list[Uplink], Meta(max_length=1_000)] = []
    step_overhead_ms: Milliseconds = 0.0
    prefill_overhead_ms: Milliseconds = 0.0
    prefill_overhead_us_per_token: Microseconds = 0.0
    wire: Wires | None = None
    wire_us_per_token: WireTimes = WireTimes()


class TokenFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Token counts from a file: one per line, a column of a CSV with a header, or the answers of
    ``model`` in JSON Lines of prompt, model and output_tokens. Output lengths may come with
    predictions: a CSV column ``predicted_class``, or a length ``predictor`` that reads the
    prompts (a file of ``swarmplan length train``, or ``shipped``)."""

    file: Name
    column: Name | None = None
    predicted_class: Name | None = None
    model: Name | None = None
    predictor: Name | None = None


TokenList = Annotated[list[Tokens], Meta(min_length=1, max_length=1_000_000)]


class Stream(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Requests of one client. Token counts are one number, a list or a file to draw from;
    ``acceptance`` is that of drafts for prompts of this kind."""

    client: Name
    rate_per_s: Rate
    gap_cv: Annotated[float, Meta(ge=0, le=100)] = 1.0
    prompt_tokens: Tokens | TokenList | TokenFile
    output_tokens: Tokens | TokenList | TokenFile
    acceptance: Acceptance | None = None


class Trace(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of arrival, prompt tokens and output tokens (CSV, JSON Lines, a benchmark's JSON,
    Parquet; packed or not), and how to use it. The column ``predicted_class``, if named, says what
    a predictor took each output length for.

    Requests without a ``client`` column go to ``client``, or are dealt out by ``shares``
    (weights), or to all clients in turn.
    """

    csv: Name
    rate_per_s: Positive | None = None
    client: Name | None = None
    shares: dict[Name, Positive] | None = None
    max_requests: Requests | None = None
    arrival_unit: Unit | None = None
    predicted_class: Name | None = None


class LengthKnowledge(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What policies know of output lengths, and the quantile of them that they reserve."""

    mode: LengthMode = "oracle"
    quantile: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    limit_tokens: Tokens | None = None


class Workload(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Either ``streams`` or a ``trace``."""

    streams: Annotated[list[Stream], Meta(max_length=10_000)] = []
    trace: Trace | None = None
    requests: Requests = 1_000
    lengths: LengthKnowledge = LengthKnowledge()


class Deadlines(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When users expect the first token, and the tokens after it on average over an answer."""

    first_token_s: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    per_token_ms: Annotated[float, Meta(gt=0, le=1e9)] | None = None


#: An allowance of nothing would price every chain out of reach.
Allowed = Annotated[float, Meta(gt=0, le=1e9)]


class Budget(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What requests may spend on average, one or both; the router ``budgeted`` keeps to it."""

    energy_watts: Allowed | None = None
    money_per_hour: Allowed | None = None
    weight: Annotated[float, Meta(gt=0, le=1e6)] = WEIGHT
    slot_s: Annotated[float, Meta(ge=0.001, le=1e6)] = SLOT_S


class Planning(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What planners assume; every field can be left out."""

    sessions: Sessions | None = None
    safety_z: Annotated[float, Meta(ge=0, le=100)] = 1.0
    session_tokens: Tokens | None = None
    session_quantile: Annotated[float, Meta(gt=0, le=1)] = 0.95
    deadlines: Deadlines | None = None
    budget: Budget | None = None


BlockRange = tuple[Block, Block]


class Resilience(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What placements must meet: copies of every block, losses to survive, pins and bans.

    ``survive`` names servers or regions; ``pinned`` gives a server exactly these blocks (equal
    numbers: it stays idle); ``forbidden`` lists blocks that a server must not host.
    """

    redundancy: Annotated[int, Meta(ge=1, le=1_000)] = 1
    redundancy_of: Literal["servers", "regions"] = "servers"
    survive: Annotated[list[Name], Meta(max_length=1_000)] = []
    headroom_percent: Annotated[float, Meta(ge=0, lt=100)] = 0.0
    pinned: dict[Name, BlockRange] = {}
    forbidden: dict[Name, list[BlockRange]] = {}


class Event(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server (or a whole region) fails or joins during a simulation; who joins ``cold`` has to
    load its blocks first, over its link or from its disk."""

    at_s: Seconds
    action: Literal["fail", "join"]
    server: Name | None = None
    region: Name | None = None
    cold: Cold | None = None


Percent = Annotated[float, Meta(ge=0, le=1_000)]


class WireHarm(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a hop costs by what its states go, in per cent of perplexity."""

    uniform_8bit: Percent | None = None
    quantile_8bit: Percent | None = None
    blockwise_8bit: Percent | None = None


class Accuracy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What precisions cost, in per cent of perplexity: ``harm`` of the whole model at each, over
    the shipped figures; ``wire_harm`` of each hop by what its states go; ``profile``: how it is
    spread over the blocks, evenly by weights, with ``ends`` three times as sensitive, or by own
    weights; ``budget``: the most that a route may cost, and ``budget_of`` clients by id."""

    harm: dict[Quantisation, Percent] = {}
    wire_harm: WireHarm = WireHarm()
    profile: (
        Literal["flat", "ends"] | Annotated[list[Percent], Meta(min_length=1, max_length=1_000)]
    ) = "flat"
    budget: Percent | None = None
    budget_of: dict[Name, Percent] = {}


class Adapter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An adapter (LoRA) of the model: its size by ``rank`` and the ``modules`` that it changes, or
    as ``block_mb``, what it takes on a block; ``source``: by what servers load it, its name where
    left out."""

    rank: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    modules: Annotated[list[Matrix], Meta(max_length=7)] = []
    block_mb: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    source: Label = ""


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    format: Literal["swarmplan/scenario/1"]
    name: Name
    description: Text = ""
    model: Model
    devices: dict[Name, Device] = {}
    servers: Annotated[list[Server], Meta(min_length=1, max_length=MAX_SERVERS)]
    clients: Annotated[list[Client], Meta(min_length=1, max_length=1_000)]
    network: Network = Network()
    workload: Workload
    planning: Planning = Planning()
    resilience: Resilience = Resilience()
    speculation: Speculation | None = None
    accuracy: Accuracy | None = None
    adapters: Annotated[dict[Name, Adapter], Meta(max_length=1_000)] = {}
    session_setup_ms: Milliseconds = 0.0
    testbed_alloc_delay_ms: Milliseconds = 0.0
    events: Annotated[list[Event], Meta(max_length=10_000)] = []
    sharing: Sharing = "serial"


class PlacedServer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The blocks ``[start_block, end_block)`` and the cache pool of one server; ``precision`` and
    ``wire`` where they were for the planner to choose, ``adapters`` where clients ask for some."""

    server: Name
    start_block: Block
    end_block: Block
    cache_bytes: Bytes
    precision: Quantisation | None = None
    wire: Wire | None = None
    adapters: Annotated[list[Name], Meta(max_length=1_000)] | None = None


class PlanHop(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Blocks run at one server."""

    server: Name
    start_block: Block
    end_block: Block


class PlanRoute(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``sessions`` concurrent requests of a client on one chain; where clients can draft, how many
    tokens it drafts for a pass and how many a pass is expected to make."""

    client: Name
    sessions: Sessions
    hops: Annotated[list[PlanHop], Meta(min_length=1)]
    draft_tokens: Drafts | None = None
    tokens_per_pass: Figure | None = None


class PlanChain(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A chain on which a client drafts another number of tokens for a pass."""

    servers: Annotated[list[Name], Meta(min_length=1)]
    draft_tokens: Drafts


class PlanDrafts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many tokens a client drafts for a pass, and with which of its draft models; ``chains``
    are those on which it drafts another number."""

    client: Name
    draft_tokens: Drafts
    draft_model: Label = ""
    chains: list[PlanChain] = []


class PlanPrediction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Figures of an unloaded request; ``harm``: rise of the perplexity by the precisions of the
    route, per cent, where that was asked for."""

    client: Name
    ttft_ms: Figure
    tpot_ms: Figure
    response_ms: Figure
    harm: Figure | None = None


class PlanObjective(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was asked for: the value reached and what no plan passes, null where not known."""

    id: GoalId
    unit: Label
    direction: Literal["min", "max"]
    value: float | None
    bound: float | None
    gap: float | None


class PlanTrial(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The simulated requests behind a value."""

    seed: Annotated[int, Meta(ge=0)]
    requests: Annotated[int, Meta(ge=1, le=100_000)]
    admission: Admission


class PlanCertificate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is proven, for the objective that was asked for; ``proof`` says what gave the bound."""

    status: Status
    objective: PlanObjective
    proof: Label = ""
    interrupted: bool = False
    trial: PlanTrial | None = None


class PlanCandidate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One plan that was compared before this one was chosen."""

    placement: Label
    router: Label
    bound: float | None = None
    figure: float | None = None
    requests: Annotated[int, Meta(ge=0)] = 0
    verdict: Text = ""


class PlanExpenses(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a million output tokens are expected to cost at the planned load, null where a server's
    watts or price are not known."""

    kwh_per_million_tokens: Figure | None
    money_per_million_tokens: Figure | None


class PlanPartLoad(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Latencies at a share of what is served at most."""

    share: Figure
    ms_per_token: Figure
    first_token_ms: Figure


class PlanThroughput(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the plan served in simulation while everything was full: the first figure within the
    second one in 95 of 100 cases."""

    decode_tokens_per_s: Figure
    decode_half_width: Figure
    prompt_tokens_per_s: Figure
    requests_per_s: Figure
    ms_per_token: Figure
    first_token_ms: Figure
    sessions: Figure
    part_loads: list[PlanPartLoad] = []


class PlanFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole plan file. ``sha256`` is of its other fields: it tells edits by hand."""

    format: Literal["swarmplan/plan/2"]
    scenario: Name
    scenario_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    tool: Text
    method: Name
    router: Name
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    sessions: Sessions
    unrouted: Annotated[int, Meta(ge=0, le=10**6)] = 0
    placement: list[PlacedServer]
    routes: list[PlanRoute]
    predicted: list[PlanPrediction]
    certificate: PlanCertificate
    candidates: list[PlanCandidate] = []
    drafts: list[PlanDrafts] = []
    notes: list[Text] = []
    expected: PlanExpenses | None = None  # follows from the rest, and nobody reads it
    throughput: PlanThroughput | None = None  # simulated again by whoever asks
    roles: dict[str, Any] = {}  # of ``plan --json``; follows from the rest, and nobody reads it
    sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of scenario files."""
    return schema_of(Scenario, "swarmplan scenario")


def plan_json_schema() -> dict[str, Any]:
    """The JSON Schema of plan files."""
    return schema_of(PlanFile, "swarmplan plan")


def schema_of(kind: type[Any], title: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file, with the docstrings as descriptions."""
    document = msgspec.json.schema(kind)
    for part in document["$defs"].values():
        part["description"] = inspect.cleandoc(part["description"])
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": title, **document}
