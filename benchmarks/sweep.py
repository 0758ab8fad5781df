"""1,000 configurations of a 26-server swarm: in processes, on a cluster, killed and resumed.

    python benchmarks/sweep.py                 # two processes, Dask, a sweep killed half-way
    python benchmarks/sweep.py --backend ray   # Ray in place of Dask

Each run is the command ``swarmplan sweep`` in a process of its own; the sha256 of the results
tells whether they are identical. A backend that is not installed is left out, and said so. CPU
seconds are those of all processes of the run; they hardly change on a machine that others use.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SWEEP = f"""
format = "swarmplan/sweep/1"
name = "volunteers"
scenario = {json.dumps(str(ROOT / "scenarios" / "volunteers.toml"))}
seeds = 20
[grid]
method = ["cg-bp", "petals-tuned"]
load = [0.5, 1, 1.5, 2, 3]
rtt_scale = [0.5, 0.75, 1, 1.25, 1.5]
"""
PARTS = ("loky", "cluster", "killed")
PACKAGES = {"loky": "joblib", "dask": "distributed", "ray": "ray"}


def command(folder: Path, name: str, backend: str, jobs: int) -> list[str]:
    """The command line of one sweep."""
    args = [sys.executable, "-m", "swarmplan.cli", "sweep", str(folder / "sweep.toml"), "--quiet"]
    return [*args, "-o", str(folder / f"{name}.jsonl"), "--backend", backend, "-j", str(jobs)]


def start(folder: Path, name: str, backend: str, jobs: int) -> subprocess.Popen[bytes]:
    """A sweep in a process group of its own."""
    return subprocess.Popen(
        command(folder, name, backend, jobs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a sweep, and stop here if it failed."""
    _, told = process.communicate()
    if process.returncode:
        sys.exit(told.decode())


def clock() -> tuple[float, float]:
    """Wall seconds, and CPU seconds of the runs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), used.ru_utime + used.ru_stime


def tell(folder: Path, name: str, begun: tuple[float, float]) -> str:
    """One line: what it took and what the results are."""
    wall, cpu = (now - then for now, then in zip(clock(), begun, strict=True))
    content = (folder / f"{name}.jsonl").read_bytes()
    records = content.count(b"\n") - 1
    failed = sum(bool(json.loads(line)["error"]) for line in content.splitlines()[1:])
    digest = hashlib.sha256(content).hexdigest()
    took = f"{wall:6.1f} s wall {cpu:6.1f} s CPU"
    print(f"{name:<14} {took}  {records} results, {failed} failed  {digest[:16]}")
    sys.stdout.flush()
    return digest


def killed(folder: Path, backend: str, jobs: int, total: int) -> str:
    """SIGKILL the sweep when half of its results are there, then run it again."""
    name = f"{backend}, killed"
    path = folder / f"{name}.jsonl"
    begun = clock()
    process = start(folder, name, backend, jobs)
    while process.poll() is None and (
        not path.exists() or path.read_bytes().count(b"\n") <= total // 2
    ):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = path.read_bytes().count(b"\n") - 1
    print(f"{'':<14} {clock()[0] - begun[0]:6.1f} s wall: killed after {kept} results")
    finish(start(folder, name, backend, jobs))
    return tell(folder, name, begun)


def main() -> None:
    """Run the sweeps and compare what they leave."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backend", choices=["dask", "ray"], default="dask")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "sweep.toml").write_text(SWEEP)
        print("1,000 configurations: volunteers.toml, 26 servers, 400 requests each")
        for part, backend in (("loky", "loky"), ("cluster", given.backend)):
            if part not in given.parts:
                continue
            if importlib.util.find_spec(PACKAGES[backend]) is None:
                print(f"{backend}: not installed (pip install 'swarmplan[{backend}]')")
                continue
            begun = clock()
            finish(start(folder, backend, backend, given.jobs))
            found[backend] = tell(folder, backend, begun)
        if "killed" in given.parts:
            found["killed"] = killed(folder, "loky", given.jobs, 1_000)
    print("identical" if len(set(found.values())) <= 1 else "THE RESULTS DIFFER")
    sys.exit(len(set(found.values())) > 1)


if __name__ == "__main__":
    main()
