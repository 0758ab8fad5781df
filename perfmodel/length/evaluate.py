"""Grouped evaluation: every method on prompts that training has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.errors import CalibrationError
from .dataset import Observations, grouped_splits
from .distribution import LEVELS, LengthQuantiles
from .las import train_las
from .metrics import Score, score
from .predictor import Line, Reader, TextPredictor, features, fingerprints, las_view, train
from .ridge import fit_ridge, fit_scaling
from .universal import Maps, adapt, fit_maps, standardise, verbosity

Name = Literal[
    "constant",
    "shipped",
    "lexical",
    "ridge-models",
    "universal",
    "universal-new",
    "las-models",
    "las-universal",
    "las",
]
#: What each row of the table is.
NOTES: dict[Name, str] = {
    "constant": "running quantiles of each model, no prompt",
    "shipped": "the shipped predictor, each model's map from 30 of its answers",
    "lexical": "numpy only: lexical figures and hashed words, universal verbosity",
    "ridge-models": "ridge on encoder features, one per model",
    "universal": "ridge on encoder, lexical and hashed features, universal verbosity",
    "universal-new": "the same trained on the other half of the models: map from 30 answers",
    "las-models": "LAS, quantile head per model (pinball), calibrated",
    "las-universal": "LAS, universal verbosity",
    "las": "LAS and ridge averaged, universal verbosity: kind las of train",
}
#: What ``train`` makes with and without an encoder.
DEFAULT: dict[bool, Name] = {True: "las", False: "lexical"}
#: Methods that need no encoder.
PLAIN: tuple[Name, ...] = ("constant", "lexical")
#: How the figures come about, in words.
PROTOCOL = (
    "Prompts are split at random {splits} times (seed {seed}), a fifth to judge on; a prompt "
    "(equal ones are one) is on one side for all models. Everything is fitted on the others: "
    "standardising, penalty, network, maps and quantiles, these calibrated on predictions for "
    "prompts left out. Figures are per model (those with fewer than 5 answers to judge on as one), "
    "then averaged over models, then over splits."
)
NOTHING = (
    "nothing can be judged: no model has answers of different lengths with a median of at least "
    "5 tokens, or there are fewer than 5 answers to judge on: give more answers"
)
_MEDIAN = LEVELS.index(0.5)
#: Observations of each model that the shipped predictor is given.
FEW = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method over all splits."""

    method: Name
    scores: tuple[Score, ...]

    def mean(self, figure: str) -> float:
        """Mean of a figure over the splits."""
        return float(np.nanmean([getattr(s, figure) for s in self.scores]))

    def spread(self, figure: str) -> float:
        """Standard deviation of a figure over the splits, 0 for one split."""
        values = [getattr(s, figure) for s in self.scores]
        return float(np.nanstd(values, ddof=1)) if len(values) > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """One split, with the features of both sides."""

    train: Observations
    test: Observations
    train_table: FloatArray
    test_table: FloatArray
    seed: int


def evaluate(
    given: Observations,
    *,
    reader: Reader | None = None,
    shipped: TextPredictor | None = None,
    priors: tuple[Line | None, Line | None] = (None, None),
    splits: int = 5,
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Row, ...]:
    """Train and test every method that is possible on random splits by prompt.

    A prompt is on one side of a split for all models. Everything (standardising, penalties,
    tables, calibration) is fitted on the training side.

    Parameters
    ----------
    reader : the encoder; without one only the numpy-only rows are made.
    shipped : a predictor trained elsewhere; it sees a few observations of each model.
    priors : lines learnt elsewhere, for the rows without and with encoder (``shipped_line``).
        Neither may have seen a prompt of ``given``: see ``unseen``.

    Raises
    ------
    CalibrationError
        With too few prompts to split.
    """
    if len(given.prompts) < 25:
        raise CalibrationError(
            f"{len(given.prompts)} distinct prompts are too few to split: give at least 25"
        )
    table = features(given.prompts, reader)
    names = [n for n in NOTES if n in PLAIN or (reader is not None and n != "shipped")]
    if len(given.models) == 1:
        names = [n for n in names if n != "universal-new"]
    if shipped is not None:
        names.insert(1, "shipped")
    found: dict[Name, list[Score]] = {name: [] for name in names}
    done = 0
    for number, (inside, outside) in enumerate(grouped_splits(len(given.prompts), splits, seed)):
        part = _Split(
            train=given.of_prompts(inside),
            test=given.of_prompts(outside),
            train_table=table[inside],
            test_table=table[outside],
            seed=seed + number,
        )
        constant = _constant(part)
        for name, said in _rows(part, constant, reader, shipped, priors):
            found[name].append(score(said, constant, part.test.model, part.test.tokens))
            if not found[name][-1].answers:
                raise CalibrationError(NOTHING)
            done += 1
            if on_progress:
                on_progress(done, len(names) * splits, name)
    return tuple(Row(method=name, scores=tuple(found[name])) for name in names)


def unseen(given: Observations, predictor: TextPredictor) -> Observations:
    """The observations of prompts that a predictor was not trained on."""
    known = np.isin(fingerprints(given.prompts), predictor.seen)
    return given.of_prompts(np.flatnonzero(~known))


def _constant(part: _Split) -> LengthQuantiles:
    maps = fit_maps(part.train, np.zeros(len(part.train)))
    return maps.without_text(part.test.model)


def _rows(
    part: _Split,
    constant: LengthQuantiles,
    reader: Reader | None,
    shipped: TextPredictor | None,
    priors: tuple[Line | None, Line | None],
) -> Iterator[tuple[Name, LengthQuantiles]]:
    """What each method says of the test observations."""
    model, prompt = part.test.model, part.test.prompt
    encoded = 0 if reader is None else 2 * reader.width
    yield "constant", constant
    if shipped is not None:
        first = encoded if shipped.reader is None else 0
        inner = shipped.verbosity_of(part.train_table[:, first:])
        outer = shipped.verbosity_of(part.test_table[:, first:])
        every = np.arange(len(part.train.models))
        yield "shipped", _few_shot(part, shipped.maps, inner, outer, every)
    few = part.train_table[:, encoded:]
    plain = train(part.train, "lexical", table=few, prior=priors[0]).predictor
    said = plain.verbosity_of(part.test_table[:, encoded:])
    yield "lexical", plain.maps(said[prompt], model)
    if reader is None:
        return
    yield "ridge-models", _ridge_models(part, encoded)
    prior = priors[1]
    ridge = train(part.train, "minilm", reader=reader, table=part.train_table, prior=prior)
    said = ridge.predictor.verbosity_of(part.test_table)
    yield "universal", ridge.predictor.maps(said[prompt], model)
    if len(part.train.models) > 1:
        yield "universal-new", _new_models(part, reader, prior)
    view = las_view(part.train_table, reader.width, prior)
    other = las_view(part.test_table, reader.width, prior)
    yield "las-models", _las_models(part, reader.width, view, other)
    trained = train_las(part.train, view, reader.width, seed=part.seed)
    alone = trained.head(other)
    maps = fit_maps(part.train, trained.left_out[part.train.prompt])
    yield "las-universal", maps(alone[prompt], model)
    both = 0.5 * (ridge.left_out + trained.left_out)
    maps = fit_maps(part.train, both[part.train.prompt])
    yield "las", maps((0.5 * (said + alone))[prompt], model)


def _ridge_models(part: _Split, encoded: int) -> LengthQuantiles:
    """A ridge per model on encoder features alone; missing answers take the prompt's mean."""
    given = part.train
    scores, _, _ = standardise(given)
    label, _ = verbosity(given)
    target = np.repeat(label[:, None], len(given.models), axis=1)
    target[given.prompt, given.model] = np.clip(scores, -4.0, 4.0)
    scaling = fit_scaling([part.train_table[:, :encoded]], [1.0])
    found = fit_ridge(scaling(part.train_table[:, :encoded]), target)
    said = scaling(part.test_table[:, :encoded]) @ found.weights + found.bias
    maps = fit_maps(given, found.left_out[given.prompt, given.model])
    return maps(said[part.test.prompt, part.test.model], part.test.model)


def _las_models(part: _Split, width: int, view: FloatArray, other: FloatArray) -> LengthQuantiles:
    """LAS with a quantile head per model; each level is shifted to its coverage (conformal)."""
    given, test = part.train, part.test
    trained = train_las(given, view, width, form="models", seed=part.seed)
    own = trained.left_out[given.prompt, given.model]
    said = trained.head(other)[test.prompt, test.model]
    scores, mean, spread = standardise(given)
    shift = np.array([np.quantile(scores - own[:, k], q) for k, q in enumerate(LEVELS)])
    logs = mean[test.model][:, None] + spread[test.model][:, None] * (said + shift)
    logs = np.maximum.accumulate(logs, axis=1)
    return LengthQuantiles(tokens=np.maximum(np.expm1(logs), 0.0))


def _few_shot(
    part: _Split, maps: Maps, inner: FloatArray, outer: FloatArray, models: IntArray
) -> LengthQuantiles:
    """Maps of ``models`` adapted to the first few training observations of each.

    Parameters
    ----------
    inner, outer : verbosity of the training and of the test prompts.
    """
    given, test = part.train, part.test
    rng = np.random.default_rng(part.seed)
    tables = np.repeat(maps.tables[-1:], len(given.models), axis=0)
    for m in models.tolist():
        own = rng.permutation(np.flatnonzero(given.model == m))[:FEW]
        tables[m] = adapt(maps, inner[given.prompt[own]], given.tokens[own])
    return _with_tables(maps, given.models, tables)(outer[test.prompt], test.model)


def _new_models(part: _Split, reader: Reader, prior: Line | None) -> LengthQuantiles:
    """Each half of the models by a predictor trained on the other half alone."""
    models = np.random.default_rng(part.seed).permutation(len(part.train.models))
    said = np.zeros((len(part.test), len(LEVELS)))
    for new in (models[::2], models[1::2]):
        seen = part.train.of_models(np.setdiff1d(models, new))
        fitted = train(seen, "minilm", reader=reader, table=part.train_table, prior=prior)
        outer = fitted.predictor.verbosity_of(part.test_table)
        rows = np.isin(part.test.model, new)
        maps = fitted.predictor.maps
        said[rows] = _few_shot(part, maps, fitted.left_out, outer, new).tokens[rows]
    return LengthQuantiles(tokens=said)


def _with_tables(maps: Maps, models: Sequence[str], tables: FloatArray) -> Maps:
    count: IntArray = np.zeros(len(models), dtype=np.int64)
    place: FloatArray = tables[:, :, _MEDIAN].mean(axis=1)
    return Maps(
        models=tuple(models),
        edges=maps.edges,
        centres=maps.centres,
        pooled=maps.pooled,
        place=place,
        spread=np.repeat(maps.spread[-1], len(models)),
        tables=tables,
        constant=tables.mean(axis=1),
        count=count,
    )
