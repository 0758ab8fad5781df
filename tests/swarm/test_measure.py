"""Block times measured here with PETALS' own blocks; their profile in scenarios and servers."""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.perfmodel.catalogue import architecture
from swarmplan.perfmodel.measurements import of_blocks, read_measurements
from swarmplan.perfmodel.profilefile import read_profiles
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import run_to_end
from swarmplan.tests.extras import needs

SCENARIO = """
format = "swarmplan/scenario/1"
name = "measured"
[model]
name = "tiny"
quantisation = "bf16"
num_blocks = 8
hidden_size = 64
block_mb = 0.2
[devices.here]
profile = "here.json"
memory_gb = 1
[[servers]]
id = "a"
device = "here"
region = "x"
lat = 0
lon = 0
[[clients]]
id = "c"
lat = 1
lon = 1
[[workload.streams]]
client = "c"
rate_per_s = 0.1
prompt_tokens = 128
output_tokens = 32
"""


def module() -> Any:
    """The module that needs torch and PETALS; they warn of each other at import."""
    needs("swarm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from swarmplan.swarm.needs import prepare

        prepare("server")
        return import_module("swarmplan.swarm.measure")


@pytest.fixture(scope="module")
def measured(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the table and the profile of the tiny model on this machine."""
    folder = tmp_path_factory.mktemp("measured")
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "measure", "--model"]
    command += [str(tiny_model), "--longest", "1024", "--limit", "40", "--device", "cpu"]
    command += ["--table", str(folder / "here.csv"), "-o", str(folder / "here.json")]
    began = time.monotonic()
    done = run_to_end(command, folder / "measure.log", limit_s=110, environment=QUIET)
    assert done.code == 0, done.text
    assert time.monotonic() - began < 100
    return folder


@pytest.mark.live
def test_every_kind_of_step_is_measured_and_fitted(measured: Path) -> None:
    rows = of_blocks(read_measurements(measured / "here.csv"))
    assert {m.phase for m in rows} == {"decode", "prefill", "verify"}
    assert {m.tokens for m in rows if m.phase == "prefill"} == {128, 512, 1024}
    assert {m.rows for m in rows if m.phase == "decode"} == {1, 2, 4, 8, 16, 32}
    assert {(m.precision, m.style) for m in rows} == {("bf16", "petals")}
    long = max(m.seconds for m in rows if m.phase == "prefill")
    assert long > 4 * min(m.seconds for m in rows if m.phase == "decode")
    (profile,) = read_profiles(measured / "here.json")
    assert profile.validity.prompt_tokens == (128, 1024)
    assert profile.validity.rows == (1, 32)


@pytest.mark.live
def test_a_scenario_names_the_profile_and_servers_announce_it(
    measured: Path, tiny_model: Path
) -> None:
    (measured / "s.toml").write_text(SCENARIO)
    server = load_scenario(measured / "s.toml").problem.servers[0]
    (profile,) = read_profiles(measured / "here.json")
    assert server.timing == profile.timing
    assert server.validity.origin == "measured"
    with LoopbackSwarm(folder=measured / "swarm", model=tiny_model) as swarm:
        flags = ("--profile", str(measured / "here.json"))
        swarm.start_servers([ServerSpec(name="A", blocks=(0, 8), planned=flags)])
        command = [sys.executable, "-m", "swarmplan.cli", "swarm", "inspect", "--initial-peers"]
        command += [swarm.initial_peer, "--model", str(tiny_model), "--prefix", swarm.prefix]
        command += ["-o", str(measured / "live.json")]
        done = run_to_end(command, measured / "inspect.log", limit_s=60, environment=QUIET)
        assert done.code == 0, done.text
    (kind,) = json.loads((measured / "live.json").read_text())["devices"].values()
    fifty = profile.timing.decode_base_s + 50 * profile.timing.decode_per_context_token_s
    step_s = max(profile.timing.decode_floor_s, fifty)
    assert kind["inference_rps"] == pytest.approx(1 / step_s, rel=1e-3)


def test_blocks_are_those_of_petals_and_keep_their_cache(tiny_model: Path) -> None:
    measure = module()
    config = measure._config(str(tiny_model))
    (block, *rest) = measure._blocks(config, "bf16", measure.torch.device("cpu"))
    assert len(rest) == measure.MOST_BLOCKS - 1
    assert type(block.module.module_shards[0]).__name__ == "WrappedLlamaBlock"
    point = measure.Point(phase="decode", context=5)
    assert measure._point_s([block], point, 0.0) > 0
    keys, values = block.memory_cache.tensors
    assert (keys.shape[-1], values.shape[-2]) == (6, 6)


def test_the_catalogues_models_need_no_download_and_other_families_are_refused() -> None:
    measure = module()
    for name in ("Llama-3.1-70B", "BLOOM-176B", "Falcon-40B"):
        config = measure._config(name)
        assert config.hidden_size == architecture(name).hidden_size
        assert config.num_hidden_layers == architecture(name).num_blocks
        assert config.num_key_value_groups == (
            architecture(name).heads.count // architecture(name).heads.key_value
        )
    with pytest.raises(ScenarioError, match="PETALS runs no models of the family mixtral"):
        measure._config("Mixtral-8x7B")
    with pytest.raises(ScenarioError, match="'Lama' is no model of the catalogue, folder or"):
        measure._config("Lama")
    options = measure.MeasureOptions(model="Llama-3.1-8B", precisions=("nf4",), device="cpu")
    with pytest.raises(ScenarioError, match="nf4 needs a CUDA GPU"):
        measure.measure(options, print)
