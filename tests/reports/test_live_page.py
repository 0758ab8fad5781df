"""The page of a watched swarm: all of its status, nothing from elsewhere, nobody's markup."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.request
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest

from swarmplan.reports.live import LivePage
from swarmplan.swarm.turn import Turn
from swarmplan.tests.swarm.looks import plan_of, server, stated, turn

EVIL = "<script>alert(1)</script>"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
SERVERS = [
    server(0, 0, 16, stated=stated(16, step_s=0.033, plan_version=7)),
    server(1, 16, 32, stated=stated(16, step_s=0.5, plan_version=7)),
    server(2, 0, 16, public_name=EVIL),
    server(3, 16, 32, public_name="\"'><img src=//x.example/y>", coordinates=None),
    server(4, 0, 8, state="joining"),
]


class Watched:
    """A watch that has made these turns."""

    def __init__(self, *turns: Turn) -> None:
        self.last = turns[-1]
        self.seen = next((t for t in reversed(turns) if t.problem is not None), None)


class Tags(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def look(**more: Any) -> Turn:
    return turn(SERVERS, plan=plan_of(SERVERS[:2]), **more)


def shown(*turns: Turn) -> str:
    page = LivePage(model="Llama-3.1-8B", confirm=3, every_s=300)
    for i in range(len(turns)):
        page.show(cast("Any", Watched(*turns[: i + 1])))
    return page.content.decode()


def test_plan_watcher_servers_and_the_slow_hop_are_on_the_page() -> None:
    content = shown(look())
    for words in (
        "version 7, signature checked",
        "would leave all servers where they are (nothing to gain)",
        "server-0[0:16] &gt;",
        "5 servers online"[2:],
        "Rounds of the watch",
        "slow",
        "Who holds which blocks",
    ):
        assert words in content, words
    assert 'id="map-map-t"' in content  # places are known


def test_names_of_strangers_are_text_wherever_they_stand() -> None:
    warnings = (f"~end: {EVIL}",)
    content = shown(look(warnings=warnings, reason=EVIL))
    kinds = {tag for tag, _ in Tags(content).found}
    assert not kinds & {"script", "img", "iframe", "object", "form", "base"}
    assert "&lt;script&gt;" in content
    assert "<script" not in content


def test_nothing_is_asked_for_but_the_page_itself() -> None:
    content = shown(look())
    for tag, given in Tags(content).found:
        assert not any(name.startswith("on") for name in given), tag
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            address = given.get(name) or "#"
            assert address.startswith(("#", "data:,")), (tag, address)
    assert not re.search(r"url\(|@import", content)
    refresh = [a for t, a in Tags(content).found if a.get("http-equiv") == "refresh"]
    assert [a["content"] for a in refresh] == ["15"]


def test_a_swarm_that_went_silent_is_shown_as_it_was_and_said_to_be_old() -> None:
    silent = Turn(at_s=look().at_s + 300, action="unreachable", reason="nobody answers")
    content = shown(look(), silent)
    assert "could not be read: nobody answers. What follows is older." in content
    assert "server-0" in content
    assert "could not be read" in shown(silent)


def test_rounds_come_last_first_and_are_bounded() -> None:
    turns = [replace(look(), at_s=look().at_s + i, reason=f"round {i}.") for i in range(40)]
    content = shown(*turns)
    assert content.index("round 39.") < content.index("round 38.")
    assert "round 9." not in content


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_page_is_there_before_the_swarm_was_read() -> None:
    page = LivePage(model="Llama-3.1-8B", confirm=3, every_s=300)
    address = page.serve(0)
    with urllib.request.urlopen(address, timeout=5) as answer:
        assert b"is being read for the first time" in answer.read()
    page.show(cast("Any", Watched(look())))
    with urllib.request.urlopen(address, timeout=5) as answer:
        assert b"signature checked" in answer.read()


@pytest.mark.skipif(not BROWSER, reason="no chromium to draw a page with")
@pytest.mark.parametrize("width", [1100, 520], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", [1, 0], ids=["light", "dark"])
def test_a_browser_draws_it_without_scrolling_sideways(
    width: int, scheme: int, tmp_path: Path
) -> None:
    """Tables become cards on a phone; what is drawn is as dark as was asked for."""
    image = pytest.importorskip("PIL.Image", reason="pixels are read with pillow")
    path = tmp_path / "page.html"
    path.write_text(shown(look()), encoding="utf-8")
    picture = tmp_path / "page.png"
    subprocess.run(
        [
            *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu"),
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--window-size={width},1200",
            f"--screenshot={picture}",
            path.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    drawn = image.open(picture).convert("RGB")
    corner = drawn.getpixel((3, 3))
    assert (sum(corner) > 600) is (scheme == 1)
    # A page that is too wide has a bar to scroll it at its lower edge.
    bottom = {drawn.getpixel((x, drawn.height - 3)) for x in range(3, width - 40, 7)}
    assert corner in bottom
