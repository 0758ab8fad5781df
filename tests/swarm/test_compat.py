"""The remedies: the table everywhere, their effect where PETALS is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.swarm.compat import REMEDIES, apply_remedies, rollback
from swarmplan.tests.extras import is_installed, needs

SCRIPT = """
import json, sys
for name in json.loads(sys.argv[2]):
    sys.modules[name] = None
from swarmplan.swarm.compat import apply_remedies
once = {a.name: a.outcome for a in apply_remedies("both", **json.loads(sys.argv[1]))}
twice = {a.name: a.outcome for a in apply_remedies("both", **json.loads(sys.argv[1]))}
print(json.dumps([once, twice]))
"""


def outcomes(*absent: str, **options: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What became of each remedy, in a process of its own, applied twice; without some packages."""
    words = [json.dumps(options), json.dumps(absent)]
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *words]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TMPDIR": folder}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, env=environment
        )
    once, twice = json.loads(done.stdout.splitlines()[-1])
    return once, twice


def test_every_remedy_says_what_is_wrong_and_what_it_does() -> None:
    assert len({r.name for r in REMEDIES}) == len(REMEDIES)
    assert all(r.defect and r.cure for r in REMEDIES)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    known = "no remedy 'nonsense'; there are batch-steps, command-pipe, eager-compiler"
    with pytest.raises(ScenarioError, match=known):
        apply_remedies("client", skip=["nonsense"])


def test_who_only_reads_the_table_needs_no_remedy_of_peers() -> None:
    """Nothing of PETALS is imported for it."""
    names = [r.name for r in REMEDIES if r.needed_by == "both"]
    outcomes_of = {a.name: a.outcome for a in apply_remedies("table", skip=names)}
    assert {outcomes_of[r.name] for r in REMEDIES if r.needed_by != "both"} == {"other side"}
    assert outcomes_of["rollback"] == "other side"


@pytest.mark.parametrize(
    ("seen", "shift", "text", "at"),
    [(0, 0, "0", 0), (7, 0, "7", 7), (7, 0, "3", 3), (9, 4, "5", 5), (9, 4, "0", 0)],
)
def test_a_session_goes_back_to_what_it_holds(seen: int, shift: int, text: str, at: int) -> None:
    book = rollback._Book(max_length=12)
    book.seen, book.shift = seen, shift
    book.go_to(text)
    assert book.place(seen, 12 - at) == at
    with pytest.raises(ValueError, match=f"prefix {at} \\+ current {13 - at} exceeds"):
        book.place(seen, 13 - at)


@pytest.mark.parametrize(
    "text", ["-1", "6", "999999", "x", "", "1.0", " 1", "1@2", "\u0661", "9" * 99]
)
def test_absurd_positions_are_refused(text: str) -> None:
    book = rollback._Book(max_length=12)
    book.seen, book.shift = 9, 4
    with pytest.raises(ValueError, match="cannot go back to position"):
        book.go_to(text)
    assert (book.seen, book.shift) == (9, 4)


@pytest.mark.skipif(is_installed("swarm"), reason="PETALS is installed here")
@pytest.mark.parametrize("words", [["keygen", "k"], ["serve", "m"], ["demo"]])
def test_without_petals_one_message_says_how_to_get_it(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["swarm", *words[:1], *(str(tmp_path / w) for w in words[1:])]
    )
    assert result.exit_code == 6
    assert "make swarm-env" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_doctor_says_what_is_missing_and_how_to_mend_it() -> None:
    # A process of its own: the doctor imports PETALS, whose warnings would be errors here.
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode == 0) == found["usable"]
    assert all(f["advice"] for f in found["findings"] if f["verdict"] in ("missing", "broken"))


def test_what_is_mended_is_no_longer_found_broken() -> None:
    """Adapters need a stand-in without their packages; with them, folders, and no compiler."""
    needs("swarm")
    packages = ("bitsandbytes", "peft")
    with_them = {"eager-compiler", "local-adapters", "int8-adapters"}
    for absent, idle in (((), {"lora-imports"}), (packages, with_them)):
        if not absent and not is_installed("quantised"):
            continue
        once, twice = outcomes(*absent, also=["server-push", "batch-steps"])
        assert {name for name, outcome in once.items() if outcome != "applied"} == idle
        assert set(twice.values()) == {"not needed"}


def printed(script: str, without: str) -> str:
    """What a process of its own prints, without some remedies."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        env={**os.environ, "SWARMPLAN_WITHOUT_REMEDIES": without},
    )
    return done.stdout


COMPILED = """
import sys
from swarmplan.swarm.compat import apply_remedies
apply_remedies("server")
import torch, petals.server.server
print("torch._inductor.compile_fx" in sys.modules, torch.compile.__module__)
import bitsandbytes.functional as B
found = B.quantize_4bit(torch.arange(64.0), blocksize=64, quant_type="nf4")
print(B.dequantize_4bit(*found).sum().item())
"""


def test_torchs_compiler_is_loaded_by_who_calls_what_it_compiles() -> None:
    needs("swarm")
    needs("quantised")
    mended, plain = (printed(COMPILED, without).split() for without in ("", "eager-compiler"))
    assert mended[:2] == ["False", "torch"]
    assert plain[:2] == ["True", "torch"]
    assert mended[2] == plain[2]


LATER = """
import sys
from swarmplan.swarm.compat import apply_remedies
apply_remedies("client")
import petals.client
print("sympy" in sys.modules, "scipy.optimize" in sys.modules)
from accelerate.utils import fsdp_utils
from hivemind.averaging.load_balancing import load_balance_peers
print(load_balance_peers(60, (1.0, 2.0, 3.0)))
print(fsdp_utils.StateDictType.FULL_STATE_DICT)
print(fsdp_utils.FSDP.state_dict_type.__qualname__)
print(type(fsdp_utils.DefaultLoadPlanner()).__module__)
print("torch.distributed.fsdp" in sys.modules)
"""


def test_what_only_training_calls_is_loaded_when_it_is_called() -> None:
    needs("swarm")
    skipped = ("", "eager-solvers,eager-sharding")
    mended, plain = (printed(LATER, without).splitlines() for without in skipped)
    assert (mended[0], plain[0]) == ("False False", "True True")
    assert mended[1:] == plain[1:]


def test_each_remedy_can_be_switched_off() -> None:
    needs("swarm")
    names = [r.name for r in REMEDIES if r.name not in ("hivemind-exports", "lora-imports")]
    once, _ = outcomes(skip=names)  # without those two nothing can be imported
    assert {once[name] for name in names} == {"switched off"}
