"""What the page saves: the very files that the commands write."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path

from ..core.errors import SwarmplanError
from ..core.version import TOOL
from ..reports.write import report_change, report_plan
from ..scenarios.files import sealed
from ..scenarios.generate import to_toml
from ..scenarios.planfile import plan_document
from ..scenarios.scenario import Scenario
from ..studies.change import Change
from ..studies.document import Document
from ..swarm.launch import LaunchOptions, launch_files, write_launch_files
from .planner import Found


def scenario_text(document: Document) -> str:
    """The scenario file, as ``whatif -o`` writes it."""
    return sealed(to_toml(document), TOOL)


def plan_text(scenario: Scenario, found: Found) -> str:
    """The plan file, as ``plan -o`` writes it.

    Raises
    ------
    SwarmplanError
        If there is no plan.
    """
    if found.plan is None:
        raise SwarmplanError(found.error or "there is no plan yet")
    document = plan_document(found.plan, scenario)
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def report_text(
    original: Scenario, scenario: Scenario, edits: tuple[str, ...], before: Found, after: Found
) -> str:
    """The report of the change, or of the plan where nothing has changed.

    Raises
    ------
    SwarmplanError
        If there is nothing to report yet.
    """
    if after.plan is None:
        raise SwarmplanError(after.error or "there is no plan yet")
    with tempfile.TemporaryDirectory(prefix="swarmplan-studio-") as folder:
        path = Path(folder) / "report.html"
        if edits and before.outcome is not None and after.outcome is not None:
            change = Change(edits=edits, before=before.outcome, after=(after.outcome,))
            report_change(path, original, change, after.plan.method)
        else:
            report_plan(path, scenario, after.plan)
        return path.read_text(encoding="utf-8")


def launch_archive(scenario: Scenario, found: Found, model: str) -> bytes:
    """Launch files of all servers, as ``swarm launch`` writes them, in one archive.

    Raises
    ------
    SwarmplanError
        If there is no plan, or two servers would have one file name.
    """
    if found.plan is None:
        raise SwarmplanError(found.error or "there is no plan yet")
    files = launch_files(found.plan, scenario, LaunchOptions(model=model))
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="swarmplan-studio-") as folder:
        paths = write_launch_files(files, Path(folder))
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, path.name)
    return packed.getvalue()
