"""What a change does: before and after, and the outcomes behind it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from ..render import milliseconds, number, print_lines, print_table
from ..studies.change import Change, changed, difference, reason
from ..studies.outcome import PARTS, ClientFigures, HopFigures, Outcome
from .text import assumed, chain, interval, signed, span

#: Servers that load blocks that are shown, slowest first.
COLD_SHOWN = 20


def print_change(change: Change) -> None:
    """Figures before and after, per metric, per client and per hop; the reason last."""
    print_lines([*(f"{i}. {text}" for i, text in enumerate(change.edits, start=1)), ""])
    before = change.before
    for after in change.after:
        if after.served and before.served:
            _print_metrics(before, after)
            _print_clients(before, after)
            _print_hops(before, after)
    if change.cold:
        print_table(
            "Servers that have to load blocks, as PETALS does: the whole span",
            ["server", "blocks", "serves after s", "first token after s"],
            [
                [c.server, span(*c.span), number(c.load_s), number(c.first_token_s)]
                for c in change.cold[:COLD_SHOWN]
            ],
        )
    reasons = [reason(before, after) for after in change.after]
    print_lines([*reasons, *assumed(before.problem)])


def _mean(outcome: Outcome, figure: Any) -> float:
    known = [figure(r) for r in outcome.runs]
    return float(np.mean(known)) if known else float("nan")


def _print_metrics(before: Outcome, after: Outcome) -> None:
    rows: list[list[object]] = []
    for figure in changed(before, after):
        a, b = _mean(before, figure.shown), _mean(after, figure.shown)
        delta = difference(before, after, figure.shown)
        share = signed((b - a) / a * 100) + " %" if a else "-"
        rows.append([figure.title, number(a), number(b), interval(delta), share])
    for k, part in enumerate(PARTS):
        a, b = before.parts_s[k], after.parts_s[k]
        rows.append([f"of it {part} s", number(a), number(b), signed(b - a), ""])
    rooms = signed(after.rooms - before.rooms)
    rows.append(["sessions at once", number(before.rooms), number(after.rooms), rooms, ""])
    print_table(
        f"Mean over {len(before.runs)} seeds, difference with 95 % interval",
        ["metric", before.label, after.label, "difference", "relative"],
        rows,
    )


def _print_clients(before: Outcome, after: Outcome) -> None:
    was = {c.client: c for c in before.clients}
    rows: list[list[object]] = []
    for now in after.clients:
        old = was.get(now.client)
        if not now.requests or old is None:
            continue
        rows.append([now.client, "response s", *_pair(old.response_s, now.response_s)])
        rows.append([now.client, "TTFT s", *_pair(old.ttft_s, now.ttft_s)])
        rows.append([now.client, "per token ms", *_pair(old.tpot_s * 1e3, now.tpot_s * 1e3)])
        rows.append([now.client, "waiting s", *_pair(old.parts_s[0], now.parts_s[0])])
    title = "Per client"
    print_table(title, ["client", "metric", before.label, after.label, "difference"], rows)
    print_table(
        "Most used chains",
        ["client", "when", "chain"],
        [
            row
            for now in after.clients
            if now.requests
            for row in (
                [now.client, before.label, _chain_of(before, was.get(now.client))],
                [now.client, after.label, _chain_of(after, now)],
            )
        ],
    )


def _chain_of(outcome: Outcome, client: ClientFigures | None) -> str:
    return "-" if client is None else chain(outcome.problem, client.chain)


def _pair(a: float, b: float) -> list[object]:
    return [number(a), number(b), signed(b - a)]


def _print_hops(before: Outcome, after: Outcome) -> None:
    was = {h.server: h for h in before.hops}
    now = {h.server: h for h in after.hops}
    rows: list[list[object]] = []
    for name in dict.fromkeys([*was, *now]):
        a, b = was.get(name), now.get(name)
        if _same(a, b):
            continue
        rows.append(
            [
                name,
                _span(a),
                _span(b),
                _share(a),
                _share(b),
                milliseconds(a.token_s) if a else "-",
                milliseconds(b.token_s) if b else "-",
                signed((b.token_s - a.token_s) * 1e3) if a and b else "-",
            ]
        )
    print_table(
        "Per hop, servers that changed: blocks, share of requests, ms per token of one pass",
        ["server", "blocks", "after", "requests", "after", "ms", "after", "difference"],
        rows or [["none", *["-"] * 7]],
    )


def _same(a: HopFigures | None, b: HopFigures | None) -> bool:
    return (
        a is not None
        and b is not None
        and (a.start, a.end) == (b.start, b.end)
        and abs(a.share - b.share) < 0.005
    )


def _span(hop: HopFigures | None) -> str:
    return "-" if hop is None else span(hop.start, hop.end)


def _share(hop: HopFigures | None) -> str:
    return "-" if hop is None else f"{hop.share * 100:.0f} %"


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """One outcome for programs."""
    return {
        "label": outcome.label,
        "router": outcome.router,
        "error": outcome.error,
        "uncovered_blocks": list(outcome.uncovered),
        "sessions_at_once": outcome.rooms,
        "independent_servers": list(outcome.problem.independent),
        "response_parts_s": dict(zip(PARTS, outcome.parts_s, strict=True)),
        "runs": [asdict(r) for r in outcome.runs],
        "clients": [
            {
                **{k: v for k, v in asdict(c).items() if k not in ("chain", "parts_s")},
                "parts_s": dict(zip(PARTS, c.parts_s, strict=True)),
                "chain": chain(outcome.problem, c.chain),
            }
            for c in outcome.clients
        ],
        "hops": [asdict(h) for h in outcome.hops],
    }


def change_document(change: Change) -> dict[str, Any]:
    """Before, after, differences and reasons for programs."""
    return {
        "edits": list(change.edits),
        "before": outcome_document(change.before),
        "after": [
            {
                **outcome_document(after),
                "differences": {
                    f.id: asdict(difference(change.before, after, f.of))
                    for f in changed(change.before, after)
                },
                "reason": reason(change.before, after),
            }
            for after in change.after
        ],
        "cold_starts": [
            {
                "server": c.server,
                "start_block": c.span[0],
                "end_block": c.span[1],
                "load_s": c.load_s,
                "first_token_s": c.first_token_s if math.isfinite(c.first_token_s) else None,
            }
            for c in change.cold
        ],
    }
