"""Learning from finished requests: quantiles per model, coverage watched and re-calibrated.

Plain numpy and no prompt text needed: the default of a router that has seen some requests. With
a text predictor beside it the same class corrects that predictor's place and coverage per model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.content import FloatArray
from .distribution import LEVELS, LengthQuantiles
from .few import capped, learnt

#: Finished requests of a model that are remembered.
WINDOW = 1_000
#: Recent requests that are compared with those before when looking for a drift.
RECENT = 60
#: A drift is called when recent and earlier lengths differ at this level (Kolmogorov-Smirnov).
ALARM = 1e-4
#: Step of the online conformal correction (Gibbs and Candes, arXiv 2106.00170).
STEP = 0.02
#: Quantiles of a model that nothing is known of.
UNKNOWN = np.log1p([16.0, 32.0, 80.0, 180.0, 340.0, 512.0, 640.0, 1024.0])
_MEDIAN = LEVELS.index(0.5)


@dataclass(slots=True, kw_only=True)
class ModelAnswers:
    """What is remembered of one model (mutable).

    Attributes
    ----------
    logs : log lengths, newest last.
    said : of each answer, the (K,) log quantiles that were expected without knowing the model.
    count : finished requests so far; drifts : how often the earlier ones were forgotten.
    hits : (K,) requests that each quantile covered.
    levels : (K,) the levels looked up so that the stated ones are covered.
    """

    logs: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    said: deque[FloatArray] = field(default_factory=lambda: deque(maxlen=WINDOW))
    count: int = 0
    drifts: int = 0
    hits: FloatArray = field(default_factory=lambda: np.zeros(len(LEVELS)))
    levels: FloatArray = field(default_factory=lambda: np.array(LEVELS))


class OnlineQuantiles:
    """Running quantiles of the output length per model.

    ``predict`` before a request, ``observe`` after it. A new model begins with what is usual and
    comes to its own quantiles within some ten answers (``few``). Where lengths change at once (a
    new version of the model, another system prompt) the earlier ones are forgotten; where coverage
    creeps away from its level, the level that is looked up is moved until it fits again.

    Parameters
    ----------
    known : what is remembered already, by model (``online_files.read_online``).
    """

    def __init__(self, known: Mapping[str, ModelAnswers] | None = None) -> None:
        self._models: dict[str, ModelAnswers] = dict(known or {})

    @property
    def known(self) -> Mapping[str, ModelAnswers]:
        """What is remembered, by model."""
        return self._models

    def predict(self, model: str, base: LengthQuantiles | None = None) -> LengthQuantiles:
        """Quantiles of the next request of a model, (1, K).

        Parameters
        ----------
        base : what a text predictor says of this very request; corrected by what was seen.
        """
        known = self._models.get(model)
        start: FloatArray = UNKNOWN if base is None else np.log1p(base.tokens[0])
        if known is None or not known.logs:
            return LengthQuantiles(tokens=np.expm1(start)[None])
        said = np.array(known.said)
        usual = said.mean(axis=0)
        seen, text = np.array(known.logs), said - usual
        found, share = learnt(seen, text, usual, known.levels)
        rows = np.maximum.accumulate(found + share * np.vstack([start - usual, text]), axis=1)
        logs = capped(rows[0], rows[1:], seen, known.levels)
        # Rounded, or a length that was observed could exceed itself by the last bit.
        return LengthQuantiles(tokens=np.maximum(np.expm1(logs), 0.0).round(6)[None])

    def predict_each(self, models: Sequence[str]) -> LengthQuantiles:
        """Quantiles of the next request of each of some models, (N, K)."""
        rows = [self.predict(name).tokens for name in models]
        return LengthQuantiles(tokens=np.concatenate([np.zeros((0, len(LEVELS))), *rows]))

    def observe(self, model: str, tokens: int, base: LengthQuantiles | None = None) -> bool:
        """Learn a finished request; whether a drift was found.

        Parameters
        ----------
        base : what the text predictor had said of it, if one is used.
        """
        known = self._models.setdefault(model, ModelAnswers())
        value = float(np.log1p(tokens))
        inside = value <= np.log1p(self.predict(model, base).tokens[0])
        known.count += 1
        known.hits = known.hits + inside
        if len(known.logs) >= RECENT:  # of fewer, coverage is mostly chance
            known.levels = np.clip(known.levels + STEP * (np.array(LEVELS) - inside), 0.001, 0.9999)
            known.levels = np.maximum.accumulate(known.levels)
        known.logs.append(value)
        known.said.append(UNKNOWN if base is None else np.log1p(base.tokens[0]))
        return self._drifted(known)

    def _drifted(self, known: ModelAnswers) -> bool:
        if known.count % (RECENT // 4) or len(known.logs) < 2 * RECENT:
            return False
        values = np.array(known.logs) - np.array(known.said)[:, _MEDIAN]
        early, late = values[:-RECENT], values[-RECENT:]
        if _same(early, late) >= ALARM:
            return False
        for _ in range(len(early)):
            known.logs.popleft()
            known.said.popleft()
        known.levels = np.array(LEVELS)
        known.drifts += 1
        return True

    def coverage(self, model: str) -> dict[float, float]:
        """Share of a model's finished requests that each quantile covered, by level."""
        known = self._models.get(model)
        if known is None or not known.count:
            return {}
        return dict(zip(LEVELS, (known.hits / known.count).tolist(), strict=True))

    def drifts(self, model: str) -> int:
        """How often the lengths of a model changed so much that the earlier were forgotten."""
        known = self._models.get(model)
        return 0 if known is None else known.drifts

    def count(self, model: str) -> int:
        """Finished requests of a model so far."""
        known = self._models.get(model)
        return 0 if known is None else known.count


def _same(early: FloatArray, late: FloatArray) -> float:
    """How likely samples of one distribution differ this much (two-sided Kolmogorov-Smirnov)."""
    both = np.sort(np.concatenate([early, late]))
    first = np.searchsorted(np.sort(early), both, side="right") / len(early)
    second = np.searchsorted(np.sort(late), both, side="right") / len(late)
    gap = float(np.abs(first - second).max())
    size = np.sqrt(len(early) * len(late) / (len(early) + len(late)))
    x = (size + 0.12 + 0.11 / size) * gap
    k = np.arange(1, 51)
    return float(np.clip(2.0 * np.sum((-1.0) ** (k - 1) * np.exp(-2.0 * (k * x) ** 2)), 0.0, 1.0))
