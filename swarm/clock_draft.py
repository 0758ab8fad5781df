"""Drafts by the clock: a draft model that knows the answers and takes a set time for each draft.

Small models of many clients on one machine slow each other down, as those of no swarm do. Which
drafts are right is drawn as the simulator draws it (``simulator/luck.py``), so that what is
predicted and what is measured have the same luck. The rest of drafting is that of ``speculate``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch


class ClockDraft:
    """In place of a causal language model of transformers, for ``speculate``.

    Parameters
    ----------
    vocabulary : tokens of the target.
    draft_s : what a draft takes.
    """

    device = torch.device("cpu")
    #: What transformers asks of a model whose cache it cuts.
    config = SimpleNamespace(is_encoder_decoder=False, architectures=None)

    def __init__(self, vocabulary: int, draft_s: float) -> None:
        self._vocabulary, self._draft_s = vocabulary, draft_s
        self._guesses: dict[tuple[int, ...], Sequence[int]] = {}

    def know(self, prompt: Sequence[int], guesses: Sequence[int]) -> None:
        """What it is to guess, token by token, after a prompt."""
        self._guesses[tuple(prompt)] = guesses

    def __call__(self, new: Any, past_key_values: Any = None, **_options: Any) -> Any:
        """Logits of the token after a text, of which the cache holds all but ``new``, (1, n)."""
        over_s = time.perf_counter() + self._draft_s
        # The text itself is its cache, in the shape in which transformers cuts caches.
        text = new.reshape(1, 1, -1, 1)
        if past_key_values is not None:
            text = torch.cat([past_key_values[0][0], text], dim=2)
        logits = torch.zeros(1, 1, self._vocabulary)
        logits[0, 0, self._next(text.flatten().tolist())] = 1.0
        time.sleep(max(0.0, over_s - time.perf_counter()))
        return SimpleNamespace(logits=logits, past_key_values=((text, text),))

    def _next(self, text: Sequence[int]) -> int:
        """After a text that begins with a known prompt; 0 after any other."""
        for prompt, guesses in self._guesses.items():
            at = len(text) - len(prompt)
            if 0 <= at < len(guesses) and tuple(text[: len(prompt)]) == prompt:
                return guesses[at]
        return 0
