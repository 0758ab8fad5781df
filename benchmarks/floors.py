"""The floors of the house, drawn from its imports: ``python benchmarks/floors.py [PAGE]``.

A room (a package or a module at the top) stands one floor above the highest room that it imports.
With a page the drawing between its two marks is replaced.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import grimp

BEGIN, END = "<!-- floors -->", "<!-- end of floors -->"
#: No rooms of the product.
OUTSIDE = ("benchmarks", "tests")


def rooms() -> dict[str, set[str]]:
    """The rooms, each with those that it imports; type-only imports count."""
    graph = grimp.build_graph("swarmplan", include_external_packages=False)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        room = _room(module)
        if room in OUTSIDE or not room:
            continue
        used = {_room(m) for m in graph.find_modules_directly_imported_by(module)}
        found.setdefault(room, set()).update(used - {room, ""})
    return found


def _room(module: str) -> str:
    """The part below the package; "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def floors(imports: dict[str, set[str]]) -> list[list[str]]:
    """The rooms of every floor, the ground floor first."""

    @cache
    def height(room: str) -> int:
        return 1 + max(map(height, imports[room]), default=-1)

    found = defaultdict(list)
    for room in sorted(imports):
        found[height(room)].append(room)
    return [found[level] for level in sorted(found)]


def drawing() -> str:
    """The house from the roof to the ground, and what each room stands on."""
    imports = rooms()
    storeys = list(enumerate(floors(imports)))[::-1]
    width = max(len(storey) for _, storey in storeys)
    wide = max(len(room) for room in imports) + 2
    across = "+".join(["-" * wide] * width)
    lines = ["```text"]
    for level, storey in storeys:
        cells = [room.center(wide) for room in storey] + [" " * wide] * (width - len(storey))
        lines += [f"   +{across}+", f"{level:>2} |{'|'.join(cells)}|"]
    lines += [f"   +{across}+", "```", "", "| room | stands on |", "|---|---|"]
    for _, storey in storeys:
        for room in storey:
            lines.append(f"| `{room}` | {', '.join(sorted(imports[room])) or 'nothing'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw on a page, or on standard output."""
    if len(sys.argv) < 2:
        print(drawing(), end="")
        return
    page = Path(sys.argv[1])
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{drawing()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
