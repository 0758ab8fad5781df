"""From plain data to typed documents; what does not fit is reported field by field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec

from ..core.errors import InputProblem, ScenarioError

#: So many defects are listed, the rest is left to the next try.
MAX_LISTED = 50
_MAX_MESSAGE = 300
T = TypeVar("T")


def validate(raw: Any, kind: type[T], schema_of: Callable[[], dict[str, Any]], *, source: str) -> T:
    """Plain data as a typed document.

    msgspec is fast and stops at the first defect; only then the JSON Schema is asked for all.

    Raises
    ------
    ScenarioError
        Listing every defect with the path of its field.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        problems = _all_problems(raw, schema_of()) or [_first_problem(error)]
    except RecursionError:
        problems = [InputProblem("(top level)", "is nested too deeply")]
    except UnicodeEncodeError:  # JSON may spell half of a surrogate pair, as a key too
        problems = _all_problems(raw, schema_of()) or [
            InputProblem("(top level)", "has a name with half of a surrogate pair")
        ]
    raise ScenarioError([_plain(p) for p in problems], source=source)


def _all_problems(raw: Any, document: dict[str, Any]) -> list[InputProblem]:
    """Every defect that the JSON Schema sees: all but nan and infinity, which it lets pass."""
    from jsonschema import Draft202012Validator

    try:
        found = list(islice(Draft202012Validator(document).iter_errors(raw), MAX_LISTED + 1))
        problems = [p for error in found[:MAX_LISTED] for p in _explain(error)]
    except RecursionError:
        return []
    problems = sorted(set(problems), key=lambda p: (p.path, p.message))
    if len(found) > MAX_LISTED:
        problems.append(InputProblem("(top level)", "there are more defects than listed here"))
    return problems


def _explain(error: Any) -> Iterator[InputProblem]:
    """One error of jsonschema: the field, what is wrong, how to mend it."""
    at = _path(error.absolute_path)
    if error.validator == "required":
        missing = [n for n in error.validator_value if n not in error.instance]
        told = [n for n in missing if error.message.startswith(repr(n))]
        for name in told or missing:
            yield InputProblem(_join(at, name), "is missing")
    elif error.validator == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        for name in error.instance:
            if name not in known:
                yield InputProblem(_join(at, str(name)), f"is unknown; {_nearest(name, known)}")
    elif error.validator == "anyOf" and error.context:
        yield from _branches(error, at)
    elif error.validator == "pattern":
        yield InputProblem(at, "must not contain control characters")
    else:
        yield InputProblem(at or "(top level)", error.message)


def _branches(error: Any, at: str) -> Iterator[InputProblem]:
    """Of several allowed forms, report on the one that was meant, else list them all."""
    inner = [e for e in error.context if e.validator != "type" or len(e.path)]
    if inner:
        deepest = max(inner, key=lambda e: len(e.absolute_path))
        chosen = [e for e in inner if e.parent is error and e.schema_path[0] == _branch(deepest)]
        for one in chosen:
            yield from _explain(one)
    else:
        kinds = sorted({str(e.validator_value) for e in error.context} - {"null"})
        shown = ", ".join(sorted({repr(k) for k in kinds}))
        message = f"{error.instance!r} is not of type {shown}"
        yield InputProblem(at or "(top level)", message)


def _branch(error: Any) -> int:
    return int(error.schema_path[0])


def _path(parts: Any) -> str:
    text = ""
    for part in parts:
        text = f"{text}[{part}]" if isinstance(part, int) else _join(text, str(part))
    return text


def _join(path: str, name: str) -> str:
    name = name or '""'  # an empty key is legal TOML and JSON
    return f"{path}.{name}" if path else name


def _nearest(name: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name)[:100], known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known here: {', '.join(known)}"


def _first_problem(error: msgspec.ValidationError) -> InputProblem:
    text, _, where = str(error).partition(" - at `$")
    return InputProblem(where.rstrip("`").lstrip(".") or "(top level)", text)


def _plain(problem: InputProblem) -> InputProblem:
    """Short and printable: a file may hold control characters, lone surrogates, megabytes."""
    return InputProblem(_printable(problem.path), _printable(problem.message))


def _printable(text: str) -> str:
    short = text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + " ..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)
