"""What a run leaves behind: one row per request, one figure per server."""

from __future__ import annotations

import csv
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray, frozen_array
from ..core.plan import Route
from ..core.problem import Problem
from ..core.workload import Request
from .session import Session

Status = Literal["unfinished", "completed", "rejected"]
Reason = Literal["", "no-route", "too-large"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulationResult(ByContent):
    """Columns in the order of the given requests, (N,); servers in server order, (n,).

    Attributes
    ----------
    id, client, prompt_tokens, output_tokens, reserved_tokens, arrival_s : as given.
    status : ``completed``, ``rejected`` or ``unfinished`` at the horizon: nothing is lost.
    reason : why a request was rejected: ``no-route`` or ``too-large``, else empty.
    start_s, first_token_s, finish_s : instants; nan where not reached. The start is the first
        opening of the session; set-up and prompt come after it.
    raw_wait_s : under the rules ``reserve`` and ``notify`` the wait before rounding, else nan.
    cost_s : the router's own cost of the last chain it chose.
    routes : chain in use at the end, None if there is none.
    tries, replays, overflows : failed openings; openings after the first, in which tokens were
        sent again; times the output outgrew its reservation.
    made : output tokens by the end of the run.
    passes : over drafts, 0 where a client does not draft: every one gives tokens at once.
    memory_bytes, peak_cache_bytes, peak_memory_bytes : what there is; the most cache at any
        instant; that plus the weights.
    cache_used_frac : share of the pool in use, averaged over the run; 0 without a pool.
    compute_busy_frac : compute time / run time; above 1 only where servers are ``independent``.
    timeline_s, timeline_bytes : (T,) and (T, n): cache in use just before sampled instants.
    end_s : end of the run.
    admission : the waiting rule.
    alloc_delay_s : the constant fitted to one testbed, 0 unless switched on.
    most_per_s : rate of such requests that no plan and no router can exceed, inf where unknown.
    refusal : why the first refused request was refused.
    energy_j, money : of the servers that hold blocks, over the run; None where not known of all.
    """

    id: IntArray
    client: IntArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    reserved_tokens: IntArray
    arrival_s: FloatArray
    status: tuple[Status, ...]
    reason: tuple[Reason, ...]
    start_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    raw_wait_s: FloatArray
    cost_s: FloatArray
    routes: tuple[Route | None, ...]
    tries: IntArray
    replays: IntArray
    overflows: IntArray
    passes: IntArray
    made: IntArray
    memory_bytes: IntArray
    peak_cache_bytes: IntArray
    peak_memory_bytes: IntArray
    cache_used_frac: FloatArray
    compute_busy_frac: FloatArray
    timeline_s: FloatArray
    timeline_bytes: IntArray
    end_s: float
    admission: str
    alloc_delay_s: float
    most_per_s: float
    refusal: str
    server_ids: tuple[str, ...]
    client_ids: tuple[str, ...]
    energy_j: float | None = None
    money: float | None = None

    @property
    def tokens(self) -> int:
        """Output tokens of all requests that were completed."""
        done = np.array(self.status) == "completed"
        return int(self.output_tokens[done].sum())

    @property
    def wait_s(self) -> FloatArray:
        """(N,) arrival to the opening of the session."""
        return self.start_s - self.arrival_s

    @property
    def ttft_s(self) -> FloatArray:
        """(N,) arrival to first token."""
        return self.first_token_s - self.arrival_s

    @property
    def tpot_s(self) -> FloatArray:
        """(N,) seconds per token after the first; nan for outputs of one token."""
        steps = np.where(self.output_tokens > 1, self.output_tokens - 1.0, np.nan)
        per_token: FloatArray = (self.finish_s - self.first_token_s) / steps
        return per_token

    @property
    def response_s(self) -> FloatArray:
        """(N,) arrival to last token."""
        return self.finish_s - self.arrival_s

    @property
    def offered_per_s(self) -> float:
        """Mean rate of arrivals; nan for a single one."""
        span = float(np.ptp(self.arrival_s)) if len(self.arrival_s) > 1 else 0.0
        return (len(self.arrival_s) - 1) / span if span else math.nan

    @property
    def tokens_per_pass(self) -> float:
        """Tokens of a pass over drafts, mean over completed answers; nan where nobody drafts."""
        done = (self.passes > 0) & (np.array(self.status) == "completed")
        passes = int(self.passes[done].sum())
        return float((self.output_tokens[done] - 1).sum()) / passes if passes else math.nan

    @property
    def num_hops(self) -> IntArray:
        """(N,) servers on the chain, 0 without one."""
        return np.array([len(r.hops) if r else 0 for r in self.routes], dtype=np.int64)

    @property
    def peak_memory_frac(self) -> FloatArray:
        """(n,) peak use of weights and cache over the server's memory."""
        share: FloatArray = self.peak_memory_bytes / np.maximum(self.memory_bytes, 1)
        return share

    def __repr__(self) -> str:
        done = sum(s == "completed" for s in self.status)
        mean = float(np.nanmean(self.response_s)) if done else math.nan
        return (
            f"{type(self).__name__}({done} of {len(self.status)} requests completed, mean response "
            f"{mean:.4g} s, waiting rule {self.admission})"
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """The per-request table with ids in place of row numbers; None where not reached."""
        texts = {r: _text(r, self.server_ids) for r in set(self.routes) if r is not None}
        hops = self.num_hops
        seconds = {
            name: getattr(self, name)
            for name in (
                "wait_s",
                "ttft_s",
                "tpot_s",
                "response_s",
                "start_s",
                "first_token_s",
                "finish_s",
            )
        }
        for i, route in enumerate(self.routes):
            yield {
                "request": int(self.id[i]),
                "client": self.client_ids[self.client[i]],
                "prompt_tokens": int(self.prompt_tokens[i]),
                "output_tokens": int(self.output_tokens[i]),
                "reserved_tokens": int(self.reserved_tokens[i]),
                "status": self.status[i],
                "reason": self.reason[i],
                "arrival_s": float(self.arrival_s[i]),
                **{name: _known(column[i]) for name, column in seconds.items()},
                "tries": int(self.tries[i]),
                "replays": int(self.replays[i]),
                "overflows": int(self.overflows[i]),
                "passes": int(self.passes[i]),
                "num_hops": int(hops[i]),
                "route": "" if route is None else texts[route],
            }

    def write(self, path: Path) -> None:
        """Write the per-request table: JSON Lines for ``.jsonl``, CSV otherwise."""
        (self.write_jsonl if path.suffix == ".jsonl" else self.write_csv)(path)

    def write_csv(self, path: Path) -> None:
        """Write the per-request table as CSV; the file is complete or absent."""
        _replace(path, lambda file: _write_csv(file, self.rows()))

    def write_jsonl(self, path: Path) -> None:
        """Write the per-request table as JSON Lines; the file is complete or absent."""
        _replace(path, lambda file: file.writelines(json.dumps(r) + "\n" for r in self.rows()))


def _known(value: float) -> float | None:
    """A float, or None for nan."""
    return None if value != value else float(value)


def _text(route: Route, ids: Sequence[str]) -> str:
    return " > ".join(f"{ids[h.server]}[{h.start}:{h.end}]" for h in route.hops)


def _write_csv(file: TextIO, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows, None)
    if first is None:
        return
    writer = csv.DictWriter(file, fieldnames=list(first), lineterminator="\n")
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(rows)


def _replace(path: Path, write: Callable[[TextIO], None]) -> None:
    """Write beside the target, then put it in place in one step; a pipe or device as it comes."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as file:
            write(file)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            write(file)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class Table:
    """The per-request columns while a run fills them."""

    def __init__(self, problem: Problem, requests: Sequence[Request]) -> None:
        n = len(requests)
        self._length = problem.model.num_blocks
        self._known: dict[Route, Route] = {}
        self._status: list[Status] = ["unfinished"] * n
        self._reason: list[Reason] = [""] * n
        self._routes: list[Route | None] = [None] * n
        self._times = {
            name: np.full(n, np.nan)
            for name in ("start_s", "first_token_s", "finish_s", "raw_wait_s", "cost_s")
        }
        self._counts = {
            name: np.zeros(n, dtype=np.int64)
            for name in ("tries", "replays", "overflows", "passes", "made")
        }
        self.unfinished_rows = n
        self.last_s = 0.0
        self.refusal = ""

    def completed(self, session: Session, now_s: float) -> None:
        """The last token is there."""
        self._times["finish_s"][session.row] = now_s
        self._end(session, "completed", now_s)

    def refused(self, session: Session, reason: Reason, why: str, now_s: float) -> None:
        """The request cannot be served."""
        self._reason[session.row] = reason
        self.refusal = self.refusal or why
        self._end(session, "rejected", now_s)

    def _end(self, session: Session, status: Status, now_s: float) -> None:
        self._status[session.row] = status
        self.unfinished_rows -= 1
        self.last_s = now_s
        self.note(session)

    def note(self, session: Session) -> None:
        """What is known of a session, ended or not."""
        row, route = session.row, session.route
        times, counts = self._times, self._counts
        times["start_s"][row] = session.start_s
        times["first_token_s"][row] = session.first_token_s
        times["raw_wait_s"][row] = session.raw_wait_s
        times["cost_s"][row] = session.cost_s
        counts["tries"][row] = session.tries_in_all
        counts["replays"][row] = session.replays
        counts["overflows"][row] = session.overflows
        counts["passes"][row] = session.passes
        counts["made"][row] = session.made
        # After a loss without a way on, only the first hops of a chain are left.
        if route is not None and route.hops and route.hops[-1].end == self._length:
            self._routes[row] = self._known.setdefault(route, route)

    def columns(self) -> dict[str, Any]:
        """The filled columns, read-only."""
        return {
            "status": tuple(self._status),
            "reason": tuple(self._reason),
            "routes": tuple(self._routes),
            **{name: frozen_array(column, np.float64) for name, column in self._times.items()},
            **{name: frozen_array(column, np.int64) for name, column in self._counts.items()},
        }
