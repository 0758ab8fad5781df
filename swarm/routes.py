"""Giving PETALS' sessions other chains of servers than PETALS would choose.

An ``InferenceSession`` asks its sequence manager for a chain when it starts and for a piece of one
when a server fails. ``SessionView`` stands in for the manager of one session: it passes
everything on but the choice, and remembers which peers failed this session.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hivemind import PeerID
from petals.client.inference_session import InferenceSession
from petals.client.routing.sequence_info import RemoteSequenceInfo
from petals.data_structures import RemoteModuleInfo, RemoteSpanInfo

from ..core.errors import NoRouteError, SwarmplanError
from ..core.names import block_ranges
from .answers import Tally, counted
from .choice import ChainRequest
from .harm import Chain
from .hops import Steps

logger = logging.getLogger(__name__)

#: Chooses a chain, or None when it has nothing to say about this request.
Choose = Callable[[ChainRequest], Chain | None]


class SessionView:
    """The sequence manager as one session sees it."""

    def __init__(
        self,
        manager: Any,
        choose: Choose,
        *,
        check: Callable[[Chain], None] = lambda _: None,
        on_end: Callable[[], None] = lambda: None,
        on_answers: Callable[[tuple[int, ...]], None] = lambda _: None,
        on_hop: Callable[[str, float], None] = lambda _peer, _seconds: None,
        on_step: Callable[[], None] = lambda: None,
        pauses: float = 1.0,
    ) -> None:
        self._manager = manager
        self._choose = choose
        self._check = check
        self._on_end = on_end
        self._on_answers = on_answers
        self._pauses = pauses
        self.steps = Steps(on_hop, on_step)
        self._failed: set[str] = set()
        self._answered: set[str] = set()
        self._last: list[str] = []
        self._asked = False
        self._route: list[tuple[str, int, int]] = []
        self.chains: list[list[tuple[str, int, int]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def __len__(self) -> int:
        return len(self._manager)

    def get_retry_delay(self, attempt_no: int) -> float:
        """PETALS' pause before a try, by size until the session has begun (docs/model.md 14)."""
        pause_s = float(self._manager.get_retry_delay(attempt_no))
        return pause_s if self._answered else self._pauses * pause_s

    def make_sequence(
        self,
        start_index: int = 0,
        end_index: int | None = None,
        *,
        mode: str,
        cache_tokens_needed: int | None = None,
    ) -> list[RemoteSpanInfo]:
        """A chain over the blocks asked for, without peers that failed this session.

        Raises
        ------
        SwarmplanError
            Where the check of the whole chain does not let it pass.
        """
        if mode != "min_latency":
            return list(self._manager.make_sequence(start_index, end_index, mode=mode))
        make_ready(self._manager)
        end = len(self) if end_index is None else end_index
        kept = [hop for hop in self._route if hop[2] <= start_index or end <= hop[1]]
        request = ChainRequest(
            start=start_index,
            end=end,
            max_tokens=cache_tokens_needed or 0,
            exclude=frozenset(self._failed),
            retry=self._asked,
            prompt_tokens=self.steps.prompt_tokens,
            kept=kept,
        )
        self._asked = True
        spans = self._chosen(request) or self._by_petals(request)
        # PETALS may go beyond what it was asked for, and cuts that off later.
        chain = [(s.peer_id.to_base58(), s.start, min(s.end, end)) for s in spans]
        self._check([*kept, *chain])
        self._route = sorted([*kept, *chain], key=lambda hop: hop[1])
        self._last = [peer for peer, _, _ in chain]
        self.chains.append([(s.peer_id.to_base58(), s.start, s.end) for s in spans])
        return spans

    def _chosen(self, request: ChainRequest) -> list[RemoteSpanInfo] | None:
        try:
            chain = self._choose(request)
        except SwarmplanError as error:
            logger.warning("no planned route, PETALS chooses: %s", error)
            return None
        if chain is None:
            return None
        known = known_servers(self._manager)
        if any(peer not in known for peer, _, _ in chain):
            logger.warning("the planned route uses a server that is not announced; PETALS chooses")
            return None
        return [RemoteSpanInfo(PeerID.from_base58(p), a, b, known[p]) for p, a, b in chain]

    def _by_petals(self, request: ChainRequest) -> list[RemoteSpanInfo]:
        """PETALS' own rule over the servers that have not failed, over all when none is left."""
        manager = self._manager
        with manager.lock_changes:
            infos = [
                RemoteModuleInfo(
                    uid=info.uid,
                    servers={
                        peer: server
                        for peer, server in info.servers.items()
                        if peer.to_base58() not in request.exclude
                    },
                )
                for info in manager.state.sequence_info.block_infos
            ]
        if not all(info.servers for info in infos[request.start : request.end]):
            self._failed.clear()
            manager.update(wait=True)
            spans = manager.make_sequence(
                request.start,
                request.end,
                mode="min_latency",
                cache_tokens_needed=request.max_tokens,
            )
            return list(spans)
        view = RemoteSequenceInfo.make_empty(manager.block_uids)
        view.update_(infos)
        router = copy.copy(manager)
        router.state = dataclasses.replace(manager.state, sequence_info=view)
        return list(
            router._make_sequence_with_min_latency(
                request.start, request.end, cache_tokens_needed=request.max_tokens
            )
        )

    def on_request_success(self, peer_id: PeerID) -> None:
        """A step went through a peer."""
        self.steps.passed(peer_id.to_base58())
        self._answered.add(peer_id.to_base58())
        self._manager.on_request_success(peer_id)

    def on_request_failure(self, peer_id: PeerID | None) -> None:
        """A step or an opening failed; None = opening, and nobody knows at which peer."""
        self.steps.failed()
        if peer_id is not None:
            self._failed.add(peer_id.to_base58())
            self._answered.discard(peer_id.to_base58())
            self._manager.on_request_failure(peer_id)
            return
        self._failed |= set(self._last) - self._answered

    @property
    def failed(self) -> frozenset[str]:
        """Peers that failed this session."""
        return frozenset(self._failed)

    def answered(self, tokens: tuple[int, ...]) -> None:
        """The session went well; output tokens of its answers."""
        self._on_answers(tokens)

    def end(self) -> None:
        """The session is over."""
        self._on_end()


def make_ready(manager: Any) -> None:
    """Wait until the manager has read the DHT once. Its own ``update`` would wait for ever when
    its thread does not run yet."""
    with manager._thread_start_lock:
        if not manager.is_alive():
            manager._thread.start()
    manager.ready.wait()


def check_adapter(manager: Any) -> None:
    """Refuse a session with an adapter that nobody loads: PETALS would look for ever.

    Servers that are joining with it, or have just gone, are waited for as ever.

    Raises
    ------
    NoRouteError
        With the blocks of which no server announces it.
    """
    name = manager.config.active_adapter
    if not name:
        return
    make_ready(manager)
    if _blocks_without_servers(manager):
        manager.update(wait=True)  # what it has read may be a minute old
    bare = _blocks_without_servers(manager)
    if bare:
        where = ", ".join(block_ranges(bare))
        raise NoRouteError(f"no server loads adapter {name!r} for blocks {where}")


def _blocks_without_servers(manager: Any) -> list[int]:
    """PETALS leaves out of its records who does not announce the adapter."""
    with manager.lock_changes:
        infos = manager.state.sequence_info.block_infos
        return [block for block, info in enumerate(infos) if not info.servers]


def known_servers(manager: Any) -> dict[str, Any]:
    """PETALS' record of every server it knows to be online, by peer id."""
    with manager.lock_changes:
        spans = manager.state.sequence_info.spans_by_priority
        return {span.peer_id.to_base58(): span.server_info for span in spans}


def route_sessions(model: Any, make_view: Callable[[Any, int], SessionView]) -> None:
    """Let ``make_view(manager, max_length)`` make the view of every new session of a model.

    ``model`` is an unmodified distributed model of PETALS; only this object changes.
    """
    blocks = model.transformer.h

    @contextmanager
    def inference_session(*, max_length: int) -> Iterator[InferenceSession]:
        check_adapter(blocks.sequence_manager)
        view = make_view(blocks.sequence_manager, max_length)
        tally = Tally()
        try:
            with InferenceSession(view, max_length) as session, blocks.use_session(session):
                session.step = counted(view.steps.timed(session.step), tally)
                session.tally = tally
                yield session
            view.answered(tally.answers)
        finally:
            view.end()

    blocks.inference_session = inference_session


def fixed_chain(manager: Any, chain: Chain) -> SessionView:
    """A view whose session takes one given chain; retries are PETALS' to route."""
    started = time.monotonic()

    def choose(request: ChainRequest) -> Chain | None:
        if request.retry:
            logger.info("retry after %.1f s", time.monotonic() - started)
            return None
        return chain

    return SessionView(manager, choose)
