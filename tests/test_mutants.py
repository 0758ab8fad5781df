"""The mutation tester: which faults it puts in, and what it says of tests that are known."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("coverage", reason="comes with the extra dev, which make test installs")

from swarmplan.benchmarks import mutants
from swarmplan.benchmarks.mutants import ROOT, TARGETS, draw, judged, run_all, table, targets
from swarmplan.benchmarks.mutations import mutants_of, mutated


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("x = a + b", {"x = a - b", "x = a"}),
        ("x = a // b", {"x = a * b", "x = a"}),
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a and (not b)", {"x = a or not b", "x = a", "x = not b", "x = a and b"}),
        ("x = 0", {"x = 1"}),
        ("x = -2.0", {"x = 2.0", "x = -2.2"}),
        ("x = max(a, b)", {"x = min(a, b)", "x = a", "x = b"}),
        ("x = np.minimum(a, b)", {"x = np.maximum(a, b)", "x = a", "x = b"}),
        ("x = np.where(a, b, c)", {"x = b", "x = c"}),
        ("x = a.argmin()", {"x = a.argmax()"}),
        ("x = all(a)", {"x = any(a)"}),
        ("x = a if b else c", {"x = a", "x = c"}),
        ("x = a[b:]", {"x = a[b + 1:]", "x = a[b - 1:]"}),
        ("x = sorted(a, key=b)", {"x = sorted(a)", "x = sorted(a, key=b, reverse=True)"}),
        ("x += a", {"pass"}),
        ("x[a] = b", {"pass"}),
        ("f(a)", {"pass"}),
    ],
)
def test_a_line_has_these_faults_and_no_others(line: str, faults: set[str]) -> None:
    assert {m.after for m in mutants_of("m.py", line)} == faults


def test_defaults_and_answers_of_functions_have_faults() -> None:
    source = "class A:\n    def f(self, *, x=True) -> bool:\n        return x\n"
    found = [(m.line, m.function, m.after, m.spans) for m in mutants_of("m.py", source)]
    assert found == [
        (2, "A.f", "def f(self, *, x=False) -> bool:", ((2, 3),)),
        (3, "A.f", "return True", ((3, 3),)),
        (3, "A.f", "return False", ((3, 3),)),
    ]


@pytest.mark.parametrize(
    "source",
    [
        '"""Words, 1 + 1."""',
        "x: Literal[1]",
        "@cache(size=1)\ndef f(x: A[1]) -> A[2]:\n    return x",
        "__all__ = ['a'] + b",
        "if TYPE_CHECKING:\n    x = 1",
        "raise ValueError(f'{a + b}', 1)",
        "x = f'{a + 1}'",
        "logger.warning('a', 1)",
        "x = zip(a, b, strict=True)",
        "def __repr__(self):\n    return 1",
    ],
)
def test_words_types_and_names_have_no_faults(source: str) -> None:
    assert mutants_of("m.py", source) == []


def test_every_fault_of_the_tree_gives_another_module_that_python_can_read() -> None:
    for file in targets(ROOT, TARGETS)[::5]:
        source = (ROOT / file).read_text()
        plain = ast.unparse(ast.parse(source)) + "\n"
        for mutant in mutants_of(file, source)[::10]:
            fault = mutated(source, mutant.index)
            compile(fault, file, "exec")
            pairs = zip(plain.splitlines(), fault.splitlines(), strict=True)
            assert sum(a != b for a, b in pairs) == 1


def test_the_draw_of_a_mutant_does_not_depend_on_the_others() -> None:
    every = mutants_of("m.py", "\n".join(f"x = a + {i}" for i in range(20)))
    drawn, some = draw(every, 10, seed=0), every[:30]
    assert drawn == draw(every[::-1], 10, seed=0) != draw(every, 10, seed=1)
    assert {m for m in drawn if m in some} <= set(draw(some, 10, seed=0))


def test_a_judged_mutant_is_known_again_when_lines_move(tmp_path: Path) -> None:
    words = {"file": "m.py", "function": "", "before": "x = a + b", "after": "x = a - b"}
    lines = [f'{name} = "{word}"' for name, word in {**words, "reason": "b is 0"}.items()]
    (tmp_path / "judged.toml").write_text("\n".join(["[[mutant]]", *lines]))
    first, second = mutants_of("m.py", "\n\nx = a + b")
    assert first.line == 3
    assert first.key in judged(tmp_path / "judged.toml")
    assert second.key not in judged(tmp_path / "judged.toml")


CALC = """def large():
    return 100


LARGE = large()


def grow(x):
    if x > LARGE:
        return -1
    while x < 4:
        x += 1
    return x


def unused(x):
    return x + 1
"""
CALC_TEST = """import pytest
from tiny.core.calc import grow


@pytest.fixture(scope="module")
def grown():
    return grow(3)


def test_it_grows(grown):
    assert grown == 4


def test_the_large_is_left_alone():
    grow(101)


def test_that_fails_anyway():
    assert grow(3) == 5
"""


@pytest.mark.slow
def test_verdicts_on_a_package_whose_tests_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "LEAST_S", 5.0)
    root, out = tmp_path / "tree", tmp_path / "out"
    for name, content in (
        ("__init__.py", ""),
        ("core/__init__.py", ""),
        ("core/calc.py", CALC),
        ("tests/test_calc.py", CALC_TEST),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / ".dev").mkdir()
    (root / ".dev" / "tiny").symlink_to("..")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    every = mutants_of("core/calc.py", CALC)
    results = {(m.line, m.after): v for m, v in run_all(root, every, out, package="tiny")}
    assert results == {
        (2, "return 101"): "survived",
        (9, "if x >= LARGE:"): "survived",
        (9, "if x <= LARGE:"): "killed",
        (10, "return 1"): "survived",
        (10, "return -2"): "survived",
        (11, "while x <= 4:"): "killed",
        (11, "while x >= 4:"): "killed",
        (11, "while x < 5:"): "killed",
        (12, "pass"): "timed out",
        (12, "x += 2"): "killed",
        (17, "return x - 1"): "not covered",
        (17, "return x"): "not covered",
        (17, "return x + 2"): "not covered",
    }
    assert (root / "core" / "calc.py").read_text() == CALC
    log = (out / "mutants.jsonl").read_text()
    again = run_all(root, every, out, package="tiny")
    assert {(m.line, m.after): v for m, v in again} == results
    assert (out / "mutants.jsonl").read_text() == log, "what is known was run again"
    assert table(again).splitlines()[-1] == "| **all** | 13 | 5 | 1 | 4 | 3 | 0 | 46.2% |"
