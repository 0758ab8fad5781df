"""Ctrl-C at random instants of every command: ``python benchmarks/interrupts.py [--count 60]``.

Each try begins a command of its own, sends SIGINT after a random time, and counts what does not
end with 130 within a second, prints a traceback, or leaves half a file.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swarmplan.scenarios.files import parse_file

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 1.0
#: Commands by what they get; PLAN is a plan of the demo. None is over before it is interrupted
#: but the short ones, which may be.
COMMANDS = (
    "plan demo.toml -o new.plan.json",
    "plan demo.toml --method exact",
    "simulate demo.toml --table rows.csv",
    "simulate demo.toml --plan PLAN --requests 200000",
    "compare demo.toml -m auto -m petals-tuned --report r.html",
    "explain demo.toml",
    "whatif demo.toml --set network.step_overhead_ms=3 -o edited.toml --report w.html",
    "whatif demo.toml --each-server --method cg-bp",
    "capacity demo.toml -o most.plan.json",
    "replan PLAN demo.toml -o moved.plan.json",
    "regions demo.toml",
    "size demo.toml --catalogue offers.toml --target response_s=20",
    "sweep sweep.toml",
    "verify PLAN demo.toml",
    "scenario show demo.toml",
    "calibrate nothing.csv",
)
OFFERS = """format = "swarmplan/catalogue/1"
[[offers]]
id = "more"
device = "mig"
lat = 40.7
lon = -74.0
available = 4
"""
SWEEP = """format = "swarmplan/sweep/1"
scenario = "demo.toml"
method = "cg-bp"
seeds = 2
[grid]
load = [0.5, 1.0]
"""


def prepared(folder: Path) -> Path:
    """The files that the commands name; the plan's place."""
    shutil.copy(ROOT / "scenarios" / "demo.toml", folder)
    (folder / "offers.toml").write_text(OFFERS)
    (folder / "sweep.toml").write_text(SWEEP)
    made = folder / "ready.plan.json"
    words = ["plan", "demo.toml", "--method", "cg-bp", "-o", str(made)]
    subprocess.run([*start(), *words], cwd=folder, check=True, capture_output=True)
    return made


def start() -> list[str]:
    """How the command is begun."""
    return [sys.executable, "-c", "from swarmplan.start import main; main()"]


def tried(line: str, after_s: float, folder: Path, made: Path) -> tuple[str, float]:
    """What is wrong, empty when nothing is, and seconds from the signal to the end."""
    words = [str(made) if word == "PLAN" else word for word in line.split()]
    child = subprocess.Popen(
        [*start(), *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        child.communicate(timeout=after_s)
        return ("", 0.0)  # it was over before
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
    begun = time.monotonic()
    try:
        _, errors = child.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        return "does not end", 10.0
    took_s = time.monotonic() - begun
    return "; ".join(_wrong(child.returncode, took_s, errors, folder)), took_s


def _wrong(code: int, took_s: float, errors: str, folder: Path) -> list[str]:
    # 0, and 2 for a file that is not there: it had just ended by itself.
    found = [] if code in (0, 2, 130) else [f"exit {code}"]
    found += [f"{took_s:.2f} s"] if took_s > LIMIT_S else []
    found += ["traceback"] if "Traceback" in errors or "Exception ignored" in errors else []
    found += [f"left {p.name}" for p in folder.glob("*.part")]
    for path in folder.glob("*.json"):
        parse_file(path)
    return found


def main() -> int:
    """Count the tries that went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=8.0, help="latest instant, seconds")
    asked = parser.parse_args()
    rng, bad, slowest = random.Random(asked.seed), 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = prepared(folder)
        for i in range(asked.count):
            line = COMMANDS[i % len(COMMANDS)]
            after_s = rng.choice((rng.uniform(0.02, 0.6), rng.uniform(0.5, asked.longest)))
            wrong, took_s = tried(line, after_s, folder, made)
            slowest = max(slowest, took_s)
            if wrong:
                bad += 1
                print(f"{line} after {after_s:.2f} s: {wrong}", flush=True)
    print(f"{asked.count} tries, {bad} wrong; the slowest ended {slowest:.2f} s after Ctrl-C")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
