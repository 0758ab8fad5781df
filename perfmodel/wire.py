"""Bytes of hidden states on the wire, by the formats that PETALS' servers offer (docs/model.md 17).

A message holds the states of all tokens of a step or prompt; those of 8 bit carry a table of 256
values of 32 bit besides, and the blocked one a scale of 32 bit for every 4096 values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray, frozen_array
from ..core.names import Packed
from ..core.problem import Problem
from .runs import Rows

EVERY = slice(None)
#: Format -> (bytes of a message beside its values: table and lengths; bytes of a value).
PACKED: dict[Packed, tuple[int, float]] = {
    "uniform_8bit": (1024 + 8, 1.0),
    "quantile_8bit": (1024 + 8, 1.0),
    "blockwise_8bit": (1024 + 16, 1.0 + 4 / 4096),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """What goes over the links of every server, each way.

    Attributes
    ----------
    message_bytes, token_bytes : (n,) of a message, and of each token in it.
    token_s : (n,) packing and unpacking a token's states, there and back.
    harm : (n,) of a hop, in accuracy; zeros where nobody asks.
    """

    message_bytes: FloatArray
    token_bytes: FloatArray
    token_s: FloatArray
    harm: FloatArray

    @classmethod
    def of(cls, problem: Problem) -> Wires:
        """Those of a problem's servers."""
        model, names = problem.model, [s.wire for s in problem.servers]
        plain = (0.0, float(model.activation_bytes_per_token))
        sizes: dict[str, tuple[float, float]] = {
            w: (message, value * model.hidden_size) for w, (message, value) in PACKED.items()
        }
        packing, accuracy = dict(problem.network.wire_s_per_token), problem.accuracy
        message, token = np.array([sizes.get(w, plain) for w in names]).reshape(-1, 2).T
        harm = [0.0 if accuracy is None else accuracy.of_wire(w) for w in names]
        return cls(
            message_bytes=frozen_array(message, np.float64),
            token_bytes=frozen_array(token, np.float64),
            token_s=frozen_array([packing.get(w, 0.0) for w in names], np.float64),
            harm=frozen_array(harm, np.float64),
        )

    def bytes(self, tokens: float, server: Rows | slice = EVERY) -> FloatArray:
        """Of a message with the states of so many tokens, from or to servers."""
        sent: FloatArray = self.message_bytes[server] + tokens * self.token_bytes[server]
        return sent
