"""Lengths of the answers that a live client saw, and what it expects of the next one.

A client sees no token counts but those of the steps that it takes: a step of several tokens is a
prompt, each one of a single token after it took one more token of the answer. Drafts are told
beside. Plain Python, no hivemind.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import CalibrationError
from ..perfmodel.length.online import OnlineQuantiles
from ..perfmodel.length.online_files import read_online, write_online

logger = logging.getLogger(__name__)


class Tally:
    """Output tokens of the answers of one session, from the sizes of its steps.

    An answer that ended at the session's limit counts as long as it got.

    Attributes
    ----------
    drafts : tokens of the next step that are only guessed.
    """

    def __init__(self) -> None:
        self._answers: list[int] = []
        self.drafts = 0

    def gained(self, tokens: int) -> None:
        """The last step made so many tokens beyond the one of every step."""
        self._answers[-1] += tokens

    def step(self, tokens: int) -> None:
        """A step of so many tokens went through."""
        tokens, self.drafts = tokens - self.drafts, 0
        if tokens > 1 or not self._answers:
            self._answers.append(1)
        else:
            self._answers[-1] += 1

    @property
    def answers(self) -> tuple[int, ...]:
        """Output tokens of each answer so far; the last may be going on."""
        return tuple(self._answers)


def counted(step: Callable[..., Any], tally: Tally) -> Callable[..., Any]:
    """The ``step`` of an inference session, its tokens counted when it succeeded."""

    def stepping(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        out = step(inputs, *args, **kwargs)
        tally.step(int(inputs.shape[1]))
        return out

    return stepping


class AnswerLengths:
    """Online quantiles of one model's answers, shared by all sessions of a client.

    Parameters
    ----------
    model : its name in the quantiles: the prefix of the swarm.
    given : the quantiles, or their file, which is begun if it is not there and kept up to date.

    Raises
    ------
    CalibrationError
        If the file is there and cannot be used.
    """

    def __init__(self, model: str, given: OnlineQuantiles | str | Path) -> None:
        self._model = model
        self._path = None if isinstance(given, OnlineQuantiles) else Path(given)
        self._lock = threading.Lock()
        if isinstance(given, OnlineQuantiles):
            self._online = given
        else:
            path = Path(given)
            self._online = read_online(path) if path.exists() else OnlineQuantiles()

    def finished(self, answers: tuple[int, ...]) -> None:
        """Learn the answers of a session that ended well."""
        with self._lock:
            for tokens in answers:
                self._online.observe(self._model, tokens)
            if self._path is None or not answers:
                return
            try:
                write_online(self._online, self._path)
            except CalibrationError as error:
                logger.warning("lengths of answers are not kept: %s", error)

    def expected(self, most: int) -> int | None:
        """Output tokens to expect where ``most`` are allowed; None before any answer was seen."""
        with self._lock:
            if not self._online.count(self._model):
                return None
            said = self._online.predict(self._model)
        return int(np.clip(np.rint(said.mean()[0]), 1, max(1, most)))

    def reserved(self, most: int, quantile: float) -> int:
        """Output tokens to reserve where ``most`` are allowed; all of them before any answer."""
        with self._lock:
            if not self._online.count(self._model):
                return most
            said = self._online.predict(self._model)
        return min(most, int(said.whole(quantile)[0]))
