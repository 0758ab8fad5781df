"""Length prediction in plain numpy: features, ridge, maps, files, evaluation, the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from swarmplan.cli import main
from swarmplan.core.errors import CalibrationError
from swarmplan.perfmodel.length.dataset import (
    Observations,
    gather,
    grouped_splits,
    sampled,
)
from swarmplan.perfmodel.length.distribution import LEVELS, LengthQuantiles, safe_quantiles
from swarmplan.perfmodel.length.evaluate import evaluate, unseen
from swarmplan.perfmodel.length.features import HASHED, LEXICAL, hashed, lexical, normalised
from swarmplan.perfmodel.length.metrics import kendall, score
from swarmplan.perfmodel.length.predictor import load, save, shipped, shipped_line, train
from swarmplan.perfmodel.length.reading import read_observations
from swarmplan.perfmodel.length.ridge import fit_ridge, fit_scaling
from swarmplan.perfmodel.length.store import read_arrays, write_arrays
from swarmplan.perfmodel.length.universal import adapt, fit_maps, verbosity

WORDS = ("write", "essay", "capital", "list", "river", "python", "name", "story", "short", "why")


def observations(prompts: int = 160, models: int = 4, seed: int = 0) -> Observations:
    """Answers whose length depends on two words of the prompt, on the model, and on chance."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(prompts):
        chosen = rng.choice(len(WORDS), 3, replace=False)
        text = " ".join(WORDS[c] for c in chosen) + f" number {i}"
        u = 1.0 * (0 in chosen) + 0.8 * (7 in chosen) - 1.2 * (8 in chosen)
        for m in range(models):
            y = 4.0 + 0.5 * m + (0.4 + 0.1 * m) * u + 0.25 * rng.normal()
            rows.append((text, f"m{m}", int(np.exp(y))))
    return gather(rows)


@pytest.fixture(scope="module")
def seen() -> Observations:
    return observations()


def write_lines(path: Path, given: Observations) -> Path:
    """The observations as JSON Lines."""
    lines = [
        json.dumps({"prompt": given.prompts[p], "model": given.models[m], "output_tokens": int(t)})
        for p, m, t in zip(given.prompt, given.model, given.tokens, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200))
def test_any_text_has_finite_features_that_depend_on_it_alone(text: str) -> None:
    table = lexical([text, text])
    assert table.shape == (2, LEXICAL)
    assert np.isfinite(table).all()
    assert (table[0] == table[1]).all()
    words = hashed([text])
    assert words.shape == (1, HASHED)
    assert np.sqrt((words**2).sum()) <= 1.0 + 1e-9


def test_equal_prompts_are_one_whatever_their_case_spacing_and_unicode_form() -> None:
    found = gather([("Hello  World", "a", 1), ("hello world\n", "b", 2), ("ﬁne", "a", 3)])
    assert len(found.prompts) == 2
    assert found.prompt.tolist() == [0, 0, 1]
    assert normalised("ﬁne") == "fine"


def test_a_prompt_is_on_one_side_of_every_split() -> None:
    for inside, outside in grouped_splits(101, 5, seed=3):
        assert sorted([*inside, *outside]) == list(range(101))
        assert len(outside) == 20
    assert grouped_splits(50, 1, 0)[0][1].tolist() == grouped_splits(50, 1, 0)[0][1].tolist()


def test_choosing_prompts_keeps_each_observation_with_its_prompt(seen: Observations) -> None:
    part = seen.of_prompts(np.array([5, 2]))
    for p, m, t in zip(part.prompt, part.model, part.tokens, strict=True):
        at = (seen.prompt == seen.prompts.index(part.prompts[p])) & (seen.model == m)
        assert seen.tokens[at].tolist() == [t]
    assert len(sampled(seen, 7, 0).prompts) == 7
    assert sampled(seen, 1_000, 0) is seen


def test_left_out_predictions_are_those_of_a_fit_without_the_row() -> None:
    rng = np.random.default_rng(0)
    table, weights = rng.normal(size=(30, 5)), rng.uniform(0.5, 2.0, 30)
    target = table @ rng.normal(size=5) + rng.normal(size=30)
    found = fit_ridge(table, target, weights, penalties=(1e-6,))
    for i in (0, 7, 29):
        rest = np.arange(30) != i
        root = np.sqrt(weights[rest])[:, None]
        design = np.column_stack([table[rest], np.ones(29)]) * root
        line = np.linalg.lstsq(design, target[rest] * root[:, 0], rcond=None)[0]
        assert found.left_out[i] == pytest.approx(line[:5] @ table[i] + line[5], rel=1e-3)


@pytest.mark.parametrize("shape", [(40, 8), (20, 60)])
def test_the_ridge_solves_its_normal_equations(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    table, target = rng.normal(size=shape), rng.normal(size=shape[0])
    found = fit_ridge(table, target, penalties=(0.1,))
    centred = table - table.mean(axis=0)
    values = np.linalg.eigvalsh(centred @ centred.T)
    values = values[values > values[-1] * 1e-10]
    penalty = 0.1 * values.sum() / min(shape)
    left = centred.T @ centred + penalty * np.eye(shape[1])
    expected = np.linalg.solve(left, centred.T @ (target - target.mean()))
    assert found.weights == pytest.approx(expected, abs=1e-8)


def test_blocks_get_their_share_of_the_variance_and_constant_columns_none() -> None:
    rng = np.random.default_rng(2)
    wide = np.column_stack([rng.normal(size=(50, 9)) * 100, np.ones(50)])
    narrow = rng.normal(size=(50, 3))
    scaled = fit_scaling([wide, narrow], [1.0, 0.25])(np.column_stack([wide, narrow]))
    assert scaled[:, :10].var(axis=0).sum() == pytest.approx(1.0)
    assert scaled[:, 10:].var(axis=0).sum() == pytest.approx(0.25)
    assert (scaled[:, 9] == 0).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 400), st.integers(0, 10))
def test_safe_quantiles_are_order_statistics_that_cover_the_next_draw(n: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n)
    found = safe_quantiles(values)
    assert np.isin(found, values).all()
    assert (np.diff(found) >= 0).all()
    for level, value in zip(LEVELS, found, strict=True):
        below = int((values <= value).sum())
        assert below >= min(n, level * (n + 1) - 1e-9)


def test_levels_between_the_stated_ones_are_interpolated() -> None:
    said = LengthQuantiles(tokens=np.array([[10.0, 20, 30, 50, 70, 90, 100, 140]]))
    assert said.at(0.5)[0] == 50
    assert said.at(0.925)[0] == pytest.approx(95)
    assert said.at(0.0)[0] == 10
    assert said.at(1.0)[0] == 140
    assert 10 < said.mean()[0] < 140
    assert said.whole(0.975).tolist() == [125]


def test_maps_are_monotone_in_the_verbosity_and_in_the_level(seen: Observations) -> None:
    label, _ = verbosity(seen)
    maps = fit_maps(seen, label[seen.prompt])
    assert (np.diff(maps.tables, axis=1) >= -1e-12).all()
    assert (np.diff(maps.tables, axis=2) >= -1e-12).all()
    grid = np.linspace(-4, 4, 50)
    said = maps(grid, np.zeros(50, dtype=np.int64)).tokens
    assert (np.diff(said, axis=0) >= -1e-9).all()
    assert maps.row("m1") == 1
    assert maps.row("another") == len(maps.models)


def test_a_new_model_needs_few_observations(seen: Observations) -> None:
    label, _ = verbosity(seen)
    known = seen.of_models(np.array([0, 1, 2]))
    maps = fit_maps(known, label[known.prompt])
    new = np.flatnonzero(seen.model == 3)
    truth = seen.tokens[new]
    for count, bound in ((0, np.inf), (25, 0.8)):
        table = adapt(maps, label[seen.prompt[new[:count]]], truth[:count])
        said = maps.of_table(label[seen.prompt[new]], table)
        error = np.abs(said.at(0.5) - truth)[25:].mean()
        constant = np.abs(np.median(truth) - truth)[25:].mean()
        assert error < bound * constant
        assert (np.diff(table, axis=0) >= -1e-12).all()


def test_training_finds_what_the_lengths_depend_on_and_repeats_itself(seen: Observations) -> None:
    first, again = train(seen, "lexical", seed=1), train(seen, "lexical", seed=1)
    assert first.predictor.line.bias == again.predictor.line.bias
    other = observations(80, seed=9)
    said = first.predictor(
        [other.prompts[p] for p in other.prompt], [other.models[m] for m in other.model]
    )
    base = first.predictor.maps.without_text(other.model)
    found = score(said, base, other.model, other.tokens)
    assert found.mae_ratio < 0.75
    assert found.tau > 0.5
    assert 0.0 < found.overflow_95 < 0.12


def test_a_predictor_survives_its_file_and_the_file_is_the_same_each_time(
    seen: Observations, tmp_path: Path
) -> None:
    fitted = train(seen, "lexical", card={"name": "test"}).predictor
    save(fitted, tmp_path / "a")
    save(fitted, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load(tmp_path / "a")
    texts, models = ["write a story about it", "short capital"], ["m2", "unknown"]
    assert loaded(texts, models).tokens == pytest.approx(fitted(texts, models).tokens, rel=1e-4)
    assert loaded.card["name"] == "test"
    assert len(unseen(seen, loaded).prompts) == 0


def test_a_prior_is_folded_into_the_line(seen: Observations) -> None:
    prior = shipped_line("lexical")
    assert prior is not None
    fitted = train(seen, "lexical", prior=prior)
    assert len(fitted.predictor.line.weights) == LEXICAL + HASHED
    assert fitted.predictor.prior is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:50],
        lambda raw: b"",
        lambda raw: raw.replace(b"swarmplan/length/2", b"swarmplan/length/9"),
        lambda raw: raw.replace(b'"F32"', b'"F64"'),
        lambda raw: raw.replace(b"maps.tables", b"maps.tablet"),
        lambda raw: raw.replace(b'lexical\\"', b'something\\"'),
        lambda raw: raw[:-9],
    ],
)
def test_a_damaged_file_is_refused(seen: Observations, tmp_path: Path, damage: object) -> None:
    path = tmp_path / "p"
    save(train(seen, "lexical").predictor, path)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CalibrationError):
        load(path)


def test_arrays_survive_their_file_in_every_type(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([], dtype=np.int64),
        "c": np.array([1.5], dtype=np.float16),
    }
    write_arrays(tmp_path / "x", arrays, {"note": "é"})
    found, card = read_arrays(tmp_path / "x")
    assert card["note"] == "é"
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert (found[name] == array).all()


def test_the_shipped_predictor_needs_no_encoder_and_orders_plain_cases() -> None:
    predictor = shipped()
    assert predictor.kind == "lexical"
    assert "Apache-2.0" in predictor.card["trained_on"]
    said = predictor(["Write a 2000 word essay on trade.", "What is 2+2?"], ["x", "x"])
    assert said.at(0.5)[0] > said.at(0.5)[1]


def test_kendall_counts_pairs() -> None:
    assert kendall(np.array([1.0, 2, 3]), np.array([10.0, 20, 30])) == (1.0, 1.0)
    assert kendall(np.array([3.0, 2, 1]), np.array([10.0, 20, 30])) == (-1.0, 0.0)
    tau, pairwise = kendall(np.array([1.0, 1, 2]), np.array([1.0, 2, 3]))
    assert tau == pytest.approx(2 / np.sqrt(2 * 3))
    assert pairwise == pytest.approx(2.5 / 3)
    assert kendall(np.ones(3), np.ones(3)) == (0.0, 0.5)


def test_the_evaluation_beats_the_constant_where_there_is_something_to_learn(
    seen: Observations,
) -> None:
    rows = {r.method: r for r in evaluate(seen, shipped=shipped(), splits=2)}
    assert list(rows) == ["constant", "shipped", "lexical"]
    assert rows["constant"].mean("mae_ratio") == 1.0
    assert rows["lexical"].mean("mae_ratio") < 0.8
    assert rows["lexical"].spread("tau") >= 0.0
    with pytest.raises(CalibrationError, match="too few"):
        evaluate(observations(10))


def test_the_command_trains_judges_and_predicts(seen: Observations, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "seen.jsonl", seen)
    model = tmp_path / "m.safetensors"
    run = CliRunner().invoke
    made = run(main, ["length", "train", str(path), "-o", str(model), "--kind", "lexical"])
    assert made.exit_code == 0, made.output
    judged = run(main, ["length", "evaluate", str(path), "--splits", "1", "--no-encoder", "--json"])
    assert judged.exit_code == 0, judged.output
    methods = json.loads(judged.stdout)["methods"]
    assert methods["lexical"]["mae_ratio"]["mean"] < 0.85
    told = run(
        main,
        ["length", "predict", "--predictor", str(model), "--prompt", "a story", "--model", "m3"],
    )
    assert told.exit_code == 0, told.output
    assert "q95" in told.stdout
    assert run(main, ["length", "predict"]).exit_code == 2


def test_csv_is_read_and_bad_lines_are_named(tmp_path: Path) -> None:
    good = tmp_path / "a.csv"
    good.write_text('prompt,model,output_tokens\n"Hi, you\nthere",m,5\nBye,m,7\n')
    found = read_observations(good)
    assert found.tokens.tolist() == [5, 7]
    bad = tmp_path / "b.jsonl"
    bad.write_text('{"prompt": "a", "model": "m", "output_tokens": 3}\nnonsense\n{"prompt": 3}\n')
    with pytest.raises(CalibrationError, match=r"line 2.*\n.*line 3"):
        read_observations(bad)
    for value in ('"x"', "-1", "1.5", "true", "1e400"):
        bad.write_text(f'{{"prompt": "a", "model": "m", "output_tokens": {value}}}\n')
        with pytest.raises(CalibrationError):
            read_observations(bad)
    run = CliRunner().invoke(main, ["length", "evaluate", str(bad)])
    assert run.exit_code == 2
