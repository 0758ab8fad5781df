"""What PETALS servers reckon with and announce: cache by a flag, rates, the client's beliefs.

Facts from PETALS' ``server/server.py``, ``server/throughput.py`` and
``client/routing/sequence_manager.py``; docs/model.md, rules P1, P3 and P5.
"""

from __future__ import annotations

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.problem import Problem
from .cost import CostModel
from .devices import Device
from .memory import blocks_within
from .runs import Runs
from .timing import decode_s, prefill_s

#: ``--attn_cache_tokens`` of PETALS 2.2.0.post1: plain attention, grouped-query attention.
DEFAULT_CACHE_TOKENS = (4096, 16384)
#: ``--inference_max_length`` and ``--max_batch_size``, tokens: the same two kinds.
DEFAULT_SESSION_TOKENS = (2048, 8192)
AUTOGRAD_BYTES_AT_D14336 = 2 * 2**30
ASSUMED_NETWORK_BITS_PER_S = 100e6
RELAY_PENALTY = 0.2
#: Prompt by which PETALS measures ``forward_rps``.
FORWARD_TOKENS = 1024
#: Steps from an empty cache on by which it measures ``inference_rps``.
INFERENCE_STEPS = 100
#: Rate that a client assumes for a server that announces none.
UNKNOWN_RPS = 300.0


def default_cache_tokens(problem: Problem) -> int:
    """PETALS' default of ``--attn_cache_tokens`` for this model."""
    return DEFAULT_CACHE_TOKENS[1 if problem.model.grouped_query else 0]


def default_session_tokens(*, grouped: bool) -> int:
    """The longest session, and the longest prompt, that PETALS' servers accept unless told."""
    return DEFAULT_SESSION_TOKENS[1 if grouped else 0]


def blocks_by_rule(cost: CostModel, cache_tokens: int) -> IntArray:
    """(n,) P1: ``floor((M - A) / (s_m + C_blk))`` within [0, max_blocks]."""
    return blocks_within(cost, _beside_autograd(cost), ((1, cache_tokens),))


def most_cache_tokens(cost: CostModel) -> int:
    """The flag at which the roomiest server still takes one block."""
    room = _beside_autograd(cost) - cost.weights_bytes.dearest_block()
    return int(room.max()) // _token_bytes(cost)


def _beside_autograd(cost: CostModel) -> IntArray:
    """(n,) memory less what PETALS keeps for gradients."""
    reserve = AUTOGRAD_BYTES_AT_D14336 * cost.problem.model.hidden_size // 14336
    left: IntArray = cost.problem.memory_bytes - reserve
    return left


def announced_throughput(cost: CostModel, blocks: IntArray) -> FloatArray:
    """(n,) P3: ``min(forward_rps / ((m + 1) / 2), network_rps * (0.2 if relayed))``, tokens/s.

    What a server does not announce is derived as PETALS would measure it: ``forward_rps`` from
    the time of a 1024-token prompt, the network from 100 Mbit/s and 16-bit hidden states.
    """
    problem = cost.problem
    prompt_s = cost.prefill_run_s(FORWARD_TOKENS).dearest_block()
    rates = np.zeros(problem.num_servers)
    for j, server in enumerate(problem.servers):
        forward = server.forward_rps or FORWARD_TOKENS / max(float(prompt_s[j]), 1e-9)
        network = server.network_rps or (
            ASSUMED_NETWORK_BITS_PER_S / (16 * problem.model.hidden_size)
        )
        relay = RELAY_PENALTY if server.relayed else 1.0
        rates[j] = min(forward / ((blocks[j] + 1) / 2), network * relay) if blocks[j] > 0 else 0.0
    return rates


def measured_rates(device: Device) -> tuple[float, float]:
    """``inference_rps`` and ``forward_rps`` of a profile: a hundred steps, one long prompt."""
    step_s = decode_s(device.timing, INFERENCE_STEPS / 2)
    return 1.0 / step_s, FORWARD_TOKENS / float(prefill_s(device.timing, FORWARD_TOKENS))


def announced_cache_bytes(cost: CostModel, cache_tokens_left: int) -> int:
    """Cache that a server says is left: PETALS counts the vectors K and V of each block apart."""
    return cache_tokens_left * _token_bytes(cost) // 2


def _token_bytes(cost: CostModel) -> int:
    """Cache of one token on the block that keeps most of it: what PETALS counts by."""
    return max(1, *(each for each, _, _ in cost.kept.kinds))


def believed_step_run_s(cost: CostModel) -> Runs:
    """Runs of a step as a PETALS client reckons them, from what servers announce."""
    rps = [s.inference_rps if s.inference_rps else UNKNOWN_RPS for s in cost.problem.servers]
    return Runs(length=cost.num_blocks, each=1.0 / np.array(rps))
