"""Mutated scenarios, plans and referenced files: loaded, or refused by the name of the field."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fuzzing() -> ModuleType:
    """``benchmarks/fuzz_scenarios.py``, which ``make fuzz`` runs with many more documents."""
    spec = importlib.util.spec_from_file_location(
        "fuzz_scenarios", ROOT / "benchmarks" / "fuzz_scenarios.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_base_document_of_the_fuzzer_is_valid(fuzzing: ModuleType, tmp_path: Path) -> None:
    fuzzer = fuzzing.Fuzzer(tmp_path, 10.0)
    for base in fuzzing.BASES:
        for json_syntax in (True, False):
            fuzzer.run(
                fuzzing.Case(
                    base=base,
                    mutations=[],
                    json_syntax=json_syntax,
                    file_mutations={},
                    damage=None,
                    plan_mutations=[],
                    plan_damage=None,
                    method="cg-bp",
                )
            )
    assert fuzzer.report.defects == {}
    assert fuzzer.report.outcomes["load: accepted"] == 2 * len(fuzzing.BASES)
    assert fuzzer.report.outcomes["plan file: sound"] > 0


def test_mutated_documents_load_or_are_refused_by_field(fuzzing: ModuleType) -> None:
    report = fuzzing.fuzz(300, 1, 10.0)
    assert report.outcomes["documents"] >= 300
    assert report.defects == {}
