"""An operator's demands, block by block: which servers count, and how many blocks need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .content import ByContent, IntArray
from .problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Need(ByContent):
    """Every block must be hosted by servers of at least ``count`` different groups.

    Attributes
    ----------
    what : the demand in words.
    group : (n,) group of each server, -1 = does not count.
    """

    what: str
    group: IntArray
    count: int

    def missing(self, start: IntArray, end: IntArray, length: int) -> IntArray:
        """(length,) groups that each block lacks."""
        hosted = np.zeros((int(self.group.max(initial=-1)) + 1, length), dtype=bool)
        for j in np.flatnonzero((end > start) & (self.group >= 0)):
            hosted[self.group[j], start[j] : end[j]] = True
        short: IntArray = np.maximum(self.count - hosted.sum(axis=0), 0)
        return short


def needs(problem: Problem) -> tuple[Need, ...]:
    """The demands of the problem's constraints on which servers host each block."""
    asked = problem.planning.constraints
    n = problem.num_servers
    every = np.arange(n, dtype=np.int64)
    found = [Need(what=f"every block on {asked.copies} servers", group=every, count=asked.copies)]
    if asked.regions > 1:
        names = sorted({s.region for s in problem.servers})
        group = np.array([names.index(s.region) for s in problem.servers], dtype=np.int64)
        what = f"every block in {asked.regions} regions"
        found.append(Need(what=what, group=group, count=asked.regions))
    for loss in asked.survive:
        group = np.array([-1 if j in loss.servers else j for j in range(n)], dtype=np.int64)
        found.append(Need(what=f"all blocks without {loss.name}", group=group, count=1))
    return tuple(found)
