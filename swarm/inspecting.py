"""``swarmplan swarm inspect``: from a swarm or its health monitor to a scenario document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ..core.errors import ScenarioError
from ..scenarios import schema
from ..scenarios.checkpoint import ModelFigures, model_figures
from .announce import Announcement, Warnings
from .health import announcements_of, read_state
from .places import ClientPlace
from .planseen import PlanSeen, plan_seen
from .settling import plausible
from .snapshot import Assumptions, scenario_document
from .statement import heard

#: Servers that are said not to be online and are asked all the same.
MOST_AWAY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look at, and what to assume of what cannot be seen.

    Attributes
    ----------
    operator_key : public key (line or file) whose plan is looked for; None = no plan is.
    probe : measure a step at every server by a short session of its own.
    """

    model: str
    initial_peers: Sequence[str] = ()
    health: str | None = None
    prefix: str | None = None
    client: str = "here"
    relay: Literal["client", "server"] = "client"
    step_overhead_ms: float = 10.0
    memory_gb: Sequence[str] = ()
    rate: float = 0.1
    prompt_tokens: int = 128
    output_tokens: int = 128
    sessions: int | None = None
    lat: float | None = None
    lon: float | None = None
    operator_key: str | None = None
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What is known beside the scenario.

    Attributes
    ----------
    warnings, estimated : what was wrong with announcements, and what had to be estimated.
    servers : who was read, online or not.
    plan : the operator's, where a key was given.
    probed_s : peer -> a step over its whole span as measured from here, where that was asked for.
    """

    warnings: Sequence[str]
    estimated: Sequence[str]
    servers: Sequence[Announcement] = ()
    plan: PlanSeen = field(default_factory=PlanSeen)
    probed_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a swarm's table and its peers say."""

    servers: Sequence[Announcement]
    near_s: Mapping[str, float] = field(default_factory=dict)
    plan: PlanSeen = field(default_factory=PlanSeen)
    probed_s: Mapping[str, float] = field(default_factory=dict)


def inspect_swarm(wanted: Wanted) -> tuple[dict[str, Any], Notes]:
    """Read once and describe.

    Raises
    ------
    ScenarioError, SwarmUnreachableError, MissingExtraError
        For a wrong option, a silent swarm, or when the DHT is to be read without hivemind.
    """
    figures = checked_options(wanted)
    warnings = Warnings()
    if wanted.health:
        names = [wanted.prefix] if wanted.prefix else [wanted.model, figures.name]
        read = _Read(servers=_from_health(wanted.health, names, figures, warnings))
    else:
        read = _from_dht(wanted, figures, warnings)
    place = ClientPlace(name=wanted.client, rtt_s=read.near_s, coordinates=_place(wanted))
    assume = assumptions(wanted)
    known = {name for e in read.servers for name in (e.peer, e.public_name)}
    for name in sorted(set(assume.memory_bytes) - known):
        warnings.add(name, "is no server that was read; its --memory-gb is not used")
    for entry in read.servers:
        told = entry.batching
        if told is not None and told.fallbacks:
            share = f"{told.fallbacks} of {told.steps} steps"
            warnings.add(entry.peer, f"{share} were done again one by one: passes fail there")
    document, estimated = scenario_document(figures, read.servers, [place], assume)
    return checked(document), Notes(
        warnings=warnings.lines(),
        estimated=estimated,
        servers=read.servers,
        plan=read.plan,
        probed_s=read.probed_s,
    )


def checked_options(wanted: Wanted) -> ModelFigures:
    """What can be said of the options before anybody is asked; the model's figures.

    Raises
    ------
    ScenarioError
        For an unknown model, no source or two, or a memory that is none.
    """
    if bool(wanted.initial_peers) == bool(wanted.health):
        raise ScenarioError.single("--initial-peers", "give either this or --health")
    _memory(wanted.memory_gb)
    _place(wanted)
    return model_figures(wanted.model, wanted.prefix)


def assumptions(wanted: Wanted) -> Assumptions:
    """The options in SI units."""
    return Assumptions(
        relay=wanted.relay,
        step_overhead_s=wanted.step_overhead_ms / 1e3,
        memory_bytes=_memory(wanted.memory_gb),
        rate_per_s=wanted.rate,
        prompt_tokens=wanted.prompt_tokens,
        output_tokens=wanted.output_tokens,
        sessions=wanted.sessions,
    )


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """The document, after it passed the schema of scenario files."""
    try:
        msgspec.convert(document, schema.Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError.single("", f"the swarm makes no valid scenario: {error}") from error
    return document


def _from_health(
    source: str, names: Sequence[str], figures: ModelFigures, warnings: Warnings
) -> list[Announcement]:
    document = read_state(source)
    for name in names[:-1]:
        try:
            return announcements_of(document, name, figures.num_blocks, warnings)
        except ScenarioError:
            continue
    return announcements_of(document, names[-1], figures.num_blocks, warnings)


def _from_dht(wanted: Wanted, figures: ModelFigures, warnings: Warnings) -> _Read:
    from .needs import prepare

    prepare("client" if wanted.probe else "table")
    from .live_dht import connect, ping, read_announcements
    from .stating import fetch_statements

    dht = connect(wanted.initial_peers)
    try:
        entries = read_announcements(dht, figures.prefix, figures.num_blocks, warnings)
        near = ping(dht, [e.peer for e in entries if e.state == "online"])
        away = [e.peer for e in entries if e.state != "online"][:MOST_AWAY]
        told = fetch_statements(dht, figures.prefix, [*near, *away])
        entries = plausible(heard(entries, told, figures.num_blocks, warnings), warnings)
        new = {e.peer for e in entries if e.state == "online" and e.peer in away}
        near |= ping(dht, new)  # said not to be there, by somebody else
        servers = reachable(entries, near, warnings)
        online = [e for e in servers if e.state == "online"]
        return _Read(
            servers=servers,
            near_s=near,
            plan=_plan(dht, wanted, figures.prefix, [e.peer for e in online]),
            probed_s=_probed(dht, figures, online) if wanted.probe else {},
        )
    finally:
        dht.shutdown()


def _plan(dht: Any, wanted: Wanted, prefix: str, peers: Sequence[str]) -> PlanSeen:
    if wanted.operator_key is None:
        return PlanSeen()
    from .signing import dht_now_s, fetch_plan, read_public_key, trust

    validator = trust(dht, read_public_key(wanted.operator_key), prefix)
    return plan_seen(fetch_plan(dht, validator, prefix, peers), prefix, dht_now_s())


def _probed(
    dht: Any, figures: ModelFigures, servers: Sequence[Announcement]
) -> Mapping[str, float]:
    from .probing import probed

    return probed(dht, figures.prefix, figures.hidden_size, servers)


def reachable(
    entries: Sequence[Announcement], near: Mapping[str, float], warnings: Warnings
) -> list[Announcement]:
    """Without servers that announce themselves but do not answer."""
    kept = []
    for entry in entries:
        if entry.peer in near or entry.state != "online":
            kept.append(entry)
        else:
            warnings.add(entry.peer, "does not answer; left out")
    return kept


def _place(wanted: Wanted) -> tuple[float, float] | None:
    """Where the client is, if that was told."""
    if wanted.lat is None and wanted.lon is None:
        return None
    if wanted.lat is None or wanted.lon is None:
        missing = "--lat" if wanted.lat is None else "--lon"
        raise ScenarioError.single(missing, "give --lat and --lon together")
    return wanted.lat, wanted.lon


def _memory(given: Sequence[str]) -> dict[str, int]:
    found = {}
    for entry in given:
        name, _, figure = entry.rpartition("=")
        try:
            size = round(float(figure) * 1e9)
        except (ValueError, OverflowError):
            size = 0
        if not name or size <= 0:
            raise ScenarioError.single("--memory-gb", f"{entry!r} is not SERVER=GB")
        found[name] = size
    return found
