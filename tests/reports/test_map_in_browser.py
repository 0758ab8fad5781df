"""The map as a browser draws it: land where there is land, in every part of the world."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swarmplan.reports.page import Section, page
from swarmplan.reports.svg import drawing
from swarmplan.reports.worldmap import WIDTH, Arc, Mark, Place, view_of, world

if TYPE_CHECKING:
    from PIL.Image import Image

pytest.importorskip("PIL.Image", reason="pixels are read with pillow: pip install pillow")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
if not BROWSER:
    pytest.skip("no chromium to draw a page with", allow_module_level=True)

#: Machines of a window, and places in it that are far from every coast, mark and chain.
WINDOWS: dict[str, tuple[list[Place], list[Place], list[Place]]] = {
    "Europe": ([(48.9, 2.4), (40.4, -3.7)], [(52.0, 20.0), (47.5, 19.0)], [(46.0, -10.0)]),
    "Africa": ([(-1.3, 36.8), (6.5, 3.4)], [(-8.0, 23.0), (13.0, 20.0)], [(-8.0, 0.0)]),
    "Asia": ([(28.6, 77.2), (1.4, 103.8)], [(33.0, 105.0), (21.0, 79.0)], [(8.0, 88.0)]),
    "North America": ([(40.7, -74.0), (19.4, -99.1)], [(40.0, -98.0)], [(25.0, -90.0)]),
    "South America": ([(-23.5, -46.6), (4.6, -74.1)], [(-5.0, -55.0)], [(-15.0, -85.0)]),
    "Oceania": ([(-33.9, 151.2), (-31.9, 115.9)], [(-22.0, 133.0)], [(-38.0, 130.0)]),
    "across the date line": ([(35.7, 139.7), (37.8, -122.4)], [(62.0, 150.0)], [(20.0, 180.0)]),
    "west of the date line": ([(-36.8, 174.8), (-18.1, 178.4)], [(-25.0, 149.5)], [(-25.0, 165.0)]),
    "the whole world": (
        [(51.5, 0.0), (35.7, 139.7), (37.8, -122.4), (-33.9, 151.2), (-26.2, 28.0)],
        [(60.0, 90.0), (20.0, 10.0), (24.0, 45.0), (40.0, -100.0), (-25.0, 130.0)],
        [(-20.0, 75.0), (30.0, -170.0)],
    ),
}
LIGHT = {"land": (0xD3, 0xD8, 0xCF), "sea": (0xEA, 0xF1, 0xF6)}


def drawn(machines: Sequence[Place], path: Path, width: int) -> Image:
    marks = [Mark(name="", place=p, kind=0, load=1.0, detail="") for p in machines]
    height, parts = world(marks, [Arc(stops=tuple(machines), use=0.0, detail="")])
    body = drawing(WIDTH, height, "map", "map", parts, "map", fits=True)
    path.with_suffix(".html").write_text(
        page("Map", "", [Section(name="map", title="Map", body=body)]), encoding="utf-8"
    )
    subprocess.run(
        [
            *(BROWSER, "--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"),
            f"--user-data-dir={path.parent / 'profile'}",
            f"--window-size={width},1400",
            f"--screenshot={path}",
            path.with_suffix(".html").as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    from PIL.Image import open as opened

    return opened(path).convert("RGB")


def map_box(image: Image) -> tuple[int, int, int, int]:
    """Where land and sea are in the picture."""
    colours = set(LIGHT.values())
    found = [
        (x, y)
        for y in range(image.height)
        for x in range(0, image.width, 2)
        if image.getpixel((x, y)) in colours
    ]
    xs, ys = [x for x, _ in found], [y for _, y in found]
    return min(xs), min(ys), max(xs), max(ys)


@pytest.mark.parametrize("width", [1100, 520], ids=["wide", "phone"])
@pytest.mark.parametrize("window", WINDOWS)
def test_land_is_drawn_wherever_the_window_is(tmp_path: Path, window: str, width: int) -> None:
    machines, land, sea = WINDOWS[window]
    image = drawn(machines, tmp_path / "map.png", width)
    left, top, right, _ = map_box(image)
    assert right < width  # the whole map at once, nothing to scroll
    view, scale = view_of(machines), (right - left + 2) / WIDTH
    for kind, places in (("land", land), ("sea", sea)):
        for place in places:
            x, y = view.at(place)
            at = round(left + x * scale), round(top + y * scale)
            assert image.getpixel(at) == LIGHT[kind], f"{kind} at {place}"
