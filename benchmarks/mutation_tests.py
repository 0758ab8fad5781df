"""The tests, run inside a copy of the tree for ``mutants.py``: what each executes, or who fails.

Reads a JSON document from standard input; the last line of the output is the answer in JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import sys
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage

OPTIONS = ["--rootdir=.", "--tb=no", "-q", "-p", "no:cacheprovider", "-p", "no:cov"]
MEMORY_BYTES = 8 << 30
#: Tests that take longer are left out where a faster one executes the line.
SLOW_S = 5.0
#: The first of two rounds: nearest and fastest tests, this many and this long at most.
FIRST_TESTS, FIRST_S = 40, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Seconds of every test, and the tests that execute each line of each file."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    @staticmethod
    def read(path: Path) -> Covered:
        """The answer of ``record`` in a file."""
        found = json.loads(path.read_text())
        names = list(found["seconds"])
        lines = {
            file: {int(line): [names[i] for i in tests] for line, tests in known.items()}
            for file, known in found["lines"].items()
        }
        return Covered(seconds=found["seconds"], lines=lines)

    def rounds(self, file: str, spans: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
        """The tests of the first (first, last) lines that any executes, those of the whole file
        where only its import does: none to two lists, named like the file and fastest first."""
        known = self.lines.get(file, {})
        executed = [[known[n] for n in range(a, b + 1) if n in known] for a, b in spans]
        if any(executed):
            executed.append(list(known.values()))
        unions = (set[str]().union(*tests) for tests in executed)
        found: set[str] = next(filter(None, unions), set())
        quick = {test for test in found if self.seconds[test] <= SLOW_S} or found
        name = f"test_{Path(file).name}::"
        order = sorted(quick, key=lambda t: (name not in t, self.seconds[t], t))
        size, spent = 0, 0.0
        while size < min(len(order), FIRST_TESTS) and spent < FIRST_S:
            spent += self.seconds[order[size]]
            size += 1
        yield from (sorted(part) for part in (order[:size], order[size:]) if part)


class Recorder:
    """Notes which lines every test executes, and how long it takes.

    Lines that a shared fixture or a test file executes once count for all tests that use it; what
    functions remember is forgotten before a test, so that it executes all it relies on.
    """

    def __init__(self, coverage: Coverage, modules: list[Any]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.unfit: set[str] = set()
        self.users: dict[str, list[str]] = defaultdict(list)
        self._coverage = coverage
        self._context = ""
        values = (value for module in modules for value in vars(module).values())
        self._caches = [value for value in values if hasattr(value, "cache_clear")]

    @contextlib.contextmanager
    def _within(self, context: str) -> Iterator[None]:
        before, self._context = self._context, context
        self._coverage.switch_context(context)
        yield
        self._context = before
        self._coverage.switch_context(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        with self._within(collector.nodeid):
            return (yield)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            fixtures = (f"fixture {name}" for name in getattr(item, "fixturenames", ()))
            for context in (item.nodeid, item.nodeid.partition("::")[0], *fixtures):
                self.users[context].append(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        shared = fixturedef.scope != "function"
        with self._within(f"fixture {fixturedef.argname}" if shared else self._context):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        for cache in self._caches:
            cache.cache_clear()
        with self._within(item.nodeid):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.unfit.add(report.nodeid)


class FirstFailure:
    """Remembers what failed; examples are not made smaller, that takes long and tells nothing."""

    by = ""

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings  # pytest wants to be the first to import it

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", settings.get_profile("default"), phases=phases)
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.by = self.by or report.nodeid

    pytest_collectreport = pytest_runtest_logreport


def record(files: list[str], package: str) -> dict[str, Any]:
    """Seconds of each test that passes; for each file and line, the numbers of its tests."""
    coverage = Coverage(data_file=None, include=files, config_file=False)
    coverage.start()
    modules = []
    for file in files:  # before the tests, so that none is thought to execute what an import does
        name = ".".join((package, *Path(file).with_suffix("").parts)).removesuffix(".__init__")
        with contextlib.suppress(ImportError):
            modules.append(importlib.import_module(name))
    recorder = Recorder(coverage, modules)
    pytest.main([*OPTIONS, "tests"], plugins=[recorder])
    coverage.stop()
    data = coverage.get_data()
    fit = {test: s for test, s in recorder.seconds.items() if test not in recorder.unfit}
    number = {test: i for i, test in enumerate(fit)}
    lines = {
        str(Path(file).relative_to(Path.cwd())): {
            line: sorted({number[t] for c in contexts for t in recorder.users[c] if t in number})
            for line, contexts in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    return {"seconds": fit, "lines": lines, "unfit": sorted(recorder.unfit)}


def check(tests: list[str], limit_s: int) -> dict[str, Any]:
    """Which test fails first, "" = none; more CPU seconds than the limit end the process."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    first = FirstFailure()
    code = pytest.main([*OPTIONS, "-x", *tests], plugins=[first])
    return {"by": first.by or (f"pytest: {code!r}" if code else "")}


if __name__ == "__main__":
    sys.path.pop(0)  # this folder's files are named like packages of the tree
    job = json.load(sys.stdin)
    answer = record(**job) if sys.argv[1] == "record" else check(**job)
    print("\n" + json.dumps(answer))
