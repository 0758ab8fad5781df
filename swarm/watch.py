"""``swarmplan swarm watch``: read, weigh, confirm, propose or publish, and write it all down.

Three things keep servers from chasing each other: a move must repay its cost within the horizon
(``replan``), by a margin, and the same plan must come out of several reads in a row.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..api import plan
from ..core.errors import ScenarioError, SwarmplanError
from ..core.plan import Placement, Plan
from ..core.problem import Problem
from ..methods.draft import Settings
from ..methods.replanning import kept, replanned
from ..perfmodel.cost import CostModel
from ..placement.moves.replan import Replan, Terms
from ..scenarios.files import write_text
from ..scenarios.generate import write_document
from ..scenarios.planfile import write_plan
from ..scenarios.scenario import Scenario, load_scenario
from .inspecting import Notes
from .metrics import Metrics

#: (scenario document, notes) of the swarm as it is now.
Read = Callable[[], tuple[dict[str, Any], Notes]]
#: Publishes a plan; returns its version and when it expires, seconds since the epoch.
Publish = Callable[[Plan, Scenario], tuple[int, float]]
Action = Literal["unreachable", "stay", "confirm", "propose", "publish", "renew", "failed"]
Spans = dict[str, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How to decide.

    Attributes
    ----------
    folder : for scenario, plan, journal and state.
    confirm : reads in a row that must find the same plan worth it.
    method, router : what plans are aimed at; the router that the plan names.
    """

    folder: Path
    confirm: int = 3
    method: str = "cg-bp"
    router: str = "ws-rr"
    terms: Terms = field(default_factory=lambda: Terms(margin=0.2, replay="prefill"))


@dataclass(kw_only=True)
class State:
    """What survives a restart."""

    version: int = 0
    expires_s: float = 0.0
    issued_s: float = 0.0
    target: Spans = field(default_factory=dict)
    candidate: Spans = field(default_factory=dict)
    seen: int = 0


class Watch:
    """One swarm under watch; ``turn`` is one round."""

    def __init__(
        self, options: WatchOptions, read: Read, publish: Publish | None, metrics: Metrics
    ) -> None:
        self._options = options
        self._read = read
        self._publish = publish
        self._metrics = metrics
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(options.folder, error) from error
        #: Why the last turn ended as it did.
        self.reason = ""
        self.state = _restored(options.folder / "state.json")
        metrics.set("swarmplan_plan_version", self.state.version)

    def turn(self, now_s: float | None = None) -> Action:
        """Read once and act; every outcome is one line of the journal."""
        now = time.time() if now_s is None else now_s
        self._metrics.add("swarmplan_reads_total")
        try:
            document, notes = self._read()
        except SwarmplanError as error:
            self._metrics.add("swarmplan_read_failures_total")
            return self._note(now, "unreachable", reason=str(error))
        self._metrics.set("swarmplan_last_read_timestamp_seconds", now)
        self._metrics.add("swarmplan_warnings_total", len(notes.warnings))
        path = self._options.folder / "scenario.json"
        write_document(path, document)
        # What the swarm announces may make no plan, and the next read may: no reason to end.
        try:
            return self._weigh(now, load_scenario(path))
        except SwarmplanError as error:
            return self._note(now, "failed", reason=str(error))

    def _weigh(self, now: float, scenario: Scenario) -> Action:
        live = _pinned(scenario.problem)
        self._describe(scenario.problem, live)
        decision = replanned(
            scenario.problem,
            live,
            self._options.method,
            settings=Settings(time_limit_s=20.0),
            terms=self._options.terms,
        )
        return self._decide(now, scenario, decision)

    def _decide(self, now: float, scenario: Scenario, decision: Replan) -> Action:
        best = decision.best
        ratio = best.gain / best.stay if 0 < best.stay < math.inf else 0.0
        self._metrics.set("swarmplan_gain_ratio", ratio)
        wanted = _spans(scenario.problem, decision.chosen.placement)
        facts: dict[str, Any] = {
            "moves": decision.chosen.moves,
            "gain": decision.chosen.gain,
            "cost": decision.chosen.cost,
            "reasons": list(decision.reasons),
        }
        if not decision.worth:
            self.state.candidate, self.state.seen = {}, 0
            if self._due(now):
                return self._act(now, "renew", scenario, decision.chosen.placement, facts)
            return self._note(now, "stay", **facts)
        if wanted == self.state.target and self.state.expires_s > now:
            return self._note(now, "stay", **{**facts, "reasons": ["servers are still moving"]})
        self.state.seen = self.state.seen + 1 if wanted == self.state.candidate else 1
        self.state.candidate = wanted
        # What cannot stay is not made to wait.
        if self.state.seen < self._options.confirm and not decision.forced:
            return self._note(now, "confirm", seen=self.state.seen, spans=wanted, **facts)
        self._metrics.add("swarmplan_proposals_total")
        return self._act(now, "publish", scenario, decision.chosen.placement, facts)

    def _due(self, now: float) -> bool:
        """Whether the published plan has lived half of its time and is still what is wanted."""
        state = self.state
        return bool(state.target) and now > (state.issued_s + state.expires_s) / 2

    def _act(
        self,
        now: float,
        action: Action,
        scenario: Scenario,
        placement: Placement,
        facts: Mapping[str, Any],
    ) -> Action:
        made = plan(scenario.problem, kept(placement, self._options.router))
        write_plan(self._options.folder / "plan.json", made, scenario)
        spans = _spans(scenario.problem, placement)
        if self._publish is None:
            return self._note(now, "propose", spans=spans, **facts)
        version, expires_s = self._publish(made, scenario)
        self.state = State(version=version, expires_s=expires_s, issued_s=now, target=spans)
        self._metrics.add("swarmplan_publications_total")
        self._metrics.set("swarmplan_plan_version", version)
        return self._note(now, action, version=version, spans=spans, **facts)

    def _describe(self, problem: Problem, live: Placement) -> None:
        uncovered = int((live.coverage(problem.model.num_blocks) == 0).sum())
        self._metrics.set("swarmplan_servers_online", problem.num_servers)
        batching = sum(server.sharing == "batched" for server in problem.servers)
        self._metrics.set("swarmplan_servers_batching", batching)
        self._metrics.set("swarmplan_blocks_uncovered", uncovered)
        target, now = self.state.target, _spans(problem, live)
        there = sum(now.get(peer) == span for peer, span in target.items())
        self._metrics.set("swarmplan_plan_followed", there / len(target) if target else 0.0)

    def _note(self, now: float, action: Action, **facts: Any) -> Action:
        """A line in the journal, then the state: after a crash the line may repeat, not be lost."""
        self.reason = str(facts.get("reason") or "; ".join(facts.get("reasons", ())))
        line = json.dumps({"at_s": round(now, 3), "action": action, **_finite(facts)})
        path = self._options.folder / "journal.jsonl"
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(os.open(path, flags, 0o644), "a", encoding="utf-8") as journal:
                journal.write(line + "\n")
        except OSError as error:
            raise _unwritable(path, error) from error
        write_text(self._options.folder / "state.json", json.dumps(asdict(self.state)) + "\n")
        return action


def _pinned(problem: Problem) -> Placement:
    """The spans that were read."""
    spans = [(s.pinned.start, s.pinned.end) if s.pinned else (0, 0) for s in problem.servers]
    return CostModel.of(problem).placed(spans)


def _spans(problem: Problem, placement: Placement) -> Spans:
    return {
        s.id: [int(placement.start[j]), int(placement.end[j])]
        for j, s in enumerate(problem.servers)
        if placement.num_blocks[j]
    }


def _finite(value: Any) -> Any:
    """Without figures that JSON has no word for: what runs now may be unable to serve the load,
    and then what is gained by moving has no measure."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _restored(path: Path) -> State:
    """The state of the last run; a damaged file is as good as none, for versions come from the
    swarm itself when publishing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, ValueError, msgspec.MsgspecError):
        return State()


def _unwritable(path: Path, error: OSError) -> ScenarioError:
    return ScenarioError.single("", f"cannot be written: {error.strerror}", source=str(path))
