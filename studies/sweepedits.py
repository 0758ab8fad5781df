"""The edits of a sweep, and what is wrong with them before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, get_args

from ..core.errors import InputProblem, ScenarioError
from ..core.names import Admission
from ..methods.table import method_named
from ..scenarios import schema
from ..scenarios.defects import validate
from .document import Document
from .edits import Edit, add, edited_document, move, remove, rtt_scale, scale_load, set_value
from .sweepschema import Sweep, Variant

#: Keys of a sweep that are no fields of the scenario.
RUN_KEYS = ("method", "router", "admission", "requests")


def variant_edits(variant: Variant) -> list[Edit]:
    """Edits of a variant, in the order in which ``whatif`` applies its options."""
    edits = [add(dict(fields)) for fields in variant.add_server]
    edits += [remove(name) for name in variant.remove]
    edits += [move(server, place) for server, place in variant.move.items()]
    edits += [set_value(path, value) for path, value in variant.set.items()]
    if variant.load != 1.0:
        edits.append(scale_load(variant.load))
    if variant.rtt_scale != 1.0:
        edits.append(rtt_scale(variant.rtt_scale))
    return edits


def grid_edit(key: str, value: Any) -> Edit | None:
    """The edit of one grid value, None for keys that say how to run."""
    if key in RUN_KEYS:
        return None
    if key == "load":
        return scale_load(value)
    if key == "rtt_scale":
        return rtt_scale(value)
    return set_value(key, value)


def defects(sweep: Sweep, raw: Document) -> list[InputProblem]:
    """Methods and routers that do not exist, edits that name nothing or break the schema.

    A grid value must do with one variant at least: elsewhere its failure is a result.
    """
    found = _problems("method", lambda: method_named(sweep.method, sweep.router))
    sound: list[list[Edit]] = []
    for name, variant in sweep.variants.items():
        wrong = _problems(f"variants.{name}", partial(_check_variant, sweep, raw, variant))
        if not wrong:
            sound.append(variant_edits(variant))
        found += wrong
    for key, values in sweep.grid.items():
        for value in values:
            found += _grid_problems(key, value, raw, sound or [[]])
    return list(dict.fromkeys(found))


def _check_variant(sweep: Sweep, raw: Document, variant: Variant) -> None:
    method_named(variant.method or sweep.method, variant.router)
    _valid(raw, variant_edits(variant))


def _valid(raw: Document, edits: Sequence[Edit]) -> None:
    if any(e.document for e in edits):
        validate(edited_document(raw, edits), schema.Scenario, schema.json_schema, source="")


def _problems(where: str, make: Callable[[], object]) -> list[InputProblem]:
    try:
        make()
    except ScenarioError as error:
        texts = (p.message if p.path.startswith("--") else str(p) for p in error.problems)
        return [InputProblem(where, text) for text in texts]
    return []


def _grid_problems(
    key: str, value: Any, raw: Document, variants: Sequence[Sequence[Edit]]
) -> list[InputProblem]:
    where = f"grid.{key}"
    if key in RUN_KEYS:
        return [InputProblem(where, text) for text in _run_problems(key, value)]
    wrong = [_problems(where, partial(_check_value, key, value, raw, e)) for e in variants]
    return min(wrong, key=len)


def _check_value(key: str, value: Any, raw: Document, edits: Sequence[Edit]) -> None:
    edit = grid_edit(key, value)
    _valid(raw, [*edits, *([edit] if edit else [])])


def _run_problems(key: str, value: Any) -> Iterator[str]:
    if key in ("method", "router"):
        names = (str(value), None) if key == "method" else ("cg-bp", str(value))
        yield from (p.message for p in _problems("", lambda: method_named(*names)))
    elif key == "admission" and value not in get_args(Admission):
        yield f"{value!r} is no waiting rule; there are {', '.join(get_args(Admission))}"
    elif key == "requests" and not (type(value) is int and 1 <= value <= 2_000_000):
        yield f"{value!r} is not a whole number of 1 to 2,000,000 requests"
