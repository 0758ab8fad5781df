"""A plan as it is published to a live swarm: content, checks, and who may replace whom.

The record carries the scenario and the plan, so that whoever reads it can route by the same model
that the planner used. It is signed by the DHT layer (``signing``); here its content is checked:
format, size, swarm, version, expiry. Plain Python, no hivemind.
"""

from __future__ import annotations

import hashlib
import logging
import math
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..core.drafting import Use
from ..core.errors import InputProblem, ScenarioError, SwarmplanError
from ..core.plan import Placement, Plan, PlannedRoute
from ..core.problem import Problem
from ..methods.verify import verify
from ..perfmodel.cost import CostModel
from ..scenarios import schema
from ..scenarios.build import build, server_ids
from ..scenarios.planbuild import plan_of
from ..scenarios.scenario import Scenario
from ..scenarios.topologies import names_file
from .harm import precision_of
from .limits import Limits, limits_for
from .remembered import VERSION_SLACK, Accepted, remember, remembered

logger = logging.getLogger(__name__)

FORMAT = "swarmplan/live-plan/2"
#: Of the compressed record; p2p messages end at 4 MiB.
RECORD_LIMIT_BYTES = 1 << 20
PLAIN_LIMIT_BYTES = 32 << 20
#: Clocks of peers may differ by this much.
CLOCK_SLACK_S = 60.0
#: No plan is in force for longer.
VALID_LIMIT_S = 31 * 86_400.0


class RefusedPlanError(SwarmplanError):
    """A published plan that is not followed, and why."""

    exit_code = 5


class ExpiredPlanError(RefusedPlanError):
    """A plan that is over; it still says that all before it are."""

    def __init__(self, version: int) -> None:
        super().__init__(f"plan {version} has expired")
        self.version = version


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server moves; ``dark`` lists the blocks that no order could have kept served."""

    peer: str
    dark: list[int] = []


class LiveRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The published document; spans and routes by peer id."""

    format: str
    prefix: str
    version: int
    issued_s: float
    expires_s: float
    scenario: schema.Scenario
    plan: schema.PlanFile
    #: The order in which servers may move from what was live to the plan.
    moves: list[Step] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """How servers are to host their blocks.

    Attributes
    ----------
    precision : peer -> precision, None = as it likes.
    adapters : peer -> adapters to load, by what they are loaded by; empty = as it likes.
    """

    precision: Mapping[str, str | None] = field(default_factory=dict)
    adapters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def is_so(self, peer: str, quant_type: object, loaded: Collection[str]) -> bool:
        """Whether a peer that announces these hosts its blocks as it is to."""
        wanted, there = self.precision.get(peer), precision_of(quant_type)
        if wanted is not None and there is not None and wanted != there:
            return False
        return not self.adapters or set(self.adapters.get(peer, ())) == set(loaded)


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePlan:
    """A record that passed every check.

    Attributes
    ----------
    spans : peer -> blocks ``[start, end)``; idle servers are not listed.
    cache_tokens : peer -> tokens of attention cache to offer per block.
    hosting : how servers are to host their blocks.
    wires : peer -> by what its states go, of those of which the scenario or the plan says so.
    moves : who may move, in order, and which blocks cannot be helped meanwhile.
    limits : what servers have to allow for the planned sessions.
    routes : the planned ones; drafts : how each client drafts, empty where the plan says nothing.
    """

    prefix: str
    version: int
    issued_s: float
    expires_s: float
    problem: Problem
    placement: Placement
    router: str
    spans: Mapping[str, tuple[int, int]]
    cache_tokens: Mapping[str, int]
    hosting: Hosting
    wires: Mapping[str, str]
    moves: tuple[Step, ...]
    limits: Limits
    routes: tuple[PlannedRoute, ...] = ()
    drafts: tuple[Use, ...] = ()

    def client_row(self, client: str | None) -> int:
        """Of a client by its name in the scenario; the first where there is none."""
        return next((i for i, c in enumerate(self.problem.clients) if c.id == client), 0)


def record_of(
    scenario: Scenario,
    plan: Mapping[str, Any],
    *,
    prefix: str,
    version: int,
    now_s: float,
    valid_s: float,
    moves: tuple[Step, ...] = (),
) -> bytes:
    """The record of a plan file's document, compressed.

    Raises
    ------
    ScenarioError
        If the scenario refers to files, which readers do not have, or the record is too large.
    """
    wrong = list(_outside(scenario.document))
    if wrong:
        raise ScenarioError(wrong, source=str(scenario.path))
    # What planners compared on the way is for people, not for the swarm.
    content = {**plan, "candidates": [], "notes": [], "sha256": ""}
    record = LiveRecord(
        format=FORMAT,
        prefix=prefix,
        version=version,
        issued_s=now_s,
        expires_s=now_s + valid_s,
        scenario=scenario.document,
        plan=msgspec.convert(content, schema.PlanFile),
        moves=list(moves),
    )
    try:
        _check_figures(record)
    except RefusedPlanError as error:
        raise ScenarioError.single("plan", str(error)) from error
    packed = zlib.compress(msgspec.json.encode(record), 9)
    if len(packed) > RECORD_LIMIT_BYTES:
        message = f"the record takes {len(packed)} bytes, a swarm carries {RECORD_LIMIT_BYTES}"
        raise ScenarioError.single("plan", message)
    return packed


def read_record(packed: object, *, prefix: str, now_s: float) -> LivePlan:
    """The plan of a record whose signature was checked.

    Raises
    ------
    RefusedPlanError
        Saying what is wrong: format, size, another swarm, expired, or an unsound plan.
    """
    record = _decoded(packed)
    if record.format != FORMAT:
        raise RefusedPlanError(f"the record has the unknown format {record.format[:40]!r}")
    if record.prefix != prefix:
        raise RefusedPlanError(f"the plan is for {record.prefix[:80]!r}, this is {prefix!r}")
    _check_figures(record)
    if not record.issued_s <= now_s + CLOCK_SLACK_S:
        raise RefusedPlanError(f"plan {record.version} was issued in the future")
    if not record.expires_s > now_s:
        raise ExpiredPlanError(record.version)
    try:
        problem = build(record.scenario, Path()).problem
    except (ScenarioError, ValueError) as error:
        raise RefusedPlanError(f"its scenario cannot be used: {error}") from error
    try:
        plan = plan_of(record.plan, problem, source="")
    except ScenarioError as error:
        raise RefusedPlanError(f"its plan does not fit its scenario: {error}") from error
    wrong = [str(f) for f in verify(problem, plan, simulate=False) if f.grave]
    if wrong:
        raise RefusedPlanError(f"plan {record.version} is unsound: {'; '.join(wrong[:3])}")
    _check_moves(record, problem)
    return _live(record, problem, plan)


def _check_figures(record: LiveRecord) -> None:
    """A signature says who wrote the figures, not that they make sense."""
    times = (record.issued_s, record.expires_s)
    if not all(math.isfinite(time_s) and time_s >= 0 for time_s in times):
        raise RefusedPlanError(f"plan {record.version} has absurd times")
    if not 0 < record.version <= record.issued_s + VERSION_SLACK:
        raise RefusedPlanError(f"its version is {record.version}, which no plan has")
    if not 0 < record.expires_s - record.issued_s <= VALID_LIMIT_S:
        days = VALID_LIMIT_S / 86_400
        message = f"plan {record.version} is in force for no time or for more than {days:.0f} days"
        raise RefusedPlanError(message)


def _check_moves(record: LiveRecord, problem: Problem) -> None:
    """Each server moves once at most, and only blocks of the model are dark."""
    known = {server.id for server in problem.servers}
    peers = [step.peer for step in record.moves]
    if len(set(peers)) < len(peers) or not known.issuperset(peers):
        raise RefusedPlanError(f"plan {record.version} moves a server twice, or an unknown one")
    blocks = range(problem.model.num_blocks)
    if any(block not in blocks for step in record.moves for block in step.dark):
        raise RefusedPlanError(f"plan {record.version} darkens blocks that the model has not")


class Acceptor:
    """Remembers the highest version accepted, also over restarts, and refuses all that is older.

    Parameters
    ----------
    state : file for the highest version and the digest of its record, or None.
    operator : public key of those plans; another operator's versions are counted apart.
    """

    def __init__(self, prefix: str, state: Path | None = None, operator: str = "") -> None:
        self._prefix = prefix
        self._state = state
        self._operator = operator
        self._accepted = remembered(state, prefix, operator)
        self.plan: LivePlan | None = None

    def offer(self, packed: object, now_s: float) -> bool:
        """Whether this is a newer plan than the one followed; refusals are logged."""
        try:
            plan = read_record(packed, prefix=self._prefix, now_s=now_s)
        except ExpiredPlanError as error:
            self._revoke(error.version, packed)
            return False
        except RefusedPlanError as error:
            logger.warning("plan refused: %s", error)
            return False
        if not self._is_new(plan.version, packed):
            return False
        if self.plan is not None and plan.version == self.plan.version:
            return False
        self._remember(plan.version, packed)
        self.plan = plan
        return True

    def _revoke(self, version: int, packed: object) -> None:
        """A plan that is over ends those before it, which may have been meant to last longer."""
        if version > self._accepted.version:
            logger.warning("plan %d has expired, and with it all before it", version)
            self._remember(version, packed)
            self.plan = None

    def _is_new(self, version: int, packed: object) -> bool:
        if version < self._accepted.version:
            text = "plan refused: version %d is older than %d, which was accepted before"
            logger.warning(text, version, self._accepted.version)
            return False
        if version == self._accepted.version and _digest(packed) != self._accepted.digest:
            logger.warning("plan refused: there are two plans of version %d", version)
            return False
        return True

    def _remember(self, version: int, packed: object) -> None:
        self._accepted = Accepted(version, _digest(packed))
        if self._state is not None:
            remember(self._state, self._prefix, self._operator, self._accepted)

    def current(self, now_s: float) -> LivePlan | None:
        """The plan to follow, None when there is none or it has expired."""
        if self.plan is not None and self.plan.expires_s <= now_s:
            logger.warning("plan %d has expired", self.plan.version)
            self.plan = None
        return self.plan


def _digest(packed: object) -> str:
    assert isinstance(packed, bytes)
    return hashlib.sha256(packed).hexdigest()


def _decoded(packed: object) -> LiveRecord:
    if not isinstance(packed, bytes) or len(packed) > RECORD_LIMIT_BYTES:
        raise RefusedPlanError("the record is no bytes or too large")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, PLAIN_LIMIT_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise RefusedPlanError("the record is cut off or too large")
        return msgspec.json.decode(content, type=LiveRecord)
    except (zlib.error, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RefusedPlanError(f"the record cannot be read: {error}") from error


def planned_hosting(document: schema.Scenario, problem: Problem, placement: Placement) -> Hosting:
    """What a plan says of how servers host their blocks: precisions as chosen, else as the document
    says.

    Parameters
    ----------
    problem : settled by the placement.
    """
    hosted: dict[str, str | None] = {
        name: s.quantisation for s in document.servers for name in server_ids(s)
    }
    hosted |= {s.id: s.precision for s in problem.servers if placement.precision and s.variants}
    names = {a.id: a.name for a in problem.adapters}
    loaded = {s.id: tuple(names[a] for a in s.adapters or ()) for s in problem.servers if names}
    return Hosting(precision=hosted, adapters=loaded)


def _live(record: LiveRecord, problem: Problem, plan: Plan) -> LivePlan:
    """What follows from a sound plan for the peers by their ids."""
    problem = plan.placement.settled(problem)
    cost, spans, tokens = CostModel.of(problem), {}, {}
    for j, server in enumerate(problem.servers):
        span = plan.placement.span(j)
        if span is not None:
            pool = int(plan.placement.cache_bytes[j])
            spans[server.id] = (span.start, span.end)
            tokens[server.id] = max(1, cost.tokens_held(pool, span.start, span.end))
    return LivePlan(
        prefix=record.prefix,
        version=record.version,
        issued_s=record.issued_s,
        expires_s=record.expires_s,
        problem=problem,
        placement=plan.placement,
        router=plan.router,
        spans=spans,
        cache_tokens=tokens,
        hosting=planned_hosting(record.scenario, problem, plan.placement),
        wires={s.id: s.wire for s in problem.servers if s.wires or s.wire != "none"},
        moves=tuple(record.moves),
        limits=limits_for(problem, plan.predicted),
        routes=plan.routes,
        drafts=plan.drafts,
    )


def _outside(document: schema.Scenario) -> list[InputProblem]:
    """References to files."""
    net, load = document.network, document.workload
    found = []
    if net.rtt_csv is not None:
        found.append("network.rtt_csv")
    if net.topology is not None and names_file(net.topology):
        found.append("network.topology")
    if load.trace is not None:
        found.append("workload.trace")
    for i, stream in enumerate(load.streams):
        if isinstance(stream.prompt_tokens, schema.TokenFile) or isinstance(
            stream.output_tokens, schema.TokenFile
        ):
            found.append(f"workload.streams[{i}]")
    text = "refers to a file that peers of the swarm do not have: give the figures themselves"
    return [InputProblem(path, text) for path in found]
