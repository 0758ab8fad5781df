"""Workloads of a file: traces, token counts, predictions."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios import schema
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.scenarios.workload import _lengths

TINY = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"


def with_trace(tmp_path: Path, csv: str, extra: str = "") -> Path:
    (tmp_path / "trace.csv").write_text(csv)
    head, _, rest = TINY.read_text().partition("[[workload.streams]]")
    tail = rest[rest.index("[[clients]]") :]
    path = tmp_path / "scenario.toml"
    path.write_text(f'{head}[workload.trace]\ncsv = "trace.csv"\n{extra}\n{tail}')
    return path


def test_a_trace_in_the_published_azure_form_is_read(tmp_path: Path) -> None:
    csv = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
        "2023-11-16 18:17:03.9799600,48,10\r\n"
        "2023-11-16 18:17:04.9799600,31,0\r\n"
        "2023-11-16 18:17:05.9799600,31,1"
    )
    scenario = load_scenario(with_trace(tmp_path, csv))
    trace = scenario.problem.workload.trace
    assert "1 of 3 requests have 0 output tokens" in scenario.warnings[0]
    assert [r.arrival_s for r in trace] == pytest.approx([0.0, 2.0])
    assert [r.prompt_tokens for r in trace] == [48, 31]
    assert [r.output_tokens for r in trace] == [10, 1]


def test_a_trace_is_scaled_to_the_wanted_rate(tmp_path: Path) -> None:
    csv = "arrival_s,prompt_tokens,output_tokens\n" + "".join(f"{i},5,5\n" for i in range(11))
    scenario = load_scenario(with_trace(tmp_path, csv, "rate_per_s = 4.0"))
    assert scenario.problem.workload.rate_per_s == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("csv", "says"),
    [
        ("a,b\n1,2\n", "no column arrival_s"),
        ("arrival_s,prompt_tokens,output_tokens\n1,x,2\n2,1,1\n", "line 2"),
        ("arrival_s,prompt_tokens,output_tokens\nnan,1,2\n2,1,1\n", "line 2"),
        ("arrival_s,prompt_tokens,output_tokens\n1,1,1\n", "fewer than two"),
    ],
)
def test_a_bad_trace_names_the_line(tmp_path: Path, csv: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        load_scenario(with_trace(tmp_path, csv))


def test_lengths_and_classes_come_from_a_packed_csv(tmp_path: Path) -> None:
    rows = "\n".join(f"{10 + i % 3 * 100},{i % 3}" for i in range(90))
    (tmp_path / "l.csv.gz").write_bytes(gzip.compress(f"tokens,said\n{rows}\n".encode()))
    given = schema.TokenFile(file="l.csv.gz", column="tokens", predicted_class="said")
    found = _lengths(given, "x", tmp_path, [], [])
    assert found.predicted is not None
    assert (found.predicted == np.array(found.values)[:, None]).all()
    with pytest.raises(ScenarioError, match="has the columns"):
        _lengths(
            schema.TokenFile(file="l.csv.gz", column="tokens", predicted_class="other"),
            "x",
            tmp_path,
            [],
            [],
        )


def test_answers_of_one_model_are_predicted_from_their_prompts(tmp_path: Path) -> None:
    lines = [
        {
            "prompt": f"{'write an essay' if i % 2 else 'say yes'} {i}",
            "model": m,
            "output_tokens": t,
        }
        for i in range(40)
        for m, t in (("a", 300 if i % 2 else 3), ("b", 7))
    ]
    (tmp_path / "o.jsonl").write_text("\n".join(map(json.dumps, lines)))
    given = schema.TokenFile(file="o.jsonl", model="a", predictor="shipped")
    found = _lengths(given, "x", tmp_path, [], [])
    assert set(found.values) == {3, 300}
    assert found.predicted is not None
    assert found.predicted.shape == (40, 8)
    with pytest.raises(ScenarioError, match="no model"):
        _lengths(schema.TokenFile(file="o.jsonl", model="c"), "x", tmp_path, [], [])
