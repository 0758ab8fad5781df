"""One server on several GPUs that share every block (tensor parallel): its curve from that of one.

Weights, cache and work are dealt out, and what the GPUs tell one another of a block is added to
every step. Fitted to Splitwise's measurements of Llama-2-70B on 2, 4 and 8 GPUs of one machine
(profiles ``A100-80GBxN`` and ``H100-80GBxN``): a step takes ``work / N`` and 0.47 ms (A100) or
0.33 ms (H100) more for each block; prompts are 1.4 to 1.6 times as fast with each doubling.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..core.problem import Timing

#: What a block's exchanges add to a step, and how much faster each doubling makes a prompt.
SYNC_S, PROMPT_GAIN = 0.4e-3, 1.55


def shared_among(timing: Timing, gpus: int, sync_s: float = SYNC_S) -> Timing:
    """The timing of a block that so many GPUs share, from that of one GPU.

    Launching stays what it is: one process launches for all of them.
    """
    if gpus == 1:
        return timing
    gain = PROMPT_GAIN ** math.log2(gpus)
    return replace(
        timing,
        decode_base_s=timing.decode_base_s / gpus + sync_s,
        decode_floor_s=timing.decode_floor_s + sync_s if timing.decode_floor_s else 0.0,
        decode_per_context_token_s=timing.decode_per_context_token_s / gpus,
        decode_per_sequence_s=timing.decode_per_sequence_s / gpus,
        step_curve=tuple((rows, more_s / gpus) for rows, more_s in timing.step_curve),
        prefill_base_s=timing.prefill_base_s / gain,
        prefill_per_token_s=timing.prefill_per_token_s / gain,
        prefill_per_token2_s=timing.prefill_per_token2_s / gain,
    )
