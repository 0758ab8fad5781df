"""``swarmplan swarm watch``: read, weigh, confirm, propose or publish, and write it all down."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from ..api import plan
from ..core.errors import ScenarioError, SwarmplanError
from ..core.plan import Plan
from ..core.problem import Problem
from ..methods.replanning import kept
from ..scenarios.files import write_text
from ..scenarios.generate import write_document
from ..scenarios.planfile import write_plan
from ..scenarios.scenario import Scenario, load_scenario
from .inspecting import Notes
from .metrics import Metrics
from .turn import Turn
from .verdict import Action, State, Verdict, Weighing, live_placement, spans_of, verdict

#: (scenario document, notes) of the swarm as it is now.
Read = Callable[[], tuple[dict[str, Any], Notes]]
#: Publishes a plan; returns its version and when it expires, seconds since the epoch.
Publish = Callable[[Plan, Scenario], tuple[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """What to keep where, and how to decide.

    Attributes
    ----------
    folder : for scenario, plan, journal and state.
    router : the router that plans name.
    """

    folder: Path
    router: str = "ws-rr"
    weighing: Weighing = field(default_factory=Weighing)


class Watch:
    """One swarm under watch; ``turn`` is one round.

    Attributes
    ----------
    last : the last round, and ``seen`` the last one in which the swarm could be read.
    """

    def __init__(
        self, options: WatchOptions, read: Read, publish: Publish | None, metrics: Metrics
    ) -> None:
        self._options = options
        self._weighing = replace(options.weighing, publishes=publish is not None)
        self._read = read
        self._publish = publish
        self._metrics = metrics
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(options.folder, error) from error
        self.state = restored(options.folder)
        self.last: Turn | None = None
        self.seen: Turn | None = None
        metrics.set("swarmplan_plan_version", self.state.version)

    @property
    def reason(self) -> str:
        """Why the last turn ended as it did."""
        return "" if self.last is None else self.last.reason

    def turn(self, now_s: float | None = None) -> Action:
        """Read once and act; every outcome is one line of the journal."""
        now = time.time() if now_s is None else now_s
        self._metrics.add("swarmplan_reads_total")
        try:
            document, notes = self._read()
        except SwarmplanError as error:
            self._metrics.add("swarmplan_read_failures_total")
            return self._note(Turn(at_s=now, action="unreachable", reason=str(error)))
        self._metrics.set("swarmplan_last_read_timestamp_seconds", now)
        self._metrics.add("swarmplan_warnings_total", len(notes.warnings))
        path = self._options.folder / "scenario.json"
        write_document(path, document)
        turn = Turn(at_s=now, action="failed", reason="", notes=notes)
        # What the swarm announces may make no plan, and the next read may: no reason to end.
        try:
            scenario = load_scenario(path)
            turn = replace(turn, problem=scenario.problem)
            return self._weigh(turn, scenario)
        except SwarmplanError as error:
            return self._note(replace(turn, reason=str(error)))

    def _weigh(self, turn: Turn, scenario: Scenario) -> Action:
        self._describe(scenario.problem)
        judged = verdict(scenario.problem, self.state, self._weighing, turn.at_s)
        self.state = judged.state
        self._metrics.set("swarmplan_gain_ratio", judged.gain_ratio)
        turn = replace(turn, action=judged.action, reason=judged.reason, judged=judged)
        facts = judged.facts
        if judged.placement is not None:
            if judged.state.seen:  # not one that is only renewed
                self._metrics.add("swarmplan_proposals_total")
            facts = {**facts, **self._act(scenario, judged, turn.at_s)}
        return self._note(turn, facts)

    def _act(self, scenario: Scenario, judged: Verdict, now: float) -> Mapping[str, Any]:
        """Write the plan that was decided for, and publish it where that is wanted."""
        assert judged.placement is not None
        made = plan(scenario.problem, kept(judged.placement, self._options.router))
        write_plan(self._options.folder / "plan.json", made, scenario)
        if self._publish is None:
            return {}
        version, expires_s = self._publish(made, scenario)
        spans = spans_of(scenario.problem, judged.placement)
        self.state = State(version=version, expires_s=expires_s, issued_s=now, target=spans)
        self._metrics.add("swarmplan_publications_total")
        self._metrics.set("swarmplan_plan_version", version)
        return {"version": version}

    def _describe(self, problem: Problem) -> None:
        live = live_placement(problem)
        uncovered = int((live.coverage(problem.model.num_blocks) == 0).sum())
        self._metrics.set("swarmplan_servers_online", problem.num_servers)
        batching = sum(server.sharing == "batched" for server in problem.servers)
        self._metrics.set("swarmplan_servers_batching", batching)
        self._metrics.set("swarmplan_blocks_uncovered", uncovered)
        target, now = self.state.target, spans_of(problem, live)
        there = sum(now.get(peer) == span for peer, span in target.items())
        self._metrics.set("swarmplan_plan_followed", there / len(target) if target else 0.0)

    def _note(self, turn: Turn, facts: Mapping[str, Any] | None = None) -> Action:
        """A line in the journal, then the state: after a crash the line may repeat, not be lost."""
        self.last = turn
        if turn.problem is not None:
            self.seen = turn
        told = {"reason": turn.reason} if facts is None else facts
        line = json.dumps({"at_s": round(turn.at_s, 3), "action": turn.action, **_finite(told)})
        path = self._options.folder / "journal.jsonl"
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(os.open(path, flags, 0o644), "a", encoding="utf-8") as journal:
                journal.write(line + "\n")
        except OSError as error:
            raise _unwritable(path, error) from error
        write_text(self._options.folder / "state.json", json.dumps(asdict(self.state)) + "\n")
        return turn.action


def restored(folder: Path) -> State:
    """The state of the last run; a damaged file is as good as none, for versions come from the
    swarm itself when publishing."""
    try:
        return msgspec.json.decode((folder / "state.json").read_bytes(), type=State)
    except (OSError, ValueError, msgspec.MsgspecError):
        return State()


def _finite(value: Any) -> Any:
    """Without figures that JSON has no word for: what runs now may be unable to serve the load,
    and then what is gained by moving has no measure."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _unwritable(path: Path, error: OSError) -> ScenarioError:
    return ScenarioError.single("", f"cannot be written: {error.strerror}", source=str(path))
