"""Models of a scenario file: by configuration, by runs of blocks, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from swarmplan import api
from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import ModelSpec, Problem, Timing
from swarmplan.perfmodel.catalogue import architecture, model_names, model_spec
from swarmplan.perfmodel.configs import read
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.gbp_cr import disjoint_chains
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.planfile import plan_document
from swarmplan.scenarios.scenario import Scenario, load_scenario, scenario_of
from swarmplan.scenarios.shipped import shipped_names, shipped_scenario
from swarmplan.views.model import model_section

CONFIG: dict[str, Any] = {
    "model_type": "gemma3_text",
    "hidden_size": 64,
    "intermediate_size": 100,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_hidden_layers": 6,
    "sliding_window": 50,
    "max_position_embeddings": 8192,
    "vocab_size": 1000,
}


def loaded(folder: Path, model: dict[str, Any], **more: Any) -> Scenario:
    document = {
        "format": "swarmplan/scenario/1",
        "name": "models",
        "model": model,
        "servers": [
            {"id": "a", "device": "A100-80GB", "memory_gb": 72, "lat": 50, "lon": 8, "count": 2}
        ],
        "clients": [{"id": "me", "lat": 48, "lon": 16}],
        "workload": {
            "streams": [
                {"client": "me", "rate_per_s": 0.1, "prompt_tokens": 100, "output_tokens": 50}
            ]
        },
        **more,
    }
    write_document(folder / "s.toml", document)
    return load_scenario(folder / "s.toml")


def problem_of(folder: Path, model: dict[str, Any], **more: Any) -> Problem:
    return loaded(folder, model, **more).problem


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return "config.json"


def test_a_configuration_says_everything(tmp_path: Path, config: str) -> None:
    problem = problem_of(tmp_path, {"config": config, "cache": "windowed"})
    model, known = problem.model, read(CONFIG)
    assert (model.name, model.num_blocks, model.hidden_size) == (tmp_path.name, 6, 64)
    assert model.blocks == known.blocks
    assert model.window_tokens == (50,) * 5 + (None,)
    assert (model.cache_bytes_per_token, model.context_tokens) == (128, 8192)
    full = problem_of(tmp_path, {"config": config, "name": "mine"}).model
    assert (full.name, full.window_tokens) == ("mine", None)
    timing = problem.servers[0].timing
    assert isinstance(timing, tuple)
    assert [t.window_tokens for t in timing] == [50.0] * 5 + [np.inf]


def test_a_changed_configuration_is_another_scenario(tmp_path: Path, config: str) -> None:
    before = loaded(tmp_path, {"config": config}).sha256
    (tmp_path / config).write_text(json.dumps({**CONFIG, "intermediate_size": 101}))
    assert loaded(tmp_path, {"config": config}).sha256 != before


@pytest.mark.parametrize(
    "name", ["DeepSeek-V3", "gpt-oss-120b", "Gemma-3-27B", "Qwen3-Next-80B-A3B"]
)
@pytest.mark.parametrize("kept", ["windowed", "full", "expanded"])
def test_the_written_section_is_the_model_of_the_catalogue(
    tmp_path: Path, name: str, kept: Any
) -> None:
    section = model_section(name, architecture(name), kept)["model"]
    made = problem_of(tmp_path, section).model
    wanted = model_spec(name, "nf4", kept)
    for field in ("block_bytes", "cache_bytes_per_token", "window_tokens", "state_bytes"):
        assert getattr(made, field) == getattr(wanted, field)
    assert (made.num_blocks, made.context_tokens) == (wanted.num_blocks, wanted.context_tokens)


def test_runs_of_own_blocks_have_their_own_weights_cache_and_times(tmp_path: Path) -> None:
    layers = [
        {"count": 2, "block_mb": 100, "cache_bytes_per_token": 10},
        {"block_mb": 900, "active_mb": 90, "window_tokens": 7, "state_bytes": 5},
        {"block_mb": 900, "active_mb": 225, "experts": 8, "experts_per_token": 2},
    ]
    given = {"name": "own", "hidden_size": 512, "layers": layers, "cache": "windowed"}
    problem = problem_of(tmp_path, given)
    model, (server, _) = problem.model, problem.servers
    assert model.block_bytes == (10**8, 10**8, 9 * 10**8, 9 * 10**8)
    assert model.cache_bytes_per_token == (10, 10, 2048, 2048)
    assert (model.window_tokens, model.state_bytes) == ((None, None, 7, None), (0, 0, 5, 0))
    assert isinstance(model.blocks, tuple)
    lump, mixed = model.blocks[2:]
    assert lump.active_parameters == pytest.approx(lump.parameters / 10, rel=1e-6)
    assert mixed.active_parameters == pytest.approx(mixed.parameters / 4, rel=1e-6)
    assert (mixed.experts, mixed.active, lump.visited(99)) == (8, 2, 0.0)
    assert isinstance(server.timing, tuple)
    assert len(set(server.timing)) == 3
    bytes_at = problem_of(tmp_path, given, servers=[
        {"id": "a", "device": "A100-80GB", "memory_gb": 72, "lat": 50, "lon": 8,
         "quantisation": "bf16"}
    ]).servers[0]  # fmt: skip
    assert bytes_at.block_bytes == tuple(round(b * 2 / (4.25 / 8)) for b in model.block_bytes)


def test_own_times_hold_for_every_block(tmp_path: Path, config: str) -> None:
    device = {"mine": {"decode_ms": 3.0, "prefill_us_per_token": 10, "memory_gb": 10}}
    servers = [{"id": "a", "device": "mine", "lat": 50, "lon": 8}]
    problem = problem_of(tmp_path, {"config": config}, devices=device, servers=servers)
    assert problem.servers[0].timing == Timing(decode_base_s=0.003, prefill_per_token_s=10 * 1e-6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({}, "model.name: is missing: name a model of the catalogue, or give config"),
        ({"config": "none.json"}, "model.config: there is no file"),
        ({"config": "bad.json"}, "model.config: bad.json: num_key_value_heads: is missing"),
        ({"config": "text.json"}, "model.config: text.json: is no JSON"),
        ({"config": "config.json", "hidden_size": 64}, "model.hidden_size: is what config.json"),
        ({"config": "config.json", "layers": [{}]}, "model.layers: is what config.json"),
        ({"name": "x", "layers": [{"block_mb": 1}]}, "model.hidden_size: is missing beside layers"),
        ({"layers": [{}], "block_mb": 1}, "model.block_mb: is what layers say (1 blocks)"),
        ({"layers": [{}], "num_blocks": 2}, "model.num_blocks: is what layers say (1 blocks)"),
        ({"layers": [{}]}, "model.layers[0].block_mb: give either block_mb or parameters"),
        ({"layers": [{"block_mb": 1, "parameters": 9}]}, "model.layers[0].block_mb: give either"),
        ({"layers": [{"block_mb": 1, "active_mb": 2}]}, "layers[0].active_mb: is more than"),
        (
            {"layers": [{"parameters": 9, "active_parameters": 8, "active_mb": 1}]},
            "layers[0].active_mb: give active_mb or active_parameters",
        ),
        ({"layers": [{"block_mb": 1, "experts": 2}]}, "experts: experts and experts_per_token"),
        (
            {"layers": [{"parameters": 9, "active_parameters": 8, "experts": 2,
                         "experts_per_token": 2}]},
            "experts_per_token: is 2 of 2",
        ),
        (
            {"layers": [{"parameters": 90, "active_parameters": 10, "experts": 3,
                         "experts_per_token": 1}]},
            "active_parameters: experts of 40 parameters do not leave 10",
        ),
        (
            {"layers": [{"block_mb": 1, "cache_bytes_per_token": 0}]},
            "cache_bytes_per_token: is 0, and so are state_bytes",
        ),
        ({"layers": [{"block_mb": 1, "count": 600}] * 2}, "model.layers: are 1200 blocks"),
    ],
)  # fmt: skip
def test_what_is_missing_or_said_twice_is_refused(
    tmp_path: Path, config: str, model: dict[str, Any], said: str
) -> None:
    bad = {k: v for k, v in CONFIG.items() if k != "num_key_value_heads"}
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    (tmp_path / "text.json").write_text("{")
    if "layers" in model and "config" not in model and model["layers"] != [{"block_mb": 1}]:
        model = {"name": "own", "hidden_size": 64, **model}
    elif "layers" in model and "config" not in model and "block_mb" in model["layers"][0]:
        model = {**model, **({} if "name" in model else {"name": "x"})}
    with pytest.raises(ScenarioError) as failure:
        loaded(tmp_path, model)
    assert said in str(failure.value)


def test_planned_sessions_longer_than_the_context_are_refused(tmp_path: Path, config: str) -> None:
    planning = {"session_tokens": 8193}
    with pytest.raises(ScenarioError, match=r"planning.session_tokens: sessions of 8,193 tokens"):
        loaded(tmp_path, {"config": config}, planning=planning)
    longer = {"config": config, "context_tokens": 8193}
    assert loaded(tmp_path, longer, planning=planning).warnings == ()


#: Methods that are quick on every shipped scenario; more than the first on up to so many servers.
METHODS, FEW = ("cg-bp", "petals", "chains"), 50


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_written_with_layers_plans_byte_for_byte_the_same(
    tmp_path: Path, name: str
) -> None:
    """`exact` where it ends by a proof, not by its limit of time."""
    shipped = shipped_scenario(name)
    raw = parse_file(shipped.path) | {"model": model_with_layers(shipped.problem.model)}
    written = scenario_of(raw, shipped.path)
    assert written.problem.model == shipped.problem.model
    methods = METHODS if shipped.problem.num_servers <= FEW else METHODS[:1]
    for method in (*methods, *(("exact",) if name == "tiny" else ())):
        was, now = (api.plan(s.problem, method, seed=0) for s in (shipped, written))
        assert plan_document(now, shipped) == plan_document(was, shipped), method
    apart = [disjoint_chains(CostModel.of(s.problem), 1) for s in (shipped, written)]
    assert apart[0].placement == apart[1].placement
    assert apart[0].chains == apart[1].chains


def model_with_layers(model: ModelSpec) -> dict[str, Any]:
    return {
        "name": model.name,
        "quantisation": model.quantisation,
        "hidden_size": model.hidden_size,
        "grouped_query": model.grouped_query,
        "layers": [
            {
                "count": model.num_blocks,
                "block_mb": model.whole_bytes / model.num_blocks / 1e6,
                "cache_bytes_per_token": int(model.mean_cache_bytes_per_token),
            }
        ],
    }


def test_every_model_of_the_catalogue_is_read(tmp_path: Path) -> None:
    for name in model_names():
        made = problem_of(tmp_path, {"name": name}).model
        assert made == model_spec(name)


def command(*args: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(main, ["scenario", "model", *map(str, args)])
    return found.exit_code, found.stdout, found.stderr


def test_a_configuration_is_shown_block_by_block(tmp_path: Path, config: str) -> None:
    code, out, _ = command(tmp_path / config, "--name", "small", "--json")
    told = json.loads(out)
    assert (code, told["name"], told["num_blocks"], told["context_tokens"]) == (0, "small", 6, 8192)
    windows, whole = told["kinds"]
    assert (windows["blocks"], whole["blocks"]) == (["0:5"], ["5:6"])
    assert (windows["window_tokens"], whole["window_tokens"]) == (50, None)
    sizes = {q: n * 6 for q, n in whole["bytes"].items()}
    assert told["all_blocks_bytes"] == sizes
    sessions = told["cache"]["windowed"]["session_bytes"]
    assert sessions["4096"] == 128 * (5 * 50 + 4096)
    assert told["cache"]["full"]["bytes_per_token"] == 6 * 128
    code, out, _ = command(tmp_path / config)
    assert code == 0
    assert f"{told['total_parameters']:,} parameters" in out


def test_a_written_section_is_part_of_a_scenario(tmp_path: Path) -> None:
    assert command("DeepSeek-V3", "-o", tmp_path / "model.toml")[0] == 0
    section = parse_file(tmp_path / "model.toml")["model"]
    servers = [{"id": "a", "device": "A100-80GB", "memory_gb": 72, "lat": 50, "lon": 8, "count": 9}]
    made = problem_of(tmp_path, section, servers=servers).model
    assert made.block_bytes == model_spec("DeepSeek-V3").block_bytes
    assert made.blocks == model_spec("DeepSeek-V3").blocks


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model_type": "mamba"}, "model_type: is 'mamba', unknown; known: bloom, cohere"),
        ({"model_type": "llama", "hidden_size": 64}, "intermediate_size: is missing"),
        ([1], "is no model configuration: expected an object"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, content: object, said: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    code, out, err = command(path)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert command(tmp_path / "none.json")[0] == 2
    assert command("no such model")[0] == 2
