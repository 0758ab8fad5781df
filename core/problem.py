"""The planning problem in SI units: model, servers, clients, network, planning figures.

A ``Problem`` is what every placer, router and the simulator read. It is built once (from a
scenario file by ``scenarios.build``, or by hand) and never changed; arrays are read-only.
Indices: ``j`` = server row, ``c`` = client row; blocks are 0-based and half-open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from . import names
from .accuracy import Accuracy
from .adapters import Adapter
from .allowance import Allowance
from .between import MOST_HELD, Between, PairTimes
from .blocks import Block
from .constraints import Constraints
from .content import ByContent, FloatArray, IntArray, frozen_array
from .drafting import NO_USE, Drafting, Use
from .names import Relay, Sharing
from .uplinks import Uplink, among
from .workload import Workload

T = TypeVar("T")
#: A number, or many of them.
Reals = float | IntArray | FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Consecutive blocks ``[start, end)``."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span needs 0 <= start < end, got [{self.start}, {self.end})")

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return names.blocks(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A transformer as the swarm sees it, and what its blocks cost.

    Attributes
    ----------
    num_blocks : transformer blocks, L.
    hidden_size : width of the hidden state, d.
    block_bytes : weights of one block at the scenario's default quantisation, s_m; like the other
        figures of a block one for all of them, or one for each.
    cache_bytes_per_token : attention cache (K and V) that the runtime keeps of one block for one
        token; 0 where it keeps a state alone.
    window_tokens : it keeps the latest so many tokens, None = all.
    state_bytes : what it keeps of one block for a session, however long that is.
    activation_bytes_per_token : hidden state of one token on the wire.
    grouped_query : more attention heads than key/value heads (PETALS' default cache differs).
    quantisation : kernels of the weights: bf16, int8 or nf4.
    blocks : what the blocks are made of, None = not known.
    context_tokens : the longest session that it was made for, None = not said.
    """

    name: str
    num_blocks: int
    hidden_size: int
    block_bytes: int | tuple[int, ...]
    cache_bytes_per_token: int | tuple[int, ...]
    activation_bytes_per_token: int
    grouped_query: bool = False
    quantisation: str = "bf16"
    window_tokens: int | tuple[int | None, ...] | None = None
    state_bytes: int | tuple[int, ...] = 0
    blocks: Block | tuple[Block, ...] | None = None
    context_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("num_blocks", "hidden_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("block_bytes", "window_tokens"):
            for value in per_block(getattr(self, name), self.num_blocks):
                if value is not None and value <= 0:
                    raise ValueError(f"{name} must be positive, got {value}")
        kept = per_block(self.cache_bytes_per_token, self.num_blocks)
        states = per_block(self.state_bytes, self.num_blocks)
        for each, state in zip(kept, states, strict=True):
            if each < 0 or state < 0 or not each + state:
                raise ValueError(f"cache_bytes_per_token must be positive, got {each}")
        per_block(self.blocks, self.num_blocks)

    @property
    def mean_cache_bytes_per_token(self) -> float:
        """Attention cache of the mean block for one token."""
        each = per_block(self.cache_bytes_per_token, self.num_blocks)
        return sum(each) / self.num_blocks

    @property
    def whole_bytes(self) -> int:
        """Weights of all blocks."""
        return sum(per_block(self.block_bytes, self.num_blocks))

    def block(self, number: int) -> ModelSpec:
        """The model of this one block."""
        figures: dict[str, Any] = {
            name: per_block(getattr(self, name), self.num_blocks)[number] for name in BY_BLOCK
        }
        return replace(self, num_blocks=1, **figures)

    def each_block(self) -> tuple[ModelSpec, ...]:
        """The models of single blocks; blocks that are alike have the same one."""
        figures = [per_block(getattr(self, name), self.num_blocks) for name in BY_BLOCK]
        known: dict[tuple[object, ...], ModelSpec] = {}
        for number, kind in enumerate(zip(*figures, strict=True)):
            if kind not in known:
                known[kind] = self.block(number)
        return tuple(known[kind] for kind in zip(*figures, strict=True))


#: Figures of a model that its blocks may differ in.
BY_BLOCK = ("block_bytes", "cache_bytes_per_token", "window_tokens", "state_bytes", "blocks")


def alike(each: tuple[T, ...]) -> T | tuple[T, ...]:
    """The figure of all blocks where it is the same, else those of each."""
    return each[0] if all(figure == each[0] for figure in each) else each


def per_block(given: T | tuple[T, ...], num_blocks: int) -> tuple[T, ...]:
    """The figure of every block, whether it is given once or block by block.

    Raises
    ------
    ValueError
        If it is given for another number of blocks.
    """
    each = given if isinstance(given, tuple) else (given,) * num_blocks
    if len(each) != num_blocks:
        raise ValueError(f"{len(each)} figures for {num_blocks} blocks")
    return each


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Coefficients of the compute time of one block on one device (perfmodel.timing).

    Attributes
    ----------
    decode_floor_s : launching a step's kernels, however little they do.
    step_curve : (rows, seconds more than a step of one row), rows > 1 and increasing; beyond the
        last of them every row costs ``decode_per_sequence_s`` more.
    window_tokens : a step attends to so many tokens of its context at most.
    """

    decode_base_s: float
    decode_per_context_token_s: float = 0.0
    decode_per_sequence_s: float = 0.0
    decode_floor_s: float = 0.0
    prefill_floor_s: float = 0.0
    prefill_base_s: float = 0.0
    prefill_per_token_s: float = 0.0
    prefill_per_token2_s: float = 0.0
    step_curve: tuple[tuple[float, float], ...] = ()
    window_tokens: float = math.inf

    def __post_init__(self) -> None:
        if not self.window_tokens > 0:
            raise ValueError(f"window_tokens must be positive, got {self.window_tokens}")
        for name in COEFFICIENTS:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        rows, more_s = [1.0, *(r for r, _ in self.step_curve)], [s for _, s in self.step_curve]
        if not all(a < b < math.inf for a, b in pairwise(rows)):
            raise ValueError(f"step_curve needs increasing rows beyond 1, got {rows[1:]}")
        if not all(0 <= s < math.inf for s in more_s):
            raise ValueError(f"step_curve must be finite and not negative, got {more_s}")


#: The plain figures of a timing.
COEFFICIENTS = tuple(n for n in Timing.__slots__ if n not in ("step_curve", "window_tokens"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """How far a timing can be trusted.

    Attributes
    ----------
    origin : measured on such blocks; scaled from blocks of another model; estimated from a data
        sheet; or given by the user, who knows.
    remark : whose figures, and how well they are met.
    prompt_tokens, context_tokens, rows : the ranges that were measured; None = not said.
    """

    origin: Literal["measured", "scaled", "estimated", "given"] = "given"
    remark: str = ""
    prompt_tokens: tuple[int, int] | None = None
    context_tokens: tuple[int, int] | None = None
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What depends on the precision at which a server hosts its blocks; fields as of ``Server``."""

    precision: str
    block_bytes: int | tuple[int, ...]
    timing: Timing | tuple[Timing, ...]
    validity: Validity = Validity()
    task_tokens: int = 128
    forward_rps: float | None = None
    inference_rps: float | None = None
    verify: tuple[tuple[float, float], ...] = ()


class Hosting(NamedTuple):
    """How a server hosts: the precision of its blocks, and by what states go over its links."""

    precision: str
    wire: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of the swarm.

    Attributes
    ----------
    memory_bytes : usable accelerator memory, M_j.
    block_bytes : weights of one block at this server's quantisation, s_m; one figure for all blocks
        or one for each.
    timing : what a block takes to compute; one for all blocks or one for each.
    max_blocks : upper limit of blocks beside memory, or None.
    forward_rps, inference_rps, network_rps : what PETALS announces (tokens/s; the first two per
        block); used by the PETALS baseline only.
    relayed : reachable through a relay only (PETALS discounts it).
    coordinates : (latitude, longitude) in degrees, or None when unknown.
    pinned : the span that a manual placement gives it, or None.
    load_block_bytes : weight file of one block, read when the block is loaded, one figure for all
        blocks or one for each; None = block_bytes.
    download_bytes_per_s : rate at which new blocks arrive over the link, None = not known.
    disk_bytes_per_s : rate at which blocks are read from the server's own disk, None = not known.
    quantise_bytes_per_s : rate at which it quantises 16-bit weights when it loads blocks at int8 or
        nf4, after they are read; None = that takes no time of its own.
    sharing : how it shares its compute among sessions.
    batch_prompts : prompts that one which batches takes beside the steps that wait; 0 = a prompt is
        worked on by itself, or any number of them in chunks.
    chunk_tokens : of prompts it takes so many tokens at most beside the steps that wait, what is
        left of a prompt next time; 0 = whole prompts.
    page_tokens : sessions take cache by pages of so many tokens as they make them, and the newest
        one makes room where there is none; 0 = all that they reserve at once.
    task_tokens : positions that its runtime takes in one task; longer prompts go block by block,
        each block joining the end of the line (PETALS: 128, and 1 on nf4).
    validity : how far its timing can be trusted.
    rated_per_s : tokens that it is said to serve in a second with 1, 2, ... blocks hosted: what the
        flow programme plans with; empty = as its timing says.
    verify : (positions, times what a step of one takes) of a pass, increasing, linear between and
        level beyond; empty = as its timing says of as many rows.
    task_overhead_s : work of the runtime for each task beside its blocks: the part of a hop's
        overhead for which the tasks behind it wait too. What only delays is the network's.
    piece_delay_s : delay of each task of a prompt that goes block by block: the turn of the
        handler, in which the runtime is free for others.
    idle_w, busy_w : power while it waits and while it computes, None = not known.
    price_per_s : of the whole server while it is on, in any currency, None = not known.
    rollback : whether sessions can take tokens back there; no chain through one that cannot is
        drafted.
    precision : at which it hosts its blocks; empty = nothing is said of it.
    variants : what it would be at each precision it may host them at; empty = as it is.
    wire : by what the hidden states go that it is sent and that it sends.
    wires : those that it may choose from, the most precise one first; empty = as it is.
    adapters : those that it loads, by id, on all blocks that it hosts; None = for the planner to
        choose.
    gpus : that share every block, for whoever starts it; all figures are of them together.
    only : ids of the clients that it serves; empty = all.
    local : it is the device of its client: nothing goes over a network.
    """

    id: str
    memory_bytes: int
    block_bytes: int | tuple[int, ...]
    timing: Timing | tuple[Timing, ...]
    max_blocks: int | None = None
    forward_rps: float | None = None
    inference_rps: float | None = None
    network_rps: float | None = None
    relayed: bool = False
    device: str = ""
    region: str = ""
    coordinates: tuple[float, float] | None = None
    pinned: Span | None = None
    load_block_bytes: int | tuple[int, ...] | None = None
    download_bytes_per_s: float | None = None
    disk_bytes_per_s: float | None = None
    quantise_bytes_per_s: float | None = None
    sharing: Sharing = "serial"
    batch_prompts: int = 0
    chunk_tokens: int = 0
    page_tokens: int = 0
    task_tokens: int = 128
    rated_per_s: tuple[float, ...] = ()
    validity: Validity = Validity()
    task_overhead_s: float = 0.0
    piece_delay_s: float = 0.0
    idle_w: float | None = None
    busy_w: float | None = None
    price_per_s: float | None = None
    verify: tuple[tuple[float, float], ...] = ()
    rollback: bool = True
    precision: str = ""
    variants: tuple[Variant, ...] = ()
    wire: str = "none"
    wires: tuple[str, ...] = ()
    adapters: tuple[str, ...] | None = ()
    gpus: int = 1
    only: tuple[str, ...] = ()
    local: bool = False

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those it may host its blocks at, the one in force where there is no choice."""
        return tuple(v.precision for v in self.variants) or (self.precision,)

    @property
    def hosting(self) -> Hosting:
        """How it hosts."""
        return Hosting(self.precision, self.wire)

    @property
    def hostings(self) -> tuple[Hosting, ...]:
        """All ways in which it may host; the one in force where there is no choice."""
        wires = self.wires or (self.wire,)
        return tuple(Hosting(p, w) for p in self.precisions for w in wires)

    def nearest(self, hosting: Hosting) -> Hosting:
        """What it can of a way to host, the rest as it is."""
        own = self.hosting
        return Hosting(
            hosting.precision if hosting.precision in self.precisions else own.precision,
            hosting.wire if hosting.wire in self.wires else own.wire,
        )

    def hosting_as(self, hosting: Hosting) -> Server:
        """The server hosting in one of its ways.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        server = self.at_precision(hosting.precision)
        if hosting.wire == self.wire:
            return server
        if hosting.wire not in self.wires:
            known = ", ".join(self.wires or (self.wire,))
            raise ValueError(f"{self.id} cannot send by {hosting.wire!r}; it may by {known}")
        return replace(server, wire=hosting.wire)

    def at_precision(self, precision: str) -> Server:
        """The server at one of its precisions.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        if precision == self.precision:
            return self
        for variant in self.variants:
            if variant.precision == precision:
                return replace(self, **{n: getattr(variant, n) for n in Variant.__slots__})
        known = ", ".join(self.precisions)
        raise ValueError(f"{self.id} cannot host blocks at {precision!r}; it may at {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A place where requests come from.

    Attributes
    ----------
    adapter : the id of the one that its requests are for; empty = the model as it is. Servers that
        have not loaded it do not serve them.
    """

    id: str
    region: str = ""
    coordinates: tuple[float, float] | None = None
    adapter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network(ByContent):
    """Round-trip times and per-hop overheads.

    Attributes
    ----------
    client_rtt_s : (clients, servers), seconds.
    server_rtt_s : (servers, servers), seconds, row = from; a matrix, or for large swarms what works
        a pair out when it is asked for.
    step_overhead_s : software overhead of one hop in one decode step, o.
    prefill_overhead_s, prefill_overhead_per_token_s : the same for a prompt, o^I(l_in).
    client_bandwidth_bytes_per_s : (clients, servers), the slower direction; None = not modelled.
    relay : ``client`` (every hop returns to the client: PETALS as it runs), ``server`` (servers
        push steps) or ``pipeline`` (they push prompts too, the last one alone answers).
    server_bandwidth_bytes_per_s : (servers, servers), row = from, of links that carry one transfer
        at a time; of pipelines only. None = not modelled.
    uplinks : capacities that several links share (docs/model.md 3.3).
    wire_s_per_token : (format, packing and unpacking of a token's states on a hop there and back).
    """

    client_rtt_s: FloatArray
    server_rtt_s: Between
    step_overhead_s: float = 0.0
    prefill_overhead_s: float = 0.0
    prefill_overhead_per_token_s: float = 0.0
    client_bandwidth_bytes_per_s: FloatArray | None = None
    relay: Relay = "client"
    server_bandwidth_bytes_per_s: FloatArray | None = None
    uplinks: tuple[Uplink, ...] = ()
    wire_s_per_token: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.relay != "pipeline" and self.server_bandwidth_bytes_per_s is not None:
            raise ValueError("server_bandwidth_bytes_per_s needs relay = 'pipeline'")
        for name in (
            "client_rtt_s",
            "server_rtt_s",
            "client_bandwidth_bytes_per_s",
            "server_bandwidth_bytes_per_s",
        ):
            value = getattr(self, name)
            if not (value is None or isinstance(value, PairTimes)):
                object.__setattr__(self, name, frozen_array(value, np.float64))

    @property
    def holds_pairs(self) -> bool:
        """Whether the times between all servers are there as a matrix."""
        return isinstance(self.server_rtt_s, np.ndarray)

    def of_servers(self, rows: IntArray) -> Network:
        """The same network among some servers: rows in any order, also one several times."""
        pairs, between = np.ix_(rows, rows), self.server_rtt_s
        to_clients, to_servers = (
            self.client_bandwidth_bytes_per_s,
            self.server_bandwidth_bytes_per_s,
        )
        at, everybody = rows.tolist(), range(self.client_rtt_s.shape[0])
        return replace(
            self,
            client_rtt_s=self.client_rtt_s[:, rows],
            server_rtt_s=between[pairs] if len(rows) <= MOST_HELD else _part(between, rows),
            client_bandwidth_bytes_per_s=None if to_clients is None else to_clients[:, rows],
            server_bandwidth_bytes_per_s=None if to_servers is None else to_servers[pairs],
            uplinks=among(self.uplinks, everybody, at),
        )

    def of_client(self, row: int) -> Network:
        """The same network for one client alone."""
        to_clients, at = self.client_bandwidth_bytes_per_s, slice(row, row + 1)
        return replace(
            self,
            client_rtt_s=self.client_rtt_s[at],
            client_bandwidth_bytes_per_s=None if to_clients is None else to_clients[at],
            uplinks=among(self.uplinks, [row], range(len(self.server_rtt_s))),
        )


def _part(between: Between, rows: IntArray) -> Between:
    return between.part(rows) if isinstance(between, PairTimes) else between[np.ix_(rows, rows)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """When users expect tokens; inf = not said.

    Attributes
    ----------
    first_token_s : from the arrival to the first token.
    token_s : between two tokens after it, on average over a request.
    """

    first_token_s: float = math.inf
    token_s: float = math.inf

    def late_s(self, first_s: Reals, token_s: Reals, steps: Reals) -> FloatArray:
        """Time beyond them of requests with so many tokens after the first; broadcasts."""
        first: FloatArray = np.maximum(np.asarray(first_s) - self.first_token_s, 0.0)
        later: FloatArray = np.maximum(np.asarray(token_s) - self.token_s, 0.0)
        return first + np.asarray(steps) * later


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """What a planner may assume about the load.

    Attributes
    ----------
    prompt_tokens, output_tokens : the representative request (l_in, l).
    session_tokens : cache tokens that one session reserves (>= prompt + output of most requests).
    sessions : target number of concurrent sessions R, or None to derive it (model.md section 5).
    safety_z : the z of ``R = round(lambda T + z sqrt(lambda T))``.
    constraints : what the placement must meet beside memory and coverage.
    deadlines : of first tokens and of tokens, None where nothing is said.
    allowance : what requests may spend in the long run, None = as much as they like.
    """

    prompt_tokens: int
    output_tokens: int
    session_tokens: int
    sessions: int | None = None
    safety_z: float = 1.0
    constraints: Constraints = field(default_factory=Constraints)
    deadlines: Deadlines | None = None
    allowance: Allowance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything a planner knows. Derived arrays are read-only, in server order.

    What anything costs is the business of ``perfmodel.cost.CostModel``.

    Attributes
    ----------
    memory_bytes : (n,) what planners may use: the servers' memory less the head-room asked for.
    max_blocks : (n,) upper limit of blocks beside memory, at most those of the model.
    forward_only : rows of the servers where sessions cannot take tokens back.
    drafting : how each client drafts; empty = nobody does.
    accuracy : what precisions cost in accuracy, None = nobody asks.
    adapters : of the model, that clients ask for and servers load.
    """

    model: ModelSpec
    servers: tuple[Server, ...]
    clients: tuple[Client, ...]
    network: Network
    workload: Workload
    planning: Planning
    session_setup_s: float = 0.0
    alloc_delay_s: float = 0.0
    drafting: tuple[Drafting, ...] = ()
    accuracy: Accuracy | None = None
    adapters: tuple[Adapter, ...] = ()
    memory_bytes: IntArray = field(init=False, repr=False, compare=False)
    max_blocks: IntArray = field(init=False, repr=False, compare=False)
    forward_only: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n, clients = len(self.servers), len(self.clients)
        if self.network.client_rtt_s.shape != (clients, n):
            raise ValueError(f"client_rtt_s must have shape {(clients, n)}")
        if self.network.server_rtt_s.shape != (n, n):
            raise ValueError(f"server_rtt_s must have shape {(n, n)}")
        if self.drafting and len(self.drafting) != clients:
            raise ValueError(f"drafting must be given for each of the {clients} clients")
        limit = self.model.num_blocks
        if self.accuracy is not None:
            if len(self.accuracy.budgets) != clients:
                raise ValueError(f"budgets must be given for each of the {clients} clients")
            for precision in {p for s in self.servers for p in s.precisions}:
                self.accuracy.check(precision, limit)
            for wire in {h.wire for s in self.servers for h in s.hostings}:
                self.accuracy.of_wire(wire)
        for server in self.servers:
            if (server.chunk_tokens or server.page_tokens) and server.sharing != "batched":
                raise ValueError(f"{server.id}: chunks and pages are of servers that batch")
            per_block(server.block_bytes, limit)
            per_block(server.timing, limit)
        if len({s.page_tokens for s in self.servers}) > 1:
            raise ValueError("page_tokens must be the same of all servers")
        known = {a.id for a in self.adapters}
        asked = {c.adapter for c in self.clients if c.adapter}
        if unknown := (asked | {a for s in self.servers for a in s.adapters or ()}) - known:
            raise ValueError(f"no adapter {min(unknown)!r}; there are {', '.join(sorted(known))}")
        headroom = self.planning.constraints.headroom_frac
        usable = 1.0 - headroom if headroom else 1
        memory = [int(s.memory_bytes * usable) for s in self.servers]
        most = [limit if s.max_blocks is None else min(s.max_blocks, limit) for s in self.servers]
        object.__setattr__(self, "memory_bytes", frozen_array(memory, np.int64))
        object.__setattr__(self, "max_blocks", frozen_array(most, np.int64))
        stuck = frozenset(j for j, s in enumerate(self.servers) if not s.rollback)
        object.__setattr__(self, "forward_only", stuck)

    @property
    def num_servers(self) -> int:
        """Number of servers, n."""
        return len(self.servers)

    @property
    def page_tokens(self) -> int:
        """Tokens of a page of cache, the same at all servers; 0 = there are none."""
        return self.servers[0].page_tokens if self.servers else 0

    @property
    def independent(self) -> tuple[str, ...]:
        """Servers that compute for every session as if it were alone, as the papers assume."""
        return tuple(s.id for s in self.servers if s.sharing == "independent")

    @property
    def drafts(self) -> tuple[Use, ...]:
        """How each client drafts."""
        return tuple(d.use for d in self.drafting) or (NO_USE,) * len(self.clients)

    @property
    def drafts_freely(self) -> bool:
        """Whether how some client drafts is for the planner to choose."""
        return any(d.free and d.models for d in self.drafting)

    @property
    def drafts_by_chain(self) -> bool:
        """Whether it depends on the chain how many tokens some client drafts."""
        uses = [use for use in self.drafts if use.tokens]
        return bool(uses and self.forward_only) or any(use.chains for use in uses)

    def drafts_on(self, client: int, chain: Sequence[int]) -> int:
        """Drafts of a client's passes over a chain of servers, k; 0 where one cannot go back."""
        if not self.drafting or not self.forward_only.isdisjoint(chain):
            return 0
        return self.drafting[client].use.on(chain)

    def with_drafts(self, drafts: Sequence[Use]) -> Problem:
        """The same problem where each client drafts so; as it is where nothing is said."""
        if not (self.drafting and drafts) or tuple(drafts) == self.drafts:
            return self
        pairs = zip(self.drafting, drafts, strict=True)
        return replace(self, drafting=tuple(replace(d, use=use) for d, use in pairs))

    @property
    def chooses_precision(self) -> bool:
        """Whether some server's precision is for the planner to choose."""
        return any(len(s.variants) > 1 for s in self.servers)

    @property
    def chooses_wire(self) -> bool:
        """Whether by what states go over some server's links is for the planner to choose."""
        return any(len(s.wires) > 1 for s in self.servers)

    @property
    def chooses_hosting(self) -> bool:
        """Whether one of the two is."""
        return self.chooses_precision or self.chooses_wire

    @property
    def hosting(self) -> tuple[Hosting, ...]:
        """How each server hosts."""
        return tuple(s.hosting for s in self.servers)

    def hosting_as(self, chosen: Sequence[Hosting]) -> Problem:
        """The same problem where each server hosts so.

        Raises
        ------
        ValueError
            If a server cannot.
        """
        if tuple(chosen) == self.hosting:
            return self
        pairs = zip(self.servers, chosen, strict=True)
        return replace(self, servers=tuple(s.hosting_as(h) for s, h in pairs))

    def at_precisions(self, precisions: Sequence[str]) -> Problem:
        """The same problem where each server hosts at such a precision; empty = as it is.

        Raises
        ------
        ValueError
            If a server cannot.
        """
        if not precisions:
            return self
        pairs = zip(self.hosting, precisions, strict=True)
        return self.hosting_as([h._replace(precision=p) for h, p in pairs])

    def with_wires(self, wires: Sequence[str]) -> Problem:
        """The same problem where states go so over each server's links; empty = as it is.

        Raises
        ------
        ValueError
            If a server cannot.
        """
        if not wires:
            return self
        pairs = zip(self.hosting, wires, strict=True)
        return self.hosting_as([h._replace(wire=w) for h, w in pairs])

    @property
    def own_devices(self) -> frozenset[int]:
        """Rows of the servers that do not serve every client."""
        every = {c.id for c in self.clients}
        return frozenset(j for j, s in enumerate(self.servers) if s.only and every - set(s.only))

    @property
    def asked_adapters(self) -> tuple[str, ...]:
        """Those that some client's requests are for."""
        return tuple(dict.fromkeys(c.adapter for c in self.clients if c.adapter))

    @property
    def chooses_adapters(self) -> bool:
        """Whether some server's adapters are for the planner to choose, and some are asked for."""
        return bool(self.asked_adapters) and any(s.adapters is None for s in self.servers)

    def with_adapters(self, loaded: Sequence[tuple[str, ...]]) -> Problem:
        """The same problem where each server loads such adapters; empty = as it is."""
        if not loaded or tuple(loaded) == tuple(s.adapters for s in self.servers):
            return self
        pairs = zip(self.servers, loaded, strict=True)
        return replace(self, servers=tuple(replace(s, adapters=own) for s, own in pairs))

    def at_lightest(self) -> Problem:
        """The same problem where every server hosts at the precision of its smallest blocks."""

        def size(variant: Variant) -> int:
            return sum(per_block(variant.block_bytes, self.model.num_blocks))

        return self.at_precisions(
            [min(s.variants, key=size).precision if s.variants else s.precision
             for s in self.servers]
        )  # fmt: skip

    @property
    def fixed(self) -> Problem:
        """The same problem with no precision and no wire left to choose."""
        if not self.chooses_hosting:
            return self
        servers = tuple(replace(s, variants=(), wires=()) for s in self.servers)
        return replace(self, servers=servers)

    def __repr__(self) -> str:
        return (
            f"Problem({self.model.name}: {self.model.num_blocks} blocks, {self.num_servers} "
            f"servers, {len(self.clients)} clients, {self.workload.rate_per_s:.4g} requests/s)"
        )
