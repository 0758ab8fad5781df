"""Before and after: paired differences, and the reason in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.plan import Placement
from ..core.problem import Problem
from ..methods.draft import Known
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import blocks_that_fit
from ..scenarios.scenario import Scenario
from ..simulator.figures import RESPONSE, Figure, figures, known
from ..simulator.metrics import Interval, Summary
from .coldstart import ColdStart, cold_starts
from .edits import Edit, apply
from .outcome import PARTS, Outcome, Study, outcome, outcome_of

#: A change below this share of the response is no change in words.
NOTABLE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One scenario before, and one or more outcomes after.

    Attributes
    ----------
    after : outcomes of the edited scenario: its blocks as they were, planned anew, or both.
    cold : servers that have to load blocks for the last of them.
    """

    edits: tuple[str, ...]
    before: Outcome
    after: tuple[Outcome, ...]
    cold: tuple[ColdStart, ...] = ()

    def __repr__(self) -> str:
        after = "; ".join(reason(self.before, a) for a in self.after)
        return f"{type(self).__name__}({', '.join(self.edits)}: {after})"


#: What a change is told by.
CHANGED = figures(
    "response_s",
    "p95_response_s",
    "ttft_s",
    "p95_ttft_s",
    "tpot_s",
    "wait_s",
    "tokens_per_s",
    "hops",
    "completed_share",
)


def changed(*outcomes: Outcome) -> tuple[Figure, ...]:
    """What a change between these outcomes is told by: energy and money where they are known."""
    return (*CHANGED, *known(run for outcome in outcomes for run in outcome.runs))


def what_if(
    scenario: Scenario,
    edits: Sequence[Edit],
    study: Study,
    *,
    fail: Sequence[str] = (),
    keep: bool = False,
) -> Change:
    """The effect of edits, on the requests of the same seeds.

    Parameters
    ----------
    fail : servers that drop out of the edited scenario after it was planned. Two outcomes show
        it: the other servers keep their blocks, and all is planned anew.
    keep : show also what happens when every server keeps the blocks it has before the edits.

    Raises
    ------
    ScenarioError
        For an edit that names nothing or breaks the scenario.
    """
    from .edits import remove

    before = outcome(scenario, study, "before")
    edited = apply(scenario, edits)
    left = (
        apply(scenario, [*edits, *(remove(name, option="--fail") for name in fail)])
        if fail
        else edited
    )
    after: list[Outcome] = []
    if fail or keep:
        base, source = before, scenario
        if fail and edits:
            base, source = outcome(edited, study, "edited"), edited
        stays = _drafting_as(base, left)
        after += [
            outcome_of(stays, kept, router, study, "blocks stay")
            for kept, router in carried(base, source, left)
        ]
    known = carried(before, scenario, left)
    after.append(outcome(left, study, "planned anew" if after else "after", known=known))
    texts = [e.text for e in edits] + [f"fail {name}" for name in fail]
    cold = _cold(known, after[-1])
    return Change(edits=tuple(texts), before=before, after=tuple(after), cold=cold)


def _cold(known: Sequence[Known], after: Outcome) -> tuple[ColdStart, ...]:
    """Who has to load blocks to get from the plan that was there to another one."""
    if not known or after.placement is None or after.uncovered:
        return ()
    return cold_starts(after.problem, known[0][0], after.placement)


def _drafting_as(planned: Outcome, target: Scenario) -> Scenario:
    """A scenario in which clients draft as they were planned to, where they still can."""
    problem, uses = target.problem, planned.problem.drafts
    if len(uses) != len(problem.drafting) or not problem.drafts_freely:
        return target
    uses = tuple(use.everywhere for use in uses)  # rows of servers may be others there
    can = [use.model < max(1, len(own.models)) and (own.models or not use.tokens)
           for use, own in zip(uses, problem.drafting, strict=True)]  # fmt: skip
    return replace(target, problem=problem.with_drafts(uses)) if all(can) else target


def carried(planned: Outcome, source: Scenario, target: Scenario) -> tuple[Known, ...]:
    """A plan as ``respanned``, with its router; () where there is none."""
    if planned.placement is None:
        return ()
    return ((respanned(planned.placement, source, target), planned.router),)


def respanned(placement: Placement, source: Scenario, target: Scenario) -> Placement:
    """The spans of a placement for the servers of another scenario, by id.

    Servers that are new are idle, spans that no longer fit are cut. Who may choose how it hosts or
    its adapters keeps what it had.
    """
    spans = {
        s.id: (int(placement.start[j]), int(placement.end[j]))
        for j, s in enumerate(source.problem.servers)
    }
    had = {s.id: s.hosting for s in placement.settled(source.problem).servers}
    problem = target.problem.hosting_as(
        [s.nearest(had.get(s.id, s.hosting)) for s in target.problem.servers]
    )
    if placement.adapters:
        ids = [server.id for server in source.problem.servers]
        problem = problem.with_adapters(
            _loads(dict(zip(ids, placement.adapters, strict=True)), problem)
        )
    cost = CostModel.of(problem)
    room = blocks_that_fit(cost, 0, capped=False)
    chosen = []
    for j, server in enumerate(problem.servers):
        start, end = spans.get(server.id, (0, 0))
        chosen.append((start, min(end, start + int(room[j]), problem.model.num_blocks)))
    return cost.placed(chosen)


def _loads(had: Mapping[str, tuple[str, ...]], problem: Problem) -> list[tuple[str, ...]]:
    """Adapters that servers had, as far as they are still there; those of who has no choice."""
    known = {a.id for a in problem.adapters}
    return [
        tuple(name for name in had.get(s.id, ()) if name in known)
        if s.adapters is None
        else s.adapters
        for s in problem.servers
    ]


def difference(before: Outcome, after: Outcome, figure: Callable[[Summary], float]) -> Interval:
    """After minus before, paired by seed so that the common requests cancel."""
    pairs = zip(before.runs, after.runs, strict=False)
    return Interval.of([figure(b) - figure(a) for a, b in pairs])


def reason(before: Outcome, after: Outcome) -> str:
    """Why the mean response changed, in plain words."""
    if not after.served:
        return f"{after.label}: nothing is served: {after.error}"
    if not before.served:
        return f"{after.label}: requests are served now; before: {before.error}"
    delta = after.response_s - before.response_s
    base = before.response_s
    moved = difference(before, after, RESPONSE.of)
    noise = 0.0 if math.isnan(moved.half_width) else moved.half_width
    parts = _parts(before, after)
    if abs(delta) <= max(NOTABLE * base, noise):
        kept = f"{after.label}: responses stay as they are ({base:.4g} s)"
        return kept + (f"; {parts}" if _large(before, after) else "")
    way = "longer" if delta > 0 else "shorter"
    return (
        f"{after.label}: responses are {abs(delta):.3g} s {way} "
        f"({delta / base * +100:+.1f} %): {parts}"
    )


def _large(before: Outcome, after: Outcome) -> bool:
    change = np.abs(np.subtract(after.parts_s, before.parts_s))
    return bool(change.max() > 5 * NOTABLE * before.response_s)


def _parts(before: Outcome, after: Outcome) -> str:
    """The parts of the response that moved, largest first, with what moved them."""
    change = np.subtract(after.parts_s, before.parts_s)
    causes = {
        "waiting": _room_words(before, after),
        "network": _hop_words(before, after),
        "overhead": _hop_words(before, after),
        "prompt": "",
        "compute": _compute_words(before, after),
        "line": "",
    }
    told: list[str] = []
    said: set[str] = set()
    largest = float(np.abs(change).max())
    for k in np.argsort(-np.abs(change), kind="stable"):
        if abs(change[k]) < max(0.1 * largest, 1e-6):
            continue
        name = PARTS[int(k)]
        cause = causes[name] if causes[name] not in said else ""
        said.add(cause)
        more = "more" if change[k] > 0 else "less"
        told.append(f"{abs(change[k]):.3g} s {more} {name}" + (f" ({cause})" if cause else ""))
    return ", ".join(told) if told else "nothing else moved"


def _room_words(before: Outcome, after: Outcome) -> str:
    if before.rooms == after.rooms:
        return f"caches hold {after.rooms:.0f} sessions at the tightest block as before"
    return f"caches hold {after.rooms:.0f} instead of {before.rooms:.0f} sessions at once"


def _hop_words(before: Outcome, after: Outcome) -> str:
    a, b = _mean_hops(before), _mean_hops(after)
    if abs(a - b) < 0.05:
        return f"{b:.1f} hops as before, other distances"
    return f"{b:.1f} instead of {a:.1f} hops"


def _mean_hops(outcome: Outcome) -> float:
    total = sum(c.completed for c in outcome.clients)
    return sum(c.hops * c.completed for c in outcome.clients if c.completed) / max(total, 1)


def _compute_words(before: Outcome, after: Outcome) -> str:
    """Servers whose share of the requests changed most."""
    was = {h.server: h.share for h in before.hops}
    now = {h.server: h.share for h in after.hops}
    moves = sorted(
        ((now.get(s, 0.0) - was.get(s, 0.0), s) for s in was.keys() | now.keys()),
        key=lambda m: (-abs(m[0]), m[1]),
    )
    shown = [f"{s} {d * 100:+.0f} % of requests" for d, s in moves[:2] if abs(d) >= 0.05]
    return ", ".join(shown)
