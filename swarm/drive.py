"""A client process driven by a job file: ``python -m swarmplan.swarm.drive JOB.json``.

PETALS' client leaves threads and forked children behind, so whoever measures or tests runs it in
a process of its own. Every event is one JSON line on standard output:
``ready``, ``token`` (of a request made step by step), ``done`` and ``failed``.

The job: ``initial_peers``, ``prefix``, ``model``; ``config`` (keywords of PETALS' ClientConfig);
``routing`` = ``petals``, ``fixed`` or a table with the arguments of ``client.plan_requests``;
``requests``: each with ``id``, ``prompt``, ``new_tokens``, perhaps ``route`` and ``generate``;
``threads``; a request with ``steps`` in place of a prompt runs random hidden states; whatever the
job says, one with a ``route`` takes it, and one with ``routing`` = ``petals`` is routed by PETALS;
``draft``: a table with ``model``, ``tokens`` (``auto`` or a number) and perhaps ``believe`` (every
server is taken to be able to take tokens back), or ``draft_s`` in place of the model (one by the
clock, for rounds): those with ``draft`` are then generated so, drawn
where they have a table ``sample`` of options for ``generate``, and ``drafted`` tells in the end
what came of it;
``until``: a file at whose appearance the requests stop being repeated. A job with ``rounds`` starts
requests at given instants (``swarm.rounds``). One with ``observe_s`` makes no requests: it tells
every so many seconds who announces what (``spans``).
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from .compat import apply_remedies
from .rounds import chain_of, run_rounds

_lock = threading.Lock()


def tell(event: str, **fields: Any) -> None:
    """One JSON line, whole even when threads speak at once."""
    with _lock:
        sys.stdout.write(json.dumps({"event": event, "at_s": time.time(), **fields}) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Run the job and leave."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    code = 1
    try:
        _run(job)
        code = 0
    # Told like one that nobody catches: leaving would swallow it.
    except BaseException:
        traceback.print_exc()
    leave(code)


def leave(code: int) -> NoReturn:
    """End the process without PETALS' own clean-up, which may hang, and the children it forked."""
    sys.stdout.flush()
    sys.stderr.flush()
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(code)


def _run(job: dict[str, Any]) -> None:
    apply_remedies("client", skip=job.get("without_remedies", ()))
    if "observe_s" in job:
        _observe(job)
        return
    model = load_model(job)
    routing = None
    if isinstance(job["routing"], dict):
        from .client import plan_requests

        routing = plan_requests(model, **job["routing"])
        plan = routing.plan
        tell("plan", version=None if plan is None else plan.version)
    drafting = _drafting(model, job, routing)
    time.sleep(_warm_up_s(model, job))
    # What loading left behind is collected now: later it would hold up whatever is measured.
    gc.collect()
    gc.freeze()
    tell("ready")
    if "rounds" in job:
        telling = tell if routing is None else _telling_waits(routing)
        run_rounds(
            model, job, lambda request: _session(model, job, dict(request)), telling, drafting
        )
        return
    threads = job.get("threads", 1)
    # Not pool.map over the requests: it would draw all of an endless series at once.
    waiting = _Shared(_requests(job))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: _work(model, job, waiting), range(threads)))
    if drafting is not None:
        tell("drafted", **drafting.report().document())


def _drafting(model: Any, job: dict[str, Any], routing: Any) -> Any:
    """The drafting of this client's generations, None where it does not draft."""
    given = job.get("draft")
    if given is None:
        return None
    from .clock_draft import ClockDraft
    from .compat import capabilities
    from .speculate import speculate

    if given.get("believe"):
        # For those who measure what becomes of it.
        capabilities.rolls_back = lambda info: True
    draft_s = given.get("draft_s")
    by_clock = None if draft_s is None else ClockDraft(model.config.vocab_size, draft_s)
    return speculate(
        model,
        by_clock or given["model"],
        draft_tokens=given["tokens"],
        routing=routing,
        name=job["model"],
        on_pass=(lambda _: None) if by_clock else _tell_pass,
    )


#: The request that this thread is at.
_request: ContextVar[dict[str, Any]] = ContextVar("request")


def _tell_pass(made: Any) -> None:
    """What a pass of the present request made."""
    request = _request.get()
    if made.number == 0:
        tell("route", id=request["id"], chain=[made.chain])
    request["passes"].append([made.drafts, made.right, made.seconds])
    for _ in made.tokens:
        tell("token", id=request["id"], took_s=made.seconds)
    time.sleep(request.get("pause_s", 0.0))


def _drafted(model: Any, job: dict[str, Any], request: dict[str, Any]) -> None:
    """A whole answer by ``generate``, whose passes are told."""
    import torch

    request = {**request, "passes": []}
    prompt = torch.tensor([request["prompt"]])
    options = {"do_sample": False, **request.get("sample", {})}
    _request.set(request)
    started = time.perf_counter()
    with _session(model, job, request) as session:
        whole = model.generate(
            prompt, max_new_tokens=request["new_tokens"], session=session, **options
        )
        chains = _chains(session)
    tell(
        "done",
        id=request["id"],
        tokens=whole[0, prompt.shape[1] :].tolist(),
        passes=request["passes"],
        chains=chains,
        total_s=time.perf_counter() - started,
    )


def _telling_waits(routing: Any) -> Callable[..., None]:
    """Beside every event what the client knows of the waits at servers: as seen, as computed."""

    def telling(event: str, **fields: Any) -> None:
        tell(event, waits={peer: list(wait) for peer, wait in routing.waits().items()}, **fields)

    return telling


def _work(model: Any, job: dict[str, Any], requests: Iterator[dict[str, Any]]) -> None:
    for request in requests:
        _attempt(model, job, request)


class _Shared:
    """An iterator that several threads may draw from."""

    def __init__(self, items: Iterator[dict[str, Any]]) -> None:
        self._items = items
        self._drawing = threading.Lock()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        with self._drawing:
            return next(self._items)


def _warm_up_s(model: Any, job: dict[str, Any]) -> float:
    """Start the sequence manager, whose pings PETALS' routing needs, and give it time."""
    if "warm_up_s" not in job:
        return 0.0
    from .routes import make_ready

    make_ready(model.transformer.h.sequence_manager)
    return float(job["warm_up_s"])


def _observe(job: dict[str, Any]) -> None:
    from .announce import Warnings
    from .live_dht import connect, read_announcements

    dht = connect(job["initial_peers"])
    tell("ready")
    while not Path(job["until"]).exists():
        live = read_announcements(dht, job["prefix"], job["blocks"], Warnings())
        tell("spans", live={e.peer: [e.state, e.start, e.end] for e in live})
        time.sleep(job["observe_s"])


def _requests(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The requests once, or round after round until the stop file appears."""
    yield from job["requests"]
    if "until" not in job:
        return
    rounds = 1
    while not Path(job["until"]).exists():
        for request in job["requests"]:
            yield {**request, "id": f"{request['id']}/{rounds}"}
        rounds += 1


def load_model(job: dict[str, Any]) -> Any:
    """PETALS' distributed model; of a private swarm, in float32 on the CPU, where nothing else is
    said."""
    import torch
    from petals import AutoDistributedModelForCausalLM

    torch.set_num_threads(1)
    config = {"show_route": False, **job.get("config", {})}
    config |= {"dht_prefix": job["prefix"]} if "prefix" in job else {}
    config |= {"initial_peers": job["initial_peers"]} if "initial_peers" in job else {}
    dtype = job.get("dtype", "float32")
    return AutoDistributedModelForCausalLM.from_pretrained(
        job["model"],
        torch_dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        **config,
    )


def _attempt(model: Any, job: dict[str, Any], request: dict[str, Any]) -> None:
    if "until" in job and Path(job["until"]).exists():
        return
    try:
        _one(model, job, request)
    # A client measures failures of any kind, also those of PETALS' bare ``Exception``.
    except BaseException as error:
        tell("failed", id=request["id"], error=f"{type(error).__name__}: {error}")
        if not isinstance(error, Exception):
            raise


def _step_only(model: Any, job: dict[str, Any], request: dict[str, Any]) -> None:
    """Steps of one random hidden state along a chain, which may end before the last block."""
    import torch
    from petals.client.inference_session import InferenceSession

    from .routes import fixed_chain

    manager = model.transformer.h.sequence_manager
    chain = request["route"]
    end = chain[-1][2]
    piece = manager if end == len(manager) else _piece(manager, end)
    hidden = torch.randn(1, 1, job["hidden"])
    times = []
    with torch.inference_mode(), InferenceSession(fixed_chain(piece, chain), 128) as session:
        for _ in range(request["steps"]):
            before = time.perf_counter()
            session.step(hidden)
            times.append(time.perf_counter() - before)
    tell("done", id=request["id"], steps_s=times)


_pieces: dict[int, Any] = {}


def _piece(manager: Any, end: int) -> Any:
    """The manager of the first blocks, made once: each has a thread of its own."""
    if end not in _pieces:
        _pieces[end] = manager[0:end]
    return _pieces[end]


def _one(model: Any, job: dict[str, Any], request: dict[str, Any]) -> None:
    import torch

    if "steps" in request:
        _step_only(model, job, request)
        return
    if request.get("draft"):
        _drafted(model, job, request)
        return
    prompt = torch.tensor([request["prompt"]])
    started = time.perf_counter()
    if request.get("generate"):
        with torch.inference_mode():
            whole = model.generate(prompt, max_new_tokens=request["new_tokens"], do_sample=False)
        took = time.perf_counter() - started
        tell("done", id=request["id"], tokens=whole[0, prompt.shape[1] :].tolist(), total_s=took)
        return
    tokens, times = [], []
    with torch.inference_mode(), _session(model, job, request) as session:
        ids = prompt
        for k in range(request["new_tokens"]):
            before = time.perf_counter()
            ids = model(ids).logits[:, -1:].argmax(-1)
            times.append(time.perf_counter() - before)
            tokens.append(int(ids))
            if k == 0:
                tell("route", id=request["id"], chain=_chains(session)[-1:])
            tell("token", id=request["id"], k=k, took_s=times[-1])
            time.sleep(request.get("pause_s", 0.0))
        chains = _chains(session)
    tell("done", id=request["id"], tokens=tokens, steps_s=times, chains=chains)


def _chains(session: Any) -> list[Any]:
    """The chains it took so far, also those that PETALS chose."""
    known = getattr(session._sequence_manager, "chains", None)
    if known is not None:
        return list(known)
    return [chain_of(session)]


def _session(model: Any, job: dict[str, Any], request: dict[str, Any]) -> Any:
    length = len(request["prompt"]) + request["new_tokens"]
    if request.get("routing") == "petals":
        blocks = model.transformer.h
        return type(blocks).inference_session(blocks, max_length=length)
    if "route" not in request:
        return model.inference_session(max_length=length)
    from petals.client.inference_session import InferenceSession

    from .routes import fixed_chain

    blocks = model.transformer.h
    return _using(
        blocks, InferenceSession(fixed_chain(blocks.sequence_manager, request["route"]), length)
    )


class _using:
    """Enter a session and make it the active one."""

    def __init__(self, blocks: Any, session: Any) -> None:
        self._session, self._active = session, blocks.use_session(session)

    def __enter__(self) -> Any:
        self._session.__enter__()
        self._active.__enter__()
        return self._session

    def __exit__(self, *details: object) -> None:
        self._active.__exit__(*details)
        self._session.__exit__(*details)


if __name__ == "__main__":
    main()
