"""Tiny cases of placement with precision, as the files of benchmarks/hosting.py, and all plans."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

KINDS = ("equal", "unequal", "window", "alternating", "tight", "sensitive", "classes", "mixed")
SHARE = {"bf16": 1.0, "int8": 0.5, "nf4": 0.27}
Hops = tuple[tuple[int, int, int], ...]


def drawn(seed: int, *, servers: int = 3, blocks: int = 4) -> dict[str, Any]:
    """A random case; every figure is a whole number."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    precisions = (
        ["bf16"] if kind == "equal" else ["bf16", "int8", "nf4"][:: int(rng.integers(1, 3))]
    )
    length = int(rng.integers(2, blocks + 1))
    n = int(rng.integers(2, servers + 1))
    alike = kind in ("equal", "window", "tight")
    size = rng.choice([16, 48, 80], 1 if alike else length).tolist() * (length if alike else 1)
    cache = rng.choice([1, 2, 6], length).tolist() if kind != "equal" else [2] * length
    harm = rng.choice([1, 2, 4], length).tolist() if kind != "tight" else [1] * length
    sizes = {p: [max(1, round(s * SHARE[p])) for s in size] for p in precisions}
    speed = rng.choice([5, 10, 16], n).tolist()
    tau = [{p: [round(sizes[p][b] / speed[j]) + {"bf16": 2, "int8": 5, "nf4": 3}[p]
                for b in range(length)] for p in precisions} for j in range(n)]  # fmt: skip
    deg = {"bf16": [0] * length, "int8": harm, "nf4": [10 * h for h in harm]}
    most = 10 * sum(harm)
    classes = [
        {
            "sessions": int(rng.integers(1, 4 if kind == "tight" else 3)),
            "budget": int(rng.choice([0, 0.2, 0.5, 0.8, 1.0]) * most),
            "hop": rng.choice([5, 20, 45, 90, 120], n).tolist(),
        }
        for _ in range(2 if kind in ("classes", "mixed") else 1)
    ]
    share = 0.6 if kind == "tight" else 1.1
    memory = [int(sum(size) * rng.uniform(0.3, share)) for _ in range(n)]
    return {
        "name": f"{kind}-{seed}",
        "L": length,
        "memory": memory,
        "precisions": [precisions] * n,
        "size": sizes,
        "cache": cache,
        "tau": tau,
        "deg": deg,
        "classes": classes,
    }


def least_ms(case: Mapping[str, Any]) -> float | None:
    """The least total over every placement, every precision and every way to route; None = none."""
    best: float | None = None
    for placed in itertools.product(*(_spans(case, j) for j in range(len(case["memory"])))):
        total = _routed(case, placed, best)
        best = total if best is None or (total is not None and total < best) else best
    return best


Placed = tuple[tuple[int, int, str], ...]


def _spans(case: Mapping[str, Any], j: int) -> list[tuple[int, int, str]]:
    found = [(0, 0, "idle")]
    for p in case["precisions"][j]:
        for a, e in itertools.combinations(range(case["L"] + 1), 2):
            if sum(case["size"][p][a:e]) + min(case["cache"][a:e]) <= case["memory"][j]:
                found.append((a, e, p))
    return found


def _routed(case: Mapping[str, Any], placed: Placed, best: float | None) -> float | None:
    """The least total on a placement, None where there is none below the best so far."""
    ways: list[list[tuple[float, Hops]]] = []
    floor = 0.0
    for own in case["classes"]:
        found = sorted(_chains(case, placed, own, 0, ()))
        if not found:
            return None
        floor += own["sessions"] * found[0][0]
        ways += [found] * own["sessions"]
    if best is not None and floor >= best:
        return None
    room = {
        j: case["memory"][j] - sum(case["size"][s[2]][s[0] : s[1]])
        for j, s in enumerate(placed)
        if s[1]
    }
    least = None
    for chosen in itertools.product(*ways):
        total = sum(ms for ms, _ in chosen)
        if least is not None and total >= least:
            continue
        held = dict.fromkeys(room, 0)
        for _, hops in chosen:
            for j, p, e in hops:
                held[j] += sum(case["cache"][p:e])
        if all(held[j] <= room[j] for j in room):
            least = total
    return least


def _chains(
    case: Mapping[str, Any], placed: Placed, own: Mapping[str, Any], at: int, hops: Hops
) -> Iterator[tuple[float, Hops]]:
    if at == case["L"]:
        harm = sum(sum(case["deg"][placed[j][2]][p:e]) for j, p, e in hops)
        if harm <= own["budget"]:
            ms = sum(own["hop"][j] + sum(case["tau"][j][placed[j][2]][p:e]) for j, p, e in hops)
            yield ms, hops
        return
    for j, span in enumerate(placed):
        if span[0] <= at < span[1]:
            yield from _chains(case, placed, own, span[1], (*hops, (j, at, span[1])))
