"""Routing PETALS clients by the plan: ``plan_requests(model, public_key=...)``.

Works on an unmodified ``AutoDistributedModelForCausalLM``. A background thread keeps the plan and
what the client measures up to date; each new session then gets its chain from the plan's router,
over the servers that are online now. Where no plan applies, PETALS' own rule chooses.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import NoRouteError, SwarmUnreachableError
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.workload import Request
from ..methods.routers import router_named
from ..perfmodel.announced import announced_cache_bytes
from ..perfmodel.cost import CostModel
from ..perfmodel.length.online import OnlineQuantiles
from ..perfmodel.piece import piece
from ..routing.state import SwarmState
from .answers import AnswerLengths
from .live_dht import ping
from .record import Acceptor, LivePlan
from .routes import Chain, ChainRequest, SessionView, make_ready, route_sessions
from .signing import dht_now_s, fetch_plan, read_public_key, trust

logger = logging.getLogger(__name__)

#: A peer that failed a session is avoided by new ones for so long.
SUSPECT_S = 30.0
#: Round trips remembered per server; the shortest of them counts.
_KEPT_PINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServer:
    """What the client knows of one server now."""

    span: tuple[int, int]
    cache_tokens_left: int | None
    rtt_s: float | None


def choose_chain(
    plan: LivePlan,
    client: str | None,
    live: dict[str, LiveServer],
    request: ChainRequest,
    lengths: AnswerLengths | None = None,
) -> Chain:
    """The router's chain over the servers that are online.

    Parameters
    ----------
    client : which of the plan's clients this is; its round trips are replaced by measured ones.
    lengths : of the answers that this client saw; without it all that is asked for is expected.

    Raises
    ------
    NoRouteError, RequestTooLargeError
        When the servers that the plan knows cannot serve the request.
    """
    problem, placement = _piece(plan, client, live, request)
    if not all(placement.coverage(problem.model.num_blocks)):
        raise NoRouteError(f"blocks {request.start} to {request.end} are not all online")
    cost = CostModel.of(problem)
    router = router_named(plan.router)(cost, placement)
    prompt = max(1, min(problem.planning.prompt_tokens, request.max_tokens - 1))
    output = max(1, request.max_tokens - prompt)
    asked = Request(
        id=0,
        client=0,
        arrival_s=0.0,
        prompt_tokens=prompt,
        output_tokens=output,
        reserved_tokens=request.max_tokens,
        expected_tokens=None if lengths is None else lengths.expected(output),
    )
    decision = router(asked, SwarmState(cost, placement), 0.0)
    return [
        (problem.servers[h.server].id, h.start + request.start, h.end + request.start)
        for h in decision.route.hops
    ]


def _piece(
    plan: LivePlan, client: str | None, live: dict[str, LiveServer], request: ChainRequest
) -> tuple[Problem, Placement]:
    """The planner's problem cut to the blocks asked for, with live spans, caches and round trips.

    A retry asks for the blocks of the failed hop only, so the cut may begin and end anywhere.
    """
    problem = plan.problem
    row = next((i for i, c in enumerate(problem.clients) if c.id == client), 0)
    near = problem.network.client_rtt_s[row].copy()
    cost = CostModel.of(problem)
    spans, free = [], []
    for j, server in enumerate(problem.servers):
        known = None if server.id in request.exclude else live.get(server.id)
        if known is None:
            spans.append((0, 0))
            free.append(0)
            continue
        if known.rtt_s is not None:
            near[j] = known.rtt_s
        start = max(known.span[0], request.start) - request.start
        end = min(known.span[1], request.end) - request.start
        spans.append((start, end) if end > start else (0, 0))
        left = known.cache_tokens_left
        # Unknown = the planned pool.
        planned = int(plan.placement.cache_bytes[j])
        free.append(planned if left is None else announced_cache_bytes(cost, left))
    network = problem.network
    upstream = network.client_bandwidth_bytes_per_s
    cut = replace(
        piece(problem, request.start, request.end),
        clients=(problem.clients[row],),
        network=replace(
            network,
            client_rtt_s=near[None, :],
            client_bandwidth_bytes_per_s=None if upstream is None else upstream[row : row + 1],
        ),
        workload=replace(problem.workload, classes=(), trace=()),
    )
    return cut, CostModel.of(cut).placed(spans, cache_bytes=free)


class PlannedRouting:
    """The plan and the live swarm as one client sees them, kept fresh by a thread."""

    def __init__(
        self,
        manager: Any,
        public_key: str,
        *,
        client: str | None = None,
        state: Path | None = None,
        refresh_s: float = 10.0,
        lengths: OnlineQuantiles | str | Path | None = None,
    ) -> None:
        self._manager = manager
        self._client = client
        self._refresh_s = refresh_s
        self._prefix = manager.config.dht_prefix
        self._validator = trust(manager.dht, read_public_key(public_key), self._prefix)
        self._acceptor = Acceptor(self._prefix, state, self._validator.operator)
        self._lengths = None if lengths is None else AnswerLengths(self._prefix, lengths)
        self._trips: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT_PINGS))
        self._silent: set[str] = set()
        self._suspects: dict[str, float] = {}
        self._reserved: dict[int, tuple[Chain, int]] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        make_ready(manager)
        self.refresh()
        threading.Thread(target=self._keep_fresh, daemon=True, name="planned-routing").start()

    @property
    def plan(self) -> LivePlan | None:
        """The plan in force."""
        with self._lock:
            return self._acceptor.current(dht_now_s())

    def refresh(self) -> None:
        """Read the plan, and measure every online server once."""
        dht = self._manager.dht
        packed = fetch_plan(dht, self._validator, self._prefix)
        if packed is not None:
            with self._lock:
                if self._acceptor.offer(packed, dht_now_s()):
                    logger.info("routing by a new plan")
        spans = self._spans()
        reached = ping(dht, spans, times=2)
        for peer, trip_s in reached.items():
            self._trips[peer].append(trip_s)
        self._silent = set(spans) - set(reached)

    def view(self, manager: Any, max_length: int) -> SessionView:
        """The view of a new session."""
        number = next(self._numbers)

        def choose(request: ChainRequest) -> Chain | None:
            return self._choose(number, request)

        def end() -> None:
            with self._lock:
                self._reserved.pop(number, None)
            for peer in view.failed:
                self._suspects[peer] = time.monotonic() + SUSPECT_S

        learn = (lambda _: None) if self._lengths is None else self._lengths.finished
        view = SessionView(manager, choose, on_end=end, on_answers=learn)
        return view

    def max_length(self, prompt_tokens: int, new_tokens: int, quantile: float = 0.95) -> int:
        """Tokens to open the next session with, where ``new_tokens`` of output are allowed.

        The prompt and a quantile of the answers seen so far: servers reserve no more than that.
        One answer in 20 is longer than its 95 % quantile; it needs a new session.
        """
        if self._lengths is None:
            return prompt_tokens + new_tokens
        return prompt_tokens + self._lengths.reserved(new_tokens, quantile)

    def _choose(self, number: int, request: ChainRequest) -> Chain | None:
        plan = self.plan
        if plan is None:
            return None
        now = time.monotonic()
        suspects = self._silent | {p for p, until in self._suspects.items() if until > now}
        wider = replace(request, exclude=request.exclude | suspects)
        live = self._live()
        try:
            chain = choose_chain(plan, self._client, live, wider, self._lengths)
        except NoRouteError:
            if not suspects - request.exclude:
                raise
            chain = choose_chain(plan, self._client, live, request, self._lengths)
        with self._lock:
            self._reserved[number] = chain, request.max_tokens
        return chain

    def _spans(self) -> dict[str, tuple[int, int]]:
        with self._manager.lock_changes:
            spans = list(self._manager.state.sequence_info.spans_by_priority)
        return {s.peer_id.to_base58(): (s.start, s.end) for s in spans}

    def _live(self) -> dict[str, LiveServer]:
        """Online servers; what this client holds itself is taken off the announced cache."""
        with self._lock:
            held: dict[str, int] = defaultdict(int)
            for chain, tokens in self._reserved.values():
                for peer, start, end in chain:
                    held[peer] += 2 * tokens * (end - start)
        with self._manager.lock_changes:
            spans = list(self._manager.state.sequence_info.spans_by_priority)
        found = {}
        for span in spans:
            peer, left = span.peer_id.to_base58(), span.server_info.cache_tokens_left
            found[peer] = LiveServer(
                span=(span.start, span.end),
                cache_tokens_left=None if left is None else max(0, left - held[peer]),
                rtt_s=min(self._trips[peer], default=None),
            )
        return found

    def _keep_fresh(self) -> None:
        while True:
            time.sleep(self._refresh_s)
            self._manager.update(wait=False)
            try:
                self.refresh()
            except SwarmUnreachableError as error:
                logger.warning("the swarm is silent: %s", error)


def plan_requests(
    model: Any,
    *,
    public_key: str,
    client: str | None = None,
    state: str | Path | None = None,
    refresh_s: float = 10.0,
    lengths: OnlineQuantiles | str | Path | None = None,
) -> PlannedRouting:
    """Route every new session of a distributed model by the plan of one operator.

    Call ``swarmplan.swarm.compat.apply_remedies("client")`` before petals is imported.

    Parameters
    ----------
    public_key : the operator's key, as a line or a file's name; only its plans count.
    client : which client of the scenario this is; None = the first.
    state : file that remembers the highest plan version over restarts.
    refresh_s : how often plan and round trips are renewed.
    lengths : quantiles of this model's answers, or their file (begun if it is not there): learns
        what sessions answer, and tells the next ones how much to expect.
    """
    routing = PlannedRouting(
        model.transformer.h.sequence_manager,
        public_key,
        client=client,
        state=None if state is None else Path(state),
        refresh_s=refresh_s,
        lengths=lengths,
    )
    route_sessions(model, routing.view)
    return routing
