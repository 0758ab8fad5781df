"""The least set of servers for a target."""

from __future__ import annotations

import math
from typing import Any

from ..render import number, print_lines, print_table
from ..studies.catalogue import Market
from ..studies.coldstart import in_words
from ..studies.size import Sizing, Tried
from .text import assumed


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
    assumptions = assumed(shown.outcome.problem)
    if found.best is None:
        print_lines([*found.missing, *assumptions])
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
    if found.best.recovery is not None:
        lines.append(f"{in_words(found.best.recovery)}; the lower bound knows nothing of losses")
    print_lines([*lines, *assumptions])


def _recovery(tried: Tried) -> dict[str, Any]:
    """The longest darkness after a loss, where that was asked for."""
    if tried.recovery is None:
        return {}
    seconds = tried.recovery.seconds
    return {
        "recovery": {
            "lost": tried.recovery.lost,
            "dark_blocks": tried.recovery.dark,
            "spares": [name for name, _ in tried.recovery.spares],
            "seconds": seconds if math.isfinite(seconds) else None,
        }
    }


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
            **_recovery(tried),
        }

    return {
        "minimise": found.minimise,
        "independent_servers": list((found.best or found.closest).outcome.problem.independent),
        "targets": [str(t) for t in found.targets],
        "best": entry(found.best) if found.best else None,
        "closest": entry(found.closest),
        "lower_bound": found.bound,
        "proven": found.proven,
        "missing": list(found.missing),
        "simulated": [entry(t) for t in found.tried],
    }
