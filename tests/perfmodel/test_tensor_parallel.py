"""Several GPUs that share blocks: against measured groups, and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmplan import api
from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import Timing
from swarmplan.perfmodel.devices import device
from swarmplan.perfmodel.tensor_parallel import shared_among
from swarmplan.perfmodel.timing import decode_s, prefill_s
from swarmplan.scenarios.scenario import Scenario, scenario_of
from swarmplan.swarm.launch import LaunchOptions, launch_files


def test_one_gpu_is_as_it_is_and_several_share_the_work() -> None:
    one = Timing(
        decode_base_s=4e-3,
        decode_per_context_token_s=1e-6,
        decode_floor_s=1e-3,
        prefill_per_token_s=2e-5,
        step_curve=((8.0, 2e-3),),
    )
    assert shared_among(one, 1) is one
    four = shared_among(one, 4, 0.5e-3)
    assert four.decode_base_s == pytest.approx(1.5e-3)
    assert four.decode_floor_s == pytest.approx(1.5e-3)
    assert four.decode_per_context_token_s == pytest.approx(0.25e-6)
    assert four.step_curve == ((8.0, 0.5e-3),)
    assert 4 > one.prefill_per_token_s / four.prefill_per_token_s > 2


@pytest.mark.parametrize("gpu", ["A100-80GB", "H100-80GB"])
def test_groups_of_four_and_eight_follow_from_two_as_measured(gpu: str) -> None:
    """From the pair, whose work is twice what is left without the exchange."""
    two, *more = (device(f"{gpu}x{n}/Llama-2-70B").timing for n in (2, 4, 8))
    assert isinstance(two, Timing)
    for count, measured in zip((4, 8), more, strict=True):
        assert isinstance(measured, Timing)
        work_s = 2 * (decode_s(two, 1_000) - 0.4e-3)
        told_s = work_s / count + 0.4e-3
        assert told_s == pytest.approx(decode_s(measured, 1_000), rel=0.25)
        gain = float(prefill_s(two, 4_000)) / float(prefill_s(measured, 4_000))
        assert gain == pytest.approx(1.55 ** {4: 1, 8: 2}[count], rel=0.25)


def scenario(**figures: Any) -> Scenario:
    raw = {
        "format": "swarmplan/scenario/1",
        "name": "group",
        "model": {"name": "Llama-3.1-8B", "quantisation": "bf16"},
        "devices": {"group": {"profile": "RTX4090", "gpus": 2, **figures},
                    "one": {"profile": "RTX4090"}},
        "servers": [{"id": n, "device": n, "lat": 50, "lon": 8} for n in ("group", "one")],
        "clients": [{"id": "me", "lat": 50, "lon": 8}],
        "workload": {"streams": [{"client": "me", "rate_per_s": 0.1, "prompt_tokens": 100,
                                  "output_tokens": 50}]},
    }  # fmt: skip
    return scenario_of(raw, Path("group.toml"))


def test_a_group_is_one_server_with_the_memory_of_all() -> None:
    loaded = scenario()
    group, one = loaded.problem.servers
    assert group.memory_bytes == 2 * one.memory_bytes
    assert group.gpus == 2
    assert group.validity.origin == "estimated"
    assert scenario(memory_gb=20).problem.servers[0].memory_bytes == 40 * 10**9
    made = api.plan(loaded, "cg-bp", sessions=1)
    for file in launch_files(made, loaded, LaunchOptions(model="m")):
        shares = file.command[file.command.index("--tensor_parallel_devices") + 1 :][:2] if (
            "--tensor_parallel_devices" in file.command) else ()  # fmt: skip
        assert shares == (("cuda:0", "cuda:1") if file.server == "group" else ())
        assert f"count: {2 if file.server == 'group' else 1}" in file.compose


@pytest.mark.parametrize(
    ("figures", "field"),
    [
        ({"profile": "A100-80GBx4/Llama-2-70B"}, "devices.group.gpus"),
        ({"gpus": 1, "sync_ms": 0.2}, "devices.group.sync_ms"),
        ({"gpus": 65}, "devices.group.gpus"),
    ],
)
def test_what_is_wrong_of_a_group_is_named(figures: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(**figures)
    assert [p.path for p in caught.value.problems] == [field]
