"""PETALS' own server under a plan: ``swarmplan swarm serve``.

PETALS asks now and then whether to load other blocks and rebuilds its container with those chosen;
peer id, connections and table stay. Both questions are answered from the plan here. Without a
plan in force PETALS' own rules answer, at PETALS' own pace.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hivemind.p2p import P2PDaemonError
from hivemind.proto.runtime_pb2 import CompressionType
from petals.cli import run_server
from petals.data_structures import ServerState
from petals.server import server as server_of
from petals.server.server import Server
from petals.utils.convert_block import QuantType

from ..core.errors import ScenarioError, SwarmUnreachableError
from ..perfmodel.announced import measured_rates
from ..perfmodel.devices import Device
from ..perfmodel.profilefile import read_profiles
from .announce import Announcement, Warnings
from .asking import confirmed
from .clock import wrap_passes, wrap_tasks
from .follow import Follower, Span, Verdict, otherwise
from .hosting import KINDS, loadable, quantising_fails
from .limits import Limits
from .live_dht import read_announcements
from .meter import Meter
from .record import Acceptor, LivePlan
from .sealing import fingerprint
from .signing import dht_now_s, fetch_plan, trust
from .speaking import Speaker, facts_of, speak_with
from .stating import fetch_statements

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How to follow.

    Attributes
    ----------
    public_key : the operator's; None = no plan is followed.
    state : file that remembers the highest version accepted.
    period_s : how often the plan is looked up.
    drain_s : how long running sessions may delay a move; then their clients replay them elsewhere.
    profile : device profile whose rates are announced in place of those that PETALS would measure.
    identity : file of the peer's key, with which it signs what it states; None = it states nothing.
    """

    public_key: str | None
    state: Path | None = None
    period_s: float = 5.0
    drain_s: float = 30.0
    profile: Path | None = None
    identity: Path | None = None


class PlannedServer(Server):
    """A PETALS server that follows the plan of one operator."""

    options: ServeOptions
    has_started = False
    speaker: Speaker | None = None
    meter: Meter
    num_blocks: int
    quant_type: QuantType
    adapters: Sequence[str]
    mean_balance_check_period: float

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._petals_period_s = float(self.mean_balance_check_period)
        self._petals_next_s = time.monotonic() + self._petals_period_s
        self._follower = Follower(peer=self.dht.peer_id.to_base58())
        self._acceptor = Acceptor(
            self.dht_prefix, self.options.state, self.options.public_key or ""
        )
        self._said = ""
        self._target: Span | None = None
        self._validator = None
        self._measured: Device | None = None
        #: What the plan wants of this machine, and it can.
        self._host: tuple[LivePlan, tuple[QuantType, tuple[str, ...]]] | None = None
        if self.options.profile is not None:
            self._announce(self.options.profile)
        if self.options.public_key is not None:
            self._validator = trust(self.dht, self.options.public_key, self.dht_prefix)
            # PETALS asks at random instants up to twice this apart.
            self.mean_balance_check_period = self.options.period_s / 2
        if self.options.identity is not None:
            PlannedServer.speaker = Speaker(
                self.dht, self.dht_prefix, self.options.identity, self._about
            )

    def _about(self) -> dict[str, Any]:
        """What a statement adds to PETALS' announcement."""
        key, plan = self.options.public_key, self._acceptor.plan
        return {
            **facts_of(self, self._measured, self.meter),
            "operator": "" if key is None else fingerprint(key),
            "plan_version": 0 if plan is None else plan.version,
            "as_planned": plan is None or self._is_so(plan),
        }

    def _announce(self, profile: Path) -> None:
        """Announce what was measured of these blocks at this precision."""
        kind = self.server_info.quant_type
        precision = "bf16" if kind in (None, "none") else kind
        found = [d for d in read_profiles(profile) if d.precision in ("", precision)]
        if len(found) > 1:
            found = [d for d in found if d.model.casefold() in self.dht_prefix.casefold()]
        if len(found) != 1:
            raise ValueError(f"{profile.name} has {len(found)} profiles of {precision} blocks")
        info = self.server_info
        self._measured = found[0]
        info.inference_rps, info.forward_rps = measured_rates(found[0])
        self._rate_span()

    def _rate_again(self) -> None:
        """Announce what the profile says of the blocks at their new precision."""
        if self.options.profile is None:
            return
        try:
            self._announce(self.options.profile)
        except ValueError as error:
            logger.warning("the rates announced are those of the old precision: %s", error)
            self._measured = None

    def _rate_span(self) -> None:
        """PETALS' own rule, which it applies once at the start."""
        info = self.server_info
        info.throughput = info.forward_rps / ((self.num_blocks + 1) / 2)
        if info.network_rps is not None:
            info.throughput = min(info.throughput, info.network_rps)

    def _choose_blocks(self) -> list[int]:
        """The planned span when there is one, PETALS' choice otherwise."""
        target, self._target = self._target, None
        if target is None:
            verdict = self._look(None)
            target = verdict.span if verdict.action == "move" else None
        if target is None:
            return list(super()._choose_blocks())
        plan = self._acceptor.plan
        if plan is not None:
            self._take(plan, target)
        return list(range(*target))

    def _hosting(self, plan: LivePlan) -> tuple[QuantType, tuple[str, ...]]:
        """Precision and adapters that the plan wants here, as far as this machine has them."""
        if self._host is not None and self._host[0] is plan:
            return self._host[1]
        peer = self._follower.peer
        precision = plan.hosting.precision.get(peer)
        kind = KINDS.get(precision or "", self.quant_type)
        why = "" if kind == self.quant_type else quantising_fails(kind, self.device)
        if why:
            own = self.server_info.quant_type
            logger.warning(
                "plan %d: no blocks at %s here, they stay at %s: %s",
                plan.version, precision, own, why,
            )  # fmt: skip
            kind = self.quant_type
        loaded: tuple[str, ...] = tuple(self.adapters)
        if plan.hosting.adapters:
            loaded, wrong = loadable(plan.hosting.adapters.get(peer, ()))
            for name, why in wrong.items():
                logger.warning("plan %d: adapter %r is not loaded: %s", plan.version, name, why)
        self._host = plan, (kind, loaded)
        return kind, loaded

    def _is_as_planned(self, plan: LivePlan | None) -> bool:
        if plan is None:
            return True
        self._hosting(plan)
        return self._is_so(plan)

    def _is_so(self, plan: LivePlan) -> bool:
        """Whether it is known what can be had of a plan, and is there. Other threads ask this."""
        known = self._host
        if known is None or known[0] is not plan:
            return False
        kind, loaded = known[1]
        return kind == self.quant_type and set(loaded) == set(self.adapters)

    def _should_choose_other_blocks(self) -> bool:
        # Asked once blocks are served: what fails from here on is no wrong use.
        PlannedServer.has_started = True
        info = self.server_info
        verdict = self._look((info.start_block, info.end_block))
        if verdict.action == "petals":
            if time.monotonic() < self._petals_next_s:
                return False
            self._petals_next_s = time.monotonic() + self._petals_period_s
            return bool(super()._should_choose_other_blocks())
        if verdict.action != "move":
            return False
        self._target = verdict.span
        self._drain()
        return True

    def _look(self, serving: Span | None) -> Verdict:
        """Read plan and swarm, decide, and log what changed. A silent swarm changes nothing."""
        try:
            plan, live = self._read()
            verdict = self._decide(plan, serving, live)
        except SwarmUnreachableError as error:
            verdict = Verdict(action="stay", reason=str(error))
        version = self._acceptor.plan.version if self._acceptor.plan else None
        said = f"plan {version}: {verdict.action} ({verdict.reason})"
        if said != self._said:
            self._said = said
            logger.info("%s", said)
        return verdict

    def _decide(
        self, plan: LivePlan | None, serving: Span | None, live: Sequence[Announcement]
    ) -> Verdict:
        """By what others confirm themselves; who cannot be asked has confirmed nothing."""
        as_planned = self._is_as_planned(plan)
        claims = self._follower.claims(plan, serving, live, as_planned=as_planned)
        answers = confirmed(self.dht, self.dht_prefix, claims) if claims else frozenset()
        return self._follower.decide(
            plan,
            serving,
            answers,
            dht_now_s(),
            as_planned=as_planned,
            unlike=self._unlike(plan, {peer for peer, start, end in answers if start < end}),
        )

    def _unlike(self, plan: LivePlan | None, peers: Collection[str]) -> frozenset[str]:
        if plan is None or not peers:
            return frozenset()
        return otherwise(plan, fetch_statements(self.dht, self.dht_prefix, peers))

    def _read(self) -> tuple[LivePlan | None, Sequence[Announcement]]:
        if self._validator is None:
            return None, ()
        packed = fetch_plan(self.dht, self._validator, self.dht_prefix)
        if packed is not None and self._acceptor.offer(packed, dht_now_s()):
            logger.info("plan accepted")
        plan = self._acceptor.current(dht_now_s())
        if plan is None:
            return None, ()
        blocks = len(self.module_uids)
        return plan, read_announcements(self.dht, self.dht_prefix, blocks, Warnings())

    def _take(self, plan: LivePlan, span: Span) -> None:
        """Sizes and announced figures of the new span."""
        peer, before = self._follower.peer, self.num_blocks
        widened = widen(self, plan.limits)
        if widened:
            logger.info("wider limits for the planned sessions: %s", ", ".join(widened))
        config = self.block_config
        per_token = (
            2 * config.hidden_size // config.num_key_value_groups * self.torch_dtype.itemsize
        )
        self._cache_bytes_per_block = per_token * plan.cache_tokens[peer]
        self.num_blocks = span[1] - span[0]
        self.attn_cache_bytes = self._cache_bytes_per_block * self.num_blocks
        kind, self.adapters = self._hosting(plan)
        self.server_info.adapters = self.adapters
        if kind != self.quant_type:
            self.quant_type = kind
            self.server_info.quant_type = kind.name.lower()
            self._rate_again()
        if peer in plan.wires:
            self.compression = CompressionType.Value(plan.wires[peer].upper())
        info = self.server_info
        if info.forward_rps is not None:
            self._rate_span()
        elif before:
            info.throughput *= (before + 1) / (self.num_blocks + 1)

    def _drain(self) -> None:
        """Tell clients to look elsewhere and let running sessions end, up to the limit."""
        announcer = self.module_container.dht_announcer
        announcer.announce(ServerState.JOINING)
        until = time.monotonic() + self.options.drain_s
        while announcer.memory_cache.bytes_left < self.attn_cache_bytes:
            if time.monotonic() > until or self.stop.wait(0.1):
                logger.warning(
                    "sessions still run after %.0f s; they move on", self.options.drain_s
                )
                return
        logger.info("no session is left")


def widen(server: Any, needed: Limits) -> list[str]:
    """Let a server allow what the planned sessions need; what its operator set wider stays."""
    now = Limits(
        inference_max_length=server.inference_max_length,
        max_batch_size=server.max_batch_size,
        request_timeout_s=server.request_timeout,
        step_timeout_s=server.step_timeout,
        session_timeout_s=server.session_timeout,
    )
    wider = needed.beyond(now)
    for name, value in wider.items():
        setattr(server, name, value)
    return [f"{name} {value}" for name, value in wider.items()]


def serve(options: ServeOptions, petals_flags: Sequence[str]) -> None:
    """Run PETALS' server program with its own flags, under the plan.

    Raises
    ------
    ScenarioError, SwarmUnreachableError
        If PETALS refuses its flags, or finds no model or no peer.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s [swarmplan] %(message)s")
    flags = list(petals_flags)
    if options.profile is not None:
        read_profiles(options.profile)  # before PETALS takes its time
        if _value(flags, "--throughput") is None:
            flags += ["--throughput", "1.0"]  # nothing to measure
    with tempfile.TemporaryDirectory(prefix="swarmplan-peer-") as folder:
        identity = _value(flags, "--identity_path")
        if identity is None and not _value(flags, "-c") and not _value(flags, "--config"):
            # A new peer: PETALS would make a key, and keep it to itself.
            identity = f"{folder}/identity"
            flags += ["--identity_path", identity]
        known = None if identity is None else Path(identity)
        PlannedServer.options = replace(options, identity=known)
        _run(flags)


def _value(flags: Sequence[str], name: str) -> str | None:
    """What a flag of PETALS is given, as one word or as two; the last one counts."""
    found = None
    for word, following in zip(flags, [*flags[1:], ""], strict=True):
        key, equals, value = word.partition("=")
        if key == name:
            found = value if equals else following
    return found


def _run(flags: Sequence[str]) -> None:
    run_server.Server = PlannedServer
    PlannedServer.meter = Meter()
    wrap_tasks(PlannedServer.meter.around)
    wrap_passes(PlannedServer.meter.around_pass)
    own = "declare_active_modules"
    setattr(server_of, own, speak_with(getattr(server_of, own), lambda: PlannedServer.speaker))
    sys.argv = ["run_server", *flags]
    try:
        run_server.main()
    # PETALS checks its flags by assertions, too.
    except (OSError, ValueError, AssertionError, P2PDaemonError) as error:
        if PlannedServer.has_started:
            raise
        logger.debug("PETALS did not start", exc_info=True)
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, OSError | P2PDaemonError):
            raise SwarmUnreachableError(f"PETALS did not start: {said}") from error
        raise ScenarioError.single("", f"PETALS did not start: {said}") from error
