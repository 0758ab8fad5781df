"""docs/files.md: its examples load, its tables name every field there is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from swarmplan import api
from swarmplan.perfmodel.calibrate import calibrate_file
from swarmplan.perfmodel.profilefile import write_profiles
from swarmplan.scenarios import schema
from swarmplan.scenarios.planfile import read_plan, write_plan
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.workload.draw import draw_requests

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(BLOCK.findall(TEXT))
#: Heading of the table -> structure of the file.
TABLES = {
    "Top level": schema.Scenario,
    "`model`": schema.Model,
    "`model.layers`": schema.Layers,
    "`devices.NAME`": schema.Device,
    "`servers`": schema.Server,
    "`clients`": schema.Client,
    "`network`": schema.Network,
    "`workload`": schema.Workload,
    "`workload.lengths`": schema.LengthKnowledge,
    "`workload.streams`": schema.Stream,
    "`workload.trace`": schema.Trace,
    "`planning`": schema.Planning,
    "`planning.budget`": schema.Budget,
    "`resilience`": schema.Resilience,
    "`events`": schema.Event,
    "Top level of a plan": schema.PlanFile,
    "`placement`": schema.PlacedServer,
    "`routes`": schema.PlanRoute,
    "`predicted`": schema.PlanPrediction,
    "`expected`": schema.PlanExpenses,
    "`certificate`": schema.PlanCertificate,
    "`certificate.objective`": schema.PlanObjective,
    "`certificate.trial`": schema.PlanTrial,
    "`candidates`": schema.PlanCandidate,
    "`speculation`": schema.Speculation,
    "`speculation.models.NAME`": schema.DraftModel,
    "`clients.speculation`": schema.ClientSpeculation,
    "`drafts`": schema.PlanDrafts,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples as files, with the profile that calibrating makes of the measurements."""
    path = tmp_path_factory.mktemp("examples")
    for name, content in EXAMPLES.items():
        (path / name).write_text(content, encoding="utf-8")
    write_profiles(
        path / "my-gpu.json", "my-gpu", [calibrate_file(path / "measured.csv", name="my-gpu")]
    )
    return path


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.endswith(".toml")])
def test_an_example_loads_without_a_warning_and_can_be_planned(folder: Path, name: str) -> None:
    scenario = load_scenario(folder / name)
    assert scenario.warnings == ()
    assert draw_requests(scenario.problem, 0)
    plan = api.plan(scenario.problem, "manual" if name == "measured.toml" else "cg-bp")
    write_plan(folder / "made.plan.json", plan, scenario)
    assert api.verify(scenario, read_plan(folder / "made.plan.json", scenario)) == ()


def test_single_pairs_come_before_the_table_of_regions(folder: Path) -> None:
    network = load_scenario(folder / "measured.toml").problem.network
    assert network.client_rtt_s.tolist() == [[0.0185, 0.0092, 0.0092], [0.002, 0.025, 0.025]]
    assert network.server_rtt_s[1].tolist() == [0.025, 0.0, 0.001]


@pytest.mark.parametrize("heading", TABLES)
def test_the_table_lists_exactly_the_fields(heading: str) -> None:
    section = TEXT.split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    fields = set(TABLES[heading].__struct_fields__)
    extra = {"`network`": {"internet", "fibre", "repetita", "measured"}}.get(heading, set())
    token_file = set(schema.TokenFile.__struct_fields__) if "streams" in heading else set()
    assert set(rows) - extra - token_file == fields


def test_the_readme_and_the_pages_link_to_files_that_exist() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_columns_of_the_request_table_are_named(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "small.toml", tmp_path)
    scenario = load_scenario(tmp_path / "small.toml")
    rows = api.simulate(scenario, requests=3).rows()
    section = TEXT.split("\n## Request table\n", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", section, re.MULTILINE))))
    assert named == set(next(rows))


def test_no_section_and_no_row_of_a_table_stands_twice() -> None:
    headings = re.findall(r"^#+ .*$", TEXT, re.MULTILINE)
    assert len(headings) == len(set(headings))
    for paragraph in TEXT.split("\n\n"):
        names = re.findall(r"^\| `([^`]+)` \|", paragraph, re.MULTILINE)
        assert len(names) == len(set(names)), paragraph[:40]
