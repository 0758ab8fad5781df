"""Files of observed lengths as a newcomer brings them: refused with a mend, or judged sensibly."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from swarmplan.cli import main
from swarmplan.core.errors import CalibrationError
from swarmplan.perfmodel.length.dataset import Observations, gather
from swarmplan.perfmodel.length.distribution import LengthQuantiles
from swarmplan.perfmodel.length.features import lexical
from swarmplan.perfmodel.length.few import LONGEST
from swarmplan.perfmodel.length.metrics import score
from swarmplan.perfmodel.length.predictor import fingerprints
from swarmplan.perfmodel.length.reading import read_observations, read_prompts
from swarmplan.perfmodel.length.universal import fit_maps, standardise

WORDS = ("essay", "story", "short", "list", "river", "python", "name", "capital")


def answers(prompts: int, models: int, seed: int = 0) -> list[dict[str, Any]]:
    """One answer per prompt and model; essays and stories are long, short is short."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(prompts):
        text = " ".join(rng.choice(WORDS, 3, replace=False)) + f" {i}"
        u = ("essay" in text) + ("story" in text) - 1.5 * ("short" in text)
        for m in range(models):
            tokens = int(np.exp(4.5 + 0.4 * m + 0.5 * u + 0.3 * rng.normal()))
            found.append({"prompt": text, "model": f"m{m}", "output_tokens": tokens})
    return found


def lines(path: Path, rows: list[Any]) -> Path:
    """A JSON Lines file; texts are written as they are."""
    text = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def judged(path: Path, *more: str) -> Result:
    """``swarmplan length evaluate`` as the core alone can do it."""
    arguments = ["length", "evaluate", str(path), "--no-encoder", "--splits", "2", "-q", *more]
    return CliRunner().invoke(main, arguments)


ROW = '{"prompt": "a", "model": "m", "output_tokens": %s}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 2: is not JSON: write one object per line"),
        ('[{"prompt": "a"}]', "line 2: is a list: write one object with prompt, model"),
        ("7", "line 2: is a number: write one object"),
        ('{"model": "m", "output_tokens": 3}', "line 2: lacks prompt: give it as text"),
        ('{"prompt": ["a"], "model": "m", "output_tokens": 3}', 'line 2: prompt is ["a"]: give'),
        ('{"prompt": "a", "model": 4, "output_tokens": 3}', "line 2: model is 4: give it as text"),
        ('{"prompt": "a", "model": " ", "output_tokens": 3}', "line 2: model is empty: name"),
        ('{"prompt": "a", "model": "m"}', "line 2: lacks output_tokens: give the number"),
        (ROW % "NaN", "line 2: output_tokens is NaN: give a whole number from 0 to 10000000"),
        (ROW % "Infinity", "line 2: output_tokens is Infinity: give a whole number"),
        (ROW % "-3", "line 2: output_tokens is -3: give a whole number"),
        (ROW % "3.5", "line 2: output_tokens is 3.5: give a whole number"),
        (ROW % "true", "line 2: output_tokens is true: give a whole number"),
        (ROW % '"many"', 'line 2: output_tokens is "many": give a whole number'),
        (ROW % ("1" + 400 * "0"), "line 2: output_tokens is 1000"),
        (ROW % ("9" * 5_000), "line 2: "),
        ("[" * 100_000, "line 2: is not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_field_and_how_to_mend_it(
    line: str, said: str, tmp_path: Path
) -> None:
    path = lines(tmp_path / "a.jsonl", [{"prompt": "a", "model": "m", "output_tokens": 3}, line])
    with pytest.raises(CalibrationError) as error:
        read_observations(path)
    assert f"{path} {said}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_many_bad_lines_are_not_all_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", ["x"] * 1_000)
    with pytest.raises(CalibrationError, match="stopped after 5") as error:
        read_observations(path)
    assert len(str(error.value).splitlines()) == 6


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "has no observations: give one JSON object per line"),
        ("a.jsonl", b"\n \n", "has no observations"),
        ("a.jsonl", b"\x1f\x8b\x08\x00\xff\xfe", "is not UTF-8 text"),
        ("a.csv", b"hello,m,3\n", "line 1: a CSV file begins with the names of its columns"),
        ("a.csv", b"prompt;model;output_tokens\na;b;3\n", "has no column prompt"),
        ("a.csv", b"prompt,model,output_tokens\na,b\n", "line 2: lacks output_tokens"),
        ("a.csv", b'prompt,model,output_tokens\n"a,b,3\n', "not CSV"),
        ("a.csv", b"prompt,model,output_tokens\n", "has no observations"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    result = judged(tmp_path / name)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "cannot be read" in judged(tmp_path / "none.jsonl").output
    assert judged(tmp_path).exit_code == 2


def test_the_byte_order_mark_windows_lines_and_further_fields_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = json.dumps({"prompt": "a", "model": "m", "output_tokens": 3.0, "more": [1]})
    path.write_bytes(b"\xef\xbb\xbf" + f"{row}\r\n\r\n{row}\r\n".encode())
    assert read_observations(path).tokens.tolist() == [3, 3]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["output_tokens", "other", "model", "prompt"])
        writer.writerow(["7", "x", "m", "two\nlines, and a comma"])
    found = read_observations(tmp_path / "a.csv")
    assert (found.prompts, found.tokens.tolist()) == (("two\nlines, and a comma",), [7])


def test_prompts_take_the_model_that_is_given(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"prompt": "a"}, {"prompt": "b", "model": "m"}])
    assert read_prompts(path, "x") == [("a", "x"), ("b", "m")]
    with pytest.raises(CalibrationError, match=r"line 1: prompt is null|line 1: lacks prompt"):
        read_prompts(lines(tmp_path / "b.jsonl", [{"prompt": None}]))


def test_half_a_surrogate_pair_and_endless_prompts_are_taken(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [r'{"prompt": "\ud800 hi", "output_tokens": 3}'])
    assert read_observations(path).prompts == ("? hi",)
    assert len(fingerprints(["\ud800"])) == 1
    table = lexical(["1" + " " * 200_000 + "x", "7 words " * 100_000])
    assert np.isfinite(table).all()


def test_an_unknown_data_set_is_judged_and_the_protocol_told(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", answers(80, 3))
    result = judged(path, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert "a fifth to judge on" in said["protocol"]
    assert said["default"] == "lexical"
    assert (said["prompts"], said["models"], said["observations"]) == (80, 3, 240)
    lexical_row = said["methods"]["lexical"]
    assert lexical_row["mae_ratio"]["mean"] < 0.85
    assert lexical_row["tau"]["mean"] > 0.4
    plain = judged(path)
    assert "left out" in plain.output
    assert judged(path, "--json").stdout == result.stdout


def test_one_model_without_a_name_is_judged(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "model"} for row in answers(60, 1)]
    result = judged(lines(tmp_path / "a.jsonl", rows), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["models"] == 1


@pytest.mark.parametrize("tokens", [100, 0])
def test_answers_of_one_length_cannot_be_judged_and_are_told_so(
    tokens: int, tmp_path: Path
) -> None:
    rows = [{**row, "output_tokens": tokens} for row in answers(40, 2)]
    result = judged(lines(tmp_path / "a.jsonl", rows))
    assert result.exit_code == 2
    assert "nothing can be judged" in result.output


def test_too_few_prompts_are_told_so(tmp_path: Path) -> None:
    result = judged(lines(tmp_path / "a.jsonl", answers(10, 2)))
    assert result.exit_code == 2
    assert "at least 25" in result.output


def test_lengths_of_many_orders_stay_within_what_was_seen(tmp_path: Path) -> None:
    rows = answers(60, 2)
    for i, row in enumerate(rows):
        row["output_tokens"] = (1, 5_000, 10_000_000)[i % 3]
    result = judged(lines(tmp_path / "a.jsonl", rows), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["methods"]["lexical"]
    assert found["reserved_tokens"]["mean"] <= 10_000_000
    assert np.expm1(LONGEST) == pytest.approx(1e7)


def rare(seed: int) -> Observations:
    """400 answers of 150 models, two or three of each."""
    rng = np.random.default_rng(seed)
    place = rng.normal(5.0, 0.5, 150)
    rows = [
        (f"p{i}", f"m{m:03d}", int(np.exp(place[m] + 0.6 * rng.normal())))
        for i, m in enumerate(rng.integers(0, 150, 400).tolist())
    ]
    return gather(rows)


def test_models_seen_twice_are_calibrated_and_judged_together() -> None:
    over, n = 0.0, 0
    for seed in range(6):
        given = rare(seed)
        half = np.arange(len(given.prompts)) % 2 == 0
        inside, outside = (given.of_prompts(np.flatnonzero(h)) for h in (half, ~half))
        maps = fit_maps(inside, np.zeros(len(inside)))
        said = maps(np.zeros(len(outside)), outside.model)
        over += float((outside.tokens > said.at(0.95)).sum())
        n += len(outside)
        found = score(said, said, outside.model, outside.tokens)
        assert found.models < 10
        assert found.answers > 150
    assert 0.02 <= over / n <= 0.08


def test_few_answers_draw_a_model_to_the_average_one() -> None:
    given = gather(
        [(f"p{i}", "often", 100 + i % 7) for i in range(50)]
        + [("q", "once", 10_000), ("p1", "c", 9)]
    )
    _, mean, spread = standardise(given)
    at = given.models.index("once")
    assert np.log1p(100) < mean[at] < np.log1p(10_000) - 2.0
    assert spread[at] == pytest.approx(spread[given.models.index("c")])


def test_a_length_that_was_observed_does_not_exceed_itself() -> None:
    for tokens in range(1, 300, 7):
        given = gather([(f"p{i}", "m", tokens) for i in range(30)])
        maps = fit_maps(given, np.zeros(30))
        assert not (given.tokens > maps(np.zeros(30), given.model).at(0.95)).any()
        assert maps.without_text(np.array([0])).whole(0.95).tolist() == [tokens]


def test_models_are_not_ordered_against_each_other() -> None:
    model = np.arange(40) % 20
    base = 10.0 * (1.0 + model)
    table = np.repeat(base[:, None], 8, axis=1)
    constant = LengthQuantiles(tokens=table)
    tokens = (base * np.where(np.arange(40) < 20, 0.5, 2.0)).astype(np.int64)
    found = score(constant, constant, model, tokens)
    assert found.models == 0
    assert (found.tau, found.pairwise) == (0.0, 0.5)
