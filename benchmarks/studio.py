"""The page of ``swarmplan studio`` in a browser: how soon it answers, how much it holds, for whom.

    python benchmarks/studio.py drags      # 20 drags on 20 servers and on 200: new times shown
    python benchmarks/studio.py memory     # 500 drags: page, server and planners, first 50 and last
    python benchmarks/studio.py keys       # all that can be done, by Tab and keys alone
    python benchmarks/studio.py access     # axe-core's rules: light, dark, phone (npm fetches them)
    python benchmarks/studio.py pictures   # what it looks like: light, dark, phone, into --out
    python benchmarks/studio.py all

Needs the extra ``studio`` and Chromium. A time is that from letting go of the mouse until the
sentence and the table show the new times, while a better plan is searched for as always. Each part
prints its figures and ends with ``kept`` or ``broken``; the exit status tells too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
from browser import BROWSER, Browser

from swarmplan.scenarios.generate import Kind, generate, write_document

#: Seconds: median and worst of 20 servers, worst of 200.
MEDIAN_S, WORST_S, MANY_S = 1.0, 2.0, 5.0
#: Growth from the first 50 to the last 50 of 500 drags that still counts as steady, and what an
#: edit itself, which undo keeps, may take.
STEADY, EDIT_MIB = 1.1, 1 / 1024
SEARCHES = "30"
PATIENCE_S = 300.0
SENTENCE = "document.getElementById('sentence').textContent"
#: What takes keys or clicks and is there to be used.
USABLE = """[...document.querySelectorAll("a[href], button, input, select, summary, .machine,"
  + " [tabindex='0']")].filter(e => !e.disabled && e.checkVisibility()
  && !(e.type === "radio" && !e.checked))"""
NAMED = "e => e.dataset.key || e.id || e.getAttribute('aria-label') || e.textContent.trim()"
MARK = """(key => [...document.querySelectorAll(".machine")].find(m => m.dataset.key === key))"""
#: Where a mark can be taken hold of, None while something else covers it.
HOLD = f"""(key => {{ const mark = {MARK}(key);
  const b = mark.querySelector(".touch").getBoundingClientRect();
  const [x, y] = [b.x + b.width / 2, b.y + b.height / 2];
  return document.elementFromPoint(x, y)?.closest(".machine") === mark ? [x, y] : null; }})"""
#: Measures in the page itself: from letting go until a sentence about this server has its times.
WATCH = """(id => { const box = document.getElementById("sentence"), start = `move ${id} to `;
  const old = box.textContent; let from = null; window.took = null;
  addEventListener("pointerup", () => { from = performance.now(); }, { capture: true, once: true });
  const seen = new MutationObserver(() => { const text = box.textContent;
    if (from === null || text === old || !text.startsWith(start) || text.endsWith(" ...")) return;
    seen.disconnect(); requestAnimationFrame(() => {
      window.took = [performance.now() - from, text.includes("p95 ")]; }); });
  seen.observe(box, { childList: true, characterData: true, subtree: true }); })"""


class Studio:
    """A studio that runs, and the page in a browser."""

    def __init__(self, process: subprocess.Popen[str], address: str, browser: Browser) -> None:
        self.process, self.address, self.browser = process, address, browser

    def settle(self) -> None:
        """Until the first times are there and no search goes on."""
        run, wait = self.browser.run, self.browser.wait
        wait(
            f"!{SENTENCE}.endsWith('...') && document.querySelector('#servers tbody tr')",
            PATIENCE_S,
        )
        if run("document.getElementById('pause').textContent == 'Stop the search'"):
            wait("!document.getElementById('pause').disabled", PATIENCE_S)
            run("document.getElementById('pause').click()")
        wait("document.getElementById('search').textContent == ''", PATIENCE_S)

    def servers(self) -> list[str]:
        """Ids of the servers on the map."""
        marks = '[...document.querySelectorAll(".machine.server")].map(m => m.dataset.key)'
        return [key.partition(":")[2] for key in self.browser.run(marks)]

    def drag(self, rng: np.random.Generator) -> tuple[float, bool]:
        """Drag any server anywhere: seconds until the new times are shown, and whether they are."""
        run = self.browser.run
        while True:
            name = str(rng.choice(self.servers()))
            held = run(f"{HOLD}({json.dumps('server:' + name)})")
            if held:
                break
        box = run("(b => [b.x, b.y, b.width, b.height])"
                  "(document.querySelector('#world svg').getBoundingClientRect())")  # fmt: skip
        x, y = (box[i] + box[i + 2] * rng.uniform(0.1, 0.9) for i in (0, 1))
        run(f"{WATCH}({json.dumps(name)})")
        self.browser.drag((held[0], held[1]), (x, y))
        self.browser.wait("window.took !== null", PATIENCE_S)
        took_ms, with_times = run("window.took")
        return took_ms / 1e3, with_times

    def spent_s(self) -> float:
        """CPU seconds of the server and of the planner that answers at once, so far."""
        return sum(_cpu_s(pid) for pid in (self.process.pid, *_children(self.process.pid)[:1]))

    def resident_mib(self) -> dict[str, float]:
        """Memory of the server and of the planners, MiB."""
        found = {"server": _resident_mib(self.process.pid)}
        for name, pid in zip(("planner", "search"), _children(self.process.pid), strict=False):
            found[name] = _resident_mib(pid)
        return found


@contextmanager
def studio(servers: int, given: argparse.Namespace, **window: int) -> Iterator[Studio]:
    """A studio on a generated scenario."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario = folder / f"{given.kind}-{servers}.toml"
        write_document(scenario, generate(given.kind, servers=servers, clients=4, seed=given.seed))
        command = ["studio", str(scenario), "--no-browser", "--time-limit", SEARCHES]
        process = subprocess.Popen(
            [sys.executable, "-m", "swarmplan.cli", *command], stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with Browser(folder, **window) as browser:
                browser.open(address)
                browser.wait("document.querySelectorAll('.machine').length > 0", PATIENCE_S)
                yield Studio(process, address, browser)
        finally:
            process.terminate()
            process.wait(30)


def drags(given: argparse.Namespace) -> bool:
    """20 drags, one a second, on 20 servers and on 200."""
    kept = True
    print("servers   drags   first times s   median s   worst s   CPU s a drag   faults")
    for servers, median_s, worst_s in ((20, MEDIAN_S, WORST_S), (200, MANY_S, MANY_S)):
        with studio(servers, given) as page:
            rng = np.random.default_rng(given.seed)
            first_s = page.browser.wait(f"{SENTENCE} && !{SENTENCE}.endsWith('...')", PATIENCE_S)
            took, spent_s = [], page.spent_s()
            for _ in range(given.drags or 20):
                took.append(page.drag(rng))
                time.sleep(1.0)
            spent_s = (page.spent_s() - spent_s) / len(took)
            faults = [*page.browser.complaints, *("no times" for _, told in took if not told)]
        seconds = np.array([s for s, _ in took])
        median, worst = float(np.median(seconds)), float(seconds.max())
        print(f"{servers:7}   {len(took):5}   {first_s:13.2f}   {median:8.2f}   {worst:7.2f}   "
              f"{spent_s:12.2f}   {len(faults)}", *faults[:3], flush=True)  # fmt: skip
        kept &= median <= median_s and worst <= worst_s and not faults
    return kept


def memory(given: argparse.Namespace) -> bool:
    """500 drags, the next as soon as one is answered."""
    count = given.drags or 500
    tenth = count // 10
    rows: list[dict[str, float]] = []
    with studio(20, given) as page:
        rng = np.random.default_rng(given.seed)
        page.settle()
        took = []
        for k in range(count):
            took.append(page.drag(rng)[0])
            if k % 5 == 4 and (k < tenth or k >= count - tenth):
                rows.append({"page": page.browser.heap_bytes() / 2**20, **page.resident_mib()})
        complaints = list(page.browser.complaints)
    half = len(rows) // 2
    kept = not complaints
    print(f"{count} drags, median {np.median(took):.2f} s, worst {max(took):.2f} s; MiB")
    print(f"                 first {tenth}   last {tenth}")
    for name in rows[-1]:
        first, last = (
            float(np.mean([r[name] for r in part if name in r] or [np.nan]))
            for part in (rows[:half], rows[half:])
        )
        print(f"{name:14}   {first:8.1f}   {last:7.1f}   {last / first:.2f} x")
        kept &= not last > STEADY * first + EDIT_MIB * count
    print(f"{len(complaints)} complaints of the browser", *complaints[:3])
    return kept


def keys(given: argparse.Namespace) -> bool:
    """What can be reached by Tab in every state of the page, and what keys do."""
    faults: list[str] = []
    with studio(20, given) as page:
        page.settle()
        for state in states(page):
            missing = unreached(page.browser)
            print(f"{state}: {len(missing)} out of reach", *missing[:5])
            faults += missing
        for what, done in by_keys(page):
            print(f"{what}: {'done' if done else 'NOT DONE'}")
            faults += [] if done else [what]
        print(f"{len(page.browser.complaints)} complaints of the browser", *page.browser.complaints)
        faults += page.browser.complaints
    return not faults


def states(page: Studio) -> Iterator[str]:
    """The page as it is, with every kind of machine chosen, and in a replay."""
    press, run, wait = page.browser.press, page.browser.run, page.browser.wait
    run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    yield "nothing chosen"
    for kind in ("server", "client"):
        run(f"document.querySelector('.machine.{kind}').focus()")
        press("Enter")
        yield f"{kind} chosen"
    run("document.querySelector('.machine.server').focus()")
    press("Delete")
    wait(f"{SENTENCE}.includes(' gone: ')", PATIENCE_S)
    page.settle()
    run("document.querySelector('.machine.off').focus()")
    press("Enter")
    yield "switched off"
    run("document.querySelector('[data-key=replay]').focus()")
    press("Enter")
    wait("document.querySelector('#replay input')", PATIENCE_S)
    yield "replay"


def unreached(browser: Browser) -> list[str]:
    """What Tab does not come to, by name."""
    wanted: list[str] = browser.run(f"{USABLE}.map({NAMED})")
    browser.run("document.activeElement.blur(), scrollTo(0, 0)")
    met = set()
    for _ in range(2 * len(wanted)):
        browser.press("Tab")
        met.add(browser.run(f"({NAMED})(document.activeElement)"))
    return [name for name in wanted if name not in met]


def by_keys(page: Studio) -> Iterator[tuple[str, bool]]:
    """Every action on the map by its key, and whether that did it."""
    browser = page.browser
    name = page.servers()[0]

    def does(what: str, key: str, true: str, **held: bool) -> tuple[str, bool]:
        browser.press(key, **held)
        try:
            browser.wait(true, 60)
        except TimeoutError:
            return what, False
        return what, True

    browser.run(f"{MARK}({json.dumps('server:' + name)}).focus()")
    yield does("Space plays", " ", "document.querySelector('#replay button').textContent"
               " == 'Pause'")  # fmt: skip
    yield does("F lets it fail", "f", "document.querySelector('#replay ul')")
    yield does("an arrow moves", "ArrowUp", f"{SENTENCE}.startsWith('move {name} to')")
    yield does("Ctrl+Z undoes", "z", f"!{SENTENCE}.startsWith('move')", control=True)
    yield does("Ctrl+Y redoes", "y", f"{SENTENCE}.startsWith('move')", control=True)
    yield does("Shift moves far", "ArrowRight", "document.activeElement.matches('.machine')",
               shift=True)  # fmt: skip
    yield does("C clones", "c", f"{SENTENCE}.startsWith('add ')")
    yield does("Delete switches off", "Delete", f"{SENTENCE}.startsWith({name!r} + ' gone')")
    there = f"document.activeElement.dataset.key === 'off:' + {name!r}"
    yield does("and stays there", "Shift", there)
    yield does("Delete switches on", "Delete", f"!{SENTENCE}.includes(' gone')")
    yield does("R goes on", "r", f"document.activeElement.dataset.key !== 'server:' + {name!r}")


def access(given: argparse.Namespace) -> bool:
    """What axe-core complains of, in every state of the page."""
    rules = given.axe.read_text(encoding="utf-8") if given.axe else fetched_rules()
    heavy = 0
    with studio(20, given) as page:
        page.settle()
        for state in states(page):
            for look in looks(page.browser):
                page.browser.run(f"{rules};0")
                found = page.browser.run("axe.run(document).then(r => r.violations.map(v =>"
                                         " [v.impact, v.id, v.nodes.length,"
                                         " v.nodes[0].html.slice(0, 120)]))")  # fmt: skip
                worse = [v for v in found if v[0] in ("serious", "critical")]
                heavy += len(worse)
                print(f"{state}, {look}: {len(worse)} serious or critical, {len(found)} in all")
                for impact, rule, nodes, html in found:
                    print(f"    {impact} {rule}, {nodes} times: {html}")
        heavy += len(page.browser.complaints)
    return heavy == 0


def fetched_rules() -> str:
    """axe-core as npm gives it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", "axe-core"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            file = packed.extractfile("package/axe.min.js")
            assert file is not None
            return file.read().decode("utf-8")


def looks(browser: Browser) -> Iterator[str]:
    """Light and dark, and both on a phone."""
    for size, phone in (((1280, 900), False), ((390, 844), True)):
        browser.resize(*size, phone=phone)
        for scheme in ("light", "dark"):
            browser.colours(scheme)
            yield f"{'phone ' if phone else ''}{scheme}"
    browser.resize(1280, 900)
    browser.colours("light")


def pictures(given: argparse.Namespace) -> bool:
    """Every look of every state as a PNG."""
    given.out.mkdir(parents=True, exist_ok=True)
    with studio(20, given) as page:
        page.settle()
        for state in states(page):
            for look in looks(page.browser):
                path = given.out / f"{state} {look}.png".replace(" ", "-")
                time.sleep(0.3)
                page.browser.picture(path, whole=True)
                wide = page.browser.run("document.documentElement.scrollWidth - innerWidth")
                print(path, "" if wide <= 0 else f"{wide} px too wide")
        return not page.browser.complaints


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _cpu_s(pid: int) -> float:
    """User and system seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(parent: int) -> list[int]:
    """Processes that another one started, in that order."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append((int(fields[19]), int(folder.name)))
    return [pid for _, pid in sorted(found)]


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "drags": drags,
    "memory": memory,
    "keys": keys,
    "access": access,
    "pictures": pictures,
}


def main() -> int:
    """Run parts; the exit status tells whether they kept what is promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "all"])
    parser.add_argument("--kind", choices=get_args(Kind), default="geographic")
    parser.add_argument("--drags", type=int, help="[20, of memory 500]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--axe", type=Path, help="axe.min.js, where there is no npm")
    parser.add_argument("--out", type=Path, default=Path("out/studio"))
    given: Any = parser.parse_args()
    if not BROWSER:
        parser.error("no chromium to open the page with")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and take the studio with it
    broken = 0
    for name in PARTS if "all" in given.parts else given.parts:
        print(f"\n{name}")
        kept = PARTS[name](given)
        print("kept" if kept else "broken", flush=True)
        broken += not kept
    return min(1, broken)


if __name__ == "__main__":
    sys.exit(main())
