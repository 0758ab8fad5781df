"""What mkdocs calls while it makes the site: pages that are made, not written, and their links.

Made are the reference (of the commands, the schemas of the files, the docstrings), the quick-start
out of its notebook, which is run, and the outputs of ``console`` blocks, whose commands are run.
Files beside docs/ that its pages link to are borrowed: README.md is the page ``overview.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from swarmplan.docs.made.commands import commands_page
from swarmplan.docs.made.console import with_outputs
from swarmplan.docs.made.docstrings import module_page
from swarmplan.docs.made.notebook import Quickstart
from swarmplan.docs.made.schemas import schema_page

ROOT = Path(__file__).resolve().parents[2]
#: Files of the repository that are pages or downloads of the site, by their place in it.
BORROWED = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "perfmodel/length/CARD.md": "card.md",
    "NOTICE": "NOTICE.txt",
    **{
        f"scenarios/{p.name}": f"scenarios/{p.name}"
        for pattern in ("*.toml", "*.schema.json")
        for p in sorted((ROOT / "scenarios").glob(pattern))
    },
}
#: Sources whose page is made: where a link to them leads on the site.
MADE = {
    "cli.py": "reference/commands.md",
    "docs/quickstart.ipynb": "quickstart.md",
    "library.py": "reference/python.md",
    "routing/api.py": "reference/policies.md",
}
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
#: A fenced example that names its file, as docs/files.md has them.
NAMED = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)
#: The browser itself refuses what would come from elsewhere, whatever the theme asks for.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src '
    "'self' file: data: blob: 'unsafe-inline' 'unsafe-eval'\">"
)
_quickstart = Quickstart(ROOT / "docs" / "quickstart.ipynb")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what is made and what is borrowed."""
    for source, place in BORROWED.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for place, text in _made_pages():
        files.append(File.generated(config, place, content=text))
    return files


def _made_pages() -> Iterator[tuple[str, str]]:
    words = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    for kind in ("scenario", "plan", "migration"):
        schema = ROOT / "scenarios" / f"{kind}.schema.json"
        yield f"reference/{kind}-file.md", schema_page(kind, schema, words)
    yield "reference/commands.md", commands_page()
    yield "reference/python.md", module_page("The library", LIBRARY)
    yield "reference/policies.md", module_page("Policies and the problem they see", POLICIES)
    yield "quickstart.md", _quickstart.markdown


LIBRARY = (
    "swarmplan",
    "swarmplan.studies.edits",
    "swarmplan.shown",
    "swarmplan.core.plan",
    "swarmplan.simulator.result",
    "swarmplan.simulator.compare",
    "swarmplan.core.errors",
)
POLICIES = (
    "swarmplan.core.problem",
    "swarmplan.core.workload",
    "swarmplan.perfmodel.cost",
    "swarmplan.placement.api",
    "swarmplan.placement.task",
    "swarmplan.methods.table",
    "swarmplan.methods.draft",
    "swarmplan.routing.api",
    "swarmplan.simulator.admission",
)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links into the repository become links of the site, console blocks get their outputs."""
    place = page.file.src_uri
    source = next((s for s, p in BORROWED.items() if p == place), f"docs/{place}")

    def placed(found: re.Match[str]) -> str:
        target = normpath(join(dirname(source), found[1]))
        inside = {**BORROWED, **MADE}.get(target, target.removeprefix("docs/"))
        return f"]({relpath(inside, dirname(place) or '.')}{found[2] or ''})"

    if not place.startswith(("quickstart", "reference/")):  # written for the site
        markdown = LINK.sub(placed, markdown)
    return NAMED.sub(r'```\1 title="\2"', with_outputs(markdown))


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Pictures of the notebook, which are HTML, go in where Markdown has been done with."""
    return _quickstart.filled(html) if page.file.src_uri == "quickstart.md" else html


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Nothing is loaded from elsewhere."""
    return output.replace("<head>", f"<head>{POLICY}", 1)


def on_post_template(output: str, *, template_name: str, config: MkDocsConfig) -> str:
    """Nor by the page that stands for those that are not there."""
    return output.replace("<head>", f"<head>{POLICY}", 1)
