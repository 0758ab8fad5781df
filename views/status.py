"""The state of a live swarm as words, tables and a document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any

from ..core.names import block_ranges
from ..render import milliseconds, number, print_lines, print_table
from ..swarm.planseen import PlanSeen
from ..swarm.status import ServerNow, Status
from ..swarm.steps import HopNow, Step
from .text import span

STATUS_FORMAT = "swarmplan/status/1"
WIDTH = 80
#: Columns of ``server_rows`` and ``hop_rows``.
SERVERS = (
    "server",
    "blocks",
    "plan",
    "signed",
    "cache free",
    "busy",
    "predicted ms",
    "measured ms",
    "note",
)
HOPS = ("hop", "blocks", "predicted ms", "measured ms", "ratio", "note")
_ACTIONS = {
    "stay": "leave all servers where they are",
    "propose": "propose a plan of {moves}",
    "publish": "publish a plan of {moves}",
    "renew": "publish the same plan again, half of its time being over",
    "failed": "do nothing: no plan can be made of what is read",
    "unreachable": "do nothing: the swarm cannot be read",
}


def print_status(status: Status) -> None:
    """Everything on one screen."""
    lead = [f"{what:<8} {words}" for what, words in facts(status)]
    lines = [line for text in lead for line in _wrapped(text)]
    print_lines([headline(status), *lines, ""])
    if status.hops:
        print_table("The chain of a request that comes now", HOPS, hop_rows(status))
    print_table("Servers", SERVERS, server_rows(status))


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False) or [text]


def headline(status: Status) -> str:
    """Which swarm, and when it was read."""
    online = sum(s.state == "online" for s in status.servers)
    model = status.problem.model
    return f"{model.name}: {model.num_blocks} blocks, {online} servers online, {clock(status.at_s)}"


def clock(at_s: float) -> str:
    """An instant, to the second."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def facts(status: Status) -> list[tuple[str, str]]:
    """What matters most, each in a sentence."""
    return [
        ("blocks", _blocks(status)),
        ("plan", plan_words(status)),
        ("watcher", f"would {watcher_words(status)}"),
        ("chain", _chain(status)),
    ]


def _blocks(status: Status) -> str:
    if status.dark:
        return f"NOBODY serves {', '.join(block_ranges(status.dark))}"
    every = status.problem.model.num_blocks
    if status.weak:
        return f"all served; {status.weak} of {every} by one server alone"
    return "all served, each by two servers at least"


def plan_words(status: Status) -> str:
    """Signature, age and end of the plan, and how far it is followed."""
    plan = status.plan
    if plan.standing == "in force":
        left_s, age_s = plan.expires_s - status.at_s, status.at_s - plan.issued_s
        placed = f"{status.in_place} of its {len(plan.spans)} servers in place"
        told = f"version {plan.version}, signature checked, {lasting(age_s)} old"
        return f"{told}, in force for {lasting(left_s)} more; {placed}"
    return _absent(plan)


def _absent(plan: PlanSeen) -> str:
    """Why no plan is followed."""
    if plan.standing == "not looked for":
        return "not looked for (give --operator-key)"
    if plan.standing == "none":
        return "none that bears this key's signature; servers place themselves"
    if plan.standing == "expired":
        return f"version {plan.version} has expired; servers place themselves"
    return f"signed, but refused: {plan.reason}"


def watcher_words(status: Status) -> str:
    """What a watcher would do, and why."""
    moves = "1 move" if status.moves == 1 else f"{status.moves} moves"
    if status.action == "confirm":
        done = f"wait: {status.seen} of {status.confirm} reads in a row found {moves} worth it"
    else:
        done = _ACTIONS[status.action].format(moves=moves)
    return f"{done} ({status.reason})" if status.reason else done


def _chain(status: Status) -> str:
    if not status.hops:
        return f"none: {status.no_route}"
    way = " > ".join(f"{h.server}[{span(h.start, h.end)}]" for h in status.hops)
    predicted_s = sum(h.step.predicted_s for h in status.hops)
    measured = [h.step.measured_s for h in status.hops]
    told = f"{way}: {milliseconds(predicted_s)} ms a token predicted"
    known = [s for s in measured if s is not None]
    if len(known) == len(measured):
        told += f", {milliseconds(sum(known))} ms measured"
    slow = [h.server for h in status.hops if h.step.slow]
    if slow:
        return f"{told}; SLOW: {', '.join(slow)}"
    most = status.slowest
    return told if most is None or len(measured) < 2 else f"{told}; most of it at {most.server}"


def lasting(seconds: float) -> str:
    """A time in its own unit."""
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{number(seconds / size, 3)} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def server_rows(status: Status) -> list[list[object]]:
    """A row for each server, those with something to say first."""
    order = sorted(status.servers, key=lambda s: (not _notes(s, status), s.start, s.end, s.name))
    return [
        [
            s.name,
            span(s.start, s.end),
            _planned(s, status),
            "yes" if s.signed else "-",
            _share(s.cache_free),
            _share(s.busy),
            milliseconds(None if s.step is None else s.step.predicted_s),
            milliseconds(None if s.step is None else s.step.measured_s),
            ", ".join(_notes(s, status)),
        ]
        for s in order
    ]


def _planned(server: ServerNow, status: Status) -> str:
    if status.plan.standing != "in force":
        return "-"
    if server.planned is None:
        return "idle"
    return "here" if server.planned == (server.start, server.end) else span(*server.planned)


def _notes(server: ServerNow, status: Status) -> list[str]:
    notes = [] if server.state == "online" else [server.state]
    if server.step is not None and server.step.slow:
        notes.append("slow")
    if server.cache_tokens_left == 0:
        notes.append("full")
    if server.otherwise:
        notes.append("not hosted as planned")
    behind = server.follows is not None and server.follows < status.plan.version
    if status.plan.standing == "in force" and server.planned is not None and behind:
        notes.append("older plan")
    return notes


def _share(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction * 100:.0f} %"


def hop_rows(status: Status) -> list[list[object]]:
    """A row for each hop of the chain."""
    return [
        [
            h.server,
            span(h.start, h.end),
            milliseconds(h.step.predicted_s),
            milliseconds(h.step.measured_s),
            _ratio(h.step),
            _hop_note(h, status),
        ]
        for h in status.hops
    ]


def _ratio(step: Step) -> str:
    if step.measured_s is None or step.predicted_s <= 0:
        return "-"
    return f"{step.measured_s / step.predicted_s:.2f}"


def _hop_note(hop: HopNow, status: Status) -> str:
    notes = ["slow"] if hop.step.slow else []
    notes += ["longest"] if len(status.hops) > 1 and hop is status.slowest else []
    return ", ".join(notes)


def status_document(status: Status) -> dict[str, Any]:
    """Everything as one document; times in seconds."""
    plan = status.plan
    return {
        "format": STATUS_FORMAT,
        "at_s": status.at_s,
        "model": status.problem.model.name,
        "blocks": status.problem.model.num_blocks,
        "dark_blocks": list(status.dark),
        "weak_blocks": status.weak,
        "plan": {
            "standing": plan.standing,
            "version": plan.version,
            "issued_s": plan.issued_s,
            "expires_s": plan.expires_s,
            "reason": plan.reason,
            "servers": len(plan.spans),
            "in_place": status.in_place,
        },
        "watcher": {
            "action": status.action,
            "reason": status.reason,
            "moves": status.moves,
            "seen": status.seen,
            "confirm": status.confirm,
        },
        "context_tokens": status.context_tokens,
        "chain": [_hop(h, status) for h in status.hops],
        "no_chain": status.no_route,
        "servers": [_server(s, status) for s in status.servers],
        "warnings": list(status.warnings),
        "estimated": list(status.estimated),
    }


def _hop(hop: HopNow, status: Status) -> dict[str, Any]:
    place = {"server": hop.server, "start_block": hop.start, "end_block": hop.end}
    return {**place, **_step(hop.step), "longest": hop is status.slowest}


def _server(s: ServerNow, status: Status) -> dict[str, Any]:
    return {
        "peer": s.peer,
        "name": s.name,
        "state": s.state,
        "start_block": s.start,
        "end_block": s.end,
        "planned": None if s.planned is None else list(s.planned),
        "signed": s.signed,
        "follows_version": s.follows,
        "petals": s.version,
        "cache_tokens_left": s.cache_tokens_left,
        "cache_free": s.cache_free,
        "busy": s.busy,
        "rtt_s": s.rtt_s,
        "step": None if s.step is None else _step(s.step),
        "notes": _notes(s, status),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "predicted_s": step.predicted_s,
        "measured_s": step.measured_s,
        "measured_by": step.clock,
        "slow": step.slow,
    }


def journal_rows(lines: Sequence[tuple[float, str, str]]) -> list[list[object]]:
    """When, what was done, and why; the last first."""
    return [[clock(at_s), action, reason] for at_s, action, reason in reversed(lines)]
