"""The reference of the Python interface: signatures and docstrings of modules as Markdown.

The docstrings' sections are numpydoc's, with the meaning beside the name, since types are in the
signatures: readers of docstrings by the book would take it for a type.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

_QUOTED = re.compile(r"(?<=[ :>] )(['\"])(.*?)\1(?=[,)=\s]|$)")
_TITLE = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_ENTRY = re.compile(r"(\S.*?)(?: : |\n    )", re.DOTALL)


def module_page(title: str, modules: Sequence[str]) -> str:
    """What modules offer, one section each."""
    return "\n\n".join([f"# {title}", *(_module(import_module(name)) for name in modules)]) + "\n"


def _module(module: ModuleType) -> str:
    parts = [f"## {module.__name__}", _prose(module.__doc__)]
    for name, thing in _offered(module):
        parts += _entry(name, thing, 3)
    return "\n\n".join(filter(None, parts))


def _offered(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public classes and functions: those listed, else those that are at home here."""
    listed = getattr(module, "__all__", None)
    for name in listed or vars(module):
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)) or name.startswith("_"):
            continue
        if listed or thing.__module__ == module.__name__:
            yield name, thing


def _entry(name: str, thing: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    if inspect.isfunction(thing) or not _is_abstract(thing):
        yield f"```python\n{_signature(name, thing)}\n```"
    yield _prose(thing.__doc__)
    if inspect.isclass(thing):
        for inner, function in vars(thing).items():
            shown = function.fget if isinstance(function, property) else function
            shown = getattr(shown, "__func__", shown)
            public = not inner.startswith("_") or inner == "__call__"
            if public and inspect.isfunction(shown) and shown.__doc__:
                yield from _entry(f"{name}.{inner}", shown, level + 1)


def _is_abstract(thing: type) -> bool:
    return getattr(thing, "_is_protocol", False) or issubclass(thing, Exception)


def _signature(name: str, thing: Any) -> str:
    """The signature without the quotes of annotations that are not evaluated."""
    signature = inspect.signature(thing)
    line = name + _QUOTED.sub(r"\2", str(signature)).replace("(self, ", "(").replace("(self)", "()")
    if inspect.isclass(thing):
        line = line.removesuffix(" -> None")
    if len(line) <= 96:
        return line
    head, tail = line.index("(") + 1, line.rindex(")" if " -> " not in line else ") -> ")
    inside = re.split(r", (?=\w+:|\w+ ?=|\*)", line[head:tail])
    return "\n".join([line[:head], *(f"    {part}," for part in inside), line[tail:]])


def _prose(doc: str | None) -> str:
    """A docstring as Markdown: sections as bold words, their entries as a list."""
    text = re.sub(r"^::$", "", inspect.cleandoc(doc or ""), flags=re.MULTILINE)
    pieces = _TITLE.split(text)
    parts = [pieces[0].strip()]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        parts += [f"**{title}**", "\n".join(_items(body.strip()))]
    return "\n\n".join(parts)


def _items(body: str) -> Iterator[str]:
    """``name : meaning``, or the meaning indented below, as items of a list."""
    for entry in re.split(r"(?<!,)\n(?=\S)", body):
        found = _ENTRY.match(entry)
        if found is None:
            yield entry
            continue
        names = ", ".join(f"`{n.strip()}`" for n in found[1].split(","))
        yield f"- {names}: {' '.join(entry[found.end() :].split())}"
