"""The reference of the files: form and limits from the JSON schema, meaning from docs/files.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Schema = dict[str, Any]
LEAD = {
    "scenario": "What a scenario may hold. With examples: [Files](../files.md).",
    "plan": "What `swarmplan plan -o` writes. Read about it: [Files](../files.md#plan).",
    "migration": "What `swarmplan replan -o` writes beside a plan: [Re-planning](../replan.md).",
}
_KINDS = {"string": "text", "boolean": "true or false"}
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minItems": "{} or more",
    "maxItems": "{} or fewer",
}


def schema_page(kind: str, file: Path, words: str) -> str:
    """One kind of file, structure by structure.

    Parameters
    ----------
    kind : scenario, plan or migration.
    file : its schema.
    words : docs/files.md, whose tables say what fields are for.
    """
    schema = json.loads(file.read_text(encoding="utf-8"))
    known = schema["$defs"]
    parts = [
        f"# {kind.capitalize()} file, field by field\n\n{LEAD[kind]} "
        f"Made from [the schema](../scenarios/{file.name})."
    ]
    for path, name in _structures(_name(schema), known):
        meaning = _meanings(
            words, path or ("Top level" if kind == "scenario" else "Top level of a plan")
        )
        parts.append(_section(path, known[name], meaning))
    return "\n\n".join(parts) + "\n"


def _structures(root: str, known: Schema) -> Iterator[tuple[str, str]]:
    """Path and name of every structure that is reached from the root, each once, outer first."""
    seen, waiting = {root}, [("", root)]
    while waiting:
        path, name = waiting.pop(0)
        yield path, name
        for field, form in known[name].get("properties", {}).items():
            for inner, many in _inner(form):
                if inner not in seen:
                    seen.add(inner)
                    waiting.append((".".join(filter(None, (path, field))) + many, inner))


def _inner(form: Schema) -> Iterator[tuple[str, str]]:
    """Structures that a field holds, with ``.NAME`` for tables by names of one's own."""
    if "$ref" in form:
        yield _name(form), ""
    for one in form.get("anyOf", ()):
        yield from _inner(one)
    if isinstance(form.get("items"), dict):
        yield from _inner(form["items"])
    if isinstance(form.get("additionalProperties"), dict):
        for name, _ in _inner(form["additionalProperties"]):
            yield name, ".NAME"


def _name(form: Schema) -> str:
    return str(form["$ref"]).rsplit("/", 1)[1]


def _meanings(words: str, heading: str) -> dict[str, str]:
    """Field -> what docs/files.md says of it under a heading."""
    parts = re.split(rf"^### `?{re.escape(heading)}`?$", words, flags=re.MULTILINE)
    rows = [re.split(r"^#", p, flags=re.MULTILINE)[0] for p in parts[1:]]
    cells = re.findall(r"^\| `(\w+)` \| (.+?) \|", "\n".join(rows), re.MULTILINE)
    return {field: _moved(said) for field, said in cells}


def _moved(said: str) -> str:
    """Words with their links, as seen from the folder of the reference."""
    return re.sub(r"\]\((?=\w+\.md)", "](../", said.replace("](#", "](files.md#"))


def _section(path: str, structure: Schema, meaning: dict[str, str]) -> str:
    head = f"## {f'`{path}`' if path else 'Top level'}"
    rows = ["| field | form | default | meaning |", "|---|---|---|---|"]
    for field, form in structure.get("properties", {}).items():
        default = "required" if field in structure.get("required", ()) else _default(form)
        rows.append(f"| `{field}` | {_form(form)} | {default} | {meaning.get(field, '')} |")
    return "\n\n".join([head, structure.get("description", ""), "\n".join(rows)])


def _default(form: Schema) -> str:
    value = form.get("default")
    return "" if value in (None, [], "") or isinstance(value, dict) else f"`{json.dumps(value)}`"


def _form(form: Schema) -> str:
    """A type in words."""
    if "$ref" in form:
        return f"a `{_name(form)}`"
    if "anyOf" in form:
        return " or ".join(_form(f) for f in form["anyOf"] if f.get("type") != "null")
    if "enum" in form:
        return ", ".join(f"`{json.dumps(v)}`" for v in form["enum"])
    if form.get("type") == "array":
        inner = form.get("prefixItems") or [form.get("items")]
        said = ", ".join(_form(f) for f in inner if isinstance(f, dict))
        return f"list of ({said})" if said else "list"
    if form.get("type") == "object":
        inner = form.get("additionalProperties")
        return f"table of ({_form(inner)})" if isinstance(inner, dict) else "table"
    kind = {"string": "text", "boolean": "true or false"}.get(
        form.get("type", ""), form.get("type")
    )
    limits = [said.format(f"{form[k]:,.10g}") for k, said in _LIMITS.items() if k in form]
    return " ".join([str(kind or "anything"), ", ".join(limits)]).strip()
