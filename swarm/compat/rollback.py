"""Sessions that take tokens back: what drafting needs of PETALS' client and server.

As shipped a session only goes forward. The client's half cuts its positions and the inputs that it
keeps for lost servers; the position travels behind an "@" of the step's id, which servers take for
an opaque text, so that messages that go forward are PETALS' own. The server's half moves nothing:
attention reads the tokens before a position, and the next write covers those behind it. A hop at a
server without that half is opened anew and given what is left.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from ..announce import ROLLBACK
from . import capabilities

_MARK = "@"
_POSITION = re.compile(r"[0-9]{1,9}")
#: Inside no length is too long: what is reserved is checked here.
_ENDLESS = sys.maxsize


def sessions_only_go_forward() -> bool:
    """Whether neither half has been put in."""
    from petals.client.inference_session import InferenceSession

    return not hasattr(InferenceSession, "rollback")


def take_back() -> None:
    """Both halves; a process uses the one of its side."""
    _mend_client()
    _mend_server()


def _mend_client() -> None:
    """``InferenceSession.rollback(position)``."""
    from petals.client.inference_session import InferenceSession, _ServerInferenceSession

    hop_step = _ServerInferenceSession.step

    def rollback(self: Any, position: int) -> None:
        """Forget all tokens from a position on; the next step goes on there."""
        if not 0 <= position <= self._position:
            raise ValueError(f"cannot go back to {position} of {self._position} tokens")
        if position == self._position:
            return
        self._position = position
        for i, hop in enumerate(self._server_sessions):
            hop.history = hop.history[:, :position]
            hop._position = position
            if capabilities.rolls_back(hop.span.server_info):
                hop._swarmplan_back = True
            else:
                _reopen(self, i)

    def placed_step(self: Any, *args: Any, step_id: str) -> Any:
        if getattr(self, "_swarmplan_back", False) and self.stepped:
            step_id = f"{step_id}{_MARK}{self._position}"
        outputs = hop_step(self, *args, step_id=step_id)
        self._swarmplan_back = False
        return outputs

    capabilities.read()
    InferenceSession.rollback = rollback
    _ServerInferenceSession.step = placed_step


def _reopen(session: Any, at: int) -> None:
    """A new session at the same server, to which the next step gives what the old one had."""
    old = session._server_sessions[at]
    session._exit_server_sessions([old])
    (new,) = session._enter_server_sessions([old.span])
    new.history, new._position = old.history, old._position
    # As for a session that replaces a failed one: the prefix goes with the new tokens.
    new._swarmplan_prefix = old._position
    new.next_session = old.next_session
    session._server_sessions[at] = new
    if at:
        session._server_sessions[at - 1].next_session = new


def _mend_server() -> None:
    """Let the loop over a session's steps obey positions."""
    from petals.server import handler

    iterate = handler.iterate_rpc_inference

    async def iterate_rpc_inference(
        requested_uids: Any,
        requested_backends: Sequence[Any],
        active_adapter: Any,
        input_iterator: AsyncIterator[tuple[Any, dict[str, Any]]],
        cache_handles: Any,
        *,
        max_length: int,
        points: float,
        **rest: Any,
    ) -> AsyncIterator[tuple[Sequence[Any], bool]]:
        book = _Book(max_length)
        steps = iterate(
            requested_uids,
            tuple(_Backend(backend, book) for backend in requested_backends),
            active_adapter,
            _placed(input_iterator, book),
            cache_handles,
            max_length=_ENDLESS,
            # PETALS spreads them over the length that it knows.
            points=points * (_ENDLESS / max_length) if max_length > 0 else 0.0,
            **rest,
        )
        async with aclosing(steps):
            async for outputs, can_push in steps:
                book.seen += int(outputs[0].size[1])
                yield outputs, can_push

    handler.iterate_rpc_inference = iterate_rpc_inference
    capabilities.announce(ROLLBACK, 1)


class _Book:
    """Where one session stands at a server.

    Attributes
    ----------
    seen : tokens that ever came, as PETALS' loop counts them.
    shift : those of them that were taken back.
    """

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self.seen = self.shift = 0

    def go_to(self, position: str) -> None:
        """The next step begins at a position, in digits.

        Raises
        ------
        ValueError
            If it is none, or lies behind the tokens that are there.
        """
        there = self.seen - self.shift
        if not _POSITION.fullmatch(position) or int(position) > there:
            shown = "".join(c if c.isprintable() else "?" for c in position[:20])
            raise ValueError(f"cannot go back to position {shown!r} of {there} tokens")
        self.shift = self.seen - int(position)

    def place(self, prefix: int, tokens: int) -> int:
        """The true position of a step that PETALS' loop takes to begin at ``prefix``.

        Raises
        ------
        ValueError
            If the step does not fit into what the session reserved.
        """
        position = prefix - self.shift
        if position + tokens > self._max_length:
            raise ValueError(
                f"Maximum length exceeded: prefix {position} + current {tokens}"
                f" exceeds pre-allocated maximum {self._max_length}"
            )
        return position


async def _placed(
    steps: AsyncIterator[tuple[Any, dict[str, Any]]], book: _Book
) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
    async for request, metadata in steps:
        step_id = metadata.get("step_id")
        if isinstance(step_id, str) and _MARK in step_id:
            book.go_to(step_id.split(_MARK, 1)[1])
        yield request, metadata


class _Backend:
    """A block as a session that may have gone back sees it."""

    def __init__(self, backend: Any, book: _Book) -> None:
        self._backend = backend
        self.inference_pool = _Pool(backend.inference_pool, book)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _Pool:
    """A pool whose tasks are put where they belong."""

    def __init__(self, pool: Any, book: _Book) -> None:
        self._pool, self._book = pool, book

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def submit_task(
        self, hidden: Any, hypo_ids: Any, infos: Sequence[Any], *prompts: Any, **options: Any
    ) -> Any:
        at = self._book.place(infos[0].prefix_length, int(hidden.shape[1]))
        placed = tuple(replace(info, prefix_length=at) for info in infos)
        return self._pool.submit_task(hidden, hypo_ids, placed, *prompts, **options)
