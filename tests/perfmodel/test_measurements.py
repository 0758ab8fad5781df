"""Tables of measurements and PETALS' throughput file: what is read, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarmplan.core.errors import CalibrationError
from swarmplan.perfmodel.measurements import (
    HopMeasurement,
    Measurement,
    PetalsRates,
    read_measurements,
    read_petals_rates,
)

HEADER = "phase,prompt_tokens,context_tokens,batch,ms_per_block\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gpu.csv"


def test_every_row_is_one_step_of_one_block(path: Path) -> None:
    path.write_text(
        "batch, phase ,note,ms_per_block,context_tokens,prompt_tokens\n"
        "2,prefill,a,1.5,0,16\n , \n,prefill,b,2,,1\n4,decode,c,0.5,0,\n1,decode,d,0.5,7,9\n"
    )
    assert read_measurements(path) == (
        Measurement(phase="prefill", tokens=16, batch=2, seconds=0.0015),
        Measurement(phase="prefill", tokens=1, batch=1, seconds=0.002),
        Measurement(phase="decode", tokens=0, batch=4, seconds=0.0005),
        Measurement(phase="decode", tokens=7, batch=1, seconds=0.0005),
    )


HOPS = "phase,prompt_tokens,context_tokens,batch,ms_per_block,clients,blocks,tasks,rtt_ms,ms\n"


def test_rows_of_hops_tell_what_clients_saw(path: Path) -> None:
    path.write_text(HOPS + "step,,64,,,4,8,,20,250\nfirst,200,,,,,8,8,0,300\n")
    assert read_measurements(path) == (
        HopMeasurement(
            what="step", tokens=64, clients=4, blocks=8, tasks=1, rtt_s=0.02, seconds=0.25
        ),
        HopMeasurement(
            what="first", tokens=200, clients=1, blocks=8, tasks=8, rtt_s=0.0, seconds=0.3
        ),
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("step,,64,,,4,,,20,250", "2:blocks: must be a whole number, got ''"),
        ("step,,64,,,0,8,,20,250", "2:clients: must lie in 1"),
        ("step,,64,,,4,8,8,20,250", "2:tasks: a step is 1 task, a prompt 1 or 8, got 8"),
        ("first,200,,,,,8,4,20,250", "2:tasks: a step is 1 task, a prompt 1 or 8, got 4"),
        ("first,200,,,,2,8,8,20,250", "2:clients: first tokens are measured with one client"),
        ("first,0,,,,,8,8,20,250", "2:prompt_tokens: must lie in 1"),
        ("step,,64,,,4,8,,-1,250", "2:rtt_ms: must be a number, 0 or more, of milliseconds"),
        ("step,,64,,,4,8,,20,0", "2:ms: must be a positive number of milliseconds"),
    ],
)
def test_a_row_of_a_hop_that_makes_no_sense_is_named(path: Path, row: str, message: str) -> None:
    path.write_text(HOPS + row)
    with pytest.raises(CalibrationError) as caught:
        read_measurements(path)
    assert str(caught.value).startswith(f"gpu.csv:{message}")


@pytest.mark.parametrize("row", ["prefill,1000000000,,1000000000,1e9", "decode,,0000000000,1,1e-9"])
def test_figures_at_their_limits_are_read(path: Path, row: str) -> None:
    path.write_text(HEADER + row)
    assert len(read_measurements(path)) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("prefill,0,,1,1", "2:prompt_tokens: must lie in 1 .. 1000000000, got 0"),
        ("prefill,1000000001,,1,1", "2:prompt_tokens: must lie in 1 .. 1000000000"),
        ("prefill,00000000001,,1,1", "2:prompt_tokens: must be a whole number"),
        ("prefill,,,1,1", "2:prompt_tokens: must be a whole number, got ''"),
        ("prefill,²,,1,1", "2:prompt_tokens: must be a whole number"),
        ("prefill,1,1,1,1", "2:context_tokens: prefill is measured with an empty cache"),
        ("decode,1,,1,1", "2:context_tokens: must be a whole number, got ''"),
        ("decode,,1,0,1", "2:batch: must lie in 1"),
        ("decode,,1,1,0.9e-9", "2:ms_per_block: must be a positive number"),
        ("decode,,1,1,1.01e9", "2:ms_per_block: must be a positive number"),
        ("decode,,1,1,soon", "2:ms_per_block: must be a positive number"),
        ('decode,,1,1,"1', "2: unexpected end of data"),
        ("both,1,1,1,1", "2:phase: must be prefill, decode, verify, step or first, got 'both'"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(path: Path, row: str, message: str) -> None:
    path.write_text(HEADER + row)
    with pytest.raises(CalibrationError) as caught:
        read_measurements(path)
    assert str(caught.value).startswith(f"gpu.csv:{message}")


@pytest.mark.parametrize(("wrong", "tail"), [(20, []), (21, ["and 1 more"]), (45, ["and 25 more"])])
def test_of_very_many_defects_twenty_are_told(path: Path, wrong: int, tail: list[str]) -> None:
    path.write_text(HEADER + "prefill,0,,1,1\n" * wrong)
    with pytest.raises(CalibrationError) as caught:
        read_measurements(path)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines[:20]] == [str(n) for n in range(2, 22)]
    assert lines[20:] == tail


RATES = {"forward_rps": 2_000, "inference_rps": 200.5, "network_rps": 500}


def test_the_entry_with_rates_is_the_one_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "throughput.json"
    path.write_text(json.dumps({"version": 3, "odd": {"forward_rps": 9}, "A100": RATES}))
    assert read_petals_rates(path, "mine") == PetalsRates(
        key="A100", forward_rps=2_000.0, inference_rps=200.5, network_rps=500.0
    )


def test_of_several_entries_the_name_selects_one(tmp_path: Path) -> None:
    path = tmp_path / "throughput.json"
    entries = {"dev_A100_x": RATES, "dev_T4_y": {**RATES, "network_rps": None}}
    path.write_text(json.dumps(entries))
    assert read_petals_rates(path, "t4").network_rps is None
    for name, found in (("mine", "dev_A100_x, dev_T4_y"), ("dev", "dev_A100_x, dev_T4_y")):
        with pytest.raises(CalibrationError, match=f"found: {found};"):
            read_petals_rates(path, name)
    path.write_text("{}")
    with pytest.raises(CalibrationError, match="found: none;"):
        read_petals_rates(path, "t4")


@pytest.mark.parametrize("field", list(RATES))
@pytest.mark.parametrize("value", ["3", True, 0, -1, 1e-9, 1e15, float("nan"), float("inf"), []])
def test_a_rate_that_is_no_positive_number_is_refused(
    tmp_path: Path, field: str, value: Any
) -> None:
    path = tmp_path / "throughput.json"
    path.write_text(json.dumps({"A100": {**RATES, field: value}}))
    with pytest.raises(CalibrationError, match=rf"A100\.{field} must be a positive number"):
        read_petals_rates(path, "A100")
