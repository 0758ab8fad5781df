"""Drawing requests and reading traces."""

from pathlib import Path

import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import Problem
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.workload.draw import draw_requests

TINY = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"


def test_the_same_seed_draws_the_same_requests(tiny: Problem) -> None:
    assert draw_requests(tiny, 7) == draw_requests(tiny, 7)
    assert draw_requests(tiny, 7) != draw_requests(tiny, 8)


def test_another_load_scales_the_gaps_and_keeps_the_lengths(tiny: Problem) -> None:
    slow, fast = draw_requests(tiny, 3), draw_requests(tiny, 3, load_factor=2.0)
    np.testing.assert_allclose([r.arrival_s for r in slow], [2 * r.arrival_s for r in fast])
    assert [r.prompt_tokens for r in slow] == [r.prompt_tokens for r in fast]


def test_the_mean_rate_is_the_sum_of_the_streams(tiny: Problem) -> None:
    drawn = draw_requests(tiny, 1, num_requests=4_000)
    rate = (len(drawn) - 1) / (drawn[-1].arrival_s - drawn[0].arrival_s)
    # Standard error of a Poisson rate over 4000 arrivals is 1.6 %.
    assert rate == pytest.approx(tiny.workload.rate_per_s, rel=0.07)


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
        "2023-11-16 18:17:05.9799600,31,0"
    )
    trace = load_scenario(with_trace(tmp_path, csv)).problem.workload.trace
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
