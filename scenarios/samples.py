"""Two kinds of swarms over named cities: data centres of many like servers, and volunteers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """A place with the region that fails together."""

    name: str
    region: str
    lat: float
    lon: float


def _cities(region: str, places: dict[str, tuple[float, float]]) -> list[City]:
    return [City(name=n, region=region, lat=p[0], lon=p[1]) for n, p in places.items()]


CITIES = (
    *_cities(
        "north-america",
        {
            "ashburn": (39.0, -77.5),
            "atlanta": (33.7, -84.4),
            "chicago": (41.9, -87.6),
            "dallas": (32.8, -96.8),
            "denver": (39.7, -105.0),
            "los-angeles": (34.1, -118.2),
            "montreal": (45.5, -73.6),
            "portland": (45.5, -122.7),
            "san-jose": (37.3, -121.9),
            "toronto": (43.7, -79.4),
        },
    ),
    *_cities(
        "europe",
        {
            "amsterdam": (52.4, 4.9),
            "dublin": (53.3, -6.3),
            "frankfurt": (50.1, 8.7),
            "helsinki": (60.2, 24.9),
            "london": (51.5, -0.1),
            "madrid": (40.4, -3.7),
            "milan": (45.5, 9.2),
            "paris": (48.9, 2.4),
            "stockholm": (59.3, 18.1),
            "warsaw": (52.2, 21.0),
        },
    ),
    *_cities(
        "asia",
        {
            "hong-kong": (22.3, 114.2),
            "mumbai": (19.1, 72.9),
            "osaka": (34.7, 135.5),
            "seoul": (37.6, 127.0),
            "singapore": (1.35, 103.8),
            "tokyo": (35.7, 139.7),
        },
    ),
    *_cities("south-america", {"santiago": (-33.4, -70.7), "sao-paulo": (-23.5, -46.6)}),
    *_cities("oceania", {"melbourne": (-37.8, 145.0), "sydney": (-33.9, 151.2)}),
)
#: Shipped profile, memory GB, share: what stands in a data centre.
RENTED = {
    "h100": ("H100-SXM/Llama-3.1-8B", 80.0, 0.1),
    "a100": ("A100-40GB/Llama-2-70B", 40.0, 0.25),
    "l40s": ("L40S/Llama-3.1-8B", 48.0, 0.25),
    "l4": ("L4-24GB/Llama-2-70B", 24.0, 0.4),
}
#: The same for a home; memory is what its owner leaves to the swarm.
DONATED = {
    "rtx4090": ("RTX4090/Llama-3.1-8B", 22.0, 0.3),
    "rtx3090": ("RTX3090/Llama-3.1-8B", 22.0, 0.35),
    "a6000": ("A6000/Llama-3.1-8B", 46.0, 0.1),
    "t4": ("T4-16GB/Llama-2-70B", 14.0, 0.25),
}
#: Access line, share, last mile in ms, upstream in Mbit/s.
LINES = (
    ("fibre", 0.4, (1.0, 4.0), 300.0),
    ("cable", 0.35, (8.0, 20.0), 50.0),
    ("dsl", 0.25, (15.0, 40.0), 20.0),
)
CALLERS = (
    "ashburn",
    "san-jose",
    "frankfurt",
    "london",
    "tokyo",
    "singapore",
    "sao-paulo",
    "sydney",
)
#: Mean seconds that a volunteer stays, and stays away.
UP_S, DOWN_S = 3_000.0, 900.0


def _devices(kinds: dict[str, tuple[str, float, float]]) -> dict[str, Any]:
    return {name: {"profile": p, "memory_gb": gb} for name, (p, gb, _) in kinds.items()}


def _drawn(
    rng: np.random.Generator, kinds: dict[str, tuple[str, float, float]], n: int
) -> list[str]:
    names = list(kinds)
    return [names[i] for i in rng.choice(len(names), size=n, p=[k[2] for k in kinds.values()])]


def _network() -> dict[str, Any]:
    return {
        "delay": "internet",
        "step_overhead_ms": 18.0,
        "prefill_overhead_ms": 40.0,
        "prefill_overhead_us_per_token": 60.0,
    }


def _clients(count: int) -> list[dict[str, Any]]:
    """Callers in the large cities, then in the others; a number tells the rounds apart."""
    known = sorted(
        CITIES,
        key=lambda c: (c.name not in CALLERS, CALLERS.index(c.name) if c.name in CALLERS else 0),
    )
    found = []
    for i in range(count):
        city, lap = known[i % len(known)], i // len(known)
        name = f"from-{city.name}" + (f"-{lap}" if lap else "")
        found.append({"id": name, "lat": city.lat, "lon": city.lon, "region": city.region})
    return found


def data_centres(rng: np.random.Generator, servers: int, clients: int) -> dict[str, Any]:
    """Servers dealt to thirty data centres; like ones of one centre are one entry with a count."""
    kinds = _drawn(rng, RENTED, servers)
    weights = rng.pareto(1.5, size=len(CITIES)) + 0.3
    sites = rng.choice(len(CITIES), size=servers, p=weights / weights.sum())
    groups = Counter(zip(sites.tolist(), kinds, strict=True))
    return {
        "devices": _devices(RENTED),
        "network": _network(),
        "servers": [
            {
                "id": f"{CITIES[site].name}-{kind}",
                "device": kind,
                "count": count,
                "lat": CITIES[site].lat,
                "lon": CITIES[site].lon,
                "region": CITIES[site].region,
                "last_mile_ms": 0.5,
            }
            for (site, kind), count in sorted(groups.items())
        ],
        "clients": _clients(clients),
    }


def volunteers(
    rng: np.random.Generator, servers: int, clients: int, span_s: float
) -> dict[str, Any]:
    """Home machines behind access lines, some behind a relay, that come and go."""
    kinds, stays = _drawn(rng, DONATED, servers), rng.spawn(1)[0]  # the span changes no machine
    many: Counter[str] = Counter()
    entries: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for kind in kinds:
        city = CITIES[int(rng.integers(len(CITIES)))]
        _, _, (low, high), rate = LINES[int(rng.choice(len(LINES), p=[x[1] for x in LINES]))]
        name = f"{city.name}-{many[city.name]}"
        many[city.name] += 1
        entry: dict[str, Any] = {
            "id": name,
            "device": kind,
            "lat": round(float(city.lat + rng.normal(0, 0.15)), 2),
            "lon": round(float(city.lon + rng.normal(0, 0.15)), 2),
            "region": city.region,
            "last_mile_ms": round(float(rng.uniform(low, high)), 1),
            "bandwidth_mbit_per_s": rate,
        }
        if rng.random() < 0.15:
            entry["relayed"] = True
        entries.append(entry)
        if rng.random() < 0.35:
            events += _churn(stays, name, span_s)
    return {
        "devices": _devices(DONATED),
        "network": _network(),
        "servers": entries,
        "clients": _clients(clients),
        "events": sorted(events, key=lambda e: (e["at_s"], e["server"])),
    }


def _churn(rng: np.random.Generator, server: str, span_s: float) -> list[dict[str, Any]]:
    """Times at which one machine leaves and comes back, exponential stays."""
    found: list[dict[str, Any]] = []
    at, up = 0.0, True
    while True:
        at += float(rng.exponential(UP_S if up else DOWN_S))
        if at > span_s:
            return found
        found.append({"at_s": round(at), "action": "fail" if up else "join", "server": server})
        up = not up
