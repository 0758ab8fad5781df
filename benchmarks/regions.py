"""A large swarm read and planned by regions: ``python benchmarks/regions.py [--servers 100000]``.

Rented servers of several kinds in data centres of thirty cities (``swarmplan scenario new --kind
data-centres``), BLOOM-176B. What ``swarmplan regions`` does, in one process: the scenario is built,
planned on single servers and on groups, read by groups, and the error of the grouping is bounded.
CPU seconds and wall seconds of each part, and the most memory.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

from swarms import swarm

from swarmplan.core.errors import SwarmplanWarning
from swarmplan.methods.draft import Settings
from swarmplan.studies.regions import aggregate, labels_of


class Clock:
    """CPU and wall seconds since it was asked last."""

    def __init__(self) -> None:
        self._since = time.process_time(), time.monotonic()

    def lap(self, what: str) -> None:
        """Print how long something took."""
        now = time.process_time(), time.monotonic()
        cpu_s, wall_s = (b - a for a, b in zip(self._since, now, strict=True))
        print(f"{what:<28} {cpu_s:7.1f} s CPU {wall_s:7.1f} s wall", flush=True)
        self._since = now


def main() -> None:
    """Print times, memory, entropy and the bound on the error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--by", choices=["region", "site"], default="region")
    parser.add_argument("--method", default="cg-bp")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    clock, whole = Clock(), Clock()
    problem = swarm(asked.servers, clients=asked.clients, kind="data-centres")
    clock.lap("scenario")
    found = aggregate(problem, labels_of(problem, asked.by), asked.method, Settings())
    clock.lap("planned and read by groups")
    whole.lap("together")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    reading = found.reading
    print(f"{peak:.0f} MiB, {asked.servers:,} servers in {len(reading.groups)} groups")
    print(
        f"traffic has {reading.total_bits:.3f} bits over servers, {reading.between_bits:.3f} over "
        f"groups: {reading.lost_bits:.3f} are lost"
    )
    if found.plan is None:
        print(f"no plan on groups: {found.error}")
        return
    bound = max(found.times, key=lambda t: t.bound_s)
    mean = [sum(t) / len(found.times) for t in zip(*map(_per_token, found.times), strict=True)]
    print(
        f"planning on groups errs by at most {1e3 * bound.bound_s:.1f} ms per token; mean of the "
        f"clients {1e3 * mean[0]:.1f} ms on groups, {1e3 * mean[1]:.1f} ms on single servers"
    )


def _per_token(client: object) -> tuple[float, float]:
    from swarmplan.studies.regions import ClientTimes

    assert isinstance(client, ClientTimes)
    single = client.single.tpot_s if client.single is not None else float("nan")
    return client.true.tpot_s, single


if __name__ == "__main__":
    main()
