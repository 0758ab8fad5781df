"""Outputs: never through a link; strings that TOML, YAML and JSON read alike."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.files import quoted, write_text
from swarmplan.scenarios.generate import to_toml

TINY = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"
ODD = ["\\", "a\\", "\U0001f600", "\x7f", "\x85", "\u2028", "\ufeff", '"', "é", "\n", "$x", "\x1b"]


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_an_output_is_not_written_through_a_link(there: bool, tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    if there:
        victim.write_text("mine")
    link.symlink_to(victim)
    with pytest.raises(ScenarioError, match="is a link, and links are not written through"):
        write_text(link, "theirs")
    assert link.is_symlink()
    assert (victim.read_text() if there else victim.exists()) == ("mine" if there else False)
    assert len(list(tmp_path.iterdir())) == 1 + there


def test_a_command_says_so_before_it_works(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "victim.json")
    words = ["plan", str(TINY), "-q", "--method", "cg-bp", "-o", str(tmp_path / "link.json")]
    done = CliRunner().invoke(main, [*words, "--force"])
    assert (done.exit_code, "is a link" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "victim.json").exists()


def test_a_text_that_no_file_can_hold_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be written"):
        write_text(tmp_path / "x", "\ud800")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ODD)
def test_odd_strings_are_read_back_by_all_three(text: str) -> None:
    shown = quoted(text)
    assert json.loads(shown) == text
    assert tomllib.loads(f"x = {shown}")["x"] == text
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    assert yaml.safe_load(f"x: {shown}")["x"] == text


def test_half_a_sign_is_replaced() -> None:
    assert tomllib.loads(f"x = {quoted(chr(0xD800))}")["x"] == "\ufffd"


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.lists(st.text(max_size=9))))
def test_a_document_of_any_names_is_read_back(document: dict[str, object]) -> None:
    for content in (document, {"table": document}, {"list": [document]}):
        assert tomllib.loads(to_toml(content)) == content
