"""What a run leaves behind: one row per request, and how full every server was."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.plan import Placement, Route
from ..core.problem import FloatArray, IntArray, Problem, frozen_array
from ..perfmodel.latency import HopCosts
from .session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """Columns in request order, servers in server order.

    Attributes
    ----------
    arrival_s, start_s, first_token_s, finish_s : (N,) instants; nan where not reached.
    status : (N,) ``completed``, ``rejected``, ``lost`` or ``unfinished``.
    routes : (N,) final route of each request, None if it never had one.
    tries, replays, overflows : (N,) failed openings, replays after a loss, cache extensions.
    memory_bytes, peak_memory_bytes, cache_used_frac, compute_busy_frac : (n,) per server; the
        fractions are over the whole run (cache: of the pool times the run; compute: of the run).
    end_s : instant of the last event.
    alloc_delay_s : the testbed constant in force, 0 unless the scenario turns it on.
    """

    client: IntArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    arrival_s: FloatArray
    start_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    status: tuple[str, ...]
    routes: tuple[Route | None, ...]
    tries: IntArray
    replays: IntArray
    overflows: IntArray
    memory_bytes: IntArray
    peak_memory_bytes: IntArray
    cache_used_frac: FloatArray
    compute_busy_frac: FloatArray
    end_s: float
    alloc_delay_s: float
    server_ids: tuple[str, ...]
    client_ids: tuple[str, ...]

    @property
    def wait_s(self) -> FloatArray:
        """(N,) arrival to start."""
        return self.start_s - self.arrival_s

    @property
    def ttft_s(self) -> FloatArray:
        """(N,) arrival to first token."""
        return self.first_token_s - self.arrival_s

    @property
    def tpot_s(self) -> FloatArray:
        """(N,) seconds per token after the first; nan for one-token outputs."""
        steps = self.output_tokens - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(steps > 0, (self.finish_s - self.first_token_s) / steps, np.nan)

    @property
    def response_s(self) -> FloatArray:
        """(N,) arrival to last token."""
        return self.finish_s - self.arrival_s

    @property
    def peak_memory_frac(self) -> FloatArray:
        """(n,) peak use of weights and cache over the server's memory."""
        return self.peak_memory_bytes / np.maximum(self.memory_bytes, 1)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The per-request table, ids instead of row numbers."""
        for i, route in enumerate(self.routes):
            yield {
                "request": i,
                "client": self.client_ids[self.client[i]],
                "prompt_tokens": int(self.prompt_tokens[i]),
                "output_tokens": int(self.output_tokens[i]),
                "arrival_s": _plain(self.arrival_s[i]),
                "wait_s": _plain(self.wait_s[i]),
                "ttft_s": _plain(self.ttft_s[i]),
                "tpot_s": _plain(self.tpot_s[i]),
                "response_s": _plain(self.response_s[i]),
                "finish_s": _plain(self.finish_s[i]),
                "status": self.status[i],
                "tries": int(self.tries[i]),
                "replays": int(self.replays[i]),
                "overflows": int(self.overflows[i]),
                "route": ""
                if route is None
                else " > ".join(
                    f"{self.server_ids[h.server]}[{h.start}:{h.end}]" for h in route.hops
                ),
            }

    def write(self, path: Path) -> None:
        """Write the per-request table: JSON Lines for ``.jsonl``, else CSV; all or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                if path.suffix == ".jsonl":
                    file.writelines(json.dumps(row) + "\n" for row in self.rows())
                else:
                    rows = list(self.rows())
                    writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["request"])
                    writer.writeheader()
                    writer.writerows(rows)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def _plain(value: float) -> float | None:
    """A float for a file; unknown becomes an empty cell."""
    return None if value != value else float(value)


class Recorder:
    """Physical use of every server while the engine runs, and the final table."""

    def __init__(self, problem: Problem, placement: Placement) -> None:
        n = problem.num_servers
        self._problem = problem
        self._pool = placement.cache_bytes
        self._weights = problem.block_bytes * placement.num_blocks
        self._used: list[int] = [0] * n
        self._peak: list[int] = [0] * n
        self._area = [0.0] * n
        self._since = [0.0] * n
        self._busy_s = [0.0] * n

    def has_room(self, route: Route, tokens: int) -> bool:
        """Whether ``tokens`` more tokens fit physically on every hop."""
        each = self._problem.cache_bytes(tokens)
        return all(self._used[h.server] + each * len(h) <= self._pool[h.server] for h in route.hops)

    def occupy(self, session: Session, route: Route, now_s: float) -> None:
        """The session's cache is in use from now on."""
        each = self._problem.cache_bytes(session.tokens)
        for hop in route.hops:
            self._change(hop.server, each * len(hop), now_s)

    def vacate(self, session: Session, now_s: float) -> None:
        """The session's cache is free from now on."""
        assert session.route is not None
        each = self._problem.cache_bytes(session.tokens)
        for hop in session.route.hops:
            self._change(hop.server, -each * len(hop), now_s)

    def _change(self, server: int, size: int, now_s: float) -> None:
        self._area[server] += self._used[server] * (now_s - self._since[server])
        self._since[server] = now_s
        self._used[server] += size
        if self._used[server] > self._peak[server]:
            self._peak[server] = self._used[server]

    def account(self, session: Session, costs: HopCosts) -> None:
        """Add the compute time of a completed request to its servers."""
        assert session.route is not None
        request = session.request
        cost = costs(request.client, request.prompt_tokens, request.output_tokens)
        for hop in session.route.hops:
            self._busy_s[hop.server] += float(cost.block_s[hop.server]) * len(hop)

    def result(self, sessions: Sequence[Session], end_s: float) -> SimulationResult:
        """Freeze the run."""
        span = max(end_s, 1e-12)
        pool_s = np.maximum(self._pool, 1) * span
        requests = [s.request for s in sessions]
        return SimulationResult(
            client=frozen_array([r.client for r in requests], np.int64),
            prompt_tokens=frozen_array([r.prompt_tokens for r in requests], np.int64),
            output_tokens=frozen_array([r.output_tokens for r in requests], np.int64),
            arrival_s=frozen_array([r.arrival_s for r in requests], np.float64),
            start_s=frozen_array([s.start_s for s in sessions], np.float64),
            first_token_s=frozen_array([s.first_token_s for s in sessions], np.float64),
            finish_s=frozen_array([s.finish_s for s in sessions], np.float64),
            status=tuple(s.status for s in sessions),
            routes=tuple(s.route for s in sessions),
            tries=frozen_array([s.tries for s in sessions], np.int64),
            replays=frozen_array([s.replays for s in sessions], np.int64),
            overflows=frozen_array([s.overflows for s in sessions], np.int64),
            memory_bytes=self._problem.memory_bytes,
            peak_memory_bytes=frozen_array(np.array(self._peak) + self._weights, np.int64),
            cache_used_frac=frozen_array(np.array(self._area) / pool_s, np.float64),
            compute_busy_frac=frozen_array(np.array(self._busy_s) / span, np.float64),
            end_s=end_s,
            alloc_delay_s=self._problem.alloc_delay_s,
            server_ids=tuple(s.id for s in self._problem.servers),
            client_ids=tuple(c.id for c in self._problem.clients),
        )
