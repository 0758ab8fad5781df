"""Quantiles of one model from a handful of its answers: its own, steadied by those of its peers.

The largest of 30 answers overflows in 3 % of the next ones but costs dearly where one of the 30
was a runaway; a share of what the peers' shape says makes it cheaper without more overflow. All
on the scale of log lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.content import FloatArray
from .distribution import LEVELS, safe_quantiles

#: Answers at which a model's own spread counts as much as that of its peers, and its own place:
#: models of another kind, or tokens of another size, lie further apart than they differ in spread.
TRUST_MODEL, TRUST_PLACE = 4.0, 1.0
#: Answers at which its own quantiles count as much as the shape of its peers'.
TRUST_SHAPE = 5.0
#: What the text does to a new model's lengths, relative to what it does to its peers': deviation of
#: that from 1 before anything is seen, and the most that is believed.
TEXT_DEVIATION, TEXT_MOST = 0.5, 2.0
#: So many answers of one length are no chance.
SAME = 3
#: Levels of a reservation: on average never above what the model's own answers say without text.
CAPPED = (0.9, 0.95)
#: Log length beyond which nothing is predicted: ten million tokens.
LONGEST = float(np.log1p(1e7))
_MEDIAN = LEVELS.index(0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """What other models say of one that is hardly known.

    Attributes
    ----------
    place, width : mean and spread of the log lengths of the average model.
    pooled : (B, K) standardised quantiles over all models per bin of the verbosity.
    """

    place: float
    width: float
    pooled: FloatArray

    def table(self, logs: FloatArray, at: FloatArray) -> FloatArray:
        """(B, K) quantiles of a model that gave these answers.

        Parameters
        ----------
        at : (n, K) ``pooled`` as it is at the verbosity of each answer's prompt.
        """
        level = self.pooled.mean(axis=0)
        # A model whose lengths spread more is moved more by the text.
        scale = drawn(len(logs), width_of(logs), self.width, TRUST_MODEL)
        said = scale * (at - level)
        usual = self.place + self.width * level
        found, share = learnt(logs, said, usual, np.array(LEVELS))
        return monotone(found + share * scale * (self.pooled - level))


def learnt(
    logs: FloatArray, said: FloatArray, usual: FloatArray, levels: FloatArray
) -> tuple[FloatArray, float]:
    """(K,) quantiles where the text says nothing, and the share of what it says that holds.

    Parameters
    ----------
    said : (n, K) by how much the text of each answer's prompt moves the quantiles.
    usual : (K,) quantiles that are expected before anything is seen: their shape is the peers'.
    levels : (K,) those that are looked up among the model's own answers.
    """
    n = len(logs)
    share = _text_share(logs, said[:, _MEDIAN])
    rest = logs[:, None] - share * said
    unit = residual_spread(usual[None])
    middle = rest[:, _MEDIAN]
    width = drawn(n, width_of(middle), unit, TRUST_MODEL) * wider(n) * (1.0 + 1.0 / n)
    place = drawn(n, float(np.median(middle)), float(usual[_MEDIAN]), TRUST_PLACE)
    return steadied(rest, place + width / unit * (usual - usual[_MEDIAN]), levels), share


def steadied(rest: FloatArray, peers: FloatArray, levels: FloatArray) -> FloatArray:
    """(K,) quantiles of (n, K) residuals, one column per level, drawn to those of the peers.

    A level that n answers cannot tell (rank ceil((n + 1) q) is none of theirs) takes the largest
    of what can be said.
    """
    n = len(rest)
    own, share = plotted(rest, levels), n / (n + TRUST_SHAPE)
    mixed = share * own + (1.0 - share) * peers
    largest: FloatArray = np.maximum(np.maximum(own, peers), mixed)
    # Several answers of one length, such as a limit: just below it all of them would be too long.
    same = (np.abs(rest - own) < 1e-9).sum(axis=0) >= SAME
    mixed = np.where(same, np.maximum(mixed, own), mixed)
    return np.where(told(n, levels), mixed, largest)


def plotted(rest: FloatArray, levels: FloatArray) -> FloatArray:
    """(K,) quantile of each column at its own level, at rank n q + (q + 1) / 3, interpolated.

    In the median neither too high nor too low, whatever the distribution (Hyndman and Fan 1996, 8).
    """
    ordered = np.sort(rest, axis=0)
    n = len(ordered)
    rank = np.clip(n * levels + (levels + 1.0) / 3.0 - 1.0, 0.0, n - 1.0)
    low = rank.astype(np.int64)
    high, part, column = np.minimum(low + 1, n - 1), rank - low, np.arange(rest.shape[1])
    found: FloatArray = (1 - part) * ordered[low, column] + part * ordered[high, column]
    return found


def told(count: int, levels: ArrayLike) -> NDArray[np.bool_]:
    """Whether so many answers are enough for a quantile of theirs to hold for the next one."""
    found: NDArray[np.bool_] = np.asarray(levels) * (count + 1) <= count + 1e-9
    return found


def drawn(count: int, own: float, peers: float, trust: float) -> float:
    """A figure of ``count`` answers, drawn to that of the peers."""
    weight = count / (count + trust)
    return weight * own + (1.0 - weight) * peers


def width_of(logs: FloatArray) -> float:
    """Spread: half the standard deviation, half of what the middle two thirds say of it."""
    if len(logs) < 2:
        return 0.0
    low, high = np.quantile(logs, [0.16, 0.84], method="weibull")
    return float(0.5 * np.std(logs, ddof=1) + 0.25 * (high - low))


def residual_spread(pooled: FloatArray) -> float:
    """Half the distance from the 10 % to the 90 % quantile, in units of a normal deviation."""
    low, high = LEVELS.index(0.1), LEVELS.index(0.9)
    return max(float((pooled[:, high] - pooled[:, low]).mean()) / 2.563, 1e-3)


def wider(count: ArrayLike) -> FloatArray:
    """The place of a model is itself uncertain: a wider table until enough is seen."""
    found: FloatArray = np.sqrt(1.0 + 1.0 / (np.asarray(count, dtype=np.float64) + TRUST_MODEL))
    return found


def monotone(table: FloatArray) -> FloatArray:
    """Not decreasing along the bins nor along the levels.

    The running maximum errs on the safe side.
    """
    found: FloatArray = np.maximum.accumulate(np.maximum.accumulate(table, axis=1), axis=0)
    return found


def _text_share(logs: FloatArray, said: FloatArray) -> float:
    """Slope of answers on what the text says of them, from a normal prior around 1.

    With few answers, or where the text says the same of all, the prior stays; where it says
    nothing of these answers the slope goes to 0. Runaways count as two deviations.
    """
    off = logs - np.median(logs)
    reach = 2.0 * max(1.4826 * float(np.median(np.abs(off))), 0.05)
    off = np.clip(off, -reach, reach)
    off, said = off - off.mean(), said - said.mean()
    noise = max(float(np.mean(off**2)), 0.01)
    prior = noise / TEXT_DEVIATION**2
    return float(np.clip((prior + said @ off) / (prior + said @ said), 0.0, TEXT_MOST))


def capped(found: FloatArray, seen: FloatArray, logs: FloatArray, levels: FloatArray) -> FloatArray:
    """(..., K) quantiles whose reservations are on average at most those of the constant.

    Only at levels that so many answers can tell: there the constant holds for the next answer.

    Parameters
    ----------
    seen : (n, K) the same quantiles for each of the answers seen, whose log lengths are ``logs``.
    """
    mean = np.log(np.exp(np.minimum(seen, LONGEST)).mean(axis=0))
    where = np.isin(LEVELS, CAPPED) & told(len(logs), levels)
    above = np.where(where, np.maximum(mean - safe_quantiles(logs, levels), 0.0), 0.0)
    found = found - above
    # Those below give way: a running maximum would lift what was just lowered.
    last = LEVELS.index(CAPPED[-1]) + 1
    low = np.minimum.accumulate(found[..., last - 1 :: -1], axis=-1)[..., ::-1]
    return np.concatenate([low, np.maximum(found[..., last:], low[..., -1:])], axis=-1)
