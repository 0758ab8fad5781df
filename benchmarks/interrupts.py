"""Ctrl-C at random instants of every command: ``python benchmarks/interrupts.py [--count 60]``.

Each try begins a command of its own, sends SIGINT after a random time, and counts what does not
end with 130 within a second, prints a traceback, leaves half a file, or writes a plan that the
verifier does not find sound: its bound too has to hold. ``--methods`` interrupts ``plan`` with
every method and objective instead, on a scenario that keeps each of them busy, and counts the plans
that were kept.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swarmplan.core.plan import Plan
from swarmplan.methods.table import METHODS
from swarmplan.methods.verify import sound, verify
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.generate import generate, write_document
from swarmplan.scenarios.planfile import read_plan
from swarmplan.scenarios.scenario import load_scenario

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
#: Ways to plan that take a while; ``busy.toml`` is a generated swarm, on ``tight.toml`` cache is
#: scarce.
PLANS = (
    *(f"plan busy.toml -o made.plan.json --method {m}" for m in METHODS if m != "manual"),
    "plan busy.toml -o made.plan.json --objective latency",
    "plan busy.toml -o made.plan.json --objective throughput",
    "plan busy.toml -o made.plan.json --metric p95",
    "plan tight.toml -o made.plan.json --method exact --sessions 60 --gap 1e-9",
    "plan tight.toml -o made.plan.json --method milp --sessions 12",
    "plan tight.toml -o made.plan.json --method search --sessions 60 --gap 0",
    "plan tight.toml -o made.plan.json --method exact --redundancy 2",
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
    for name, servers, seed in (("busy", 60, 1), ("tight", 15, 4)):
        document = generate("geographic", servers=servers, clients=4, seed=seed)
        write_document(folder / f"{name}.toml", document)
    made = folder / "ready.plan.json"
    words = ["plan", "demo.toml", "--method", "cg-bp", "-o", str(made)]
    subprocess.run([*start(), *words], cwd=folder, check=True, capture_output=True)
    return made


def start() -> list[str]:
    """How the command is begun."""
    return [sys.executable, "-c", "from swarmplan.start import main; main()"]


def tried(line: str, after_s: float, folder: Path, made: Path) -> tuple[str, float]:
    """What is wrong, empty when nothing is, and seconds from the signal to the end; nan where the
    command was over before."""
    words = [str(made) if word == "PLAN" else word for word in line.split()]
    child = subprocess.Popen(
        [*start(), *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        child.communicate(timeout=after_s)
        return ("", math.nan)
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


def kept(line: str, folder: Path) -> tuple[Plan | None, str]:
    """The plan that a command left, and what is wrong with it; it is taken away."""
    path = folder / "made.plan.json"
    if not path.exists():
        return None, ""
    scenario = load_scenario(folder / line.split()[1])
    found = read_plan(path, scenario)
    path.unlink()
    findings = verify(scenario.problem, found)
    bad = "" if sound(findings) else "; ".join(str(f) for f in findings[:2])
    return found, bad


def main() -> int:
    """Count the tries that went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", action="store_true", help="plan with every method instead")
    parser.add_argument("--earliest", type=float, default=0.02, help="first instant, seconds")
    parser.add_argument("--longest", type=float, default=8.0, help="latest instant, seconds")
    asked = parser.parse_args()
    rng, bad, slowest, plans, stopped = random.Random(asked.seed), 0, 0.0, 0, 0
    lines = PLANS if asked.methods else COMMANDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = prepared(folder)
        for i in range(asked.count):
            line = lines[i % len(lines)]
            early = rng.uniform(asked.earliest, asked.earliest + 0.6)
            after_s = rng.choice((early, rng.uniform(asked.earliest, asked.longest)))
            wrong, took_s = tried(line, after_s, folder, made)
            plan, unsound = kept(line, folder)
            plans, stopped = plans + (plan is not None), stopped + (took_s == took_s)
            if took_s == took_s:
                slowest = max(slowest, took_s)
                if plan is None and asked.methods:
                    print(f"{line} after {after_s:.2f} s: no plan yet", flush=True)
            if wrong or unsound:
                bad += 1
                print(f"{line} after {after_s:.2f} s: {wrong} {unsound}", flush=True)
    print(
        f"{asked.count} tries, {stopped} of them interrupted, {bad} wrong, {plans} plans written; "
        f"the slowest ended {slowest:.2f} s after Ctrl-C"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
