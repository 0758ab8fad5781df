"""Rounds of requests that start at given instants, in a client process (``swarm.drive``).

The job has ``rounds``: lists of requests with ``id``, ``at_s``, ``prompt``, ``new_tokens`` and
perhaps ``route``, and where they are drafted by the clock ``drafts`` of a pass and ``guesses``,
which are those; and ``go``: the path of a file that will hold the instant at which a round
begins, one file for each round, its number after a point. Every request runs in a thread of its
own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

_POLL_S = 0.02
#: Opens the session of a request.
Open = Callable[[Mapping[str, Any]], Any]
#: Reports an event.
Tell = Callable[..., None]


def run_rounds(
    model: Any, job: Mapping[str, Any], open_session: Open, tell: Tell, drafting: Any = None
) -> None:
    """All rounds, each when its file says so.

    Parameters
    ----------
    drafting : of ``speculate`` with a ``ClockDraft``, for requests that are drafted.
    """
    widest = max(len(requests) for requests in job["rounds"])
    with ThreadPoolExecutor(max(1, widest)) as pool:
        for number, requests in enumerate(job["rounds"]):
            begin_s = _awaited(Path(f"{job['go']}.{number}"))
            work = partial(_timed, model, drafting, begin_s, open_session, tell)
            list(pool.map(work, requests))
            tell("round", number=number)


def _awaited(path: Path) -> float:
    """The instant that a file names, as soon as it is there."""
    while not path.exists():
        time.sleep(_POLL_S)
    return float(path.read_text(encoding="utf-8"))


def _timed(
    model: Any,
    drafting: Any,
    begin_s: float,
    open_session: Open,
    tell: Tell,
    request: Mapping[str, Any],
) -> None:
    """Make the tokens of one request, and tell when each was there, from its due start on."""
    import torch

    due_s = begin_s + request["at_s"]
    time.sleep(max(0.0, due_s - time.time()))
    heard = _Heard(due_s)
    try:
        with torch.inference_mode(), open_session(request) as session:
            if request.get("drafts"):
                _draft(model, drafting, request, session, heard)
            else:
                _step(model, request, heard)
            chain = chain_of(session)
    # A client measures failures of any kind, also those of PETALS' bare ``Exception``.
    except Exception as error:
        tell("failed", id=request["id"], error=f"{type(error).__name__}: {error}")
        return
    tell("done", id=request["id"], tokens_s=heard.tokens_s, tokens=heard.tokens, chain=chain)


class _Heard:
    """The tokens of a request and when each was there; a streamer of ``generate``."""

    def __init__(self, due_s: float) -> None:
        self._due_s, self._begun = due_s, False
        self.tokens: list[int] = []
        self.tokens_s: list[float] = []

    def put(self, tokens: Any) -> None:
        """The prompt, then every token."""
        if self._begun:
            self.add(int(tokens))
        self._begun = True

    def add(self, token: int) -> None:
        """A token is there."""
        self.tokens_s.append(time.time() - self._due_s)
        self.tokens.append(token)

    def end(self) -> None:
        """The answer is over."""


def _step(model: Any, request: Mapping[str, Any], heard: _Heard) -> None:
    """Token by token."""
    import torch

    ids = torch.tensor([request["prompt"]])
    for _ in range(request["new_tokens"]):
        ids = model(ids).logits[:, -1:].argmax(-1)
        heard.add(int(ids))


def _draft(
    model: Any, drafting: Any, request: Mapping[str, Any], session: Any, heard: _Heard
) -> None:
    """Pass by pass; all requests of a round draft alike."""
    import torch

    drafting.live.wanted = request["drafts"]
    drafting.draft.know(request["prompt"], request["guesses"])
    ids, new = torch.tensor([request["prompt"]]), request["new_tokens"]
    options = {"do_sample": False, "session": session, "streamer": heard}
    model.generate(ids, max_new_tokens=new, **options)


def chain_of(session: Any) -> Any:
    """The chain that a session takes."""
    spans = [hop.span for hop in session._server_sessions]
    return [(span.peer_id.to_base58(), span.start, span.end) for span in spans]
