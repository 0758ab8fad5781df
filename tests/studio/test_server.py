"""The page's server: who may ask, what it refuses, and that it outlives its planners."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from swarmplan.cli import main
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.generate import write_document
from swarmplan.tests.extras import is_installed, needs

if not is_installed("studio"):
    pytest.skip('the server is an extra: pip install "swarmplan[studio]"', allow_module_level=True)

DEMO = Path(__file__).resolve().parents[2] / "scenarios" / "demo.toml"
MARKUP = "<img src=x onerror=alert(1)>"
PATIENCE_S = 300.0


class Page:
    """A running studio, asked as its page does."""

    def __init__(self, *arguments: object, folder: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "swarmplan.cli", "studio", *map(str, arguments),
             "--no-browser", "--time-limit", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.port = int(self.address.split(":")[2].split("/")[0])
        self.token = self.address.split("#")[1]

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            link.request("GET" if body is None else "POST", path, sent, {**given, **headers})
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()

    def state(self) -> dict[str, Any]:
        status, body = self.ask("/api/state")
        assert status == 200
        found: dict[str, Any] = json.loads(body)
        return found

    def act(self, name: str, value: object = None) -> dict[str, Any]:
        status, body = self.ask("/api/act", {"do": name, "value": value})
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def until(self, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        told = self.state()
        while not true(told):
            assert time.monotonic() < end, told
            told = json.loads(self.ask(f"/api/state?since={told['revision']}")[1])
        return told

    def settled(self) -> dict[str, Any]:
        """The state once it has been judged and measured."""
        return self.until(lambda s: not s["busy"] and not s["searching"] and _in_full(s["after"]))

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


def _in_full(side: dict[str, Any]) -> bool:
    """Whether all figures of a state are there, which follow the first ones, or none can be."""
    return bool(side["error"]) or any(f["id"] == "tpot_s" for f in side["figures"])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A swarm in which names are hostile."""
    needs("studio")
    document = parse_file(DEMO)
    document["workload"]["requests"] = 60
    document["servers"][-1]["id"] = MARKUP
    path = tmp_path_factory.mktemp("studio") / "hostile.toml"
    write_document(path, document)
    running = Page(path)
    yield running
    running.close()


def test_only_the_page_itself_may_ask(page: Page) -> None:
    own = f"http://127.0.0.1:{page.port}"
    assert page.ask("/api/state", Origin=own)[0] == 200
    assert page.ask("/")[0] == 200
    refused = {
        "no token": page.ask("/api/state", Authorization=""),
        "another token": page.ask("/api/state", Authorization="Bearer x"),
        "another origin": page.ask("/api/state", Origin="http://example.org"),
        "another origin's page": page.ask("/", Origin="http://example.org"),
        "a name that leads here": page.ask("/", Host=f"example.org:{page.port}"),
        "another site": page.ask("/api/state", **{"Sec-Fetch-Site": "cross-site"}),
    }
    assert {why: status for why, (status, _) in refused.items()} == {
        "no token": 401,
        "another token": 401,
        "another origin": 403,
        "another origin's page": 403,
        "a name that leads here": 421,
        "another site": 403,
    }
    assert page.token not in "".join(body.decode() for _, body in refused.values())
    status, _ = page.ask("/api/act", {"do": "undo"}, Authorization="")
    assert status == 401


def test_a_page_loads_nothing_from_elsewhere_and_runs_its_own_files_alone(page: Page) -> None:
    link = http.client.HTTPConnection("127.0.0.1", page.port)
    link.request("GET", "/")
    answer = link.getresponse()
    policy = answer.getheader("content-security-policy") or ""
    text = answer.read().decode()
    link.close()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in text
    assert page.token not in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "is not valid JSON"),
        (b"[1]", "is no JSON object"),
        (b'{"do": "change", "value": NaN}', "NaN is no number"),
        (b"[" * 50_000, "is not valid JSON"),
        (b'{"do": "' + b"x" * 10_000_000 + b'"}', "is larger than 64 KiB"),
        (b'{"do": "nothing"}', "nothing called 'nothing'"),
        (b'{"do": "change", "value": [{"kind": 1}]}', "an edit is an object"),
        (b'{"do": "change", "value": [{"kind": "remove", "value": "nobody"}]}', "no server"),
        (b'{"do": "change", "value": []}', "takes a list of 1 to 100"),
        (b'{"do": "take_back", "value": true}', "there is no change 0"),
    ],
)
def test_bad_requests_are_refused_in_a_sentence(page: Page, body: bytes, message: str) -> None:
    before = page.state()["changes"]
    try:
        status, told = page.ask("/api/act", body)
    except (BrokenPipeError, ConnectionResetError):  # it hung up while too much was being sent
        assert len(body) > 2**20
    else:
        assert status == 422
        assert message in json.loads(told)["error"]
    assert page.state()["changes"] == before


def test_two_pages_see_the_same_and_nothing_is_lost(page: Page) -> None:
    page.settled()
    page.act("change", [{"kind": "move", "value": [MARKUP, "10,20"]}])
    page.act("change", [{"kind": "remove", "value": "us-west"}])
    told = page.settled()
    assert told["changes"] == [f"move {MARKUP} to 10,20", "us-west gone"]
    assert [s["place"] for s in told["servers"] if s["id"] == MARKUP] == [[10.0, 20.0]]
    assert [s["id"] for s in told["off"]] == ["mig-san-francisco"]
    assert told["after"]["figures"]
    assert not told["same"]
    assert json.loads(page.ask("/api/state")[1])["changes"] == told["changes"]
    page.act("undo")
    assert page.act("undo")["same"]


def test_by_what_states_go_is_shown_and_chosen_where_their_harm_is_known(page: Page) -> None:
    before = page.state()
    assert (before["wires"], before["wire"]) == (["none"], ["none"])
    known = {"kind": "set", "value": ["accuracy.wire_harm.uniform_8bit", 0.01]}
    told = page.act("change", [known])
    assert told["wires"] == ["none", "uniform_8bit"]
    both = [("network.wire", "uniform_8bit"), (f"servers.{MARKUP}.wire", told["wires"])]
    page.act("change", [{"kind": "set", "value": change} for change in both])
    told = page.until(lambda s: s["after"]["servers"])
    own = {s["id"]: (s["wire"], s["own_wire"]) for s in told["servers"]}
    assert own.pop(MARKUP) == (["none", "uniform_8bit"], True)
    assert set(map(str, own.values())) == {str((["uniform_8bit"], False))}
    rows = {r["id"]: r["wire"] for r in told["after"]["servers"]}
    assert rows.pop(MARKUP) in told["wires"]
    assert set(rows.values()) == {"uniform_8bit"}
    assert told["changes"][-2:] == [
        "states go by uniform_8bit",
        f"{MARKUP}: states go by none, uniform_8bit",
    ]
    page.act("undo")
    assert page.act("undo")["same"]


def test_what_is_saved_is_what_is_shown(page: Page, tmp_path: Path) -> None:
    page.act("change", [{"kind": "set", "value": ["servers.mig-paris.memory_gb", 12]}])
    told = page.settled()
    for what, name in (("scenario", "s.toml"), ("plan", "p.json"), ("report", "r.html")):
        status, content = page.ask(f"/api/save/{what}")
        assert status == 200
        (tmp_path / name).write_bytes(content)
    run = [
        sys.executable,
        "-m",
        "swarmplan.cli",
        "simulate",
        "s.toml",
        "--plan",
        "p.json",
        "--json",
    ]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)["summary"]
    shown = {f["id"]: f["value"] for f in told["after"]["figures"]}
    assert shown["response_s"] == pytest.approx(summary["response_s"]["mean"], rel=1e-9)
    assert shown["p95_ttft_s"] == pytest.approx(summary["ttft_s"]["p95"], rel=1e-9)
    assert shown["tpot_s"] == pytest.approx(1e3 * summary["tpot_s"]["mean"], rel=1e-9)
    assert MARKUP not in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.ask("/api/save/launch")[1][:2] == b"PK"
    assert page.ask("/api/save/nothing")[0] == 404
    page.act("undo")


def test_changes_of_two_pages_at_once_are_all_made_one_after_the_other(page: Page) -> None:
    servers = [s["id"] for s in page.state()["servers"]]
    mine, yours = servers[:4], servers[4:8]

    def drag(names: list[str]) -> None:
        for name in names:
            page.act("change", [{"kind": "move", "value": [name, "10,10"]}])

    with ThreadPoolExecutor(2) as pages:
        list(pages.map(drag, (mine, yours)))
    told = page.state()["changes"]
    assert sorted(told) == sorted(f"move {name} to 10,10" for name in (*mine, *yours))
    assert [c for c in told if c.split()[1] in mine] == [f"move {n} to 10,10" for n in mine]
    for _ in told:
        page.act("undo")
    assert page.state()["same"]


def test_a_newcomer_types_what_the_page_of_the_docs_says(tmp_path: Path) -> None:
    text = (DEMO.parents[1] / "docs" / "studio.md").read_text(encoding="utf-8")
    typed = [shlex.split(line, comments=True)[2:] for line in text.splitlines()
             if line.startswith("    swarmplan studio ")]  # fmt: skip
    assert typed == [["my.toml"], ["my.toml", "--plan", "my.plan.json"]]
    with chdir(tmp_path):
        for words in (("example", "tiny", "-o", "my.toml"),
                      ("plan", "my.toml", "--method", "cg-bp", "-o", "my.plan.json")):  # fmt: skip
            found = CliRunner().invoke(main, list(words))
            assert found.exit_code == 0, found.stderr
    running = Page(*typed[1], folder=tmp_path)
    try:
        told = running.settled()
        assert (told["name"], told["after"]["method"]) == ("tiny", "cg-bp")
        assert told["after"]["figures"]
        assert running.ask("/")[0] == 200
    finally:
        running.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# " + "x" * 17_000_000, "is larger than 16 MiB"),
        (f'description = "{"x" * 10_000_000}"', "description: "),
        ("memory_gb = nan", "memory_gb"),
        ("name = '<img src=x>'\n[[", "is not valid TOML"),
    ],
)
def test_a_hostile_file_is_refused_before_anything_is_served(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "hostile.toml"
    whole = DEMO.read_text(encoding="utf-8")
    made = whole.replace("memory_gb = 9.1", text) if "nan" in text else text
    if text.startswith("description"):
        made = re.sub("^description = .*$", text, whole, flags=re.MULTILINE)
    path.write_text(made, encoding="utf-8")
    found = CliRunner().invoke(main, ["studio", str(path), "--no-browser"])
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr


def test_a_planner_that_is_killed_comes_back_and_nothing_is_lost(page: Page) -> None:
    page.settled()
    page.act("change", [{"kind": "move", "value": [MARKUP, "30,30"]}])
    children = planners(page.process.pid)
    assert children
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    page.act("change", [{"kind": "move", "value": [MARKUP, "31,31"]}])
    told = page.settled()
    assert told["after"]["error"] == ""
    assert told["after"]["figures"]
    assert told["changes"] == [f"move {MARKUP} to 31,31"]
    page.act("undo")
    page.act("undo")


def planners(parent: int) -> list[int]:
    """Processes that were started by another one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(folder.name))
    return found


def test_replays_take_failures_of_servers_that_exist(page: Page) -> None:
    page.settled()
    status, body = page.ask("/api/replay", {"failures": [[100, "a100-chicago"]]})
    assert status == 200
    told = json.loads(body)
    assert told["events"] == [{"time_s": 100.0, "server": "a100-chicago", "up": False}]
    for wrong in ([["x", "a100-chicago"]], [[1]], "x", [[-1, "a100-chicago"]], [[1, "nobody"]]):
        assert page.ask("/api/replay", {"failures": wrong})[0] == 422


def test_a_replay_that_a_change_overtakes_is_no_fault(page: Page) -> None:
    page.settled()
    asked = [[100, "a100-chicago"]]
    with ThreadPoolExecutor() as pool:
        for step in range(5):
            told = pool.submit(page.ask, "/api/replay", {"failures": asked})
            page.act("change", [{"kind": "move", "value": ["a100-chicago", f"{30 + step},30"]}])
            status, body = told.result()
            # Asked for before the change, or of a state of which nothing is known yet.
            assert status == 200 or "there is no plan yet" in body.decode(), body
            page.settled()
