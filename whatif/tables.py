"""Results of this folder as tables for people and documents for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..core.plan import Route
from ..core.problem import Problem
from ..render import milliseconds, number, print_lines, print_table
from ..simulator.metrics import Interval
from .catalogue import Market
from .change import METRICS, Change, difference, reason
from .outcome import PARTS, ClientFigures, HopFigures, Outcome
from .size import Sizing, Tried
from .worth import Worth


def chain(problem: Problem, route: Route | None) -> str:
    """A route in one line."""
    if route is None:
        return "-"
    return " > ".join(f"{problem.servers[h.server].id}[{h.start}:{h.end}]" for h in route.hops)


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign."""
    if value != value:
        return "-"
    if abs(value) < 1e-12:  # what rounding leaves of equal sums
        return "0"
    return ("+" if value > 0 else "-") + number(abs(value), digits)


def interval(value: Interval) -> str:
    """A difference and its 95 % interval."""
    if value.half_width != value.half_width or abs(value.half_width) < 1e-12:
        return signed(value.mean)
    return f"{signed(value.mean)} ± {number(value.half_width, 2)}"


def print_change(change: Change) -> None:
    """Figures before and after, per metric, per client and per hop; the reason last."""
    print_lines([*(f"{i}. {text}" for i, text in enumerate(change.edits, start=1)), ""])
    before = change.before
    for after in change.after:
        if after.served and before.served:
            _print_metrics(before, after)
            _print_clients(before, after)
            _print_hops(before, after)
    print_lines([reason(before, after) for after in change.after])


def _mean(outcome: Outcome, figure: Any) -> float:
    known = [figure(r) for r in outcome.runs]
    return float(np.mean(known)) if known else float("nan")


def _print_metrics(before: Outcome, after: Outcome) -> None:
    rows: list[list[object]] = []
    for metric in METRICS:
        a, b = _mean(before, metric.figure), _mean(after, metric.figure)
        delta = difference(before, after, metric.figure)
        share = signed((b - a) / a * 100) + " %" if a else "-"
        rows.append([metric.name, number(a), number(b), interval(delta), share])
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
    if hop is None:
        return "-"
    return f"{hop.start}:{hop.end}" if hop.end > hop.start else "idle"


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
                    m.name.replace(" ", "_").replace("/", "_per_"): asdict(
                        difference(change.before, after, m.figure)
                    )
                    for m in METRICS
                },
                "reason": reason(change.before, after),
            }
            for after in change.after
        ],
    }


def print_worth(base: Outcome, found: Sequence[Worth]) -> None:
    """Servers by their worth; those that harm are said again at the end."""
    print_table(
        f"Worth of each server: response without it minus with it ({number(base.response_s)} s), "
        f"mean over {len(base.runs)} seeds",
        ["server", "worth s", "verdict", "blocks", "requests", "if it fails now", "why"],
        [
            [
                w.server,
                "-" if w.verdict == "needed" else interval(w.response_s),
                w.verdict,
                f"{w.blocks[0]}:{w.blocks[1]}" if w.blocks[1] > w.blocks[0] else "idle",
                f"{w.share * 100:.0f} %",
                "blocks are lost" if w.critical else "others cover" if base.served else "-",
                w.why,
            ]
            for w in found
        ],
    )
    harmful = [w.server for w in found if w.verdict == "harms"]
    useless = [w.server for w in found if w.verdict == "useless"]
    lines = []
    if harmful:
        lines.append(f"better without: {', '.join(harmful)}")
    if useless:
        lines.append(f"not used: {', '.join(useless)}")
    if not base.served:
        lines.append(f"nothing is served with all of them: {base.error}")
    print_lines(lines or ["every server is used and none makes things worse"])


def worth_document(base: Outcome, found: Sequence[Worth]) -> dict[str, Any]:
    """The same for programs."""
    return {"with_all": outcome_document(base), "servers": [asdict(w) for w in found]}


def print_sizing(market: Market, found: Sizing) -> None:
    """The set, the figures it reaches, the bound, or what is missing."""
    shown = found.best or found.closest
    rows: list[list[object]] = [
        [o.id, o.device, o.region or "-", n, o.available, f"{o.price_per_hour * n:g}"]
        for o, n in zip(market.offers, shown.counts, strict=True)
        if n
    ]
    title = "The least set found" if found.best else "Nothing fits; the closest set"
    columns = ["offer", "device", "region", "take", "of", f"{market.currency}/h".lstrip("/")]
    print_table(f"{title} (beside {market.own} servers there already)", columns, rows)
    print_table(
        "Targets",
        ["target", "simulated", "met"],
        [
            [str(t), number(f), "yes" if t.excess(f) == 0 else "no"]
            for t, f in zip(found.targets, shown.figures, strict=True)
        ],
    )
    if found.best is None:
        print_lines(found.missing)
        return
    value = sum(shown.counts) if found.minimise == "count" else market.price(shown.counts)
    lines = [
        f"{sum(shown.counts)} server(s), {market.price(shown.counts):g} {market.currency}/h; "
        f"{len(found.tried)} sets simulated",
        f"no plan at all meets this below {found.minimise} {found.bound:g}"
        + (": this set is proven least" if found.proven else f" (found: {number(value)})")
        if found.bound > 0
        else f"lower bound 0: nothing is proven about a {found.minimise} below {number(value)}",
    ]
    print_lines(lines)


def sizing_document(market: Market, found: Sizing) -> dict[str, Any]:
    """The same for programs, with every set that was simulated."""

    def entry(tried: Tried) -> dict[str, Any]:
        names = (o.id for o in market.offers)
        return {
            "take": {k: n for k, n in zip(names, tried.counts, strict=True) if n},
            "count": sum(tried.counts),
            "price_per_hour": market.price(tried.counts),
            "figures": {t.name: f for t, f in zip(found.targets, tried.figures, strict=True)},
            "met": tried.excess == 0,
        }

    return {
        "minimise": found.minimise,
        "targets": [str(t) for t in found.targets],
        "best": entry(found.best) if found.best else None,
        "closest": entry(found.closest),
        "lower_bound": found.bound,
        "proven": found.proven,
        "missing": list(found.missing),
        "simulated": [entry(t) for t in found.tried],
    }
