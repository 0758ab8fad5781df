"""The planning problem in SI units: model, servers, clients, network, planning figures.

A ``Problem`` is what every placer, router and the simulator read. It is built once (from a
scenario file by ``scenarios.build``, or by hand) and never changed; arrays are read-only.
Indices: ``j`` = server row, ``c`` = client row; blocks are 0-based and half-open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constraints import Constraints
from .workload import Workload

Relay = Literal["client", "server"]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def frozen_array(values: ArrayLike, dtype: type[Any]) -> NDArray[Any]:
    """A read-only copy of ``values``."""
    array = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpan:
    """Consecutive blocks ``[start, end)``."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span needs 0 <= start < end, got [{self.start}, {self.end})")

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A transformer as the swarm sees it: equal blocks and what each costs.

    Attributes
    ----------
    num_blocks : transformer blocks, L.
    hidden_size : width of the hidden state, d.
    block_bytes : weights of one block at the scenario's default quantisation, s_m.
    cache_bytes_per_token : attention cache (K and V) of one block for one token.
    activation_bytes_per_token : hidden state of one token on the wire.
    grouped_query : more attention heads than key/value heads (PETALS' default cache differs).
    """

    name: str
    num_blocks: int
    hidden_size: int
    block_bytes: int
    cache_bytes_per_token: int
    activation_bytes_per_token: int
    grouped_query: bool = False

    def __post_init__(self) -> None:
        for name in ("num_blocks", "hidden_size", "block_bytes", "cache_bytes_per_token"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Compute time of one block on one device.

    prefill of T tokens: ``max(prefill_floor_s, prefill_base_s + prefill_per_token_s * T)``;
    one decode step: ``decode_base_s + decode_per_context_token_s * context
    + decode_per_sequence_s * (batch - 1)``.
    """

    decode_base_s: float
    decode_per_context_token_s: float = 0.0
    decode_per_sequence_s: float = 0.0
    prefill_floor_s: float = 0.0
    prefill_base_s: float = 0.0
    prefill_per_token_s: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")

    def prefill_s(self, tokens: float) -> float:
        """Seconds for one block to process a prompt of ``tokens``."""
        return max(self.prefill_floor_s, self.prefill_base_s + self.prefill_per_token_s * tokens)

    def decode_s(self, context_tokens: float, batch: float = 1.0) -> float:
        """Seconds for one block to process one new token after ``context_tokens``."""
        return (
            self.decode_base_s
            + self.decode_per_context_token_s * context_tokens
            + self.decode_per_sequence_s * (batch - 1.0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of the swarm.

    Attributes
    ----------
    memory_bytes : usable accelerator memory, M_j.
    block_bytes : weights of one block at this server's quantisation, s_m.
    max_blocks : upper limit of blocks beside memory, or None.
    forward_rps, inference_rps, network_rps : what PETALS announces (tokens/s; the first two per
        block); used by the PETALS baseline only.
    relayed : reachable through a relay only (PETALS discounts it).
    coordinates : (latitude, longitude) in degrees, or None when unknown.
    pinned : the span that a manual placement gives it, or None.
    load_block_bytes : weight file of one block, read when the block is loaded; None = block_bytes.
    download_bytes_per_s : rate at which new blocks arrive over the link, None = not known.
    disk_bytes_per_s : rate at which blocks are read from the server's own disk, None = not known.
    """

    id: str
    memory_bytes: int
    block_bytes: int
    timing: Timing
    max_blocks: int | None = None
    forward_rps: float | None = None
    inference_rps: float | None = None
    network_rps: float | None = None
    relayed: bool = False
    device: str = ""
    region: str = ""
    coordinates: tuple[float, float] | None = None
    pinned: BlockSpan | None = None
    load_block_bytes: int | None = None
    download_bytes_per_s: float | None = None
    disk_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A place where requests come from."""

    id: str
    region: str = ""
    coordinates: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Round-trip times and per-hop overheads.

    Attributes
    ----------
    client_rtt_s : (clients, servers), seconds.
    server_rtt_s : (servers, servers), seconds, row = from.
    step_overhead_s : software overhead of one hop in one decode step, o.
    prefill_overhead_s, prefill_overhead_per_token_s : the same for a prompt, o^I(l_in).
    client_bandwidth_bytes_per_s : (clients, servers), the slower direction; None = not modelled.
    relay : ``client`` (every hop returns to the client: PETALS as it runs) or ``server``.
    """

    client_rtt_s: FloatArray
    server_rtt_s: FloatArray
    step_overhead_s: float = 0.0
    prefill_overhead_s: float = 0.0
    prefill_overhead_per_token_s: float = 0.0
    client_bandwidth_bytes_per_s: FloatArray | None = None
    relay: Relay = "client"

    def __post_init__(self) -> None:
        for name in ("client_rtt_s", "server_rtt_s", "client_bandwidth_bytes_per_s"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen_array(value, np.float64))


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
    """

    prompt_tokens: int
    output_tokens: int
    session_tokens: int
    sessions: int | None = None
    safety_z: float = 1.0
    constraints: Constraints = field(default_factory=Constraints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything a planner knows. Derived arrays are read-only, in server order.

    ``memory_bytes`` is what planners may use: the servers' memory less the head-room asked for.
    """

    model: ModelSpec
    servers: tuple[Server, ...]
    clients: tuple[Client, ...]
    network: Network
    workload: Workload
    planning: Planning
    session_setup_s: float = 0.0
    alloc_delay_s: float = 0.0
    memory_bytes: IntArray = field(init=False, repr=False, compare=False)
    block_bytes: IntArray = field(init=False, repr=False, compare=False)
    max_blocks: IntArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n, clients = len(self.servers), len(self.clients)
        if self.network.client_rtt_s.shape != (clients, n):
            raise ValueError(f"client_rtt_s must have shape {(clients, n)}")
        if self.network.server_rtt_s.shape != (n, n):
            raise ValueError(f"server_rtt_s must have shape {(n, n)}")
        limit = self.model.num_blocks
        headroom = self.planning.constraints.headroom_frac
        usable = 1.0 - headroom if headroom else 1
        columns: dict[str, Iterable[int]] = {
            "memory_bytes": (int(s.memory_bytes * usable) for s in self.servers),
            "block_bytes": (s.block_bytes for s in self.servers),
            "max_blocks": (
                limit if s.max_blocks is None else min(s.max_blocks, limit) for s in self.servers
            ),
        }
        for name, values in columns.items():
            object.__setattr__(self, name, frozen_array(list(values), np.int64))

    @property
    def num_servers(self) -> int:
        """Number of servers, n."""
        return len(self.servers)

    @property
    def session_bytes(self) -> int:
        """Cache of one planned session on one block, s_c."""
        return self.model.cache_bytes_per_token * self.planning.session_tokens

    def cache_bytes(self, tokens: int) -> int:
        """Cache that ``tokens`` tokens of one session need on one block."""
        return self.model.cache_bytes_per_token * tokens
