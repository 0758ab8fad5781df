"""The verifier over plan files: every field of the schema is changed, one at a time."""

from __future__ import annotations

import copy
import json
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from swarmplan import api
from swarmplan.core.drafting import Use
from swarmplan.core.errors import ScenarioError
from swarmplan.core.plan import Plan
from swarmplan.core.problem import Problem
from swarmplan.methods.certify import remeasured
from swarmplan.methods.draft import Draft, Settings
from swarmplan.methods.planning import planned
from swarmplan.methods.table import Method
from swarmplan.methods.verify import sound
from swarmplan.placement.sessions import task_of
from swarmplan.scenarios import schema
from swarmplan.scenarios.planfile import EDITED, digest, plan_document
from swarmplan.scenarios.scenario import Scenario, load_scenario

#: Two chains of two servers: three blocks and two sessions take all memory of each.
SCENARIO = """
format = "swarmplan/scenario/1"
name = "full"
[model]
name = "toy"
num_blocks = 6
hidden_size = 64
block_mb = 1
cache_bytes_per_token = 10000
[network]
delay = "measured"
step_overhead_ms = 1
rtt_ms = [
    [0, 9, 20, 30, 40, 50],
    [9, 0, 40, 20, 60, 30],
    [20, 40, 0, 5, 6, 7],
    [30, 20, 5, 0, 8, 9],
    [40, 60, 6, 8, 0, 4],
    [50, 30, 7, 9, 4, 0],
]
[planning]
sessions = 4
session_tokens = 100
[workload]
requests = 60
[[workload.streams]]
client = "near"
rate_per_s = 0.5
prompt_tokens = [20, 30, 50]
output_tokens = [10, 20, 50]
[[workload.streams]]
client = "far"
rate_per_s = 0.3
prompt_tokens = [20, 40]
output_tokens = [10, 40]
[[clients]]
id = "near"
[[clients]]
id = "far"
"""
SERVER = """
[[servers]]
id = "{name}"
device = "{name}"
[devices.{name}]
memory_gb = 0.009
decode_ms = {decode_ms}
prefill_base_ms = 20
prefill_us_per_token = 200
idle_watts = 40
busy_watts = 100
price_per_hour = 0.5
"""
#: The same where clients draft, one of them with a model of its own.
SPECULATION = """
[speculation.models.small]
acceptance = [0.8, 0.7]
draft_ms = 2
[speculation.models.large]
acceptance = 0.9
draft_ms = 4
"""
#: The same where servers choose their precision and how states go, within a budget that leaves but
#: one of each, and adapters.
ACCURACY = """
[accuracy]
harm = { nf4 = 4.0 }
wire_harm = { uniform_8bit = 4.0 }
budget = 0.01
[adapters.legal]
block_mb = 0.001
"""
CHOICES = """precisions = ["bf16", "nf4"]
wire = ["none", "uniform_8bit"]
bandwidth_mbit_per_s = 100"""
#: The same where each client asks for an adapter of its own.
ADAPTERS = """
[adapters.a]
block_mb = 0
[adapters.b]
block_mb = 0
"""
#: Nothing follows from these, and nothing can contradict them: how the plan was made, words for
#: people, what was not chosen. The file's own hash tells that they were changed.
TOLD_BY_THE_HASH = {
    "seed",
    "notes",
    "sha256",
    "certificate.interrupted",
    "certificate.proof",
    "candidates.placement",
    "candidates.router",
    "candidates.bound",
    "candidates.figure",
    "candidates.requests",
    "candidates.verdict",
    "candidates",
    "expected",
    "expected.kwh_per_million_tokens",
    "expected.money_per_million_tokens",
    "throughput",
    *(f"throughput.{name}" for name in schema.PlanThroughput.__struct_fields__),
    *(f"throughput.part_loads.{name}" for name in schema.PlanPartLoad.__struct_fields__),
    "roles",
}

Path_ = tuple[str | int, ...]
Documents = dict[str, dict[str, Any]]
#: What a document is told, its hash aside.
Judge = Callable[[dict[str, Any]], list[str]]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    servers = [SERVER.format(name=f"s{j}", decode_ms=8 + 3 * j) for j in range(4)]
    path = tmp_path_factory.mktemp("full") / "full.toml"
    path.write_text(SCENARIO + "".join(servers))
    return load_scenario(path)


@pytest.fixture(scope="module")
def drafting(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    servers = [SERVER.format(name=f"s{j}", decode_ms=8 + 3 * j) for j in range(4)]
    path = tmp_path_factory.mktemp("drafting") / "drafting.toml"
    path.write_text(SCENARIO.replace('"full"', '"drafting"') + SPECULATION + "".join(servers))
    return load_scenario(path)


@pytest.fixture(scope="module")
def precise(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    servers = [SERVER.format(name=f"s{j}", decode_ms=8 + 3 * j) for j in range(4)]
    choosing = [
        s.replace("\n[devices", f"\n{CHOICES}\n[devices").replace("0.009", "0.00901")
        for s in servers
    ]
    path = tmp_path_factory.mktemp("precise") / "precise.toml"
    written = SCENARIO.replace("block_mb = 1", 'block_mb = 1\nquantisation = "bf16"').replace(
        'id = "far"', 'id = "far"\nadapter = "legal"'
    )
    path.write_text(written.replace('"full"', '"precise"') + ACCURACY + "".join(choosing))
    return load_scenario(path)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    servers = [SERVER.format(name=f"s{j}", decode_ms=8 + 3 * j) for j in range(4)]
    written = SCENARIO.replace('"full"', '"adapted"')
    for client, adapter in (("near", "a"), ("far", "b")):
        written = written.replace(f'\nid = "{client}"', f'\nid = "{client}"\nadapter = "{adapter}"')
    path = tmp_path_factory.mktemp("adapted") / "adapted.toml"
    path.write_text(written + ADAPTERS + "".join(servers))
    return load_scenario(path)


def by_chain(plan: Plan) -> Method:
    """The plan once more, but clients with several chains draft fewer tokens on the first one."""
    uses = []
    for client in range(len(plan.drafts)):
        chains = [r.route.servers for r in plan.routes if r.client == client]
        uses.append(Use(3, 0, ((chains[0], 2),) if len(set(chains)) > 1 else ()))
    draft = Draft(placement=plan.placement, router="ws-rr", drafts=tuple(uses))
    return Method(name="cg-bp", make=lambda task, settings: draft)


def briefly(plan: Plan, problem: Problem) -> Plan:
    """The same plan, its response measured over fewer requests: it is measured again very often."""
    proof = plan.certificate
    assert proof.trial is not None
    draft = Draft(
        placement=plan.placement,
        router=plan.router,
        drafts=plan.drafts,
        certificate=replace(proof, trial=replace(proof.trial, requests=1_000)),
    )
    task = task_of(problem, goal=proof.objective.goal)
    again = remeasured(draft, plan.placement, task)
    assert again is not None
    chosen = replace(plan.candidates[0], figure=again.objective.value, requests=1_000)
    return replace(plan, certificate=again, candidates=(chosen, *plan.candidates[1:]))


@pytest.fixture(scope="module")
def documents(
    scenario: Scenario, drafting: Scenario, precise: Scenario, adapted: Scenario
) -> Documents:
    """Plans for every kind of objective, simulated or not."""
    found = {}
    for aim in ("response", "latency", "throughput"):
        plan = api.plan(scenario, settings=Settings(time_limit_s=6.0, aim=aim))
        if aim == "response":
            plan = briefly(plan, scenario.problem)
        found[aim] = plan_document(plan, scenario, roles={"chains": 2})  # as plan --json
    plan = api.plan(drafting, settings=Settings(time_limit_s=6.0))
    assert all(use.tokens for use in plan.drafts)
    plan = briefly(plan, drafting.problem)
    found["drafting"] = plan_document(plan, drafting, roles={"chains": 2})
    plan = planned(drafting.problem, by_chain(plan), Settings())
    assert any(use.chains for use in plan.drafts)
    found["chains"] = plan_document(plan, drafting)
    plan = api.plan(precise, "exact", settings=Settings(time_limit_s=None))
    found["precise"] = plan_document(plan, precise)
    plan = api.plan(adapted, "exact", settings=Settings(time_limit_s=None))
    found["adapted"] = plan_document(plan, adapted)
    return found


@pytest.fixture
def judge(
    scenario: Scenario, drafting: Scenario, precise: Scenario, adapted: Scenario, tmp_path: Path
) -> Judge:
    """Findings about a document, or the defects for which it is not read."""

    def judge(document: dict[str, Any]) -> list[str]:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(document))
        by_name = {s.document.name: s for s in (scenario, drafting, precise, adapted)}
        try:
            findings = api.verify(by_name.get(document["scenario"], scenario), path)
        except ScenarioError as error:
            return [str(p) for p in error.problems]
        return [str(f) for f in findings if f.message != EDITED]

    return judge


def leaves(kind: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, type) of every field of a structure, those of parts included."""
    for field in msgspec.structs.fields(kind):
        name = f"{path}.{field.name}" if path else field.name
        yield name, field.type
        for part in parts(field.type):
            yield from leaves(part, name)


def parts(kind: Any) -> Iterator[Any]:
    """Structures within a type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for inner in typing.get_args(kind):
        yield from parts(inner)


def choices(kind: Any) -> tuple[str, ...]:
    """The words that a type allows, () when it is not made of words."""
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return tuple(
        word
        for inner in typing.get_args(kind)
        if typing.get_origin(kind) in (typing.Union, types.UnionType, typing.Annotated)
        for word in choices(inner)
    )


def places(value: Any, name: str, at: Path_ = ()) -> Iterator[Path_]:
    """Where a field stands in a document, in the first two entries and the last one of the lists on
    the way."""
    first, _, rest = name.partition(".")
    if isinstance(value, list):
        for i in sorted({*range(len(value))[:2], *range(len(value))[-1:]}):
            yield from places(value[i], name, (*at, i))
    elif isinstance(value, dict) and first in value:
        if rest:
            yield from places(value[first], rest, (*at, first))
        else:
            yield (*at, first)


def others(value: Any, kind: Any) -> Iterator[Any]:
    """Further values of a field, all but the last of the kind that the schema allows."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from {value + 1, max(0, value - 1), 2 * value, 0, 1_000_000} - {value}
        if isinstance(value, float):
            yield from (1.001 * value + 1e-6, 0.999 * value - 1e-6)
    elif isinstance(value, str):
        yield from (word for word in choices(kind) if word != value)
        yield "limit"
        if len(value) == 64:
            yield "0" * 64
    elif isinstance(value, list):
        for i in range(len(value)):
            yield value[:i] + value[i + 1 :]
        yield value + (value[:1] or ["limit"])
    elif isinstance(value, dict):
        yield {}
    elif value is None:
        yield 1.0
    if value is not None and value != []:  # nothing is what an empty list says
        yield None


def changed(document: dict[str, Any], at: Path_, value: Any) -> dict[str, Any]:
    """A copy of a document with another value, and with the hash that belongs to it."""
    new = copy.deepcopy(document)
    spot: Any = new
    for key in at[:-1]:
        spot = spot[key]
    spot[at[-1]] = value
    if at[-1] != "sha256":
        new["sha256"] = digest(new)
    return new


def spare(document: dict[str, Any], at: Path_, other: Any) -> bool:
    """Changes that make another sound plan: a smaller pool, whatever a server does that no route
    passes."""
    if at[0] != "placement":
        return False
    used = {h["server"] for r in document["routes"] for h in r["hops"]}
    if len(at) == 1:
        kept = {p["server"] for p in other or ()}
        return used <= kept
    entry = document["placement"][at[1]]
    return entry["server"] not in used or (at[2] == "cache_bytes" and other < entry[at[2]])


def test_plans_as_they_are_written_are_sound(documents: Documents, judge: Judge) -> None:
    assert {name: judge(document) for name, document in documents.items()} == {
        "response": [],
        "latency": [],
        "throughput": [],
        "drafting": [],
        "chains": [],
        "precise": [],
        "adapted": [],
    }


FIELDS = dict(leaves(schema.PlanFile))


@pytest.mark.parametrize(("name", "kind"), FIELDS.items(), ids=FIELDS)
def test_every_change_to_any_field_is_found(
    name: str,
    kind: Any,
    documents: Documents,
    judge: Judge,
) -> None:
    tried, unseen = 0, []
    for aim, at, value, other in changes(documents, name, kind):
        document = documents[aim]
        tried += 1
        if not judge(changed(document, at, other)) and not spare(document, at, other):
            unseen.append((aim, at, value, other))
            if name in TOLD_BY_THE_HASH:
                return
    assert tried, f"no document has {name}"
    assert unseen == []
    assert name not in TOLD_BY_THE_HASH, "all changes are told without the hash"


def changes(documents: Documents, name: str, kind: Any) -> Iterator[tuple[str, Path_, Any, Any]]:
    """(aim, place, value, another value) of a field in all documents."""
    for aim, document in documents.items():
        for at in places(document, name):
            value: Any = document
            for key in at:
                value = value[key]
            for other in others(value, kind):
                yield aim, at, value, other


@pytest.mark.parametrize("name", sorted(TOLD_BY_THE_HASH - {"sha256"}))
def test_what_nothing_contradicts_is_told_by_the_hash(
    name: str, documents: Documents, scenario: Scenario, tmp_path: Path
) -> None:
    document, at = next((d, at) for d in documents.values() for at in places(d, name))
    value: Any = document
    for key in at:
        value = value[key]
    kept: dict[str, Any] = {"router": "shortest", "method": "cg-bp"}
    kept |= dict.fromkeys(("expected", "throughput"))
    given = kept.get(name, next(others(value, str)))
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**changed(document, at, given), "sha256": document["sha256"]}))
    findings = api.verify(scenario, path)
    assert EDITED in {f.message for f in findings} or not sound(findings)


def test_the_false_plans_that_once_were_called_sound_are_not(
    documents: Documents, judge: Judge
) -> None:
    document = documents["latency"]
    claimed = {"value": 1.0, "bound": 1.0, "gap": 0.0}
    other = {"id": "mean-response", "unit": "s", "direction": "min", **claimed}
    for at, value in (
        (("certificate", "status"), "limit"),
        (("sessions",), 1_000_000),
        (("router",), "no-such-router"),
        (("certificate", "objective"), other),
        (("certificate", "objective"), {**document["certificate"]["objective"], **claimed}),
        (("routes",), []),
    ):
        assert judge(changed(document, at, value)), at
