"""The map in characters: inside its width, with land where land is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.cli import main
from swarmplan.reports.textmap import DRAWN, PLAIN, _on_land, text_map
from swarmplan.reports.worldmap import Arc, Mark

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
places = st.tuples(st.floats(-60, 80), st.floats(-180, 180))


def mark(name: str, place: tuple[float, float] | None, *, kind: int = 0, load: float = 0) -> Mark:
    return Mark(name=name, place=place, kind=kind, load=load, detail="")


@pytest.mark.parametrize(
    ("place", "land"),
    [
        ((39.0, -98.0), True),  # Kansas
        ((-10.0, -55.0), True),  # Brazil
        ((23.0, 10.0), True),  # the Sahara
        ((50.0, 20.0), True),  # Poland
        ((62.0, 100.0), True),  # Siberia
        ((67.0, -175.0), True),  # Chukotka, beyond the date line
        ((-25.0, 135.0), True),  # Australia
        ((35.0, -45.0), False),
        ((0.0, -140.0), False),
        ((-20.0, 80.0), False),
        ((42.0, 51.0), False),  # the Caspian Sea
    ],
)
def test_land_is_where_land_is(place: tuple[float, float], land: bool) -> None:
    lat, lon = place
    turns = (lon - 360, lon, lon + 360)
    count = sum(west <= at <= east for west, east in _on_land(lat) for at in turns)
    assert count % 2 == land


@given(found=st.lists(places, min_size=1, max_size=30), columns=st.integers(30, 80))
def test_no_line_is_wider_than_asked(found: list[tuple[float, float]], columns: int) -> None:
    marks = [mark(f"s{i}", p, kind=i % 3 - 1) for i, p in enumerate(found)]
    arc = Arc(stops=tuple(found), use=1.0, detail="")
    *lines, _ = text_map(marks, [arc], signs=PLAIN, columns=columns)
    assert max(map(len, lines)) <= columns
    assert "".join(lines).isascii()


@given(found=st.lists(places, min_size=1, max_size=12, unique=True))
def test_every_client_is_seen_or_counted(found: list[tuple[float, float]]) -> None:
    marks = [mark("c", p, kind=-1) for p in found]
    lines = text_map(marks, [], signs=DRAWN)[:-1]
    cells = sum(line.count(DRAWN.client) for line in lines)
    assert 1 <= cells <= len(found)


def test_machines_of_one_place_are_counted_and_stand_beside_their_client() -> None:
    here = (48.86, 2.35)
    marks = [mark("me", here, kind=-1), *(mark(f"s{i}", here, load=1) for i in range(3))]
    lines = text_map(marks, [], signs=PLAIN)[:-1]
    (row,) = [line for line in lines if "@" in line]
    assert "3@" in row or "@3" in row
    assert "me" in row


def test_a_chain_is_drawn_and_servers_on_it_differ() -> None:
    ends = (51.5, -0.1), (40.7, -74.0)
    marks = [mark("on", ends[0], load=1), mark("off", (19.4, -99.1)), mark("c", ends[1], kind=-1)]
    arc = Arc(stops=(ends[1], ends[0]), use=1.0, detail="")
    *lines, _ = text_map(marks, [arc], signs=DRAWN)
    text = "".join(lines)
    assert text.count("─") > 8
    assert (text.count("●"), text.count("○"), text.count("◆")) == (1, 1, 1)
    assert all(name in text for name in ("on", "off", "c"))


def test_a_chain_that_leaves_the_window_comes_back_on_the_other_side() -> None:
    around = [mark("m", (0.0, lon)) for lon in (-150.0, -90.0, -30.0, 30.0, 90.0, 150.0)]
    arc = Arc(stops=((0.0, 150.0), (0.0, -150.0)), use=1.0, detail="")
    lines = text_map(around, [arc], signs=DRAWN)[:-1]
    assert 6 < sum(line.count(s) for line in lines for s in DRAWN.lines) < 30


def test_a_window_over_the_date_line_has_land_on_both_sides() -> None:
    lines = text_map([mark("a", (35.7, 139.7)), mark("b", (37.8, -122.4))], [], signs=PLAIN)[:-1]
    assert sum(line[:15].count(PLAIN.land) for line in lines) > 5
    assert sum(line[65:].count(PLAIN.land) for line in lines) > 5


def test_machines_without_a_place_are_counted_and_none_at_all_is_said() -> None:
    lost = mark("lost", None)
    assert text_map([lost, mark("s", (0, 0))], [], signs=PLAIN)[-1] == "1 without a known place"
    assert text_map([lost], [], signs=PLAIN)[0].startswith("no map")


DEMO = ("plan", str(FOLDER / "demo.toml"), "--method", "cg-bp")


def test_a_pipe_gets_a_map_only_when_it_asks() -> None:
    assert DRAWN.client not in CliRunner().invoke(main, DEMO).stdout
    assert f"{DRAWN.client} client" in CliRunner().invoke(main, [*DEMO, "--map"]).stdout


def test_a_terminal_that_cannot_write_the_signs_gets_plain_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "swarmplan.cli", *DEMO, "--map"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    text = done.stdout.decode("ascii")
    assert f"{PLAIN.client} client" in text
    assert "?" not in text
