"""Accuracy in a scenario file, and budgets and precisions asked for from outside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..core.accuracy import Accuracy
from ..core.errors import ScenarioError
from ..core.problem import ModelSpec, Problem, Server
from ..perfmodel.accuracy import accuracy_of, harm_of
from . import schema
from .wire import figures, wires_of


def build_accuracy(document: schema.Scenario, model: ModelSpec) -> Accuracy | None:
    """What precisions cost; None where the file neither says so nor lets one choose.

    Raises
    ------
    ScenarioError
        For unknown clients, a profile of another number of blocks, and a wire without its harm.
    """
    given = document.accuracy
    wires = [wires_of(s, f"servers[{i}]", document) for i, s in enumerate(document.servers)]
    chosen = any(s.precisions is not None for s in document.servers)
    if given is None and not chosen and all(len(own) == 1 for own in wires):
        return None
    given = given or schema.Accuracy()
    clients = [c.id for c in document.clients]
    unknown = [name for name in given.budget_of if name not in clients]
    if unknown:
        message = f"no client {unknown[0]!r}; there are {', '.join(clients[:20])}"
        raise ScenarioError.single(f"accuracy.budget_of.{unknown[0]}", message)
    common = math.inf if given.budget is None else given.budget
    used = [document.model.quantisation]
    for server in document.servers:
        used += [
            *(server.precisions or ()),
            *([server.quantisation] if server.quantisation else ()),
        ]
    try:
        return accuracy_of(
            model,
            tuple(dict.fromkeys(used)),
            [given.budget_of.get(name, common) for name in clients],
            harm_percent={str(p): percent for p, percent in given.harm.items()},
            profile=given.profile,
            wires=tuple(dict.fromkeys(w for own in wires for w in own)),
            wire_percent=figures(given.wire_harm),
        )
    except ValueError as error:
        raise ScenarioError.single("accuracy.profile", str(error)) from error


def narrowed(
    problem: Problem,
    *,
    budget_percent: float | None = None,
    precisions: Sequence[str] = (),
    wires: Sequence[str] = (),
) -> Problem:
    """The problem with one budget for all clients, and no other precisions and wires than these.

    Raises
    ------
    ScenarioError
        If nothing is said of accuracy, or a server is left without any precision or wire.
    """
    if budget_percent is not None:
        if problem.accuracy is None:
            raise ScenarioError.single(
                "--accuracy-budget",
                "the scenario says nothing of accuracy: give servers precisions, or [accuracy]",
            )
        budgets = (harm_of(budget_percent),) * len(problem.clients)
        problem = replace(problem, accuracy=replace(problem.accuracy, budgets=budgets))
    servers = problem.servers
    if precisions:
        servers = tuple(_at_precisions(server, precisions) for server in servers)
    if wires:
        servers = tuple(_by_wires(server, wires) for server in servers)
    return replace(problem, servers=servers)


def _at_precisions(server: Server, precisions: Sequence[str]) -> Server:
    kept = tuple(v for v in server.variants if v.precision in precisions)
    if not server.variants:
        return server
    if not kept:
        raise _none_left("--precision", server, server.precisions)
    own = server.precision if server.precision in precisions else kept[0].precision
    return replace(server.at_precision(own), variants=kept)


def _by_wires(server: Server, wires: Sequence[str]) -> Server:
    kept = tuple(wire for wire in server.wires if wire in wires)
    if not server.wires:
        return server
    if not kept:
        raise _none_left("--wire", server, server.wires)
    own = server.wire if server.wire in wires else kept[0]
    return replace(server, wire=own, wires=kept if len(kept) > 1 else ())


def _none_left(option: str, server: Server, own: Sequence[str]) -> ScenarioError:
    message = f"leaves {server.id!r} none of its own: {', '.join(own)}"
    return ScenarioError.single(option, message)
