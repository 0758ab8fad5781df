"""A notebook, run and shown as a page."""

from __future__ import annotations

import html
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

LIMIT_S = 120
_STYLE = (
    "<style>body{font:15px system-ui,sans-serif;margin:0}table{border-collapse:collapse}"
    "td,th{padding:.2em .6em;border:0;border-bottom:1px solid #8884}</style>"
)


class Quickstart:
    """A notebook that is run once, when its page is asked for.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._pictures: list[str] = []

    @cached_property
    def markdown(self) -> str:
        """Text, code and what it printed; a picture is a mark until ``filled``."""
        book = nbformat.read(self._file, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(
                book,
                timeout=LIMIT_S,
                resources={"metadata": {"path": folder}},
                extra_arguments=["--log-level=ERROR"],  # it warns of loopback without encryption
            ).execute()
        return "\n\n".join(part for cell in book.cells for part in self._cell(cell)) + "\n"

    def _cell(self, cell: Any) -> list[str]:
        if cell.cell_type != "code":
            return [cell.source]
        return [f"```python\n{cell.source}\n```", *(self._output(o) for o in cell.outputs)]

    def _output(self, output: Any) -> str:
        data = output.get("data", {})
        if "text/html" in data:
            return self._mark(data["text/html"])
        if "image/png" in data:
            picture = data["image/png"].strip()
            return self._mark(f'<img alt="figure" src="data:image/png;base64,{picture}">')
        text = output.get("text") or data.get("text/plain", "")
        return f"```text\n{text.rstrip()}\n```"

    def _mark(self, picture: str) -> str:
        self._pictures.append(picture)
        return f'<div class="output" data-number="{len(self._pictures) - 1}"></div>'

    def filled(self, page: str) -> str:
        """The page with its pictures."""
        for number, picture in enumerate(self._pictures):
            mark = f'<div class="output" data-number="{number}"></div>'
            framed = (
                f'<iframe title="output {number + 1}" srcdoc="{html.escape(_alone(picture))}"'
                ' style="width:100%;border:0" onload="'
                "this.style.height=this.contentDocument.documentElement.scrollHeight+8+'px'\">"
                "</iframe>"
            )
            page = page.replace(mark, framed)
        return page


def _alone(picture: str) -> str:
    """A page of its own: neither its rules nor those of the site reach the other."""
    return f'<!doctype html><meta name="color-scheme" content="light dark">{_STYLE}{picture}'
