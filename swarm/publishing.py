"""``swarmplan swarm publish``: sign a plan and store it in the swarm's own table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hivemind

from ..core.errors import ScenarioError
from ..core.plan import Plan
from ..methods.verify import verify
from ..scenarios.planfile import plan_document
from ..scenarios.scenario import Scenario
from .announce import Warnings
from .follow import Span, spans_of
from .live_dht import connect, read_announcements
from .order import moves_between, reloads_after
from .plan_table import fetch_stored, store_plan
from .record import ExpiredPlanError, RefusedPlanError, Step, read_record, record_of
from .signing import dht_now_s, read_private_key, trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was stored.

    Attributes
    ----------
    absent : servers of the plan that are not online under the prefix.
    """

    version: int
    expires_s: float
    size_bytes: int
    moves: tuple[Step, ...]
    absent: tuple[str, ...] = ()


def publish(
    plan: Plan,
    scenario: Scenario,
    *,
    key: Path,
    prefix: str,
    initial_peers: Sequence[str] = (),
    valid_s: float = 86_400.0,
    version: int | None = None,
    dht: hivemind.DHT | None = None,
) -> Published:
    """Sign and store; the version follows the one that is published, if any.

    Raises
    ------
    ScenarioError, SwarmUnreachableError
        If the plan is unsound or not publishable, or the swarm does not take it.
    """
    wrong = [f for f in verify(scenario.problem, plan) if f.grave]
    if wrong:
        raise ScenarioError.single("plan", "; ".join(str(v) for v in wrong[:5]))
    private, public = read_private_key(key)
    own = dht is None
    dht = dht or connect(initial_peers)
    try:
        validator = trust(dht, public, prefix, private)
        now_s = dht_now_s()
        blocks = scenario.problem.model.num_blocks
        told = read_announcements(dht, prefix, blocks, Warnings())
        live = spans_of(told)
        before, until_s = fetch_stored(dht, validator, prefix, tuple(live))
        number = version or max(int(now_s), _version_of(before, prefix, now_s) + 1)
        absent = _absent(plan, scenario, live, prefix)
        moves = (
            *moves_between(scenario.problem, live, plan.placement),
            *reloads_after(scenario.document, scenario.problem, plan.placement, told),
        )
        document: dict[str, Any] = plan_document(plan, scenario)
        packed = record_of(
            scenario,
            document,
            prefix=prefix,
            version=number,
            now_s=now_s,
            valid_s=valid_s,
            moves=moves,
        )
        # A table keeps the entry that lives longest; the record itself says when it is over.
        store_plan(dht, validator, packed, max(now_s + valid_s, until_s + 1.0), tuple(live))
        return Published(
            version=number,
            expires_s=now_s + valid_s,
            size_bytes=len(packed),
            moves=moves,
            absent=absent,
        )
    finally:
        if own:
            dht.shutdown()


def _absent(
    plan: Plan, scenario: Scenario, live: Mapping[str, Span], prefix: str
) -> tuple[str, ...]:
    """Servers of the plan that are not online; a plan of which nobody is online, though others
    are, is a plan for another swarm."""
    placed = plan.placement.num_blocks
    used = [s.id for j, s in enumerate(scenario.problem.servers) if placed[j]]
    absent = tuple(peer for peer in used if peer not in live)
    if live and len(absent) == len(used):
        message = f"none of its servers is online under {prefix!r}: a plan for another swarm?"
        raise ScenarioError.single("plan", message)
    return absent


def _version_of(packed: bytes | None, prefix: str, now_s: float) -> int:
    if packed is None:
        return 0
    try:
        return read_record(packed, prefix=prefix, now_s=now_s).version
    except ExpiredPlanError as error:
        return error.version
    except RefusedPlanError:
        return 0
