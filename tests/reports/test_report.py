"""The report: complete, self-contained, readable without colour, mouse or sight."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.cli import main
from swarmplan.reports import charts
from swarmplan.reports.page import _DARK, _LIGHT
from swarmplan.reports.svg import Axes, legend, table, ticks
from swarmplan.reports.worldmap import (
    WIDTH,
    Arc,
    Mark,
    _aside,
    _grouped,
    great_circle,
    land,
    view_of,
    world,
)
from swarmplan.scenarios.scenario import load_scenario

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
DEMO = FOLDER / "demo.toml"
VOID = {"meta", "link", "br", "img", "input", "hr"}
places = st.tuples(st.floats(-80, 80), st.floats(-180, 180))


class Page(HTMLParser):
    """Collects what the tests ask of a page; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append(tag)
        self._seen(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("span", "div", "p", "td", "th", "li", "ul", "section", "tbody"), tag
        self._seen(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def _seen(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.references += [str(given[k]) for k in ("src", "href", "xlink:href") if given.get(k)]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "out.html"
    methods = ["-m", "petals-tuned", "-m", "cg-bp"]
    done = run("compare", DEMO, *methods, "--seeds", "2", "--requests", "60", "--report", path)
    assert done.exit_code == 0
    return path.read_text()


def test_the_page_is_well_formed_and_loads_nothing(compared: str) -> None:
    page = Page(compared)
    assert [r for r in page.references if not r.startswith(("#", "data:"))] == []
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "img", "object"}
    assert "@import" not in compared
    assert "url(" not in compared
    assert "default-src 'none'" in compared


def test_anchors_are_unique_and_every_link_leads_somewhere(compared: str) -> None:
    page = Page(compared)
    assert len(page.ids) == len(set(page.ids))
    assert {r[1:] for r in page.references if r.startswith("#")} <= set(page.ids)


def test_every_server_client_and_method_is_told(compared: str) -> None:
    problem = load_scenario(DEMO).problem
    words = " ".join(Page(compared).words)
    for name in [s.id for s in problem.servers] + [c.id for c in problem.clients]:
        assert name in words
    for part in ("petals-tuned", "cg-bp", load_scenario(DEMO).sha256, "Natural Earth"):
        assert part in words


def test_images_have_names_and_boxes_that_scroll_can_be_reached_by_keyboard(compared: str) -> None:
    page = Page(compared)
    for tag, has in page.tags:
        if tag == "svg" and has.get("aria-hidden") != "true":
            assert has["role"] == "img"
            assert {str(has["aria-labelledby"]), str(has["aria-describedby"])} <= set(page.ids)
        if has.get("class") == "scroll":
            assert has["tabindex"] == "0"
            assert has["aria-label"]
        if tag == "th":
            assert has.get("scope") in ("col", "row")
    assert ("html", {"lang": "en"}) in page.tags


def test_series_differ_in_dashes_and_marks_not_only_in_colour() -> None:
    lines = legend([f"m{i}" for i in range(8)])
    dashes = re.findall(r'class="l\d"(?: stroke-dasharray="([^"]*)")?', lines)
    assert len(set(dashes)) == 8
    marks = legend([f"m{i}" for i in range(8)], marks=True)
    shapes = [re.sub(r'class="f\d"', "", s) for s in re.findall(r"<svg.*?</svg>", marks)]
    assert len(set(shapes)) == 8


def luminance(colour: str) -> float:
    def linear(v: float) -> float:
        return v / 12.92 if v <= 0.03928 else float(((v + 0.055) / 1.055) ** 2.4)

    r, g, b = (linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_colours_stand_out_from_the_ground() -> None:
    for colours, ground in ((_LIGHT, "#ffffff"), (_DARK, "#14171b")):
        for colour in colours:
            a, b = sorted((luminance(colour), luminance(ground)))
            assert (b + 0.05) / (a + 0.05) >= 3.0, colour


@given(st.lists(places, min_size=1, max_size=12))
def test_every_known_place_is_inside_the_map(found: list[tuple[float, float]]) -> None:
    found = [(max(-58.0, min(82.0, lat)), lon) for lat, lon in found]
    view = view_of(found)
    for place in found:
        x, y = view.at(place)
        assert -1e-6 <= x <= WIDTH + 1e-6
        assert -1e-6 <= y <= view.height + 1e-6


@given(places, places)
def test_arcs_go_the_short_way_round(a: tuple[float, float], b: tuple[float, float]) -> None:
    def angle(p: tuple[float, float], q: tuple[float, float]) -> float:
        (la, lo), (lb, lp) = np.radians(p), np.radians(q)
        cosine = np.sin(la) * np.sin(lb) + np.cos(la) * np.cos(lb) * np.cos(lo - lp)
        return float(np.arccos(np.clip(cosine, -1, 1)))

    way = great_circle(a, b)
    assert sum(angle(p, q) for p, q in itertools.pairwise(way)) == pytest.approx(
        angle(a, b), abs=1e-5
    )


def test_no_line_of_an_arc_or_of_the_land_crosses_the_whole_map() -> None:
    tokyo, los_angeles, sydney = (35.7, 139.7), (34.0, -118.2), (-33.9, 151.2)
    marks = [
        Mark(name=str(i), place=p, kind=0, load=1, detail="")
        for i, p in enumerate((tokyo, los_angeles, sydney, (51.5, 0.0)))
    ]
    height, parts = world(marks, [Arc(stops=(tokyo, los_angeles, sydney), use=1, detail="")])
    assert 200 < height < 960
    drawn = "".join(parts)
    for line in re.findall(r'points="([^"]+)"', drawn):
        xs = [float(p.split(",")[0]) for p in line.split()]
        assert max(abs(b - a) for a, b in itertools.pairwise(xs)) < WIDTH / 2
    assert len(land()) > 100
    for outline in land():
        offsets = [int(v) for v in re.findall(r"-?\d+", outline.path.partition("l")[2])]
        assert all(abs(dx) < 1800 for dx in offsets[::2])
        assert -180.0 <= outline.west < outline.east < 200.0


def test_places_that_are_not_known_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    options = ["-m", "cg-bp", "--seeds", "1", "--requests", "20", "--report", path]
    assert run("compare", FOLDER / "tiny.toml", *options).exit_code == 0
    assert "5 without a known place" in path.read_text()


def test_a_thousand_servers_stay_small(tmp_path: Path) -> None:
    scenario, path = tmp_path / "large.json", tmp_path / "out.html"
    run("scenario", "generate", scenario, "--servers", "1000", "--clients", "5")
    options = ["-m", "whole-model", "-m", "cg-bp", "--seeds", "1", "--requests", "50"]
    assert run("compare", scenario, *options, "--report", path).exit_code == 0
    content = path.read_text()
    assert len(content.encode()) < 2_000_000
    Page(content)


def test_a_large_swarm_is_told_by_regions_too(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    options = ["-m", "cg-bp", "--seeds", "1", "--requests", "50", "--report", path]
    assert run("compare", FOLDER / "data-centres.toml", *options).exit_code == 0
    words = " ".join(Page(path.read_text()).words)
    for part in ("Regions", "bits are lost to the reader", "europe h100"):
        assert part in words


@given(st.lists(places, min_size=1, max_size=40), st.integers(1, 6))
def test_marks_never_cover_each_other(found: list[tuple[float, float]], clients: int) -> None:
    marks = [
        Mark(name=f"s{i}", place=p, kind=-1 if i < clients else i % 3, load=(i % 5) / 4, detail="")
        for i, p in enumerate((max(-58.0, min(82.0, lat)), lon) for lat, lon in found)
    ]
    view = view_of([m.place for m in marks if m.place is not None])
    at = _grouped(view, marks)
    drawn = _aside(at, [], view.height)
    if len(at) > 12:
        return  # where all is full a mark stays where it is
    boxes = [(g.x, g.y, 9.0 if g.kind < 0 else g.size) for g in drawn]
    for (x, y, r), (u, v, q) in itertools.combinations(boxes, 2):
        assert max(abs(x - u), abs(y - v)) >= r + q - 1e-6


def test_names_from_files_are_escaped() -> None:
    assert "<script>" not in table("<b>", ["<script>"], [["<script>", "&"]])


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_inside_and_even(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 8
    assert all(low - width * 1e-6 <= t <= low + width * (1 + 1e-6) for t in found)


@given(st.floats(0.1, 10), st.floats(20, 1000), st.booleans())
def test_scales_keep_the_order_and_the_frame(low: float, high: float, log: bool) -> None:
    axes = Axes((low, high), (0, 1), log_x=log)
    xs = [axes.x(v) for v in np.linspace(low, high, 7)]
    assert xs == sorted(xs)
    assert xs[0] == pytest.approx(axes.left)
    assert xs[-1] == pytest.approx(axes.right)


def test_charts_without_data_say_so() -> None:
    assert "No request" in charts.distribution("a", "t", "s", {"m": np.zeros(0)})
    assert "Nothing" in charts.bands("a", "t", "x", "y", {"m": [(1.0, float("nan"), 0.0)]})


def test_every_command_with_a_report_writes_one(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(
        f'format = "swarmplan/sweep/1"\nscenario = "{DEMO}"\nseeds = 2\nrequests = 20\n'
        '[grid]\nload = [1, 4, 8]\nmethod = ["cg-bp", "petals-tuned"]\n'
    )
    quick = ["--method", "cg-bp", "--requests", "30", "--seeds", "2"]
    for name, args in (
        ("plan", ["plan", DEMO, "--method", "cg-bp"]),
        ("change", ["whatif", DEMO, "--fail", "europe", *quick]),
        ("sweep", ["sweep", sweep, "-j", "1", "-o", tmp_path / "out.jsonl"]),
    ):
        path = tmp_path / f"{name}.html"
        assert run(*args, "--report", path).exit_code == 0
        page = Page(path.read_text())
        assert len(page.ids) == len(set(page.ids))
        assert "sha256" in path.read_text()


def test_a_plan_for_throughput_draws_it_against_latency(tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    asked = ["--method", "cg-bp", "--objective", "throughput", "--report", str(page)]
    result = CliRunner().invoke(main, ["plan", str(FOLDER / "tiny.toml"), *asked])
    assert result.exit_code == 0, result.output
    assert "Throughput against latency" in result.output
    assert 'id="throughput"' in page.read_text()


def test_what_a_sweep_could_not_serve_is_told_with_its_reason(tmp_path: Path) -> None:
    sweep, path = tmp_path / "sweep.toml", tmp_path / "out.html"
    sweep.write_text(
        f'format = "swarmplan/sweep/1"\nscenario = "{FOLDER / "tiny.toml"}"\nrequests = 20\n'
        '[variants.all]\n[variants.one]\nremove = ["slow", "fast-1"]\n'
    )
    options = ["-j", "1", "-o", tmp_path / "out.jsonl", "--report", path]
    assert run("sweep", sweep, *options).exit_code == 0
    words = " ".join(Page(path.read_text()).words)
    assert "What failed" in words
    assert "blocks are missing" in words
