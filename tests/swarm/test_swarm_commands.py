"""Wrong use of ``swarmplan swarm``: one clear message, the exit code of its kind, no traceback."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarmplan.commands.swarm import command
from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.swarm import fetch, health
from swarmplan.swarm.loopback import QUIET
from swarmplan.swarm.processes import run_to_end
from swarmplan.tests.extras import needs

INSPECT = ("inspect", "--model", "Llama-3.1-8B")
STATUS = ("status", "--model", "Llama-3.1-8B")
WATCH = ("watch", "--model", "Llama-3.1-8B", "--rounds", "1")


def run(*words: Any) -> Result:
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A monitor's state in which nobody serves the model."""
    path = tmp_path / "state.json"
    report = {"name": "meta-llama/Llama-3.1-8B", "server_rows": []}
    path.write_text(json.dumps({"model_reports": [report]}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (INSPECT, 2, "--initial-peers: give either this or --health"),
        ((*INSPECT, "--health", "none.json"), 2, "none.json: cannot be read"),
        ((*INSPECT, "--health", "http://[::bad/"), 5, "does not answer"),
        ((*INSPECT, "--health", "http://127.0.0.1:9/"), 5, "Connection refused"),
        ((*INSPECT, "--health", "x", "--memory-gb", "A=much"), 2, "'A=much' is not SERVER=GB"),
        (("inspect", "--model", "nothing", "--health", "x"), 2, "unknown model 'nothing'"),
        ((*WATCH, "--folder", "w"), 2, "--initial-peers: give either this or --health"),
        ((*WATCH, "--folder", "w", "--health", "x", "--publish"), 2, "--key: is needed"),
        ((*WATCH, "--folder", "/proc/none", "--health", "x"), 2, "/proc/none: cannot be written"),
        ((*WATCH, "--folder", "w", "--health", "none.json"), 5, "unreachable (none.json"),
        ((*STATUS, "--health", "none.json"), 2, "none.json: cannot be read"),
        (STATUS, 2, "--initial-peers: give either this or --health"),
        (("doctor", "--model", "Llama-3.1-8B"), 2, "--model: needs --initial-peers or --health"),
        (("doctor", "--health", "x"), 2, "--model: is needed to look at a swarm"),
        (("launch-files", "p", "s", "--model", "m", "-o", "o"), 2, "s: cannot be read"),
    ],
)
def test_wrong_use_is_told_with_its_exit_code(
    words: tuple[str, ...], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""


@pytest.mark.live
@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("none", "--new_swarm"), 5, "PETALS did not start: We couldn't connect"),
        ((".", "--port", "1", "--host_maddrs", "x"), 2, "PETALS did not start: You can't use"),
    ],
)
def test_a_server_that_cannot_start_says_so(
    flags: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    needs("swarm")
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "serve", "--", *flags]
    done = run_to_end(command, tmp_path / "log", limit_s=60, environment=QUIET)
    assert (done.code, said in done.text) == (code, True), done.text
    assert "Traceback" not in done.text


@pytest.mark.parametrize("option", ["--metrics-port", "--page"])
def test_a_port_in_use_is_told(option: str, state: Path, tmp_path: Path) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        done = run(*WATCH, "--folder", tmp_path / "w", "--health", state, option, str(port))
    assert done.exit_code == 2
    assert f"port {port} cannot be used" in done.stderr


def test_a_memory_for_nobody_is_told(tmp_path: Path) -> None:
    row = {"peer_id": "Q" * 46, "state": "online", "span": {"start": 0, "end": 32}}
    report = {"name": "Llama-3.1-8B", "server_rows": [row]}
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"model_reports": [report]}), encoding="utf-8")
    done = run(*INSPECT, "--health", path, "--memory-gb", "nobody=4")
    assert done.exit_code == 0, done.stderr
    assert "nobody: is no server that was read" in done.stderr


@pytest.mark.parametrize(
    "answer", [b"garbage\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n["]
)
def test_a_monitor_that_talks_nonsense_or_stops_is_unreachable(answer: bytes) -> None:
    with listening() as server:

        def serve() -> None:
            one, _ = server.accept()
            with one:
                one.recv(4096)
                one.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        done = run(*INSPECT, "--health", f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert done.exit_code in (2, 5), done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def monitor(answer: Callable[[socket.socket], None], times: int = 1) -> Iterator[str]:
    """The address of a monitor that answers a few requests so."""
    with listening() as server:

        def serve() -> None:
            for _ in range(times):
                one, _ = server.accept()
                with one, suppress(OSError):
                    one.recv(4096)
                    answer(one)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def drip(one: socket.socket, text: bytes, at_once: bytes = b"") -> None:
    one.sendall(at_once)
    for i in range(len(text)):
        time.sleep(0.02)
        one.sendall(text[i : i + 1])


@pytest.mark.parametrize(
    "answer",
    [
        lambda one: drip(one, b" " * 100, b"HTTP/1.1 200 OK\r\n\r\n"),
        lambda one: drip(one, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100),
        lambda one: time.sleep(2.0),
    ],
    ids=["body", "headers", "silence"],
)
def test_a_monitor_that_drips_is_given_up(
    answer: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deadline over the whole of it, whichever part drips."""
    monkeypatch.setattr(fetch, "LIMIT_S", 0.3)
    with (
        monitor(answer) as address,
        pytest.raises(SwarmUnreachableError, match=r"took more than|timed out"),
    ):
        health.read_state(address)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://localhost/state",
        "http://127.0.0.1:1/state",
        "file:///etc/hostname",
        "ftp://127.0.0.1/x",
        "https://127.0.0.1/state",
        "//example.org/state",
    ],
)
def test_a_monitor_that_sends_us_elsewhere_is_not_followed(elsewhere: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"
    with (
        monitor(lambda one: one.sendall(head.encode())) as address,
        pytest.raises(SwarmUnreachableError, match=r"sends us elsewhere|does not answer"),
    ):
        health.read_state(address)


def test_a_redirection_within_the_host_is_followed() -> None:
    answers = iter(
        [
            b"HTTP/1.1 302 Found\r\nLocation: /moved\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        ]
    )
    with monitor(lambda one: one.sendall(next(answers)), times=2) as address:
        assert health.read_state(address) == {}


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_no_state(kind: str, tmp_path: Path) -> None:
    """Reading a pipe that nobody writes to would wait for ever."""
    path = tmp_path / "state"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    done = run(*INSPECT, "--health", "/dev/zero" if kind == "device" else path)
    assert (done.exit_code, "is no file" in done.stderr) == (2, True), done.stderr


def test_names_of_strangers_reach_the_terminal_plain_and_short(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m" + "x" * 2_000_000
    info = {"public_name": evil, "quant_type": evil, "torch_dtype": evil}
    span = {"start": 0, "end": 32, "server_info": info}
    row = {"peer_id": "Q" * 46, "state": "online", "span": span}
    for name in ("Llama-3.1-8B", evil):
        report = {"name": name, "short_name": evil, "server_rows": [row, {**row, "peer_id": evil}]}
        path = tmp_path / "state.json"
        path.write_text(json.dumps({"model_reports": [report]}), encoding="utf-8")
        done = run(*INSPECT, "--health", path)
        assert all(line.isprintable() for line in done.stderr.splitlines())
        assert all(line.isprintable() for line in done.stdout.splitlines())
        shown = run(*STATUS, "--health", path, "--map")
        assert shown.exit_code == done.exit_code, shown.stderr
        words = shown.stdout.replace("\t", " ").splitlines() + shown.stderr.splitlines()
        assert all(line.isprintable() for line in words)
        assert len(done.stderr) + len(done.stdout) < 20_000


def test_an_error_of_a_monitor_is_told_plainly() -> None:
    head = b"HTTP/1.1 500 \x1b[2Jbad\x07" + b"x" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n"
    with monitor(lambda one: one.sendall(head)) as address:
        done = run(*INSPECT, "--health", address)
    assert done.exit_code == 5
    assert done.stderr.rstrip("\n").isprintable()
    assert len(done.stderr) < 1_000


def test_the_status_of_a_monitored_swarm_fits_eighty_columns(tmp_path: Path) -> None:
    """In the columns of a terminal and without one; what a monitor does not know is a dash."""
    rows = [
        {
            "peer_id": letter * 46,
            "state": "online",
            "span": {"start": 16 * i, "end": 16 * i + 16, "server_info": {"public_name": f"{i}"}},
        }
        for i, letter in enumerate("AB")
    ]
    path = tmp_path / "state.json"
    report = {"name": "Llama-3.1-8B", "server_rows": rows}
    path.write_text(json.dumps({"model_reports": [report]}), encoding="utf-8")
    done = run(*STATUS, "--health", path, "--no-map")
    assert done.exit_code == 0, done.stderr
    assert "all served; 32 of 32 by one server alone" in done.stdout
    assert "not looked for" in done.stdout
    assert all(len(line.expandtabs(2)) <= 80 for line in done.stdout.splitlines())
    document = json.loads(run(*STATUS, "--health", path, "--json").stdout)
    assert [s["name"] for s in document["servers"]] == ["0", "1"]
    assert document["watcher"]["action"] in ("stay", "confirm")


def test_a_status_takes_the_state_of_a_watch_into_account_and_leaves_it(tmp_path: Path) -> None:
    row = {"peer_id": "Q" * 46, "state": "online", "span": {"start": 0, "end": 32}}
    path = tmp_path / "state.json"
    report = {"name": "Llama-3.1-8B", "server_rows": [row]}
    path.write_text(json.dumps({"model_reports": [report]}), encoding="utf-8")
    folder = tmp_path / "watch"
    folder.mkdir()
    kept = json.dumps({"version": 3, "issued_s": 1.0, "expires_s": 5.0, "target": {"Q": [0, 1]}})
    (folder / "state.json").write_text(kept, encoding="utf-8")
    done = run(*STATUS, "--health", path, "--folder", folder, "--json")
    assert json.loads(done.stdout)["watcher"]["action"] == "renew"  # half of its time is over
    assert (folder / "state.json").read_text(encoding="utf-8") == kept
    assert [p.name for p in folder.iterdir()] == ["state.json"]


def test_a_key_that_others_can_read_is_told_by_the_doctor(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o644)
    done = run("doctor", "--key", key, "--json")
    weak = [f for f in json.loads(done.stdout)["findings"] if f["verdict"] == "weak"]
    assert [f["what"] for f in weak] == [f"key {key}"]
    assert "chmod 600" in weak[0]["advice"]


@pytest.mark.parametrize("drafts", ["65", "-1", "many"])
def test_drafts_of_a_pass_are_auto_or_a_number(drafts: str) -> None:
    done = run("drive", "--model", "m", "--ids", "1", "--draft", "d", "--draft-tokens", drafts)
    assert done.exit_code == 2
    assert "--draft-tokens" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ids", "1 x"], "--ids: '1 x' is no list of numbers"),
        (["--prompt", "Hello"], "has no tokenizer: give --ids in place of text"),
        ([], "--prompt: give --prompt or --ids, with a token at least"),
    ],
)
def test_who_asks_a_swarm_gives_a_prompt(words: list[str], said: str, tmp_path: Path) -> None:
    needs("swarm")
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "drive"]
    command += ["--model", str(tmp_path), *words]
    done = run_to_end(command, tmp_path / "log", limit_s=120, environment=QUIET)
    assert done.code == 2, done.text
    assert said in done.text
    assert "Traceback" not in done.text
