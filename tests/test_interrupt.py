"""Ctrl-C: exit 130 within a second, whatever a command is busy with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from swarmplan import interrupt

DEMO = str(Path(__file__).resolve().parents[1] / "scenarios" / "demo.toml")
START = "from swarmplan.start import main; main()"


def stopped(*args: str, after_s: float) -> tuple[int, float, str, str]:
    """Exit code, seconds until then, and both outputs of a command that hears Ctrl-C."""
    child = subprocess.Popen(
        [sys.executable, "-c", START, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after_s)
    child.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, errors = child.communicate(timeout=20)
    return child.returncode, time.monotonic() - begun, out, errors


@pytest.mark.parametrize(
    "args",
    [
        ("whatif", DEMO, "--set", "network.step_overhead_ms=3"),
        ("compare", DEMO, "-m", "auto"),
        ("simulate", DEMO),
        ("explain", DEMO),
    ],
)
@pytest.mark.parametrize("after_s", [0.2, 2.5])
def test_commands_that_search_on_the_way_stop_and_tell_nothing(
    args: tuple[str, ...], after_s: float
) -> None:
    code, took_s, out, errors = stopped(*args, after_s=after_s)
    assert (code, out) == (130, "")
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors
    assert took_s < 3.0  # a second on a machine that has nothing else to do


def test_plan_tells_what_was_found_and_says_so(tmp_path: Path) -> None:
    code, _, out, errors = stopped("plan", DEMO, "-o", str(tmp_path / "p.json"), after_s=4.0)
    if code == 0:
        pytest.skip("the search was over before")
    assert code == 130
    if out:
        assert "interrupted: this is the best plan until then" in errors


@pytest.mark.parametrize("after_s", [0.8, 1.0, 1.2, 1.5])
def test_plan_hears_it_while_it_makes_candidates(after_s: float) -> None:
    """The short searches among them are parts of `auto`: they do not take it for themselves."""
    code, took_s, _, _ = stopped("plan", DEMO, after_s=after_s)
    assert code == 130
    assert took_s < 3.0


@pytest.mark.parametrize("file", ["numba/core/typing.py", "llvmlite/binding/engine.py"])
def test_ctrl_c_while_something_is_compiled_comes_after_it(file: str) -> None:
    """Code that LLVM calls loses what is raised there."""
    text = """
import os, signal, time
def compiles():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return "compiled"
"""
    names: dict[str, Any] = {}
    exec(compile(text, f"/site-packages/{file}", "exec"), names)
    done = []

    def work() -> None:
        with interrupt.heard(keeps=True):
            done.append(names["compiles"]())
            time.sleep(10.0)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["compiled"]
    assert time.monotonic() - begun < 5.0


@pytest.mark.parametrize("keeps", [True, False])
def test_ctrl_c_while_a_compiled_module_is_loaded_comes_after_it(keeps: bool) -> None:
    """Such a module may print what is raised while it imports others."""
    text = """
import os, signal, time
class ExtensionFileLoader:
    def exec_module(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        return "loaded"
"""
    names: dict[str, Any] = {}
    exec(text, names)
    done = []

    def work() -> None:
        with interrupt.heard(keeps=keeps):
            done.append(names["ExtensionFileLoader"]().exec_module())
            time.sleep(10.0)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt if keeps else interrupt.StoppedError):
        work()
    assert done == ["loaded"]
    assert time.monotonic() - begun < 5.0


def test_errors_that_follow_ctrl_c_are_taken_for_it() -> None:
    def work() -> None:
        with interrupt.heard(keeps=True):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1.0)
            except KeyboardInterrupt:
                raise ValueError from None

    with pytest.raises(KeyboardInterrupt):
        work()


BUSY = """
import time
from swarmplan import interrupt
from swarmplan.core.jit import compiled

def count(n):
    total = 0.5
    for i in range(n):
        total = total * 0.999 + i
    return total

spin = compiled(count)
spin(1)
with interrupt.heard(keeps=False):
    print("ready", flush=True)
    {work}
"""


@pytest.mark.parametrize(
    "work",
    [
        "time.sleep(20)",
        "spin(10**15)",
        # What Ctrl-C meets here makes another error of it, or none at all.
        """
    while True:
        try:
            time.sleep(20)
        except BaseException:
            pass""",
    ],
)
def test_what_does_not_give_way_is_ended(work: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, errors = child.communicate(timeout=20)
    assert time.monotonic() - begun < 3.0
    assert child.returncode == 130 or "StoppedError" in errors


def load_compiled() -> None:
    """What loading a compiled module makes of Ctrl-C."""
    try:
        signal.raise_signal(signal.SIGINT)
    except interrupt.StoppedError as error:
        raise ImportError("initialization failed") from error


def test_another_error_made_of_ctrl_c_is_ctrl_c() -> None:
    with pytest.raises(interrupt.StoppedError), interrupt.heard(keeps=False):
        load_compiled()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ImportError), interrupt.heard(keeps=False):
        raise ImportError
