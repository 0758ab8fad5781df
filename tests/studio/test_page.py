"""The page in a browser: a drag moves a server, keys do the same, and nothing complains."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmplan.benchmarks.browser import BROWSER, Browser
from swarmplan.tests.extras import is_installed
from swarmplan.tests.studio.test_server import MARKUP, Page, page

if not is_installed("studio"):
    pytest.skip('the server is an extra: pip install "swarmplan[studio]"', allow_module_level=True)
if not BROWSER:
    pytest.skip("no chromium to open the page with", allow_module_level=True)

__all__ = ["page"]
SAID = "document.getElementById('sentence').textContent"
MARKS = "[...document.querySelectorAll('.machine')]"
MARK = f"{MARKS}.find(m => m.dataset.key.startsWith('server:<img'))"


def test_a_server_is_dragged_chosen_and_switched_off(page: Page, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(page.address)
        browser.wait("document.querySelectorAll('.machine').length == 15", 120)
        box = f"(b => [b.x + b.width / 2, b.y + b.height / 2])({MARK}.querySelector('.touch')"
        x, y = browser.run(f"{box}.getBoundingClientRect())")
        browser.drag((x, y), (x + 60, y + 40))
        browser.wait(f"{SAID}.startsWith('move <img')", 120)
        browser.run(f"{MARK}.focus()")
        browser.press("Delete")
        browser.wait(f"{SAID}.startsWith('<img src=x onerror=alert(1)> gone')", 120)
        assert browser.run("document.querySelectorAll('img').length") == 0
        browser.press("z", control=True)
        browser.wait(f"{SAID}.startsWith('move <img')", 120)
        assert browser.complaints == []
    told = page.state()
    assert [s["id"] for s in told["servers"]][-1] == MARKUP
    page.act("undo")
