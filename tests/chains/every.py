"""Every chain of a small placement: what searches are held against."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from swarmplan.core.plan import Hop, Placement, Route


def every_chain(
    placement: Placement, length: int, at: int = 0, without: Collection[int] = ()
) -> Iterator[Route]:
    """All chains from block ``at`` to the end of the model that avoid some servers."""
    if at == length:
        yield Route(hops=())
        return
    for j in range(len(placement.start)):
        start, end = int(placement.start[j]), int(placement.end[j])
        if start <= at < end and j not in without:
            for rest in every_chain(placement, length, end, without):
                yield Route(hops=(Hop(server=j, start=at, end=end), *rest.hops))
