"""What a session's tasks on a chain take, hop by hop: the way in, the work, the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tasks(ByContent):
    """The tasks of one session on a chain of H hops; docs/model.md 3.2. Arrays (H,) unless said.

    A pass over the chain is a prompt or a step: into each hop, work there, on to the next one; a
    token is there when the client has the answers of all hops.

    Attributes
    ----------
    client : whose session it is.
    server, start, end : blocks [start, end) of each hop.
    first_gap_s, gap_s : from the end of the work before (from the client, at the first hop) to the
        server: of the prompt, of a step.
    back_s : from the end of the work to the client.
    prompt_s : work of the prompt.
    base_s, slope_s : work of a step, and more of it for each token of context.
    floor_s : the least that a step takes.
    parts : (H, P, 4) floor, base, slope and window of work beside it where blocks differ or attend
        to windows (``steps.py``); a hop's work is the sum.
    cut : whether the prompt is worked on block by block.
    turn_s : then from the end of the work on a block until the next one stands in line.
    task_tokens : positions of the longest step that is not.
    position_s : more of the way for each position of a step beyond the first.
    task_s : of the work of a step what no position changes: once for each task.
    link : 1 + number of the link into each hop, 0 = none on which transfers stand in line.
    first_send_s, send_s : how long a prompt and a step keep it busy.
    sent_tokens : of the prompt, sent into each hop. message_bytes, token_bytes : what goes from and
        to each server, of a message and of each token in it.
    piece_s : (L,) work of the prompt on each block.
    worth : blocks like the server's mean one that a prompt on each hop is worth where it may go
        in chunks; 0 = it goes in one piece.
    """

    client: int
    server: IntArray
    start: IntArray
    end: IntArray
    first_gap_s: FloatArray
    gap_s: FloatArray
    back_s: FloatArray
    prompt_s: FloatArray
    base_s: FloatArray
    slope_s: FloatArray
    floor_s: FloatArray
    parts: FloatArray
    cut: IntArray
    turn_s: FloatArray
    piece_s: FloatArray
    task_tokens: IntArray
    position_s: FloatArray
    task_s: FloatArray
    link: IntArray
    first_send_s: FloatArray
    send_s: FloatArray
    sent_tokens: IntArray
    message_bytes: FloatArray
    token_bytes: FloatArray
    worth: FloatArray

    def step_s(self, context_tokens: float) -> FloatArray:
        """(H,) work of a step after so many tokens."""
        work: FloatArray = np.maximum(self.floor_s, self.base_s + self.slope_s * context_tokens)
        if self.parts.size:
            floor_s, base_s, slope_s, window = np.moveaxis(self.parts, -1, 0)
            line_s = base_s + slope_s * np.minimum(window, context_tokens)
            work = work + np.maximum(floor_s, line_s).sum(axis=1)
        return work
