"""Ctrl-C at random instants: ``python benchmarks/interrupts.py [--count 60 | --random 50]``.

Each try begins a command of its own, sends SIGINT after a random time, and counts what does not
end with 130 within a second, prints a traceback, leaves half a file, or writes a plan that the
verifier does not find sound: its bound too has to hold. ``--methods`` interrupts ``plan`` with
every method and objective instead, on a scenario that keeps each of them busy, and counts the plans
that were kept. ``--random 50`` draws from commands and methods together, at instants later than
0.3 s.

Seconds until the end are those of the clock: on a machine that others use they tell of the others
too.
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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from swarmplan.core.plan import Plan
from swarmplan.methods.table import METHODS
from swarmplan.methods.verify import sound, verify
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.generate import generate, write_document
from swarmplan.scenarios.planfile import read_plan
from swarmplan.scenarios.scenario import load_scenario

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S, PATIENCE_S = 1.0, 10.0
#: With ``--random`` nothing is interrupted sooner: until then Python itself is loaded.
EARLIEST_S = 0.3
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """How a command ended.

    Attributes
    ----------
    wrong : what is, lateness apart; empty when nothing is.
    wall_s : from the signal to the end; nan where the command was over before.
    """

    wrong: str = ""
    wall_s: float = math.nan

    @property
    def stopped(self) -> bool:
        """Whether it was still at work when the signal came."""
        return self.wall_s == self.wall_s


def tried(line: str, after_s: float, folder: Path, made: Path) -> Try:
    """Begin a command, interrupt it, and see how it ends."""
    words = [str(made) if word == "PLAN" else word for word in line.split()]
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [*start(), *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=errors
        )
        with suppress(subprocess.TimeoutExpired):
            child.wait(after_s)
            return Try()
        child.send_signal(signal.SIGINT)
        begun = time.monotonic()
        try:
            code = child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return Try(wrong="does not end", wall_s=PATIENCE_S)
        wall_s = time.monotonic() - begun
        errors.seek(0)
        wrong = "; ".join(_wrong(code, wall_s, errors.read(), folder))
    return Try(wrong=wrong, wall_s=wall_s)


def _wrong(code: int, wall_s: float, errors: str, folder: Path) -> list[str]:
    # 0, and 2 for a file that is not there: it had just ended by itself.
    fine = (0, 2, 130) if wall_s <= LIMIT_S else (130,)
    found = [] if code in fine else [f"exit {code}"]
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
    parser.add_argument("--random", type=int, help="so many tries of commands and methods together")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = prepared(folder)
        return told([_one(line, at, folder, made) for line, at in chosen(asked, rng)])


def chosen(asked: argparse.Namespace, rng: random.Random) -> Iterator[tuple[str, float]]:
    """Commands and the instants at which they are interrupted."""
    if asked.random:
        for _ in range(asked.random):
            yield rng.choice((*COMMANDS, *PLANS)), rng.uniform(EARLIEST_S, asked.longest)
        return
    lines = PLANS if asked.methods else COMMANDS
    for i in range(asked.count):
        early = rng.uniform(asked.earliest, asked.earliest + 0.6)
        yield (
            lines[i % len(lines)],
            rng.choice((early, rng.uniform(asked.earliest, asked.longest))),
        )


def _one(line: str, after_s: float, folder: Path, made: Path) -> tuple[Try, bool]:
    """A try, and whether it left a plan; what is to be said of it is said."""
    found = tried(line, after_s, folder, made)
    plan, unsound = kept(line, folder)
    if found.stopped and plan is None and line in PLANS:
        print(f"{line} after {after_s:.2f} s: no plan yet", flush=True)
    if found.wrong or unsound:
        print(f"{line} after {after_s:.2f} s: WRONG {found.wrong} {unsound}", flush=True)
        found = replace(found, wrong=found.wrong or unsound)
    if found.wall_s > LIMIT_S:
        print(f"{line} after {after_s:.2f} s: late, {found.wall_s:.2f} s", flush=True)
    return found, plan is not None


def told(tries: Sequence[tuple[Try, bool]]) -> int:
    """Say how all ended; 1 where something was wrong or late."""
    stopped = [found for found, _ in tries if found.stopped]
    wrong = sum(bool(found.wrong) for found, _ in tries)
    late = sum(found.wall_s > LIMIT_S for found in stopped)
    slowest = max((found.wall_s for found in stopped), default=0.0)
    plans = sum(plan for _, plan in tries)
    print(f"{len(tries)} tries, {len(stopped)} of them interrupted, {wrong} wrong, {plans} plans")
    print(f"more than {LIMIT_S:g} s from Ctrl-C to the end: {late}; the most {slowest:.2f} s")
    return 1 if wrong or late else 0


if __name__ == "__main__":
    sys.exit(main())
