"""PETALS' inference step, and beside it one of several sessions: block by block as one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from hivemind.utils import get_logger
from petals.server.backend import _MergedInferenceStep
from petals.utils.misc import is_dummy

from ...core.drafting import MOST_DRAFTS
from ..batching import Batching
from .batch_ways import tried
from .llama_step import Place, block_step, refusal

logger = get_logger(__name__)

#: Tokens of a step that looks at drafts: more are a prompt after others.
MOST_TOKENS = MOST_DRAFTS + 1
#: Passes that fail in a row until there are no more.
MOST_FAILED = 5
#: The arguments of a task: hidden states, order of beams, what of which block, prompts of each.
Task = Sequence[Any]
#: Hidden states after the last block, or what one session failed by.
Answer = Any


@dataclass(slots=True)
class Counts:
    """What came of the decode steps of this process; named as in ``Batching``."""

    steps: int = 0
    passes: int = 0
    joined: int = 0
    largest: int = 0
    fallbacks: int = 0

    def took(self, sessions: int) -> None:
        """A pass of so many sessions begins."""
        self.steps += sessions
        self.passes += 1
        self.joined += sessions if sessions > 1 else 0
        self.largest = max(self.largest, sessions)


class _Member(NamedTuple):
    """A session of a pass: which of its tasks, its rows, its cache by block."""

    task: int
    rows: range
    places: Mapping[str, Place]


class BatchedStep(_MergedInferenceStep):
    """The step of a server's blocks.

    A task that comes alone goes PETALS' own way. Blocks that are refused (``llama_step.refusal``)
    never take several sessions.
    """

    def __init__(self, backends: Mapping[str, Any]) -> None:
        super().__init__(backends)
        self.counts = Counts()
        self._failed = 0
        self.refused = {u: why for u, b in backends.items() if (why := refusal(b.module))}
        self._number = {uid: i for i, uid in enumerate(backends)}
        self._width = next(iter(backends.values())).config.hidden_size
        known = [b for uid, b in backends.items() if uid not in self.refused]
        self.ways = tried(known) if known else None

    @property
    def gave_up(self) -> bool:
        """Whether so many passes failed in a row that no more are tried."""
        return self._failed >= MOST_FAILED

    def told(self) -> Batching | None:
        """What the server announces of it, None where no block takes several sessions."""
        if self.ways is None or self.gave_up:
            return None
        counts = {name: getattr(self.counts, name) for name in Counts.__slots__}
        return Batching(curve=tuple((r, round(t, 3)) for r, t in self.ways.curve), **counts)

    def may_join(self, task: Task) -> bool:
        """Whether a task is a decode step that a pass of several sessions can take: of one token,
        or of one and the drafts after it.

        Whatever a client may send that would fail the pass is none: it fails alone.
        """
        hidden, hypo_ids, infos, *prompts = task
        if self.gave_up or hidden.ndim != 3 or not is_dummy(hypo_ids):
            return False
        sequences, tokens, width = hidden.shape
        most = MOST_TOKENS if infos[0].prefix_length > 0 else 1
        if sequences != 1 or width != self._width or not 0 < tokens <= most:
            return False
        if any(prompt is not None for prompt in prompts) or len(prompts) != len(infos):
            return False
        at = [self._number.get(info.uid, -1) for info in infos]
        return (
            at[0] >= 0
            and at == list(range(at[0], at[0] + len(at)))
            and not any(info.active_adapter or info.uid in self.refused for info in infos)
        )

    def together(self, tasks: Sequence[Task]) -> list[Answer]:
        """The answers of several tasks, each of another session and such that they may join.

        What fails for one session alone is its answer. Should the pass itself fail, all are done
        one by one: keys and values are written to their places again.
        """
        try:
            answers = self.run_pass(tasks)
        # Whatever it is, PETALS' own step may still work, and no session is to suffer from others.
        except Exception:
            self._failed += 1
            self.counts.fallbacks += len(tasks)
            logger.warning("a pass of %d sessions failed; one by one", len(tasks), exc_info=True)
            if self.gave_up:
                logger.warning("%d passes failed in a row: from now on all one by one", MOST_FAILED)
            return [self._alone(task) for task in tasks]
        self._failed = 0
        return answers

    def _alone(self, task: Task) -> Answer:
        try:
            return self(*task)[0]
        except Exception as error:  # goes to the client of this session
            return error

    def run_pass(self, tasks: Sequence[Task]) -> list[Answer]:
        """The pass. Spans of sessions may begin and end at any block."""
        with torch.inference_mode():
            return self._pass(tasks)

    def _pass(self, tasks: Sequence[Task]) -> list[Answer]:
        answers: list[Answer] = [None] * len(tasks)
        members: list[_Member] = []
        at = 0
        for i, (hidden, _hypo_ids, infos, *_prompts) in enumerate(tasks):
            try:
                caches = self._places(infos, hidden.shape[1])
            except (KeyError, ValueError) as error:
                answers[i] = error
                continue
            members.append(_Member(i, range(at, at + hidden.shape[1]), caches))
            at += hidden.shape[1]
        if not members:
            return answers
        hidden = torch.cat([tasks[m.task][0][0] for m in members])
        for uid in self._number:
            here = [m for m in members if uid in m.places]
            places = [m.places[uid] for m in here]
            if len(here) == len(members):
                hidden = self._run_block(uid, hidden, places)
            elif here:
                rows = [row for m in here for row in m.rows]
                hidden[rows] = self._run_block(uid, hidden[rows], places)
        for m in members:
            # A tensor of its own: it goes to another process through memory that both share.
            answers[m.task] = hidden[m.rows.start : m.rows.stop][None].clone()
        return answers

    def _run_block(self, uid: str, hidden: Any, places: Sequence[Place]) -> Any:
        (block,) = self.backends[uid].module.module_shards
        assert self.ways is not None
        # Adapters are refused, but layers that could have some want to be told so.
        with self.backends[uid]._peft_module.using_adapter(None):
            return block_step(block, hidden, places, self.ways.of(len(hidden)))

    def _places(self, infos: Sequence[Any], tokens: int) -> dict[str, Place]:
        """A session's caches by block.

        Raises
        ------
        KeyError
            If a cache is gone.
        ValueError
            If there is no room for so many more tokens, or not for one sequence.
        """
        places = {}
        for info in infos:
            with self.backends[info.uid].memory_cache.use_cache(*info.cache_handles) as tensors:
                keys, values = tensors
            if keys.shape[0] != 1:
                raise ValueError(f"one sequence for a cache of {keys.shape[0]}")
            if not 0 <= info.prefix_length <= keys.shape[-1] - tokens:
                text = f"no room for {tokens} after {info.prefix_length} tokens"
                raise ValueError(f"{text} in a cache of {keys.shape[-1]}")
            places[info.uid] = Place(keys, values, info.prefix_length, tokens)
        return places
