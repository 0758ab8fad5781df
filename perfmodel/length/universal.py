"""Universal verbosity: one figure per prompt, and per model a monotone map from it to lengths.

How long an answer gets is, up to a map of each model, a property of the prompt: averaged over
models the label is nearly free of noise. A model that is served for the first time needs only
the two figures of its map (where its lengths lie and how far they spread); with more observations
its own table takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from .dataset import Observations
from .distribution import LEVELS, LengthQuantiles, safe_quantiles
from .few import LONGEST, TRUST_MODEL, Peers, capped, monotone, plotted, told, wider

#: Bins of the verbosity; fewer when observations are few.
BINS = 8
#: Observations in a bin at which a model's own quantiles count as much as the pooled ones.
TRUST = 60.0
#: Observations from which on a model's own quantiles stand for themselves.
ENOUGH = 20


def standardise(given: Observations) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log lengths per observation relative to their model, and each model's mean and spread.

    Both are drawn to the average model's where a model has few observations.
    """
    mean, spread, _, _ = _places(given)
    return (given.log_lengths() - mean[given.model]) / spread[given.model], mean, spread


def _places(given: Observations) -> tuple[FloatArray, FloatArray, float, float]:
    """Mean and spread of each model's log lengths, and those of the average model."""
    logs, model = given.log_lengths(), given.model
    size = len(given.models)
    count = np.bincount(model, minlength=size).astype(np.float64)
    total = np.bincount(model, logs, size)
    own = total / np.maximum(count, 1)
    squares: FloatArray = np.bincount(model, (logs - own[model]) ** 2, size).astype(np.float64)
    usable = (count > 1) & (squares > 1e-9)
    variance = squares[usable] / (count[usable] - 1)
    width = float(np.average(np.sqrt(variance), weights=count[usable])) if usable.any() else 1.0
    typical = float(own[count > 0].mean()) if len(logs) else 0.0
    mean, spread = _drawn(count, own, squares, typical, width)
    return mean, spread, typical, width


def _drawn(
    count: FloatArray, mean: FloatArray, squares: FloatArray, typical: float, width: float
) -> tuple[FloatArray, FloatArray]:
    """Mean and spread from ``count`` observations, drawn to the average model's.

    Parameters
    ----------
    squares : sum of the squared distances from the mean.
    """
    weight = count / (count + TRUST_MODEL)
    usable = (count > 1) & (squares > 1e-9)
    own = np.sqrt(np.where(usable, squares, 1.0) / np.maximum(count - 1, 1))
    spread: FloatArray = np.where(usable, weight * own + (1.0 - weight) * width, width)
    return weight * mean + (1.0 - weight) * typical, spread


def _left_out_scores(given: Observations) -> FloatArray:
    """(N,) standardised log lengths, each by its model's other observations alone.

    So that quantiles of them hold for the next answer of a model, be it seen often or rarely.
    """
    _, _, typical, width = _places(given)
    logs, model = given.log_lengths(), given.model
    size = len(given.models)
    count: FloatArray = np.bincount(model, minlength=size)[model].astype(np.float64)
    whole = np.bincount(model, logs, size)[model] / count
    squares = np.bincount(model, (logs - whole) ** 2, size)[model]
    rest = np.maximum(count - 1, 1)
    mean = whole - (logs - whole) / rest
    others: FloatArray = np.maximum(squares - (logs - whole) ** 2 * count / rest, 0.0)
    mean, spread = _drawn(count - 1, mean, others, typical, width)
    scores: FloatArray = (logs - mean) / (spread * wider(count - 1))
    return scores


def verbosity(given: Observations) -> tuple[FloatArray, FloatArray]:
    """Label and number of observations of each prompt: the mean standardised log length."""
    scores, _, _ = standardise(given)
    scores = np.clip(scores, -4.0, 4.0)
    size = len(given.prompts)
    count = np.bincount(given.prompt, minlength=size).astype(np.float64)
    label: FloatArray = np.bincount(given.prompt, scores, size) / np.maximum(count, 1.0)
    return label, count


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """From a verbosity to the quantiles of each model, as tables of log lengths.

    Attributes
    ----------
    edges : (B - 1,) inner edges of the bins of the verbosity; centres : (B,) mean in each bin.
        Between centres the tables are interpolated, beyond the outermost they are flat.
    pooled : (B, K) standardised log lengths over all models, monotone both ways.
    place, spread : (M,) of each model.
    tables : (M, B, K) log lengths of each model.
    constant : (M, K) log lengths of each model, whatever the prompt.
    count : (M,) observations behind them.
    """

    models: tuple[str, ...]
    edges: FloatArray
    centres: FloatArray
    pooled: FloatArray
    place: FloatArray
    spread: FloatArray
    tables: FloatArray
    constant: FloatArray
    count: IntArray

    def row(self, model: str) -> int:
        """Row of a model; a model never seen takes the last row, the average of all."""
        try:
            return self.models.index(model)
        except ValueError:
            return len(self.models)

    def __call__(self, verbosity: FloatArray, model: IntArray) -> LengthQuantiles:
        """Quantiles for (N,) verbosities and (N,) rows of models."""
        return LengthQuantiles(tokens=_tokens(self._between(verbosity, self.tables, model)))

    def _between(self, verbosity: FloatArray, tables: FloatArray, model: IntArray) -> FloatArray:
        right = np.clip(np.searchsorted(self.centres, verbosity), 1, max(1, len(self.centres) - 1))
        if len(self.centres) == 1:
            single: FloatArray = tables[model, 0]
            return single
        low, high = self.centres[right - 1], self.centres[right]
        share = np.clip((verbosity - low) / (high - low), 0.0, 1.0)[:, None]
        found: FloatArray = (1 - share) * tables[model, right - 1] + share * tables[model, right]
        return found

    def of_table(self, verbosity: FloatArray, table: FloatArray) -> LengthQuantiles:
        """Quantiles for (N,) verbosities by one model's (B, K) table of log lengths."""
        rows = np.zeros(len(verbosity), dtype=np.int64)
        return LengthQuantiles(tokens=_tokens(self._between(verbosity, table[None], rows)))

    def without_text(self, model: IntArray) -> LengthQuantiles:
        """The same when the prompt is not known."""
        return LengthQuantiles(tokens=_tokens(self.constant[model]))


def fit_maps(given: Observations, verbosity: FloatArray) -> Maps:
    """Maps of all models of ``given``, and one of an unknown model in the last row.

    Parameters
    ----------
    verbosity : (N,) per observation, predicted without that observation's prompt.
    """
    mean, spread, typical, width = _places(given)
    scores = _left_out_scores(given)
    bins_wanted = int(np.clip(len(np.unique(verbosity)) // 10, 1, BINS))
    edges = np.unique(np.quantile(verbosity, np.linspace(0, 1, bins_wanted + 1)[1:-1]))
    bins = np.searchsorted(edges, verbosity)
    pooled = np.array([safe_quantiles(scores[bins == b]) for b in range(len(edges) + 1)])
    pooled = monotone(pooled)
    logs = given.log_lengths()
    longest = float(logs.max()) if len(logs) else np.inf
    size = len(given.models)
    order = np.argsort(given.model, kind="stable")
    starts = np.searchsorted(given.model[order], np.arange(size + 1))
    tables, constants = [], []
    peers = Peers(place=typical, width=width, pooled=pooled)
    centres = np.array([verbosity[bins == b].mean() for b in range(len(edges) + 1)])
    for m in range(size):
        own = order[starts[m] : starts[m + 1]]
        average = np.minimum(mean[m] + spread[m] * wider(len(own)) * pooled, longest)
        table = average
        if len(own):
            table = _own_table(peers, centres, edges, verbosity[own], logs[own])
        tables.append(np.minimum(table, longest))
        constants.append(constant_of(average.mean(axis=0), logs[own]))
    stranger = typical + np.hypot(width, float(mean.std())) * pooled
    tables.append(stranger)
    constants.append(stranger.mean(axis=0))
    return Maps(
        models=given.models,
        edges=edges,
        centres=centres,
        pooled=pooled,
        place=np.append(mean, typical),
        spread=np.append(spread, width),
        tables=np.array(tables),
        constant=np.array(constants),
        count=np.append(np.diff(starts), 0),
    )


def constant_of(peers: FloatArray, logs: FloatArray) -> FloatArray:
    """Quantiles whatever the prompt: a model's own, mixed with its peers' where it has few."""
    if not len(logs):
        return peers
    weight = min(1.0, len(logs) / ENOUGH)
    return weight * safe_quantiles(logs) + (1.0 - weight) * peers


def _own_table(
    peers: Peers, centres: FloatArray, edges: FloatArray, verbosity: FloatArray, logs: FloatArray
) -> FloatArray:
    """(B, K) table of one model from its observations."""
    levels = np.array(LEVELS)
    table = peers.table(logs, between(centres, peers.pooled, verbosity))
    bins = np.searchsorted(edges, verbosity)
    full = [b for b in range(len(table)) if int((bins == b).sum()) >= ENOUGH]
    covered = levels.copy()
    for b in full:
        own = logs[bins == b]
        n = len(own)
        weight = n / (n + TRUST)
        table[b] = weight * safe_quantiles(own) + (1 - weight) * table[b]
        # Of the answers that it is a quantile of, it covers more than of the next ones.
        rank = np.minimum(np.ceil((n + 1) * levels - 1e-9), n)
        covered += n / len(logs) * weight * (rank / n - levels)
    if full:
        # The running maximum errs on the safe side in every bin: over all of them it adds up.
        table = monotone(table)
        rest = logs[:, None] - between(centres, table, verbosity)
        table += np.where(told(len(logs), levels), plotted(rest, covered), 0.0)
        table = monotone(table)
    return capped(table, between(centres, table, verbosity), logs, levels)


def adapt(maps: Maps, verbosity: FloatArray, tokens: IntArray) -> FloatArray:
    """(B, K) table of one model from few observations of it; the average model's from none."""
    logs = np.log1p(tokens.astype(np.float64))
    if not len(logs):
        stranger: FloatArray = maps.tables[-1]
        return stranger
    peers = Peers(place=float(maps.place[-1]), width=float(maps.spread[-1]), pooled=maps.pooled)
    return _own_table(peers, maps.centres, maps.edges, verbosity, logs)


def between(centres: FloatArray, table: FloatArray, verbosity: FloatArray) -> FloatArray:
    """(N, K) rows of a (B, K) table at verbosities, linear between the centres of the bins."""
    found = [np.interp(verbosity, centres, column) for column in table.T]
    return np.stack(found, axis=1)


def _tokens(logs: FloatArray) -> FloatArray:
    # Rounded, or a length that was observed could exceed itself by the last bit.
    tokens: FloatArray = np.expm1(np.clip(logs, 0.0, LONGEST))
    return tokens.round(6)
