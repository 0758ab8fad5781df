"""Speculative decoding in a scenario file: draft models, who runs which, how they are used."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.drafting import Drafting, DraftModel, Use
from ..core.errors import InputProblem, ScenarioError
from . import schema

_NOTHING = schema.Speculation()
_NEEDS = "needs acceptance and draft_ms together, or speculation.models"


def build_drafting(document: schema.Scenario) -> tuple[Drafting, ...]:
    """How each client drafts; empty where the file says nothing of it.

    Raises
    ------
    ScenarioError
        For a draft model that lacks a figure or does not exist, and for answers of a stream whose
        acceptance could be that of several models.
    """
    common = document.speculation
    if common is None and all(c.speculation is None for c in document.clients):
        return ()
    wrong: list[InputProblem] = []
    models = _models(common, wrong)
    found = [_client(document, c, f"clients[{i}]", models, wrong)
             for i, c in enumerate(document.clients)]  # fmt: skip
    rows = {c.id: i for i, c in enumerate(document.clients)}
    for i, stream in enumerate(document.workload.streams):
        own = found[rows[stream.client]] if stream.client in rows else None
        if stream.acceptance is not None and own is not None and len(own.models) > 1:
            where = f"workload.streams[{i}].acceptance"
            message = f"client {stream.client!r} can draft with {len(own.models)} models; name one"
            wrong.append(InputProblem(where, message))
    if wrong:
        raise ScenarioError(wrong)
    return tuple(found)


def acceptance_of(given: float | list[float]) -> tuple[float, ...]:
    """One probability for all drafts, or one for each."""
    return tuple(given) if isinstance(given, list) else (given,)


def _models(common: schema.Speculation | None, wrong: list[InputProblem]) -> dict[str, DraftModel]:
    """The models of the file by name; a single one needs none."""
    if common is None:
        return {}
    named = {
        name: DraftModel(
            name=name, acceptance=acceptance_of(m.acceptance), draft_s=m.draft_ms / 1e3
        )
        for name, m in common.models.items()
    }
    if common.draft_ahead and common.semantics != "standard":
        message = f"goes with semantics standard, not with {common.semantics}"
        wrong.append(InputProblem("speculation.draft_ahead", message))
    given = (common.acceptance, common.draft_ms)
    if named and any(figure is not None for figure in given):
        message = "give either acceptance and draft_ms, or models"
        wrong.append(InputProblem("speculation.models", message))
    return named


def _client(
    document: schema.Scenario,
    client: schema.Client,
    where: str,
    models: dict[str, DraftModel],
    wrong: list[InputProblem],
) -> Drafting:
    common, own = document.speculation or _NOTHING, client.speculation
    asked = own or schema.ClientSpeculation()
    drafts = common.draft_tokens if asked.draft_tokens is None else asked.draft_tokens
    found = _own_models(common, asked, models, where if own else "", wrong)
    if document.speculation is None and own is None:
        return Drafting()
    if drafts != "auto" and drafts and len(found) > 1:
        field = f"{where}.speculation.models" if own else "speculation.draft_tokens"
        message = f"with draft_tokens = {drafts} name one model of {', '.join(models)}"
        wrong.append(InputProblem(field, message))
    return Drafting(
        models=found,
        use=Use(0 if drafts == "auto" or not found else drafts),
        free=drafts == "auto",
        semantics=common.semantics,
        ahead=common.draft_ahead and common.semantics == "standard",
    )


def _own_models(
    common: schema.Speculation,
    asked: schema.ClientSpeculation,
    models: dict[str, DraftModel],
    where: str,
    wrong: list[InputProblem],
) -> tuple[DraftModel, ...]:
    """The models that a client can run; ``where`` is its field, empty where it has none."""
    field = f"{where}.speculation" if where else "speculation"
    if models and asked.acceptance is None and asked.draft_ms is None:
        names: Sequence[str] = list(models) if asked.models is None else asked.models
        unknown = [name for name in names if name not in models]
        if unknown:
            message = f"no draft model {unknown[0]!r}; there are {', '.join(models)}"
            wrong.append(InputProblem(f"{field}.models", message))
        return tuple(models[name] for name in names if name in models)
    acceptance = common.acceptance if asked.acceptance is None else asked.acceptance
    draft_ms = common.draft_ms if asked.draft_ms is None else asked.draft_ms
    if acceptance is not None and draft_ms is not None:
        return (DraftModel(acceptance=acceptance_of(acceptance), draft_s=draft_ms / 1e3),)
    if asked.draft_tokens != 0 and (where or common is not _NOTHING):
        missing = "acceptance" if acceptance is None else "draft_ms"
        wrong.append(InputProblem(f"{field}.{missing}", f"is missing: {_NEEDS}"))
    return ()
