"""Do the tests notice faults? Mutants drawn by seed, each run against the tests of its line.

    python benchmarks/mutants.py                            # 400 of the files below
    python benchmarks/mutants.py chains/floor.py --count 50  # --list: print them all, run none

Every mutant is written into a copy of the tree. Verdicts are kept in out/mutants.jsonl: a run that
was ended goes on, and nothing is run twice while the tree stays the same. Mutants that cannot be
told from the original are listed, with the reason, in benchmarks/mutants-judged.toml.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from swarmplan.benchmarks.mutation_tests import Covered
from swarmplan.benchmarks.mutations import Mutant, mutants_of, mutated

#: What is mutated; patterns that match nothing are passed over.
TARGETS = (
    "chains/*.py",
    "core/*.py",
    "methods/certify.py",
    "methods/verify.py",
    "perfmodel/*.py",
    "routing/*.py",
    "simulator/*.py",
    "swarm/signing.py",
)
ROOT = Path(__file__).resolve().parents[1]
#: Files whose tests need the live plugin's environment, and those tests.
SWARM_PYTHON = ROOT / ".swarm-env" / "bin" / "python"
SWARM_TESTS = {"swarm/signing.py": "tests/swarm/test_signing.py"}
#: The CPU seconds that such tests may take.
SWARM_S = 120
JUDGED = Path(__file__).with_name("mutants-judged.toml")
RUNNER = Path(__file__).with_name("mutation_tests.py")
VERDICTS = ("killed", "timed out", "survived", "not covered", "judged")
#: CPU seconds of a round beside five times its tests' own; by the clock three times as many.
LEAST_S = 10.0
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def tracked(root: Path) -> list[str]:
    """Files that git knows and that are there."""
    command = ["git", "-C", str(root), "ls-files", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and os.path.lexists(root / name)]


def digest(root: Path, files: Sequence[str]) -> str:
    """Of what the tests run: all but documents and benchmarks."""
    total = hashlib.sha256()
    for name in files:
        if not name.endswith(".md") and not name.startswith("benchmarks/"):
            content = b"" if (root / name).is_symlink() else (root / name).read_bytes()
            total.update(f"{name} {len(content)} ".encode() + content)
    return total.hexdigest()[:16]


def copy_tree(root: Path, files: Sequence[str], folder: Path) -> Path:
    """The files in a new folder, links as links."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / name, follow_symlinks=False)
    # Compiled files that are checked by their source's hash: changes within a second are noticed.
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*command, str(folder)], check=False, stdout=subprocess.DEVNULL)
    return folder


def run_tests(
    folder: Path, what: str, limit_s: float, job: dict[str, Any], python: str = sys.executable
) -> dict[str, Any]:
    """The answer of ``mutation_tests.py`` in a copy of the tree; {} = it ran out of time."""
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder / ".dev")}
    process = subprocess.Popen(
        [python, str(RUNNER), what],
        cwd=folder,
        env={**os.environ, **fixed},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if what == "record" else subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(json.dumps(job), timeout=3 * limit_s)
    except subprocess.TimeoutExpired:
        return {}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # its pipes too, where it was out of time
            process.wait()
    if process.returncode:
        out_of_time = process.returncode == -signal.SIGXCPU
        return {} if out_of_time else {"by": f"exit {process.returncode}"}
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def _rounds(mutant: Mutant, covered: Covered) -> Iterator[tuple[list[str], int, str]]:
    """Tests that may notice a mutant, their CPU seconds at most, and who runs them."""
    if mutant.file in SWARM_TESTS:
        if SWARM_PYTHON.exists():
            yield [SWARM_TESTS[mutant.file]], SWARM_S, str(SWARM_PYTHON)
        return
    for tests in covered.rounds(mutant.file, mutant.spans):
        spent_s = sum(covered.seconds[test] for test in tests)
        yield tests, int(LEAST_S + 5 * spent_s), sys.executable


def examine(mutant: Mutant, folder: Path, covered: Covered) -> tuple[str, str]:
    """The verdict on a mutant, and the test that killed it."""
    path = folder / mutant.file
    source = path.read_text()
    verdict = "not covered"
    try:
        path.write_text(mutated(source, mutant.index))
        for tests, limit_s, python in _rounds(mutant, covered):
            job = {"tests": tests, "limit_s": limit_s}
            answer = run_tests(folder, "check", limit_s, job, python)
            if not answer:
                return "timed out", ""
            if answer["by"]:
                return "killed", answer["by"]
            verdict = "survived"
    finally:
        path.write_text(source)
    return verdict, ""


def measure(folder: Path, files: Sequence[str], path: Path) -> Covered:
    """What every test executes: kept in a file, for this state of the tree."""
    if not path.exists():
        print("running every test once to see what it executes", file=sys.stderr)
        found = run_tests(folder, "record", 3_600, {"files": files, "package": folder.name})
        if "lines" not in found:
            sys.exit(f"the tests could not be measured: {found}")
        print("not used, since skipped or failing:", *found["unfit"], sep="\n  ", file=sys.stderr)
        path.write_text(json.dumps(found))
    return Covered.read(path)


def targets(root: Path, patterns: Sequence[str]) -> list[str]:
    """The files that match, in a fixed order."""
    return sorted({str(p.relative_to(root)) for g in patterns for p in root.glob(g)})


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Some of the mutants, by what each is itself: the draw stays when other code changes."""

    def rank(mutant: Mutant) -> bytes:
        return hashlib.sha256(f"{seed} {mutant.key[1:]}".encode()).digest()

    return sorted(mutants, key=rank)[:count]


def judged(path: Path) -> set[tuple[str, str, str, str]]:
    """The keys of mutants that no test can notice; each has a reason in the file."""
    entries = tomllib.loads(path.read_text()).get("mutant", [])
    return {(e["file"], e["function"], e["before"], e["after"]) for e in entries if e["reason"]}


def run_all(
    root: Path, drawn: Sequence[Mutant], out: Path, *, jobs: int = 2, package: str = "swarmplan"
) -> list[tuple[Mutant, str]]:
    """The verdict on every mutant, from ``out/mutants.jsonl`` where it is known."""
    out.mkdir(exist_ok=True)
    log = out / "mutants.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    known = {entry["id"]: entry["verdict"] for entry in map(json.loads, lines)}
    files = tracked(root)
    tree = digest(root, files)
    ids = {mutant: f"{tree} {mutant.index} {mutant}" for mutant in drawn}
    missing = [mutant for mutant in drawn if ids[mutant] not in known]
    copies: queue.Queue[Path] = queue.Queue()

    def one(mutant: Mutant) -> dict[str, str]:
        folder = copies.get()
        try:
            verdict, by = examine(mutant, folder, covered)
        finally:
            copies.put(folder)
        return {"id": ids[mutant], "verdict": verdict, "by": by}

    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stream = stack.enter_context(log.open("a"))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        stack.callback(pool.shutdown, cancel_futures=True)
        if missing:
            for number in range(jobs):
                copies.put(copy_tree(root, files, scratch / str(number) / package))
            mutable = targets(root, (*TARGETS, *{mutant.file for mutant in drawn}))
            covered = measure(copies.queue[0], mutable, out / f"mutants-map-{tree}.json")
        for count, future in enumerate(as_completed([pool.submit(one, m) for m in missing]), 1):
            entry = future.result()
            known[entry["id"]] = entry["verdict"]
            print(json.dumps(entry), file=stream, flush=True)
            print(f"{count}/{len(missing)} {entry['verdict']} {entry['id']}", file=sys.stderr)
    return [(mutant, known[ids[mutant]]) for mutant in drawn]


def table(results: Sequence[tuple[Mutant, str]]) -> str:
    """Counts by package; the score is the share noticed of all that are not judged."""
    counts: dict[str, Counter[str]] = {}
    for mutant, verdict in results:
        for name in (mutant.file.partition("/")[0], "**all**"):
            counts.setdefault(name, Counter())[verdict] += 1
    rows = [("package", "mutants", *VERDICTS, "score"), ("---",) + ("---:",) * (len(VERDICTS) + 2)]
    for name, found in sorted(counts.items(), key=lambda item: (item[0] == "**all**", item[0])):
        score = (found["killed"] + found["timed out"]) / max(1, found.total() - found["judged"])
        cells = (found.total(), *(found[verdict] for verdict in VERDICTS))
        rows.append((name, *map(str, cells), f"{score:.1%}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Draw, run, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="*", default=TARGETS, help="patterns below the root")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="print all mutants, run none")
    parser.add_argument("--docs", type=Path, help="page whose figures are replaced")
    given = parser.parse_args()
    every = [
        m
        for file in targets(ROOT, given.paths)
        for m in mutants_of(file, (ROOT / file).read_text())
    ]
    if given.list:
        print(*every, sep="\n")
        return
    drawn = draw(every, given.count, given.seed)
    excused = judged(JUDGED)
    for lost in excused - {m.key for m in every} if given.paths == TARGETS else ():
        print("judged, but no such mutant:", *lost, file=sys.stderr)
    tried = [m for m in drawn if m.key not in excused]
    results = run_all(ROOT, tried, ROOT / "out", jobs=given.jobs)
    results += [(m, "judged") for m in drawn if m.key in excused]
    told = f"{len(drawn)} of {len(every)} mutants, seed {given.seed}.\n\n{table(results)}\n"
    left = sorted(f"{m}  in {m.function}" for m, verdict in results if verdict == "survived")
    (ROOT / "out" / "survivors.txt").write_text("\n".join([*left, ""]))
    print(told, *left, sep="\n")
    if given.docs:
        before, _, rest = given.docs.read_text().partition(BEGIN)
        given.docs.write_text(f"{before}{BEGIN}\n{told}{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
