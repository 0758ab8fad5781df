"""What a run leaves behind: one row per request, one figure per server."""

from __future__ import annotations

import csv
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from ..core.coded import Coded, figures, where
from ..core.content import ByContent, FloatArray, IntArray, frozen_array
from ..core.plan import Route
from ..core.problem import Problem
from ..core.workload import Request
from .session import Session

Status = Literal["unfinished", "completed", "rejected"]
Reason = Literal["", "no-route", "too-large"]
#: (0, 2).
NO_UPLINKS = np.zeros((0, 2))


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
    uplink_names : of the uplinks that transfers share, (U,).
    uplink_bytes : (U, 2) that went out of each and into it. uplink_busy_frac : (U, 2) share of the
        run in which it sent.
    egress_money : of the bytes that left uplinks; None where no uplink has a price.
    """

    id: IntArray
    client: IntArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    reserved_tokens: IntArray
    arrival_s: FloatArray
    status: Sequence[Status]
    reason: Sequence[Reason]
    start_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    raw_wait_s: FloatArray
    cost_s: FloatArray
    routes: Sequence[Route | None]
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
    uplink_names: tuple[str, ...] = ()
    uplink_bytes: FloatArray = field(default_factory=lambda: frozen_array(NO_UPLINKS, np.float64))
    uplink_busy_frac: FloatArray = field(
        default_factory=lambda: frozen_array(NO_UPLINKS, np.float64)
    )
    egress_money: float | None = None

    @property
    def done(self) -> NDArray[np.bool_]:
        """(N,) requests that were completed."""
        return where(self.status, "completed")

    @property
    def tokens(self) -> int:
        """Output tokens of all requests that were completed."""
        return int(self.output_tokens[self.done].sum())

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
        per_token: FloatArray = self.finish_s - self.first_token_s
        steps = self.output_tokens - 1.0
        steps[steps <= 0.0] = np.nan
        per_token /= steps
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
        done = (self.passes > 0) & self.done
        passes = int(self.passes[done].sum())
        return float((self.output_tokens[done] - 1).sum()) / passes if passes else math.nan

    @property
    def num_hops(self) -> IntArray:
        """(N,) servers on the chain, 0 without one."""
        return figures(self.routes, lambda route: len(route.hops) if route else 0)

    @property
    def peak_memory_frac(self) -> FloatArray:
        """(n,) peak use of weights and cache over the server's memory."""
        share: FloatArray = self.peak_memory_bytes / np.maximum(self.memory_bytes, 1)
        return share

    def __repr__(self) -> str:
        done = int(self.done.sum())
        mean = float(np.nanmean(self.response_s)) if done else math.nan
        return (
            f"{type(self).__name__}({done} of {len(self.status)} requests completed, mean response "
            f"{mean:.4g} s, waiting rule {self.admission})"
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """The per-request table with ids in place of row numbers; None where not reached."""
        texts: dict[Route, str] = {}
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
                "route": "" if route is None else self._text(route, texts),
            }

    def _text(self, route: Route, known: dict[Route, str]) -> str:
        if route not in known:
            known[route] = _text(route, self.server_ids)
        return known[route]

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


STATUS: tuple[Status, ...] = ("unfinished", "completed", "rejected")
REASON: tuple[Reason, ...] = ("", "no-route", "too-large")
#: Counts that few runs fill, and what a session calls them: 0 everywhere until one is there.
_RARE = {
    "tries": "tries_in_all",
    "replays": "replays",
    "overflows": "overflows",
    "passes": "passes",
}


class Table:
    """The per-request columns while a run fills them: as narrow as a long run wants them."""

    def __init__(self, problem: Problem, requests: Sequence[Request]) -> None:
        n = len(requests)
        self._length = problem.model.num_blocks
        self._rows: dict[Route | None, int] = {None: 0}
        self._status, self._reason = (np.zeros(n, dtype=np.int8) for _ in range(2))
        self._routes = np.zeros(n, dtype=np.int32)
        times = ("start_s", "first_token_s", "finish_s", "cost_s")
        self._columns: dict[str, NDArray[Any]] = {name: np.full(n, np.nan) for name in times}
        self._columns["made"] = np.zeros(n, dtype=np.int32)
        self._columns["raw_wait_s"] = np.broadcast_to(np.float64("nan"), n)
        self._columns |= {name: np.broadcast_to(np.int32(0), n) for name in _RARE}
        self.unfinished_rows = n
        self.last_s = 0.0
        self.refusal = ""

    def completed(self, session: Session, now_s: float) -> None:
        """The last token is there."""
        self._columns["finish_s"][session.row] = now_s
        self._end(session, "completed", now_s)

    def refused(self, session: Session, reason: Reason, why: str, now_s: float) -> None:
        """The request cannot be served."""
        self._reason[session.row] = REASON.index(reason)
        self.refusal = self.refusal or why
        self._end(session, "rejected", now_s)

    def _end(self, session: Session, status: Status, now_s: float) -> None:
        self._status[session.row] = STATUS.index(status)
        self.unfinished_rows -= 1
        self.last_s = now_s
        self.note(session)

    def note(self, session: Session) -> None:
        """What is known of a session, ended or not."""
        row, route, columns = session.row, session.route, self._columns
        columns["start_s"][row] = session.start_s
        columns["first_token_s"][row] = session.first_token_s
        columns["cost_s"][row] = session.cost_s
        columns["made"][row] = session.made
        if not math.isnan(session.raw_wait_s):
            self._rare("raw_wait_s", row, session.raw_wait_s)
        for name, own in _RARE.items():
            if count := getattr(session, own):
                self._rare(name, row, count)
        # After a loss without a way on, only the first hops of a chain are left.
        if route is not None and route.hops and route.hops[-1].end == self._length:
            self._routes[row] = self._rows.setdefault(route, len(self._rows))

    def _rare(self, name: str, row: int, value: float) -> None:
        if not self._columns[name].flags.writeable:
            self._columns[name] = self._columns[name].copy()
        self._columns[name][row] = value

    def columns(self) -> dict[str, Any]:
        """The filled columns, read-only: nothing more can be noted."""
        for column in self._columns.values():
            column.setflags(write=False)
        return {
            "status": Coded(STATUS, self._status),
            "reason": Coded(REASON, self._reason),
            "routes": Coded(tuple(self._rows), self._routes),
            **self._columns,
        }
