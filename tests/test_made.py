"""Pages of the site that are made: what stands in the sources stands in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swarmplan.docs.made.commands import commands_page
from swarmplan.docs.made.console import with_outputs
from swarmplan.docs.made.docstrings import module_page
from swarmplan.docs.made.schemas import schema_page

ROOT = Path(__file__).resolve().parents[1]
WORDS = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")


def test_a_command_is_shown_with_usage_options_and_defaults() -> None:
    page = commands_page()
    assert "### swarmplan plan\n" in page
    assert "swarmplan plan [OPTIONS] SCENARIO" in page
    assert "`--metric [mean|p95]`\n:   Which response time counts.  \\[default: mean\\]" in page
    assert "#### swarmplan scenario validate\n" in page


def test_a_function_is_shown_with_signature_parameters_and_errors() -> None:
    page = module_page("The library", ["swarmplan"])
    function = page.split("\n### plan\n")[1].split("\n### ")[0]
    assert "plan(\n    given: Given,\n    method: AnyMethod = 'auto',\n    *,\n" in function
    assert "- `router`: the router to plan for, in place of the method's own." in function
    assert "`NoRouteError`" in function.split("**Raises**")[1]


def test_methods_of_a_class_are_shown_without_what_is_private() -> None:
    page = module_page("Results", ["swarmplan.shown"])
    assert "#### ShownComparison.requests\n\n```python\nShownComparison.requests() -> Rows" in page
    assert "_repr_html_" not in page


def test_fields_have_their_limits_from_the_schema_and_their_meaning_from_the_page() -> None:
    page = schema_page("scenario", ROOT / "scenarios" / "scenario.schema.json", WORDS)
    servers = page.split("\n## `servers`\n")[1].split("\n## ")[0]
    (count,) = [line for line in servers.splitlines() if line.startswith("| `count` |")]
    _, _, form, default, meaning, _ = count.split("|")
    assert (form.strip(), default.strip()) == ("integer ≥ 1, ≤ 100,000", "`1`")
    assert meaning.strip() in WORDS
    assert meaning.strip()


@pytest.mark.parametrize("kind", ["scenario", "plan", "migration"])
def test_every_structure_of_a_schema_has_its_section(kind: str) -> None:
    file = ROOT / "scenarios" / f"{kind}.schema.json"
    structures = json.loads(file.read_text(encoding="utf-8"))["$defs"]
    page = schema_page(kind, file, WORDS)
    assert page.count("\n## ") == len(structures)
    assert all(f"| `{field}` |" in page for s in structures.values() for field in s["properties"])


def test_commands_of_a_page_are_run_on_its_files() -> None:
    tiny = (ROOT / "scenarios" / "tiny.toml").read_text(encoding="utf-8")
    page = f"```toml my.toml\n{tiny}```\n\n```console\n$ swarmplan scenario validate my.toml\n```\n"
    assert "$ swarmplan scenario validate my.toml\nmy.toml: valid\n" in with_outputs(page)
    with pytest.raises(RuntimeError, match=r"ended with 2: .*other\.toml"):
        with_outputs(page.replace("validate my", "validate other"))
    with pytest.raises(RuntimeError, match="only swarmplan is run"):
        with_outputs("```console\n$ rm -r x\n```\n")
