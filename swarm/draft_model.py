"""The small model beside a client: loaded here, with a cache of its own that follows the text."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..core.content import FloatArray
from ..core.errors import ScenarioError

#: Ids that are compared where both models have a tokenizer.
COMPARED = 100
#: Drafts that are timed before the first answer.
TIMED = 4
#: Scores of a text's next token out of the text and a model's (1, V) logits.
Scores = Callable[[Any, Any], Any]


def load_draft(name: str, target: Any, *, target_name: str | None = None) -> Any:
    """A draft model for a distributed one.

    Parameters
    ----------
    name : folder or repository. target_name : of the distributed model, for its tokenizer.

    Raises
    ------
    ScenarioError
        If it cannot be loaded, or its tokens are not those of the target.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers 4.34 warns of names that torch renamed
        from transformers import AutoModelForCausalLM

        try:
            model = AutoModelForCausalLM.from_pretrained(name, torch_dtype="auto")
        except (OSError, ValueError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ScenarioError.single("--draft", f"cannot load {name!r}: {said}") from error
    wrong = _other_tokens(model.config, target.config, name, target_name)
    if wrong:
        raise ScenarioError.single("--draft", f"{name!r} cannot draft for this model: {wrong}")
    return model.eval()


def _other_tokens(draft: Any, target: Any, name: str, target_name: str | None) -> str:
    """What is different between the vocabularies, empty where nothing is."""
    if draft.vocab_size != target.vocab_size:
        return f"it has {draft.vocab_size} tokens, the target {target.vocab_size}"
    own, other = tokenizer_of(name), None if target_name is None else tokenizer_of(target_name)
    if own is None or other is None:
        return ""
    ids = np.linspace(0, target.vocab_size - 1, COMPARED).astype(int).tolist()
    pairs = zip(ids, *(t.convert_ids_to_tokens(ids) for t in (own, other)), strict=True)
    for number, mine, theirs in pairs:
        if mine != theirs:
            return f"token {number} is {mine!r} there, {theirs!r} at the target"
    return ""


def tokenizer_of(name: str) -> Any:
    """Of a model, None where it has none: ids are all that is needed then."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    # Missing files, unknown kinds and missing packages are errors of many types.
    except Exception:
        return None


class Guesser:
    """Drafts for one text, which it follows wherever it goes."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._past: Any = None
        self._ids: list[int] = []

    def guess(
        self, ids: Any, drafts: int, scores: Scores, *, draws: bool
    ) -> tuple[list[int], FloatArray]:
        """So many tokens after a text, and (drafts, V) what each was drawn from.

        Parameters
        ----------
        ids : (1, n) the text. draws : whether tokens are drawn, or the best ones taken; then there
            are no probabilities.
        """
        self._go_back(ids[0].tolist())
        text, found, rows = ids, [], []
        for _ in range(drafts):
            row = scores(text, self._logits(text))
            if draws:
                weights = row.softmax(-1)
                token = torch.multinomial(weights, num_samples=1)
                rows.append(weights[0].double().cpu().numpy())
            else:
                token = row.argmax(-1, keepdim=True)
            found.append(int(token))
            text = torch.cat([text, token], dim=1)
        return found, np.array(rows)

    def _logits(self, text: Any) -> Any:
        """(1, V) after a text that goes on from what is in the cache."""
        new = text[:, len(self._ids) :]
        out = self._model(new.to(self._model.device), past_key_values=self._past, use_cache=True)
        self._past = out.past_key_values
        self._ids += new[0].tolist()
        return out.logits[:, -1].float().to(text.device)

    def _go_back(self, text: list[int]) -> None:
        """Drop from the cache what is not in the text; its last token is always to be read."""
        most = min(len(self._ids), len(text) - 1)
        same = next((i for i in range(most) if self._ids[i] != text[i]), most)
        if same < len(self._ids):
            self._past = _cropped(self._model, self._past, same) if same else None
            del self._ids[same:]


def _cropped(model: Any, past: Any, length: int) -> Any:
    from transformers.generation.utils import _crop_past_key_values

    return _crop_past_key_values(model, past, length)


def time_drafts(model: Any) -> float:
    """Seconds of one draft, the least of a few."""
    guesser, took = Guesser(model), []
    text = torch.zeros((1, 1), dtype=torch.int64)
    for _ in range(TIMED):
        before = time.perf_counter()
        found, _ = guesser.guess(text, 1, lambda _text, logits: logits, draws=False)
        took.append(time.perf_counter() - before)
        text = torch.cat([text, torch.tensor([found])], dim=1)
    return min(took)
