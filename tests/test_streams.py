"""What a shell may do to a command: pipes that close, full disks, terminals of any kind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from swarmplan.commands.streams import CLOSED_PIPE, plain
from swarmplan.render import number
from swarmplan.simulator.metrics import Interval
from swarmplan.views.text import interval, mean_of

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
PLAN = ("plan", str(FOLDER / "tiny.toml"), "--method", "cg-bp")
DEMO = ("plan", str(FOLDER / "demo.toml"), "--method", "cg-bp")
PYTHON = (sys.executable, "-m", "swarmplan.cli")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell that can call ``swarmplan``."""
    text = f'swarmplan() {{ {sys.executable} -m swarmplan.cli "$@"; }}\nset -o pipefail\n{line}'
    given = {**os.environ, **environment}
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return subprocess.run(["bash", "-c", text], capture_output=True, encoding=encoding, env=given)


def terminal(columns: int, *args: str, **environment: str) -> str:
    """What a terminal of so many columns shows."""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    given = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    given |= {"TERM": "xterm", **environment}
    child = subprocess.Popen(
        [*PYTHON, *args], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=given
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(mine, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    _, errors = child.communicate()
    os.close(mine)
    assert child.returncode == 0, errors
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(encoding)).replace("\r", "")


@pytest.mark.parametrize("args", [PLAN, ("--help",), ("scenario", "schema")])
def test_a_reader_that_goes_away_is_no_error(args: tuple[str, ...]) -> None:
    done = shell(f"swarmplan {' '.join(args)} | true")
    assert done.returncode in (0, CLOSED_PIPE)
    assert done.stderr == ""


def test_a_full_disk_is_told_in_a_line() -> None:
    done = shell(f"swarmplan {' '.join(PLAN)} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full", "<&-"])
def test_closed_streams_are_none_of_the_commands_business(closed: str) -> None:
    done = shell(f"swarmplan {' '.join(PLAN)} {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_no_accents_gets_plain_letters(tmp_path: Path) -> None:
    text = (FOLDER / "tiny.toml").read_text().replace('"me"', '"Zürich→東"')
    (tmp_path / "s.toml").write_text(text)
    args = ("explain", str(tmp_path / "s.toml"), "--method", "cg-bp")
    for where in ({"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}):
        done = shell(f"swarmplan {' '.join(args)}", **where)
        assert done.returncode == 0
        assert done.stderr == ""
    assert "Zurich->?" in shell(f"swarmplan {' '.join(args)}", PYTHONIOENCODING="ascii").stdout
    assert "Zurich->?" in terminal(70, *args, PYTHONIOENCODING="ascii")


def test_signs_have_a_plain_spelling() -> None:
    error = UnicodeEncodeError("ascii", "a±é東b", 1, 4, "no")
    assert plain(error) == ("+/-e?", 4)


@pytest.mark.parametrize("columns", [200, 80, 60, 20])
def test_nothing_is_cut_at_any_width(columns: int) -> None:
    shown = terminal(columns, *DEMO)
    for told in (
        "Placement by cg-bp for 6 concurrent sessions",
        "mig-san-francisco",
        "a100-amsterdam[0:52] > a100-washington[52:70]",
        "3,458",
        "87.0 %",
    ):
        assert told in shown
    assert "…" not in shown


def test_a_table_stays_one_while_it_fits_and_stacks_below() -> None:
    lines = terminal(80, *DEMO).splitlines()
    assert max(map(len, lines[: lines.index("Planned routes")])) <= 80
    row = next(line for line in lines if line.startswith("mig-boston"))
    assert "64:70" in row
    stacked = terminal(60, *DEMO).splitlines()
    at = stacked.index("mig-boston")
    assert stacked[at + 3].split() == ["blocks", "64:70"]


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (37.57, 8.2e-14, "37.57"),
        (37_570.0, 8e-11, "37,570"),
        (37.57, 0.8, "37.57 ± 0.8"),
        (5.0, float("nan"), "5"),
        (3e-14, 2e-14, "0"),
    ],
)
def test_an_interval_of_rounding_is_not_shown(mean: float, half: float, shown: str) -> None:
    assert mean_of(Interval(mean=mean, half_width=half)) == shown


def test_what_rounding_leaves_is_nothing() -> None:
    assert number(8.2e-14) == "0"
    assert interval(Interval(mean=1e-13, half_width=1e-13)) == "0"
