"""Reading scenario files: parse, validate, check, build; all defects at once, never a traceback."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..core.errors import InputProblem, ScenarioError
from ..core.problem import Problem
from . import schema
from .build import Built, build

#: A file larger than this is not a scenario.
MAX_BYTES = 64 * 2**20
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A loaded scenario.

    Attributes
    ----------
    sha256 : of the validated content and of the files it refers to; layout does not matter.
    warnings : things that are legal but probably not meant.
    events : (time, server row, up) of servers that fail or join during a simulation.
    """

    path: Path
    document: schema.Scenario
    problem: Problem
    sha256: str
    warnings: tuple[str, ...]
    events: tuple[tuple[float, int, bool], ...]


def load_scenario(path: Path) -> Scenario:
    """Read, validate and build a scenario file (TOML, or JSON by suffix).

    Raises
    ------
    ScenarioError
        Listing every defect with the path of its field.
    """
    raw = parse_file(path)
    document = validate(raw, schema.Scenario, schema.json_schema, source=str(path))
    try:
        built = build(document, path.parent)
    except ScenarioError as error:
        raise ScenarioError(error.problems, source=str(path)) from error
    return Scenario(
        path=path,
        document=document,
        problem=built.problem,
        sha256=_hash(document, built),
        warnings=built.warnings,
        events=built.events,
    )


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a file that a user named."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ScenarioError.single(
            "", f"cannot be read: {error.strerror}", source=str(path)
        ) from error
    except ValueError as error:  # a NUL character in the name
        raise ScenarioError.single("", f"cannot be read: {error}", source=str(path)) from error
    if len(content) > limit:
        raise ScenarioError.single("", f"is larger than {limit} bytes", source=str(path))
    return content


def parse_file(path: Path) -> Any:
    """TOML or JSON as plain data."""
    return parse(read_bytes(path), json_syntax=path.suffix == ".json", source=str(path))


def parse(content: bytes, *, json_syntax: bool, source: str) -> Any:
    """Plain data from bytes; every syntax error becomes a ``ScenarioError``."""
    try:
        text = content.decode("utf-8")
        return json.loads(text) if json_syntax else tomllib.loads(text)
    except RecursionError as error:
        raise ScenarioError.single("", "is nested too deeply", source=source) from error
    except ValueError as error:  # bad UTF-8, TOML, JSON, or a number too long to convert
        kind = "JSON" if json_syntax else "TOML"
        raise ScenarioError.single("", f"is not valid {kind}: {error}", source=source) from error


def validate(raw: Any, kind: type[T], schema_of: Any, *, source: str) -> T:
    """Plain data as a typed document; when that fails the JSON Schema finds all defects."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        problems = _all_problems(raw, schema_of()) or [_first_problem(error)]
    except (RecursionError, OverflowError) as error:
        problems = [InputProblem("", f"cannot be read: {error}")]
    raise ScenarioError(problems, source=source)


def _all_problems(raw: Any, document: dict[str, Any]) -> list[InputProblem]:
    from jsonschema import Draft202012Validator

    try:
        found = sorted(
            Draft202012Validator(document).iter_errors(raw), key=lambda e: list(map(str, e.path))
        )
        problems = [InputProblem(_field(e), _explain(e)) for e in found[:50]]
    except (RecursionError, OverflowError, TypeError):
        return []
    if len(found) > 50:
        problems.append(InputProblem("", f"and {len(found) - 50} more"))
    return problems


def _field(error: Any) -> str:
    text = ""
    for part in error.absolute_path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "(top level)"


def _explain(error: Any) -> str:
    message: str = error.message
    if error.validator == "anyOf" and error.context:
        best = max(error.context, key=lambda e: len(e.absolute_path))
        message = (
            " or ".join(sorted({e.message for e in error.context}))
            if not best.absolute_path
            else best.message
        )
    return message if len(message) <= 300 else message[:300] + " ..."


def _first_problem(error: msgspec.ValidationError) -> InputProblem:
    text, _, where = str(error).partition(" - at `$")
    return InputProblem(where.rstrip("`").lstrip(".") or "(top level)", text)


def _hash(document: schema.Scenario, built: Built) -> str:
    digest = hashlib.sha256(json.dumps(msgspec.to_builtins(document), sort_keys=True).encode())
    for content in built.referenced:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
