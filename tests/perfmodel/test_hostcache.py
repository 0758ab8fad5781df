"""The gate for caches in host memory: published examples, measured figures, servers of a plan."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from swarmplan.cli import main
from swarmplan.core.problem import Timing
from swarmplan.perfmodel.hostcache import LEAST, gate, host_cache, measured_slower

ROWS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "gpu" / "own_h100.csv"
TINY = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"


@pytest.mark.parametrize(("attention", "limit"), [(0.5, 7.5), (1.0, 6.0), (1.5, 5.833)])
def test_the_gate_at_the_published_ratios(attention: float, limit: float) -> None:
    assert gate(1.0 / attention) == pytest.approx(limit, abs=5e-4)
    timing = Timing(decode_base_s=1e-3, decode_per_context_token_s=attention * 1e-6)
    found = host_cache(timing, 1.0, 1_000.0, slower=10.0)
    assert found.limit == pytest.approx(limit, abs=5e-4)
    assert not found.pays
    assert host_cache(timing, 1.0, 1_000.0, slower=5.5).pays


def test_nothing_is_known_of_a_block_without_attention() -> None:
    found = host_cache(Timing(decode_base_s=1e-3), 8.0, 1_000.0)
    assert math.isinf(found.x)
    assert math.isinf(found.limit)


def test_hosts_are_as_slow_as_measured_between_the_points() -> None:
    assert [measured_slower(n) for n, _ in LEAST] == [s for _, s in LEAST]
    assert measured_slower(0.5) == LEAST[0][1]
    assert measured_slower(100.0) == LEAST[-1][1]
    assert LEAST[1][1] < measured_slower(16.0) < LEAST[2][1]
    timing = Timing(decode_base_s=1e-3, decode_per_context_token_s=4e-8)
    assert not host_cache(timing, 32.0, 2_048.0).pays


@pytest.mark.skipif(not ROWS.is_file(), reason="the measured rows are not beside the checkout")
def test_the_table_is_that_of_the_measured_rows() -> None:
    times: dict[tuple[str, str, int, str], float] = {}
    for row in csv.DictReader(ROWS.read_text(encoding="utf-8").splitlines()):
        if row["phase"] == "attention_only":
            key = row["run"], row["model"], int(row["batch"]), row["style"]
            times[key] = float(row["ms_per_block"])
    ratios = defaultdict(list)
    for (run, model, batch, style), ms in times.items():
        if style == "host":
            ratios[batch].append(ms / times[run, model, batch, "gpu"])
    assert {b: round(min(r), 1) for b, r in ratios.items()} == {int(n): s for n, s in LEAST}


def test_the_command_tells_every_server_and_that_it_is_hypothetical() -> None:
    asked = ["whatif", str(TINY), "--host-cache", "--method", "cg-bp"]
    told = json.loads(CliRunner().invoke(main, [*asked, "--json"]).stdout)
    assert told["hypothetical"].startswith("hypothetical: PETALS keeps")
    assert told["slower_is_measured"]
    assert {s["sessions"] > 0 for s in told["servers"]} == {True}
    own = CliRunner().invoke(main, [*asked, "--host-slower", "1.5"])
    assert "as you say" in own.stdout
