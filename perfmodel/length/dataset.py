"""Observed lengths: (prompt, model, output tokens), grouped by the prompt's normalised text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from .features import normalised

#: Share of the prompts that is judged on.
TEST_FRAC = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Rows of (prompt, model, tokens) by index; equal prompts share one index.

    Attributes
    ----------
    prompts : distinct prompts, distinct also after normalising.
    models : names, sorted.
    prompt, model, tokens : (N,) per observation.
    """

    prompts: tuple[str, ...]
    models: tuple[str, ...]
    prompt: IntArray
    model: IntArray
    tokens: IntArray

    def __len__(self) -> int:
        return len(self.tokens)

    def of_prompts(self, chosen: IntArray) -> Observations:
        """The observations of some prompts (by index), renumbered; models keep their index."""
        new = np.full(len(self.prompts), -1, dtype=np.int64)
        new[chosen] = np.arange(len(chosen))
        keep = new[self.prompt] >= 0
        return Observations(
            prompts=tuple(self.prompts[i] for i in chosen.tolist()),
            models=self.models,
            prompt=new[self.prompt[keep]],
            model=self.model[keep],
            tokens=self.tokens[keep],
        )

    def of_models(self, chosen: IntArray) -> Observations:
        """The observations of some models (by index); prompts keep their index."""
        new = np.full(len(self.models), -1, dtype=np.int64)
        new[chosen] = np.arange(len(chosen))
        keep = new[self.model] >= 0
        return Observations(
            prompts=self.prompts,
            models=tuple(self.models[i] for i in chosen.tolist()),
            prompt=self.prompt[keep],
            model=new[self.model[keep]],
            tokens=self.tokens[keep],
        )

    def log_lengths(self) -> FloatArray:
        """(N,) ``log(1 + tokens)``: the scale on which lengths are near to normal."""
        logs: FloatArray = np.log1p(self.tokens.astype(np.float64))
        return logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Finished answers as a predictor remembers them: without their text.

    Attributes
    ----------
    model : (A,) row of each answer's model; verbosity : (A,) of its prompt; tokens : (A,) of it.
    """

    model: IntArray
    verbosity: FloatArray
    tokens: IntArray

    @classmethod
    def none(cls) -> Finished:
        """No answers."""
        whole = np.zeros(0, dtype=np.int64)
        return cls(model=whole, verbosity=np.zeros(0), tokens=whole)

    def __len__(self) -> int:
        return len(self.model)


def gather(rows: Iterable[tuple[str, str, int]]) -> Observations:
    """Observations of triples; prompts that are equal once normalised become one."""
    prompts: dict[str, int] = {}
    texts: list[str] = []
    named: list[tuple[int, str, int]] = []
    for text, model, tokens in rows:
        key = normalised(text)
        if key not in prompts:
            prompts[key] = len(texts)
            texts.append(text)
        named.append((prompts[key], model, tokens))
    models = sorted({model for _, model, _ in named})
    row_of = {name: i for i, name in enumerate(models)}
    return Observations(
        prompts=tuple(texts),
        models=tuple(models),
        prompt=np.array([p for p, _, _ in named], dtype=np.int64),
        model=np.array([row_of[m] for _, m, _ in named], dtype=np.int64),
        tokens=np.array([t for _, _, t in named], dtype=np.int64),
    )


def sampled(given: Observations, prompts: int, seed: int) -> Observations:
    """The observations of at most ``prompts`` prompts, drawn at random when there are more."""
    size = len(given.prompts)
    if size <= prompts:
        return given
    return given.of_prompts(np.sort(np.random.default_rng(seed).choice(size, prompts, False)))


def grouped_splits(
    prompts: int, splits: int, seed: int, test_frac: float = TEST_FRAC
) -> Sequence[tuple[IntArray, IntArray]]:
    """Random (training, test) prompts, ``splits`` times; a prompt is on one side only."""
    size = max(1, round(prompts * test_frac))
    found = []
    for sequence in np.random.SeedSequence(seed).spawn(splits):
        order = np.random.default_rng(sequence).permutation(prompts)
        found.append((np.sort(order[size:]), np.sort(order[:size])))
    return found
