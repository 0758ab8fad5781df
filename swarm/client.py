"""Routing PETALS clients by the plan: ``plan_requests(model, public_key=...)``.

Works on an unmodified ``AutoDistributedModelForCausalLM``. A background thread keeps the plan and
what the client measures up to date; each new session then gets its chain from the plan's router,
over the servers that are online now and those who are at work there (``present``). Where no plan
applies, PETALS' own rule chooses.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import NoRouteError, SwarmplanError, SwarmUnreachableError
from ..methods.drafting import Price
from ..perfmodel.cost import CostModel
from ..perfmodel.length.online import OnlineQuantiles
from ..routing.waiting import Sizes
from .answers import AnswerLengths
from .choice import ChainRequest, Choice, LiveServer, choose_chain
from .drafting import Planned, planned_passes, price_of
from .harm import Chain, check_budget, precision_of
from .live_dht import ping
from .present import Present, Wait
from .record import Acceptor, LivePlan
from .routes import SessionView, make_ready, route_sessions
from .sharing import Exchange, Sharing
from .signing import dht_now_s, fetch_plan, read_public_key, trust

logger = logging.getLogger(__name__)

#: A peer that failed a session is avoided by new ones for so long.
SUSPECT_S = 30.0
#: Round trips remembered per server; the shortest of them counts.
_KEPT_PINGS = 5
#: A client tells the others of its sessions once in so long, and whenever some came or went.
SHARE_S = 15.0


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
        clients_key: Path | None = None,
        share_s: float = SHARE_S,
    ) -> None:
        self._manager = manager
        self.client = client
        self._refresh_s = refresh_s
        self._prefix = manager.config.dht_prefix
        operator = read_public_key(public_key)
        self._validator = trust(manager.dht, operator, self._prefix)
        self._acceptor = Acceptor(self._prefix, state, self._validator.operator)
        self._lengths = None if lengths is None else AnswerLengths(self._prefix, lengths)
        self._trips: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT_PINGS))
        self._silent: set[str] = set()
        self._suspects: dict[str, float] = {}
        self._reserved: dict[int, int] = {}
        self._present = Present()
        self._makes_hops = True
        self._numbers = itertools.count()
        self._sizes = Sizes()
        self._price: tuple[LivePlan, Price] | None = None
        #: Of a session's steps, where drafts make some of them.
        self.tokens_per_pass = 1.0
        self._lock = threading.Lock()
        self._choosing = threading.Lock()
        sharing = None
        if clients_key is not None:
            sharing = Sharing(manager.dht, self._prefix, clients_key, operator, share_s)
        make_ready(manager)
        self.refresh()
        self._warm_up()
        threading.Thread(target=self._keep_fresh, daemon=True, name="planned-routing").start()
        if sharing is not None:
            Exchange(sharing, self._present, share_s, time.monotonic).start()

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
                    self._tell_of_adapter()
        spans = self._spans()
        reached = ping(dht, spans, times=2)
        for peer, trip_s in reached.items():
            self._trips[peer].append(trip_s)
        self._silent = set(spans) - set(reached)

    def view(self, manager: Any, max_length: int) -> SessionView:
        """The view of a new session."""
        number = next(self._numbers)
        size = float(max_length) ** 2  # of a client's sessions: tokens held, and for how long
        self._sizes.seen(size)

        def choose(request: ChainRequest) -> Chain | None:
            return self._choose(number, request)

        def end() -> None:
            with self._lock:
                self._reserved.pop(number, None)
            self._present.end(number)
            for peer in view.failed:
                self._suspects[peer] = time.monotonic() + SUSPECT_S

        def hop(peer: str, took_s: float) -> None:
            if self._makes_hops:
                self._present.hop(number, peer, took_s, time.monotonic())

        learn = (lambda _: None) if self._lengths is None else self._lengths.finished
        view = SessionView(
            manager,
            choose,
            check=self._check,
            on_end=end,
            on_answers=learn,
            on_hop=hop,
            on_step=lambda: self._present.step(number, time.monotonic()),
            pauses=self._sizes.times(size),
        )
        return view

    def waits(self) -> dict[str, Wait]:
        """How long a step waits at each server, as own hops saw it and as it is computed."""
        plan = self.plan
        if plan is None:
            return {}
        steps = float(plan.problem.planning.output_tokens)
        return self._present.waits(time.monotonic(), stranger_steps=steps)

    def passes(self, chain: Chain) -> Planned | None:
        """What the plan says of drafts over a chain; None where none is in force or it does not
        know the chain."""
        plan = self.plan
        if plan is None:
            return None
        if self._price is None or self._price[0] is not plan:
            self._price = plan, price_of(plan)
        trips = {peer: min(self._trips[peer]) for peer, _, _ in chain if self._trips.get(peer)}
        return planned_passes(plan, self._price[1], self.client, chain, trips)

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
        # Where servers hand steps on a hop is the client's own no more.
        self._makes_hops = not CostModel.of(plan.problem).relaying.pairs
        # One session after another: the next one has to see where this one goes.
        with self._choosing:
            choice = self._decide(plan, number, request)
            steps = max(1, round(choice.steps / self.tokens_per_pass))
            self._present.begin(number, choice.hops, steps)
        with self._lock:
            self._reserved.setdefault(number, request.max_tokens)
        return choice.chain

    def _tell_of_adapter(self) -> None:
        """Warn where the plan's client is for another adapter than this model."""
        plan, own = self._acceptor.plan, self._manager.config.active_adapter or ""
        if plan is None:
            return
        client = plan.problem.clients[plan.client_row(self.client)]
        names = {"": "", **{a.id: a.name for a in plan.problem.adapters}}
        if names[client.adapter] != own:
            text = "client %r of the plan is for %s, this model for %s: see active_adapter"
            said = (f"adapter {n!r}" if n else "no adapter" for n in (names[client.adapter], own))
            logger.warning(text, client.id, *said)

    def _check(self, chain: Chain) -> None:
        """Refuse a session's whole chain that costs more accuracy than the plan lets this client's
        cost, whoever chose it."""
        plan = self.plan
        if plan is not None:
            announced = {peer: s.precision for peer, s in self._live().items()}
            check_budget(plan.problem, plan.client_row(self.client), announced, chain)

    def _decide(self, plan: LivePlan, number: int, request: ChainRequest) -> Choice:
        now = time.monotonic()
        suspects = self._silent | {p for p, until in self._suspects.items() if until > now}
        live = self._live()

        def chosen(asked: ChainRequest) -> Choice:
            return choose_chain(
                plan,
                self.client,
                live,
                asked,
                lengths=self._lengths,
                present=self._present,
                number=number,
                now_s=now,
            )

        try:
            return chosen(replace(request, exclude=request.exclude | suspects))
        except NoRouteError:
            if not suspects - request.exclude:
                raise
            return chosen(request)

    def _warm_up(self) -> None:
        """Load what routers are compiled to, before the first request has to wait for it."""
        plan = self.plan
        if plan is not None:
            tokens = plan.problem.planning.session_tokens
            whole = ChainRequest(
                start=0,
                end=plan.problem.model.num_blocks,
                max_tokens=tokens,
                exclude=frozenset(),
                retry=False,
            )
            somebody = Present()
            with suppress(SwarmplanError):
                choice = choose_chain(plan, self.client, self._live(), whole)
                somebody.begin(0, choice.hops, choice.steps)
                somebody.hop(0, choice.hops[0].peer, choice.hops[0].alone_s, 0.0)
                choose_chain(plan, self.client, self._live(), whole, present=somebody)

    def _spans(self) -> dict[str, tuple[int, int]]:
        with self._manager.lock_changes:
            spans = list(self._manager.state.sequence_info.spans_by_priority)
        return {s.peer_id.to_base58(): (s.start, s.end) for s in spans}

    def _live(self) -> dict[str, LiveServer]:
        """Online servers; what this client holds itself is taken off the announced cache."""
        held: dict[str, int] = defaultdict(int)
        with self._lock:
            reserved = dict(self._reserved)
        for number, hops in self._present.chains().items():
            for hop in hops:
                held[hop.peer] += 2 * reserved.get(number, 0) * (hop.end - hop.start)
        with self._manager.lock_changes:
            spans = list(self._manager.state.sequence_info.spans_by_priority)
        found = {}
        for span in spans:
            peer, left = span.peer_id.to_base58(), span.server_info.cache_tokens_left
            found[peer] = LiveServer(
                span=(span.start, span.end),
                cache_tokens_left=None if left is None else max(0, left - held[peer]),
                rtt_s=min(self._trips[peer], default=None),
                precision=precision_of(span.server_info.quant_type),
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
    clients_key: str | Path | None = None,
    share_s: float = SHARE_S,
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
    clients_key : file of the private key that the operator's clients share, by which they tell each
        other who is at work where; without it a client knows its own sessions and hops alone.
    share_s : from one record of the own sessions to the next; they come sooner when some begin
        or end.
    """
    routing = PlannedRouting(
        model.transformer.h.sequence_manager,
        public_key,
        client=client,
        state=None if state is None else Path(state),
        refresh_s=refresh_s,
        lengths=lengths,
        clients_key=None if clients_key is None else Path(clients_key),
        share_s=share_s,
    )
    route_sessions(model, routing.view)
    return routing
