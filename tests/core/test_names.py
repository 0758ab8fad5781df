"""Names shared by files, options and code, and how ranges of blocks are printed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Admission, Relay, block_ranges, blocks, names
from swarmplan.core.plan import Hop
from swarmplan.core.problem import Span


def test_the_names_of_a_literal_come_in_their_order() -> None:
    assert names(Relay) == ("client", "server", "pipeline")
    assert names(Admission) == ("retry", "queue", "reserve", "notify", "sized", "ordered")


def test_blocks_are_printed_as_petals_writes_them() -> None:
    assert blocks(3, 7) == str(Span(start=3, end=7)) == str(Hop(server=1, start=3, end=7)) == "3:7"


@pytest.mark.parametrize(
    ("which", "ranges"),
    [([0, 1, 2, 5], ["0:3", "5:6"]), ([], []), ([4], ["4:5"]), ([1, 3, 5], ["1:2", "3:4", "5:6"])],
)
def test_blocks_next_to_each_other_are_one_range(which: list[int], ranges: list[str]) -> None:
    assert block_ranges(which) == ranges


@given(st.sets(st.integers(0, 40)))
def test_ranges_name_the_very_blocks_and_as_few_ranges_as_there_can_be(which: set[int]) -> None:
    found = [tuple(map(int, text.split(":"))) for text in block_ranges(sorted(which))]
    assert sorted(which) == [b for start, end in found for b in range(start, end)]
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))
