"""What finished answers teach a predictor that was trained before: maps of models, nothing else.

The order of prompts by their verbosity stays what training found; a model that training did not
see gets its map from its own answers, and one that it saw is moved by them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...core.content import FloatArray, IntArray
from .dataset import Finished, Observations
from .distribution import LEVELS
from .few import LONGEST, monotone, plotted, told
from .online import OnlineQuantiles
from .predictor import TextPredictor
from .universal import Maps, adapt, between, constant_of

#: Answers of a model that are remembered, the newest.
WINDOW = 1_000
_MEDIAN = LEVELS.index(0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an update changed for one model.

    Attributes
    ----------
    new : answers of this update; known : all that stand behind its quantiles now.
    before, after : (K,) tokens, over the prompts of this update.
    """

    model: str
    new: int
    known: int
    before: FloatArray
    after: FloatArray


def update(
    predictor: TextPredictor, given: Observations
) -> tuple[TextPredictor, tuple[Change, ...]]:
    """The predictor with the maps that it has after these answers, and what changed per model."""
    verbosity = predictor.fair_verbosity(given.prompts)[given.prompt]
    maps, finished = predictor.maps, predictor.finished
    changes = []
    for m, name in enumerate(given.models):
        own = np.flatnonzero(given.model == m)
        u, tokens = verbosity[own], given.tokens[own]
        before = maps(u, np.full(len(own), maps.row(name))).tokens.mean(axis=0)
        maps, finished = _learnt(maps, finished, name, u, tokens)
        row = maps.row(name)
        changes.append(
            Change(
                model=name,
                new=len(own),
                known=int(maps.count[row]),
                before=before,
                after=maps(u, np.full(len(own), row)).tokens.mean(axis=0),
            )
        )
    return replace(predictor, maps=maps, finished=finished), tuple(changes)


def update_online(online: OnlineQuantiles, given: Observations) -> tuple[Change, ...]:
    """Let online quantiles observe answers in their order; what changed per model."""
    before = {name: online.predict(name).tokens[0] for name in given.models}
    for m, tokens in zip(given.model.tolist(), given.tokens.tolist(), strict=True):
        online.observe(given.models[m], tokens)
    new = np.bincount(given.model, minlength=len(given.models)).tolist()
    return tuple(
        Change(
            model=name,
            new=n,
            known=online.count(name),
            before=before[name],
            after=online.predict(name).tokens[0],
        )
        for name, n in zip(given.models, new, strict=True)
    )


def _learnt(
    maps: Maps, finished: Finished, name: str, verbosity: FloatArray, tokens: IntArray
) -> tuple[Maps, Finished]:
    row = maps.row(name)
    kept = finished.model == row
    if row < len(maps.models) and not kept.any() and maps.count[row]:
        return _moved(maps, row, verbosity, tokens), finished
    if row == len(maps.models):
        maps = _with_row(maps, name)
    rest = ~kept
    u = np.append(finished.verbosity[kept], verbosity)[-WINDOW:]
    y = np.append(finished.tokens[kept], tokens)[-WINDOW:]
    finished = Finished(
        model=np.append(finished.model[rest], np.full(len(y), row)),
        verbosity=np.append(finished.verbosity[rest], u),
        tokens=np.append(finished.tokens[rest], y),
    )
    table = np.minimum(adapt(maps, u, y), LONGEST)
    constant = constant_of(table.mean(axis=0), np.log1p(y.astype(np.float64)))
    return _set(maps, row, table, constant, len(y)), finished


def _moved(maps: Maps, row: int, verbosity: FloatArray, tokens: IntArray) -> Maps:
    """A model of the training, its quantiles moved as if training had seen these answers too."""
    logs = np.log1p(tokens.astype(np.float64))
    n, known = len(logs), int(maps.count[row])
    off = logs[:, None] - between(maps.centres, maps.tables[row], verbosity)
    weight = n / (n + known)
    table = monotone(maps.tables[row] + weight * _shift(off))
    constant = maps.constant[row] + weight * _shift(logs[:, None] - maps.constant[row])
    return _set(maps, row, table, np.maximum.accumulate(constant), n + known)


def _shift(off: FloatArray) -> FloatArray:
    """(K,) by how much each quantile is off; the median's where answers are too few to tell."""
    found = plotted(off, np.array(LEVELS))
    return np.where(told(len(off), LEVELS), found, found[_MEDIAN])


def _with_row(maps: Maps, name: str) -> Maps:
    """One more model, before the last row, which is that of a model never seen."""

    def longer(values: FloatArray) -> FloatArray:
        return np.concatenate([values[:-1], values[-1:], values[-1:]])

    return replace(
        maps,
        models=(*maps.models, name),
        place=longer(maps.place),
        spread=longer(maps.spread),
        tables=longer(maps.tables),
        constant=longer(maps.constant),
        count=np.concatenate([maps.count[:-1], [0], maps.count[-1:]]),
    )


def _set(maps: Maps, row: int, table: FloatArray, constant: FloatArray, count: int) -> Maps:
    tables, constants, counts = maps.tables.copy(), maps.constant.copy(), maps.count.copy()
    tables[row], constants[row], counts[row] = table, constant, count
    place = maps.place.copy()
    place[row] = table[:, _MEDIAN].mean()
    return replace(maps, tables=tables, constant=constants, count=counts, place=place)
