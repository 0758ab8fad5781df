"""Child processes end with all their children; delayed connections lose nothing."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.swarm.delays import DelayForwarder
from swarmplan.swarm.processes import Child, free_ports, run_to_end

#: Starts a child of its own that would live for an hour, and says so.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
print("child", child.pid, flush=True)
time.sleep(3600)
"""

#: Starts a child as the demo does, makes a folder that is to go with it, and waits.
STARTER = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from swarmplan.swarm.processes import Child, passing_folder
with passing_folder("swarmplan-test-") as folder:
    sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
    child = Child(name="sleeper", command=sleeper, log=Path(sys.argv[1]))
    child.start()
    print("started", child.pid, folder, child._scratch, flush=True)
    time.sleep(3600)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def gone(pid: int) -> bool:
    """Whether a process ends soon."""
    for _ in range(100):
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_children_of_a_child_end_with_it(tmp_path: Path, end: str) -> None:
    child = Child(name="parent", command=[sys.executable, "-c", PARENT], log=tmp_path / "log")
    child.start()
    grandchild = int(child.wait_for("child", limit_s=20).split()[1])
    assert is_alive(grandchild)
    getattr(child, end)()
    assert gone(child.pid)
    assert gone(grandchild)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_process_however_it_ends(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-c", STARTER, str(tmp_path / "sleeper.log")]
    starter = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert starter.stdout is not None
    _, pid, *folders = starter.stdout.readline().split()
    assert is_alive(int(pid))
    assert all(Path(folder).is_dir() for folder in folders)
    starter.send_signal(how)
    starter.communicate(timeout=20)
    assert gone(int(pid))
    for _ in range(100):
        if not any(Path(folder).exists() for folder in folders):
            break
        time.sleep(0.05)
    assert not any(Path(folder).exists() for folder in folders)


def test_temporary_files_of_a_child_go_with_it(tmp_path: Path) -> None:
    script = "import tempfile; print('made', tempfile.mkdtemp(), flush=True)"
    child = Child(name="maker", command=[sys.executable, "-c", script], log=tmp_path / "log")
    child.start()
    made = Path(child.wait_for("made", limit_s=20).split()[1])
    assert made.is_dir()
    child.stop()
    assert not made.exists()


def test_a_process_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = Child(
        name="short", command=[sys.executable, "-c", "print('last words')"], log=tmp_path / "log"
    )
    child.start()
    with pytest.raises(SwarmUnreachableError, match=r"short ended[\s\S]*last words"):
        child.wait_for("never said", limit_s=20)


def test_a_command_is_ended_at_its_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(3600)"]
    with pytest.raises(SwarmUnreachableError, match="did not end within"):
        run_to_end(command, tmp_path / "log", limit_s=0.5, environment={})


def test_delayed_bytes_arrive_complete_and_not_too_early() -> None:
    listen, target = free_ports(2)
    server = socket.create_server(("127.0.0.1", target))

    def echo() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65_536):
                connection.sendall(data)

    threading.Thread(target=echo, daemon=True).start()
    forwarder = DelayForwarder([(listen, target, 0.08)])
    stop = threading.Event()

    def forward() -> None:
        while not stop.is_set():
            forwarder.turn()

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    sent = bytes(range(256)) * 4_000
    with socket.create_connection(("127.0.0.1", listen), timeout=20) as client:
        started = time.monotonic()
        threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
        received = client.recv(65_536)
        first = time.monotonic() - started
        while len(received) < len(sent):
            received += client.recv(65_536)
    stop.set()
    thread.join(5)
    forwarder.close()
    server.close()
    assert received == sent
    assert first >= 0.08
