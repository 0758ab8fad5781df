"""The compiled part of prompts in chunks, at servers of the task engine that batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.jit import compiled

#: A prompt on a hop that goes in chunks. done, taken : tokens of it that are worked on, and that
#: the batch at hand takes. worth : as of ``perfmodel.tasks.Tasks``. task_s : of its first chunk.
CHUNK = np.dtype(
    [(name, np.int64) for name in ("done", "taken")]
    + [(name, np.float64) for name in ("worth", "task_s")]
)


@compiled
def take_chunk(s: Any, slot: int, most: int) -> int:
    """A batch takes up to so many tokens of a prompt; how many."""
    prompt = s.sessions[slot]["prompt"]
    chunk = s.chunks[slot, s.sessions[slot]["hop"]]
    if chunk["worth"] == 0.0:  # the hop has it but for one step
        chunk["taken"] = prompt
        return 1
    chunk["taken"] = min(prompt - chunk["done"], most)
    taken: int = chunk["taken"]
    return taken


@compiled
def chunk_s(s: Any, slot: int, row: int) -> float:
    """Work on what a batch takes of a prompt, at a server of some row of the tables."""
    session = s.sessions[slot]
    hop, chunk = s.hops[slot, session["hop"]], s.chunks[slot, session["hop"]]
    if is_whole(s, slot):
        whole_s: float = hop["prompt_s"]
        return whole_s
    before, tokens = chunk["done"], chunk["taken"]
    each_s = s.chunk_s[row, tokens] + 2.0 * before * tokens * s.square_s[row]
    work_s: float = chunk["worth"] * each_s
    return work_s + chunk["task_s"] if before == 0 else work_s


@compiled
def is_whole(s: Any, slot: int) -> bool:
    """Whether a batch takes a prompt in one piece."""
    chunk = s.chunks[slot, s.sessions[slot]["hop"]]
    in_one: bool = chunk["done"] == 0 and chunk["taken"] == s.sessions[slot]["prompt"]
    return in_one


@compiled
def has_more(s: Any, slot: int) -> bool:
    """A batch is done: whether there is more of a prompt in it to be worked on."""
    session = s.sessions[slot]
    chunk = s.chunks[slot, session["hop"]]
    chunk["done"] += chunk["taken"]
    more: bool = chunk["done"] < session["prompt"]
    return more
