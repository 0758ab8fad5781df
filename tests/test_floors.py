"""The drawing of the house in docs/design.md is that of the code."""

from pathlib import Path

import pytest

pytest.importorskip("grimp", reason="comes with import-linter, which make lint installs")

from swarmplan.benchmarks.floors import BEGIN, END, drawing, floors, rooms

PAGE = Path(__file__).resolve().parents[1] / "docs" / "design.md"


def test_the_page_shows_the_floors_as_they_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == drawing().strip(), "python benchmarks/floors.py docs/design.md"


def test_every_room_stands_above_all_that_it_stands_on() -> None:
    imports = rooms()
    height = {room: level for level, storey in enumerate(floors(imports)) for room in storey}
    assert set(height) == set(imports)
    for room, below in imports.items():
        assert height[room] == 1 + max((height[b] for b in below), default=-1)
