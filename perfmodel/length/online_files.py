"""Online quantiles as a file, so that the next session begins where the last one ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import CalibrationError
from . import sound
from .distribution import LEVELS
from .online import WINDOW, ModelAnswers, OnlineQuantiles
from .store import ONLINE, read_arrays, write_arrays

_K = len(LEVELS)
_NAMES = ("logs", "said", "remembered", "count", "drifts", "hits", "levels")
_MEND = "begin anew from the word online, or name another file"


def write_online(online: OnlineQuantiles, path: Path) -> None:
    """Write what is remembered of every model; the same memory gives the same bytes.

    Raises
    ------
    CalibrationError
        If the file cannot be written.
    """
    known = [online.known[name] for name in sorted(online.known)]
    empty = np.zeros((0, _K))
    arrays: dict[str, NDArray[Any]] = {
        "logs": np.array([value for m in known for value in m.logs], dtype=np.float64),
        "said": np.concatenate([empty, *(np.array(m.said).reshape(-1, _K) for m in known)]),
        "remembered": np.array([len(m.logs) for m in known], dtype=np.int64),
        "count": np.array([m.count for m in known], dtype=np.int64),
        "drifts": np.array([m.drifts for m in known], dtype=np.int64),
        "hits": np.array([m.hits for m in known]).reshape(-1, _K),
        "levels": np.array([m.levels for m in known]).reshape(-1, _K),
    }
    # Half a token does not matter, half the file does.
    arrays["said"] = arrays["said"].astype(np.float32)
    card = {"quantiles": list(LEVELS), "models": sorted(online.known)}
    write_arrays(path, arrays, card, ONLINE)


def read_online(path: Path) -> OnlineQuantiles:
    """Online quantiles out of a file of ``write_online``.

    Raises
    ------
    CalibrationError
        If the file is missing, is another one, or is damaged; the field is named.
    """
    arrays, card = read_arrays(path, ONLINE, mend=_MEND)
    try:
        return OnlineQuantiles(_known(arrays, card))
    except sound.Unsound as error:
        raise CalibrationError(f"{path}: {error}: {_MEND}") from error


def _known(arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any]) -> dict[str, ModelAnswers]:
    sound.levels({"levels": card.get("quantiles")})
    sound.nothing_else(arrays, *_NAMES)
    models = sound.names(card, "models")
    size = len(models)
    remembered = sound.wholes(arrays, "remembered", (size,))
    count = sound.wholes(arrays, "count", (size,))
    drifts = sound.wholes(arrays, "drifts", (size,))
    hits = sound.floats(arrays, "hits", (size, _K))
    levels = sound.rising("levels", sound.floats(arrays, "levels", (size, _K)))
    if levels.size and not (levels.min() > 0.0 and levels.max() < 1.0):
        raise sound.Unsound("levels must lie between 0 and 1")
    if size and int(remembered.max()) > WINDOW:
        raise sound.Unsound(f"remembered is above {WINDOW}")
    if (count < remembered).any() or (hits > count[:, None]).any() or (hits < 0).any():
        raise sound.Unsound("count is below what is remembered or covered")
    total = int(remembered.sum())
    logs = sound.floats(arrays, "logs", (total,))
    said = sound.rising("said", sound.floats(arrays, "said", (total, _K)))
    if total and float(min(logs.min(), said.min())) < 0.0:
        raise sound.Unsound("logs and said are logarithms of lengths: not below 0")
    ends = np.cumsum(remembered)
    return {
        name: ModelAnswers(
            logs=deque(logs[end - n : end].tolist(), maxlen=WINDOW),
            said=deque(said[end - n : end], maxlen=WINDOW),
            count=int(count[m]),
            drifts=int(drifts[m]),
            hits=hits[m].copy(),
            levels=levels[m].copy(),
        )
        for m, (name, n, end) in enumerate(
            zip(models, remembered.tolist(), ends.tolist(), strict=True)
        )
    }
