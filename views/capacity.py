"""How much a swarm sustains."""

from __future__ import annotations

from typing import Any

from ..chains.capacity import PROOF
from ..core.plan import Placement
from ..core.problem import Problem
from ..methods.capacity import Capacity, Carrier
from ..methods.certify import beside_most
from ..render import number, print_lines, print_table
from .text import assumed, percent, span

#: Placements that are shown.
SHOWN = 8


def print_capacity(problem: Problem, found: Capacity) -> None:
    """Bound and best rate, the placements tried, and what every server gives at the best."""
    best = found.best
    print_table(
        "Highest rate, requests/s",
        ["placement", "router", "held in simulation", "carried by its chains", "of the bound"],
        [
            [
                c.name,
                c.router,
                _held(c),
                number(c.carried.rate_per_s),
                percent(c.carried.rate_per_s / found.most_per_s if found.most_per_s else None),
            ]
            for c in found.carriers[:SHOWN]
        ],
    )
    print_table(
        f"Servers under {best.name}, when its chains carry all that they can",
        ["server", "blocks", "compute", "cache", "binds"],
        [
            [
                _hosting(server.id, best.placement, j),
                span(int(best.placement.start[j]), int(best.placement.end[j])),
                percent(float(best.carried.compute_frac[j])) if server.id not in idle else "-",
                percent(float(best.carried.cache_frac[j])),
                ", ".join(best.carried.binds(j)),
            ]
            for idle in [set(problem.independent)]
            for j, server in enumerate(problem.servers)
        ],
    )
    lines = [
        f"no plan sustains more than {number(found.most_per_s)} requests/s ({PROOF})",
        _found(found),
        beside_most(found.load_per_s, found.most_per_s),
    ]
    if found.most_per_s >= found.load_per_s > best.found_per_s > 0:
        lines.append("no plan was found that holds this load")
    print_lines([*lines, *assumed(problem)])


def _hosting(name: str, placement: Placement, server: int) -> str:
    """A server, with how it hosts where that was chosen."""
    return f"{name} {placement.hosted(server)}".rstrip()


def _found(found: Capacity) -> str:
    best = found.best
    if not best.found_per_s:
        return f"none of {found.requests} simulated requests at a time could be held at any rate"
    return (
        f"best found: {number(best.found_per_s)} requests/s by {best.name} with router "
        f"{best.router}, {percent(best.found_per_s / found.most_per_s)} of that: nothing piles up "
        f"over {found.requests} simulated requests"
    )


def _held(carrier: Carrier) -> str:
    if carrier.held_per_s is None:
        return "-"
    return number(carrier.held_per_s) if carrier.held_per_s else "less"


def capacity_document(problem: Problem, found: Capacity) -> dict[str, Any]:
    """The same for programs, ids instead of rows."""
    best = found.best
    return {
        "load_per_s": found.load_per_s,
        "most_per_s": found.most_per_s,
        "proof": PROOF,
        "found_per_s": best.found_per_s or None,
        "requests": found.requests,
        "independent_servers": list(problem.independent),
        "placements": [
            {
                "placement": c.name,
                "router": c.router,
                "held_per_s": c.held_per_s or None,
                "carried_per_s": c.carried.rate_per_s,
            }
            for c in found.carriers
        ],
        "servers": [
            {
                "server": server.id,
                **({"precision": best.placement.precision[j]} if best.placement.precision else {}),
                **({"wire": best.placement.wire[j]} if best.placement.wire else {}),
                "start_block": int(best.placement.start[j]),
                "end_block": int(best.placement.end[j]),
                "compute_frac": float(best.carried.compute_frac[j]),
                "cache_frac": float(best.carried.cache_frac[j]),
                "binds": list(best.carried.binds(j)),
            }
            for j, server in enumerate(problem.servers)
        ],
    }
