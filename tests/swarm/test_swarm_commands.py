"""Wrong use of ``swarmplan swarm``: one clear message, the exit code of its kind, no traceback."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarmplan.commands.swarm import command
from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.swarm import health
from swarmplan.swarm.loopback import QUIET
from swarmplan.swarm.processes import run_to_end
from swarmplan.tests.extras import needs

INSPECT = ("inspect", "--model", "Llama-3.1-8B")
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


def test_a_port_in_use_is_told(state: Path, tmp_path: Path) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        done = run(
            *WATCH, "--folder", tmp_path / "w", "--health", state, "--metrics-port", str(port)
        )
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


def test_a_monitor_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LIMIT_S", 0.3)
    with listening() as server:

        def serve() -> None:
            one, _ = server.accept()
            with one:
                one.recv(4096)
                one.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(50):
                    time.sleep(0.05)
                    try:
                        one.sendall(b" ")
                    except OSError:
                        return

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(SwarmUnreachableError, match="took more than"):
            health.read_state(f"http://127.0.0.1:{server.getsockname()[1]}/")
