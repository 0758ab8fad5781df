"""Rounds of requests that start at given instants, in a client process (``swarm.drive``).

The job has ``rounds``: lists of requests with ``id``, ``at_s``, ``prompt``, ``new_tokens`` and
perhaps ``route``; and ``go``: the path of a file that will hold the instant at which a round
begins, one file for each round, its number after a point. Every request runs in a thread of its
own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_POLL_S = 0.02
#: Opens the session of a request.
Open = Callable[[Mapping[str, Any]], Any]
#: Reports an event.
Tell = Callable[..., None]


def run_rounds(model: Any, job: Mapping[str, Any], open_session: Open, tell: Tell) -> None:
    """All rounds, each when its file says so."""
    widest = max(len(requests) for requests in job["rounds"])
    with ThreadPoolExecutor(max(1, widest)) as pool:
        for number, requests in enumerate(job["rounds"]):
            begin_s = _awaited(Path(f"{job['go']}.{number}"))
            list(pool.map(lambda r, b=begin_s: _timed(model, r, b, open_session, tell), requests))
            tell("round", number=number)


def _awaited(path: Path) -> float:
    """The instant that a file names, as soon as it is there."""
    while not path.exists():
        time.sleep(_POLL_S)
    return float(path.read_text(encoding="utf-8"))


def _timed(
    model: Any, request: Mapping[str, Any], begin_s: float, open_session: Open, tell: Tell
) -> None:
    """Make the tokens of one request, and tell when each was there, from its due start on."""
    import torch

    due_s = begin_s + request["at_s"]
    ids = torch.tensor([request["prompt"]])
    time.sleep(max(0.0, due_s - time.time()))
    tokens_s, tokens = [], []
    try:
        with torch.inference_mode(), open_session(request) as session:
            for _ in range(request["new_tokens"]):
                ids = model(ids).logits[:, -1:].argmax(-1)
                tokens_s.append(time.time() - due_s)
                tokens.append(int(ids))
            chain = chain_of(session)
    # A client measures failures of any kind, also those of PETALS' bare ``Exception``.
    except Exception as error:
        tell("failed", id=request["id"], error=f"{type(error).__name__}: {error}")
        return
    tell("done", id=request["id"], tokens_s=tokens_s, tokens=tokens, chain=chain)


def chain_of(session: Any) -> Any:
    """The chain that a session takes."""
    spans = [hop.span for hop in session._server_sessions]
    return [(span.peer_id.to_base58(), span.start, span.end) for span in spans]
