"""Attention cache in the memory of the host, attention on its CPU: a what-if, when it would pay.

Hypothetical: PETALS keeps caches on the GPU. After APEX (arXiv 2506.03296): while the CPU attends
for some sequences the GPU works on others, which gains something only if

    N_G / N_C  <  2 x + 3 + 1 / x,      x = T_glinear / T_gatt

with N_G and N_C what the GPU and the CPU attend to in a second, T_glinear the time of a block's
matrices for a batch on the GPU and T_gatt that of its attention there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from ..core.problem import Server, Timing
from .timing import decode_s

#: (sequences, how many times as long as on the GPU attention takes on its host): an H100 with 16
#: cores, blocks of Llama-3.1-8B and 70B, 2,048 tokens of context, 16 bit; the least of four runs,
#: which is in favour of the host.
LEAST = ((1.0, 3.3), (8.0, 15.7), (32.0, 48.9))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCache:
    """Whether a server would gain from caches in host memory.

    Attributes
    ----------
    sequences : of a batch.
    x : time of matrices over that of attention, on the GPU.
    limit : of ``slower``, up to which it pays.
    slower : how many times as long attention takes on the host.
    """

    sequences: float
    x: float
    limit: float
    slower: float

    @property
    def pays(self) -> bool:
        """Whether it does."""
        return self.slower < self.limit


def gate(x: float) -> float:
    """The most that ``N_G / N_C`` may be; infinite where attention or matrices take no time."""
    if x <= 0 or math.isinf(x):
        return math.inf
    return 2.0 * x + 3.0 + 1.0 / x


def host_cache(
    timing: Timing, sequences: float, context_tokens: float, slower: float | None = None
) -> HostCache:
    """The gate of one block at a server.

    Parameters
    ----------
    slower : how many times as long attention takes on the host; as measured beside an H100 (the
        least of four runs) when left out.
    """
    whole_s = decode_s(timing, context_tokens, batch=sequences)
    linear_s = decode_s(timing, 0.0, batch=sequences)
    own = timing.decode_per_context_token_s * min(context_tokens, timing.window_tokens)
    # Rows beyond the first attend too: a curve of steps tells their work, not their share of it.
    attention_s = max(whole_s - linear_s, own * sequences)
    x = linear_s / attention_s if attention_s > 0 else math.inf
    known = measured_slower(sequences) if slower is None else slower
    return HostCache(sequences=sequences, x=x, limit=gate(x), slower=known)


def host_cache_at(
    server: Server, block: int, sequences: float, context_tokens: float, slower: float | None = None
) -> HostCache:
    """The gate of one block of a server's."""
    timing = server.timing
    one = timing if isinstance(timing, Timing) else timing[block]
    return host_cache(one, sequences, context_tokens, slower)


def measured_slower(sequences: float, points: tuple[tuple[float, float], ...] = LEAST) -> float:
    """The measured figure, between two points by powers, and level outside of them."""
    if sequences <= points[0][0]:
        return points[0][1]
    for (a, slow_a), (b, slow_b) in pairwise(points):
        if sequences <= b:
            part = math.log(sequences / a) / math.log(b / a)
            between: float = slow_a * (slow_b / slow_a) ** part
            return between
    return points[-1][1]
