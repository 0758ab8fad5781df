"""Hidden states in 8 bit: a server's ``--compression`` meets tensors that have no such form.

PETALS' clients send two more tensors with the states of a step, prompts and hypotheses, in the
server's format too; they are empty most of the time, and the second one holds integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def cannot_pack_steps() -> bool:
    """Whether an empty tensor of integers, or unpacking with today's numpy, fails."""
    import torch
    from hivemind.compression.quantization import Uniform8BitQuantization

    wire = Uniform8BitQuantization()
    try:
        wire.compress(torch.empty(0, dtype=torch.int64), None)
        wire.extract(wire.compress(torch.arange(8.0), None))
    except (TypeError, ValueError):
        return True
    return False


def pack_states_alone() -> None:
    """What has no values of its own to pack goes as it is; the message says so, receivers read it.

    Messages of states are those of hivemind, byte for byte.
    """
    from hivemind.compression import quantization

    for kind in (quantization.Quantization, quantization.BlockwiseQuantization):
        kind.compress = _packed(kind.compress)
    quantization.np = _Lengths()


def _packed(compress: Any) -> Any:
    from hivemind.compression.base import NoCompression

    def packed(self: Any, tensor: Any, info: Any, allow_inplace: bool = False) -> Any:
        if tensor.numel() < 2 or not tensor.is_floating_point():
            return NoCompression().compress(tensor, info, allow_inplace)
        return compress(self, tensor, info, allow_inplace)

    return packed


class _Lengths:
    """numpy where a length read from a message is one number, as it was before 2.4."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def frombuffer(self, *given: Any, **options: Any) -> Any:
        """As numpy's; lengths are integers of 64 bit, values are none."""
        found = np.frombuffer(*given, **options)
        return found[0] if found.dtype == np.int64 else found
