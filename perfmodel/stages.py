"""What stages of a layout do: the data of the compiled fluid model (docs/model.md 16).

The functions of this module, of ``dealing`` and of ``steady`` are compiled, and plain Python too;
they are imported only where throughput is planned or requests are dealt by a flow: numba takes a
while to load.
"""

from __future__ import annotations

from typing import NamedTuple

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .lanes import Lanes

#: Share of a server's time that a steady flow may fill; ``lanes.MOST_SENT`` is that of a link's.
MOST_BUSY = 0.98
#: Flows below this share of all are none.
NO_FLOW = 1e-9


class Stages(NamedTuple):
    """What stages do for the mean request; seconds for a block and on links.

    Attributes
    ----------
    prompt_s, step_s, row_s : (n,) a prompt, a step of one sequence and each further one, per block.
    prompt_more_s : (n,) way of a prompt into a stage beside its link; step_more_s : of a step.
    piece : (n,) whether a prompt keeps others waiting for one block alone.
    chunks : (n,) parts in which a prompt goes where steps share batches.
    serial : (n,) whether a stage works on one task at a time.
    slots : (n, K + 1) sessions that it has room for, by blocks; 0 where too many are hosted.
    rated : (n, K + 1) requests per second that it is rated at, by blocks.
    place : (n,) of its region.
    in_s, out_s : (n,) way from the clients and back to them.
    way_s, prompt_send_s, step_send_s : (n, n) way between two stages, and how long a link is busy
        with a prompt and a step.
    length : (1,) blocks of the model. tokens : (1,) steps of a request.
    lanes : the uplinks that links share.
    """

    prompt_s: FloatArray
    step_s: FloatArray
    row_s: FloatArray
    prompt_more_s: FloatArray
    step_more_s: FloatArray
    piece: FloatArray
    chunks: FloatArray
    serial: IntArray
    slots: FloatArray
    rated: FloatArray
    place: IntArray
    in_s: FloatArray
    out_s: FloatArray
    way_s: FloatArray
    prompt_send_s: FloatArray
    step_send_s: FloatArray
    length: IntArray
    tokens: FloatArray
    lanes: Lanes


@compiled
def rate_of(g: Stages, i: int, blocks: int) -> float:
    """Requests per second that a stage of so many blocks takes, whatever its batches."""
    each_s = g.prompt_s[i] + g.tokens[0] * (g.step_s[i] if g.serial[i] else g.row_s[i])
    rate: float = MOST_BUSY / (blocks * max(each_s, 1e-12))
    return rate
