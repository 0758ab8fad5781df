"""The check that costs have one home notices what knows too much, under whatever name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "benchmarks" / "seams.py"

#: What a module may not know, one way each.
PLANTED = {
    "a figure": "def f(server):\n    return server.block_bytes * 3\n",
    "a figure by its name": "def f(model):\n    return getattr(model, 'cache_bytes_per_token')\n",
    "a time": "def f(s):\n    return sum(s.timing.decode_base_s for _ in range(4))\n",
    "a run of one block": "def f(cost, j, b):\n    return cost.weights_bytes(j, b, b + 1)\n",
    "the first block": "def f(cost):\n    return cost.session_bytes(0, 1)\n",
    "a run taken apart": "def f(cost, j, a, b):\n    w = cost.weights_bytes(j, a, b)\n"
    "    each = w / (end - start)\n    return each\n",
    "a run by the number of blocks": "def f(cost, p, j):\n    run = cost.weights_bytes(j, 0, 9)\n"
    "    size = run\n    n = p.num_blocks\n    return size // n\n",
    "the relay mode": "def f(net):\n    return net.relay == 'server'\n",
    "the relay mode renamed": "def f(net):\n    who = net.relay\n    return who != 'client'\n",
    "the relay mode matched": "def f(net):\n    match net.relay:\n        case 'client':\n"
    "            return 1\n",
    "the relay mode looked up": "def f(net):\n    return {'client': 1, 'server': 2}[net.relay]\n",
}


def check(root: Path) -> subprocess.CompletedProcess[str]:
    """The program over a checkout."""
    command = [sys.executable, str(PROGRAM), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_costs_have_one_home() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("code", PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_found(code: str, tmp_path: Path) -> None:
    (tmp_path / "routing").mkdir()
    (tmp_path / "routing" / "planted.py").write_text(code)
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("routing/planted.py:")


def test_the_cost_model_and_the_file_layer_may_know(tmp_path: Path) -> None:
    for home in ("perfmodel", "core", "scenarios"):
        (tmp_path / home).mkdir()
        (tmp_path / home / "at_home.py").write_text("".join(PLANTED.values()))
    assert check(tmp_path).returncode == 0
