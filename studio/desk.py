"""What is on the desk: the session, what is known before and after, and who works on what.

All of it lives in one event loop. Two planners are asked: one that answers at once, and one that
works on while somebody looks.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import SwarmplanError
from ..core.plan import Plan
from ..scenarios.scenario import Scenario
from .planner import Found, Start
from .session import Changes, Session
from .words import since
from .worker import Told, Worker

#: Time limits of the searches that follow each other, seconds; before them the plan is measured.
STAGES_S = (3.0, 10.0, 30.0)
#: After so long, seconds, a planner that says nothing is ended: at once, or searching (more than
#: its limit). The first run on a machine compiles the simulator.
SILENT_S, OVERTIME_S = 120.0, 120.0
#: Whoever searches lets those go first who answer at once.
SEARCH_NICENESS = 10
#: A stopped search has so long to tell what it has.
STOPPING_S = 5.0
#: States whose plans are kept for undo and redo: at most so many, and fewer of large swarms, whose
#: tables of times grow with the square of the servers.
REMEMBERED, REMEMBERED_PAIRS = 60, 2_000_000
DIED = "the planner's process ended twice on this; undo the change or change something else"


class OvertakenError(SwarmplanError):
    """What was asked for is of a state that is no longer shown, or was asked for again."""


@dataclass(slots=True, eq=False)
class Side:
    """A state of the scenario and what is known of it (mutable: the desk's record).

    Attributes
    ----------
    start : the plan that was there when it came about.
    stay : its servers keep their blocks, come what may.
    effort : 0 nothing known, 1 judged, 2 measured, then one more for each search.
    """

    scenario: Scenario
    start: Start | None
    stay: bool = False
    effort: int = 0
    found: Found = field(default_factory=Found)

    @property
    def onward(self) -> Start | None:
        """The plan that a changed scenario starts from."""
        if self.found.plan is None:
            return self.start
        return Start(plan=self.found.plan, scenario=self.scenario)


@dataclass(slots=True)
class _Errand:
    """Who works for whom: for a side, or for somebody who waits for what is ``fetched``;
    ``given_up`` once nobody does."""

    number: int
    side: Side
    name: str
    values: tuple[Any, ...]
    tries: int = 0
    given_up: bool = False
    fetched: asyncio.Future[Any] | None = None
    alarm: asyncio.TimerHandle | None = None


class Desk:
    """See above; every method is called in the event loop.

    Parameters
    ----------
    plan : for the scenario as it was opened, None = one is made.
    stages_s : time limits of the searches; none = the page only judges and measures.
    """

    def __init__(
        self, session: Session, plan: Plan | None, stages_s: Sequence[float] = STAGES_S
    ) -> None:
        self.session, self.stages_s = session, tuple(stages_s)
        self.revision, self.stay, self.paused = 1, False, False
        self.progress: tuple[float, float | None] | None = None
        self.baseline: Changes = ()
        self._leaving = False
        start = None if plan is None else Start(plan=plan, scenario=session.original)
        self._sides: OrderedDict[tuple[Changes, bool], Side] = OrderedDict()
        self.before = self.after = Side(scenario=session.original, start=start)
        self._loop = asyncio.get_running_loop()
        self._changing, self._news = asyncio.Lock(), asyncio.Event()
        self.quick = self._worker("quick")
        self.search = self._worker("search", niceness=SEARCH_NICENESS)
        self._errands: dict[str, _Errand] = {}
        self._remember(self.after)
        self._look()

    def _worker(self, name: str, niceness: int = 0) -> Worker:
        def on_told(told: Told) -> None:
            self._loop.call_soon_threadsafe(self._told, name, told)

        return Worker(on_told, niceness=niceness)

    @property
    def same(self) -> bool:
        """Whether nothing has changed since the state before."""
        return self.after is self.before

    @property
    def busy(self) -> bool:
        """Whether the figures of the state shown are still to come."""
        return self.after.effort == 0

    @property
    def searching(self) -> str:
        """What the second planner does, for people."""
        errand = self._errands.get("search")
        if errand is None:
            return ""
        side = "before" if errand.side is self.before and not self.same else "now"
        return f"measuring ({side})" if errand.name == "measure" else f"searching ({side})"

    async def act(self, action: Callable[[Session], None]) -> None:
        """Let somebody change the session; one at a time.

        Raises
        ------
        ScenarioError
            If the change cannot be; then nothing has changed.
        """
        async with self._changing:
            await asyncio.to_thread(action, self.session)
            self._arrive()

    def set_stay(self, stay: bool) -> None:
        """Whether servers keep their blocks even where a block is left without one."""
        if stay != self.stay:
            self.stay = stay
            self._arrive()

    def set_before(self) -> None:
        """From now on what there is now is what things are compared with."""
        self.before, self.baseline = self.after, self.session.changes
        self._changed()
        self._look()

    def pause(self, paused: bool) -> None:
        """Stop searching with what there is, or go on."""
        self.paused = paused
        errand = self._errands.get("search")
        if paused and errand is not None:
            self._give_up(errand)
        self._changed()
        if not paused:
            self._look()

    async def news(self, since: int, patience_s: float) -> None:
        """Until something has changed since a revision, or patience ends."""
        while self.revision <= since and not self._leaving:
            waiting = self._news
            try:
                await asyncio.wait_for(waiting.wait(), patience_s)
            except TimeoutError:
                return

    async def replay(self, failures: list[tuple[float, str]]) -> Any:
        """The run of the state shown with further failures, None where that is overtaken.

        Raises
        ------
        SwarmplanError
            If there is no plan yet.
        """
        side = self.after
        if side.found.plan is None:
            raise SwarmplanError(side.found.error or "there is no plan yet: wait a moment")
        try:
            return await self._fetch("replay", side.scenario, side.found.plan, failures)
        except OvertakenError:
            return None

    async def report(self) -> Any:
        """The report of the change shown, as a page.

        Raises
        ------
        OvertakenError
            If something was changed meanwhile.
        """
        edits = since(self.session.changes, self.baseline)
        before, after = self.before, self.after
        given = () if self.same else edits
        return await self._fetch(
            "report", before.scenario, after.scenario, given, before.found, after.found
        )

    async def _fetch(self, name: str, *values: Any) -> Any:
        """What the first planner says to a question, as soon as it has nothing else to do."""
        while "quick" in self._errands and not self._leaving:
            await self.news(self.revision, SILENT_S)
        fetched = self._loop.create_future()
        self._ask("quick", name, self.after, *values, fetched=fetched)
        return await fetched

    def leave(self) -> None:
        """Nobody is to wait for news any more; may be called by a signal."""
        self._leaving = True
        self._loop.call_soon_threadsafe(self._changed)

    def close(self) -> None:
        """End all planners."""
        for worker in (self.quick, self.search):
            worker.close()

    def _arrive(self) -> None:
        """The session is somewhere else than before: look up or find out what is known there."""
        key = (self.session.changes, self.stay)
        side = self._sides.get(key)
        if side is None and key == (self.baseline, self.before.stay):
            side = self.before
        if side is None:
            start = self.before.onward if self.after.found.plan is None else self.after.onward
            side = Side(scenario=self.session.scenario, start=start, stay=self.stay)
        self.after, self.paused = side, False
        self._remember(side)
        self._changed()
        self._look()

    def _remember(self, side: Side) -> None:
        key = (self.session.changes, self.stay)
        self._sides[key] = side
        self._sides.move_to_end(key)
        pairs = max(1, self.session.scenario.problem.num_servers) ** 2
        while len(self._sides) > max(2, min(REMEMBERED, REMEMBERED_PAIRS // pairs)):
            self._sides.popitem(last=False)

    def _look(self) -> None:
        """Give the planners what is most wanted now."""
        if self.after.effort == 0:
            side = self.after
            errand = self._errands.get("quick")
            if errand is None or errand.side is not side or errand.fetched is not None:
                self._ask("quick", "judge", side, side.scenario, side.start, side.stay)
        wanted = self._wanted()
        errand = self._errands.get("search")
        if errand is not None and self._in_the_way(errand):
            self._give_up(errand)
        elif errand is None and wanted is not None:
            side, stage = wanted
            if stage is None:
                self._ask("search", "measure", side, side.scenario, side.found)
            else:
                self._ask("search", "improve", side, side.scenario, side.found, stage)

    def _in_the_way(self, errand: _Errand) -> bool:
        """Whether a search is for nobody, or keeps the state shown from being measured."""
        shown = errand.side is self.after
        return not shown and (errand.side is not self.before or self.after.effort < 2)

    def _wanted(self) -> tuple[Side, float | None] | None:
        """Both sides get the same search: what is behind comes first, what is shown before that."""
        sides = [s for s in dict.fromkeys((self.after, self.before)) if s.effort]
        if self.after.effort == 0 or not sides:
            return None
        side = min(sides, key=lambda s: s.effort)
        if side.effort == 1:
            return side, None
        stage = side.effort - 2
        if self.paused or side.stay or stage >= len(self.stages_s):
            return None
        return side, self.stages_s[stage]

    def _ask(
        self,
        who: str,
        name: str,
        side: Side,
        *values: Any,
        tries: int = 0,
        fetched: asyncio.Future[Any] | None = None,
    ) -> None:
        worker: Worker = getattr(self, who)
        old = self._errands.pop(who, None)
        if old is not None:
            _over(old, OvertakenError("something was changed meanwhile"))
        errand = _Errand(
            number=worker.ask(name, *values),
            side=side,
            name=name,
            values=values,
            tries=tries,
            fetched=fetched,
        )
        self._errands[who] = errand
        self._watch(who, errand, OVERTIME_S + values[-1] if name == "improve" else SILENT_S)

    def _give_up(self, errand: _Errand) -> None:
        """Let a search end with what it has, and soon."""
        if not errand.given_up:
            errand.given_up = True
            self.search.stop()
            self._watch("search", errand, STOPPING_S)

    def _watch(self, who: str, errand: _Errand, limit_s: float) -> None:
        """End a planner that has not answered by then."""
        worker: Worker = getattr(self, who)

        def late() -> None:
            if self._errands.get(who) is errand:
                self._loop.run_in_executor(None, worker.kill)

        if errand.alarm is not None:
            errand.alarm.cancel()
        errand.alarm = self._loop.call_later(limit_s, late)

    def _told(self, who: str, told: Told) -> None:
        errand = self._errands.get(who)
        if errand is None or told.number != errand.number:
            return
        if told.what == "progress":
            self.progress = told.value
        elif told.what == "found":
            self._take(errand, told.value)
        else:
            self._end(who, errand, told)
        self._changed()

    def _take(self, errand: _Errand, value: Any) -> None:
        if errand.fetched is None:
            errand.side.found = value
            errand.side.effort = max(errand.side.effort, 1)
        elif not errand.fetched.done():
            errand.fetched.set_result(value)

    def _end(self, who: str, errand: _Errand, told: Told) -> None:
        del self._errands[who]
        side, why = errand.side, str(told.value or "")
        died = told.what == "died" and not errand.given_up
        if died and not errand.tries:
            if errand.alarm is not None:
                errand.alarm.cancel()
            self._ask(who, errand.name, side, *errand.values, tries=1, fetched=errand.fetched)
            return
        _over(errand, SwarmplanError(why or DIED))
        if errand.fetched is None:
            self._learn(who, errand, told.what, why)
        self._look()

    def _learn(self, who: str, errand: _Errand, what: str, why: str) -> None:
        """How far a side has come when an errand ends."""
        side = errand.side
        if what == "died" and not errand.given_up:
            side.found = replace(side.found, error=DIED)
        elif what == "failed" and who == "quick":
            side.found = Found(error=why)
        if who == "quick":
            side.effort = max(side.effort, 1)
        elif not errand.given_up:
            side.effort += 1
        if who == "search":
            self.progress = None

    def _changed(self) -> None:
        """Tell everybody who waits."""
        self.revision += 1
        self._news.set()
        self._news = asyncio.Event()


def _over(errand: _Errand, why: SwarmplanError) -> None:
    """Nobody is to wait for this errand any longer."""
    if errand.alarm is not None:
        errand.alarm.cancel()
    if errand.fetched is not None and not errand.fetched.done():
        errand.fetched.set_exception(why)
