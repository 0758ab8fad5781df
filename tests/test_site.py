"""The documentation as a site: it is made strictly, links lead somewhere, nothing is loaded from
elsewhere; the notebook and the script of its pages run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import swarmplan
from swarmplan.cli import COMMANDS
from swarmplan.scenarios.schema import Server
from swarmplan.tests.extras import needs

ROOT = Path(__file__).resolve().parents[1]
#: Tags whose ``src`` or ``href`` a browser loads by itself.
LOADING = {"script", "link", "img", "iframe", "source", "video", "audio", "embed", "object"}


def made(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program of this environment; the checkout's package is the one that is imported."""
    paths = [str(ROOT / ".dev"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


class Reader(HTMLParser):
    """What a page links to, what it loads, which anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Also of frames that a page has inside it."""
        known = dict(attrs)
        self.anchors |= {v for k in ("id", "name") if (v := known.get(k))}
        places = {v for k in ("href", "src", "data", "srcset", "poster") if (v := known.get(k))}
        (self.loaded if tag in LOADING else self.links).update(places)
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""
        if inner := known.get("srcdoc"):
            frame = Reader(inner)
            self.links |= {link for link in frame.links if not link.startswith("#")}
            self.loaded |= frame.loaded | set(_in_rules(inner))
            missing = {link[1:] for link in frame.links if link.startswith("#")} - frame.anchors
            assert not missing, f"a picture links to {missing}"


def _in_rules(text: str) -> Iterator[str]:
    """What style rules load."""
    yield from re.findall(r"@import\s+['\"]([^'\"]+)", text)
    yield from re.findall(r"url\(\s*['\"]?([^'\")]+)", text)


def is_elsewhere(place: str) -> bool:
    return urlsplit(place).scheme in {"http", "https"} or place.startswith("//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("docs")
    folder = tmp_path_factory.mktemp("site")
    done = made(["-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)], ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Reader]:
    return {p: Reader(p.read_text(encoding="utf-8")) for p in sorted(site.rglob("*.html"))}


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Reader]) -> None:
    broken = []
    for page, seen in pages.items():
        if page.name == "404.html":  # its links are absolute: it stands for any place
            continue
        for link in seen.links | seen.loaded:
            parts = urlsplit(link)
            if parts.scheme or is_elsewhere(link):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            known = pages[target].anchors if target in pages else {""}
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in known):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert not broken
    assert len(pages) > 25


def test_no_page_and_no_rule_loads_anything_from_elsewhere(
    site: Path, pages: dict[Path, Reader]
) -> None:
    loaded = {place for seen in pages.values() for place in seen.loaded}
    for rules in site.rglob("*.css"):
        loaded |= set(_in_rules(rules.read_text(encoding="utf-8")))
    assert len(loaded) > 5
    assert not {place for place in loaded if is_elsewhere(place)}


def test_browsers_are_told_to_load_nothing_from_elsewhere(pages: dict[Path, Reader]) -> None:
    for page, seen in pages.items():
        allowed = set(seen.policy.removeprefix("default-src ").split())
        assert "'self'" in allowed, page
        assert not {a for a in allowed if "/" in a or "*" in a or a in {"http:", "https:"}}


def test_the_reference_has_every_command_field_and_function(site: Path) -> None:
    def text(name: str) -> str:
        return (site / "reference" / name).read_text(encoding="utf-8")

    assert [c for c in COMMANDS if f'id="swarmplan-{c}"' not in text("commands.html")] == []
    scenario = text("scenario-file.html")
    assert [f for f in Server.__struct_fields__ if f"<code>{f}</code>" not in scenario] == []
    assert "usable accelerator memory" in scenario  # the words of docs/files.md
    functions = {n for n in swarmplan.__all__ if not n.startswith("_")}
    assert {n for n in functions if f'id="{n.lower()}"' not in text("python.html")} == set()


def test_the_tutorials_show_what_their_commands_and_cells_printed(site: Path) -> None:
    tutorial = (site / "tutorial.html").read_text(encoding="utf-8")
    assert "swarm.toml: valid" in tutorial
    assert "200 of 200 requests completed" in tutorial
    quickstart = (site / "quickstart.html").read_text(encoding="utf-8")
    assert "400 of 400 requests completed" in quickstart
    assert quickstart.count("srcdoc=") >= 4
    assert 'class="output"' not in quickstart


def test_the_notebook_is_kept_without_outputs() -> None:
    book = json.loads((ROOT / "docs" / "quickstart.ipynb").read_text(encoding="utf-8"))
    cells = [c for c in book["cells"] if c["cell_type"] == "code"]
    assert len(cells) > 5
    assert [c["id"] for c in cells if c["outputs"] or c["execution_count"]] == []


@pytest.fixture
def study() -> str:
    page = (ROOT / "docs" / "howto-research.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python study.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(script)


def test_the_study_has_thirty_lines_at_most(study: str) -> None:
    assert len(study.splitlines()) <= 30


def test_the_study_plans_compares_plots_and_exports(study: str, tmp_path: Path) -> None:
    needs("docs")
    done = made(["-W", "error::DeprecationWarning:__main__", "-c", study], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "plan by auto" in done.stdout
    methods = (tmp_path / "methods.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in methods[1:]] == ["petals", "cg-bp", "plan by auto"]
    requests = (tmp_path / "requests.csv").read_text().splitlines()
    assert requests[0].startswith("method,run,request,client,")
    assert len(requests) == 1 + 400 * (3 * 3 + 3 + 3)  # PETALS in three join orders each
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
