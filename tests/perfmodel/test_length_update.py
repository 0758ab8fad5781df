"""Learning from finished answers: maps of models, online quantiles, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from swarmplan.cli import main
from swarmplan.perfmodel.length.dataset import Observations, gather
from swarmplan.perfmodel.length.online import OnlineQuantiles
from swarmplan.perfmodel.length.online_files import read_online, write_online
from swarmplan.perfmodel.length.predictor import TextPredictor, load, save, shipped, train
from swarmplan.perfmodel.length.universal import adapt
from swarmplan.perfmodel.length.update import WINDOW, update, update_online


def answers(count: int, model: str, place: float, seed: int = 0) -> Observations:
    """Essays are longer than names."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        essay = bool(rng.integers(2))
        text = f"{'Write a long essay about' if essay else 'Say in one word'} item {seed} {i}"
        rows.append((text, model, int(np.exp(place + 0.5 * essay + 0.3 * rng.normal()))))
    return gather(rows)


def together(*parts: Observations) -> Observations:
    """Several sets as one, in this order."""
    return gather(
        (p.prompts[i], p.models[m], int(t))
        for p in parts
        for i, m, t in zip(p.prompt.tolist(), p.model.tolist(), p.tokens.tolist(), strict=True)
    )


def write_lines(path: Path, given: Observations) -> Path:
    """The observations as JSON Lines."""
    rows = zip(given.prompt.tolist(), given.model.tolist(), given.tokens.tolist(), strict=True)
    lines = [
        json.dumps({"prompt": given.prompts[p], "model": given.models[m], "output_tokens": t})
        for p, m, t in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained() -> TextPredictor:
    known = together(answers(120, "a", 4.0, 1), answers(120, "b", 5.0, 2))
    return train(known, "lexical").predictor


def test_a_new_model_gets_the_map_of_its_answers_and_others_keep_theirs(
    trained: TextPredictor,
) -> None:
    given = answers(30, "new", 6.0)
    found, (change,) = update(trained, given)
    u = trained.verbosity(given.prompts)[given.prompt]
    assert found.maps.models == ("a", "b", "new")
    assert (found.maps.tables[2] == adapt(trained.maps, u, given.tokens)).all()
    assert (found.maps.tables[[0, 1, 3]] == trained.maps.tables).all()
    assert (change.model, change.new, change.known) == ("new", 30, 30)
    said = found(["Say in one word x", "Say in one word x"], ["new", "never seen"])
    assert said.at(0.5)[0] == pytest.approx(np.exp(6.0), rel=0.35)
    assert said.at(0.5)[1] == trained(["Say in one word x"], ["z"]).at(0.5)[0]
    assert "new" not in trained.maps.models


def test_prompts_of_the_training_teach_as_if_they_were_new() -> None:
    """Lengths are chance: what was fitted to them must not look as if it foretold them."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{rng.integers(10**9)} {rng.integers(10**9)}", int(np.exp(5.0 + rng.normal())))
        for _ in range(200)
    ]
    predictor = train(gather((p, "a", t) for p, t in rows), "lexical").predictor
    same = gather((p, "new", t) for p, t in rows[:60])
    said = predictor.verbosity(same.prompts)
    assert np.corrcoef(said, np.log(same.tokens))[0, 1] > 0.2
    fair = predictor.fair_verbosity(same.prompts)
    assert np.corrcoef(fair, np.log(same.tokens))[0, 1] < 0.1
    assert predictor.fair_verbosity(["new one"]) == predictor.verbosity(["new one"])
    found, _ = update(predictor, same)
    fresh = [f"{rng.integers(10**9)} {rng.integers(10**9)}" for _ in range(2_000)]
    tokens = np.exp(5.0 + rng.normal(size=2_000)).astype(np.int64)
    over = (tokens > found(fresh, ["new"] * 2_000).at(0.95)).mean()
    assert over == pytest.approx(0.05, abs=0.03)


def test_two_updates_teach_a_new_model_what_one_does(trained: TextPredictor) -> None:
    first, second = answers(15, "new", 6.0, 3), answers(15, "new", 6.0, 4)
    other = answers(10, "other", 3.0, 5)
    once, _ = update(trained, together(first, second))
    half, _ = update(trained, together(first, other))
    twice, changes = update(half, second)
    assert twice.maps.tables[twice.maps.row("new")] == pytest.approx(once.maps.tables[2])
    assert changes[0].known == 30
    row = half.maps.row("other")
    assert (twice.maps.tables[row] == half.maps.tables[row]).all()


def test_a_trained_model_is_moved_by_the_weight_of_its_new_answers(trained: TextPredictor) -> None:
    prompt = ["Say in one word item", "Write a long essay about item"]
    before = np.log(trained(prompt, ["a", "a"]).at(0.5))
    shift = []
    for count in (30, 120, 1_000):
        found, (change,) = update(trained, answers(count, "a", 5.0, 7))
        shift.append((np.log(found(prompt, ["a", "a"]).at(0.5)) - before).mean())
        assert change.known == 120 + count
        assert len(found.finished) == 0
    assert shift[0] == pytest.approx(30 / 150, abs=0.08)
    assert shift[1] == pytest.approx(0.5, abs=0.1)
    assert shift[2] == pytest.approx(1_000 / 1_120, abs=0.12)


def test_the_newest_answers_are_remembered(trained: TextPredictor) -> None:
    found, _ = update(trained, answers(WINDOW, "new", 3.0, 8))
    found, (change,) = update(found, answers(WINDOW, "new", 6.0, 9))
    assert change.known == len(found.finished) == WINDOW
    assert change.after[3] == pytest.approx(np.exp(6.25), rel=0.15)


def test_an_updated_predictor_survives_its_file_and_learns_on(
    trained: TextPredictor, tmp_path: Path
) -> None:
    found, _ = update(trained, answers(30, "new", 6.0))
    save(found, tmp_path / "p")
    again = load(tmp_path / "p")
    assert again.finished.tokens.tolist() == found.finished.tokens.tolist()
    more = answers(5, "new", 6.0, 6)
    one, two = update(found, more)[0], update(again, more)[0]
    assert two.maps.tables == pytest.approx(one.maps.tables, abs=1e-4)


def test_online_quantiles_survive_their_file_and_go_on_alike(tmp_path: Path) -> None:
    online = OnlineQuantiles()
    given = together(answers(300, "a", 4.0), answers(25, "b", 6.0))
    update_online(online, given)
    online.observe("text", 50, shipped()(["Say yes."], ["text"]))
    write_online(online, tmp_path / "o")
    again = read_online(tmp_path / "o")
    write_online(again, tmp_path / "o2")
    assert (tmp_path / "o").read_bytes() == (tmp_path / "o2").read_bytes()
    for tokens in (10, 400, 90):
        for model in ("a", "b", "text", "none"):
            one, two = online.predict(model).tokens, again.predict(model).tokens
            assert two == pytest.approx(one, rel=1e-5)
            online.observe(model, tokens)
            again.observe(model, tokens)
    assert again.coverage("a") == online.coverage("a")
    assert again.count("b") == 28


def test_no_answers_at_all_are_a_file_too(tmp_path: Path) -> None:
    write_online(OnlineQuantiles(), tmp_path / "o")
    assert not read_online(tmp_path / "o").known
    assert OnlineQuantiles().predict_each([]).tokens.shape == (0, 8)


def run(*words: object) -> tuple[int, str, str]:
    """Exit code, standard output and error of ``swarmplan length``."""
    result = CliRunner().invoke(main, ["length", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_updates_a_predictor_and_says_what_changed(
    trained: TextPredictor, tmp_path: Path
) -> None:
    known, seen = tmp_path / "p", write_lines(tmp_path / "s.jsonl", answers(30, "new", 6.0))
    save(trained, known)
    code, out, err = run("update", known, seen, "-o", tmp_path / "q", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["models"]
    assert (row["model"], row["new_answers"], row["answers"]) == ("new", 30, 30)
    assert row["q50_before"] < row["q50_after"] < row["q95_after"]
    assert load(tmp_path / "q").maps.models == ("a", "b", "new")
    assert load(known).maps.models == ("a", "b")
    code, out, _ = run("update", tmp_path / "q", seen, "-o", tmp_path / "r")
    assert (code, "new\t30\t60" in out) == (0, True)


def test_the_command_begins_and_continues_online_quantiles(tmp_path: Path) -> None:
    seen = write_lines(tmp_path / "s.jsonl", answers(40, "m", 5.0))
    assert run("update", "online", seen, "-o", tmp_path / "o")[0] == 0
    assert run("update", tmp_path / "o", seen, "-o", tmp_path / "o2")[0] == 0
    assert read_online(tmp_path / "o2").count("m") == 80
    code, out, _ = run(
        *("predict", "--predictor", tmp_path / "o2", "--prompt", "x", "--model", "m", "--json")
    )
    (said,) = json.loads(out)["predictions"]
    assert (code, said["q50"]) == (0, round(read_online(tmp_path / "o2").predict("m").at(0.5)[0]))


def test_the_command_begins_from_the_shipped_predictor(tmp_path: Path) -> None:
    seen = write_lines(tmp_path / "s.jsonl", answers(30, "m", 5.0))
    code, _, err = run("update", "shipped", seen, "-o", tmp_path / "p")
    assert code == 0, err
    assert "m" in load(tmp_path / "p").maps.models


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("nowhere", "nowhere: is no file: name one, or give the word shipped or online"),
        ("s.jsonl", "is no file that swarmplan length wrote"),
    ],
)
def test_the_command_refuses_what_is_no_predictor(
    known: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "s.jsonl", answers(5, "m", 5.0))
    write_lines(tmp_path / "t.jsonl", answers(5, "m", 5.0))
    code, _, err = run("update", known, "t.jsonl", "-o", "q")
    assert code == 2
    assert said in err
    assert not (tmp_path / "q").exists()


def test_the_command_never_overwrites_its_inputs_nor_what_is_not_its_own(
    trained: TextPredictor, tmp_path: Path
) -> None:
    known, seen = tmp_path / "p", write_lines(tmp_path / "s.jsonl", answers(30, "new", 6.0))
    save(trained, known)
    (tmp_path / "letter").write_text("Dear friend")
    for target in (known, seen, tmp_path / "letter"):
        content = target.read_bytes()
        assert run("update", known, seen, "-o", target)[0] == 2
        assert target.read_bytes() == content
    assert run("update", known, seen, "-o", known, "--force")[0] == 0
    assert load(known).maps.models == ("a", "b", "new")
