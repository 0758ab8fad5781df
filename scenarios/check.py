"""Checks across the fields of a scenario: ids, references, what is legal but not meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..core.errors import InputProblem, ScenarioError
from ..core.problem import Problem
from ..perfmodel.announced import default_session_tokens
from ..perfmodel.cost import CostModel
from ..perfmodel.devices import device
from ..perfmodel.memory import blocks_that_fit
from . import schema
from .measured import End


def check_document(
    document: schema.Scenario, ends: list[tuple[End, schema.Server]]
) -> Iterator[InputProblem]:
    """Duplicate ids, events that hit nothing, deadlines of nothing."""
    yield from _duplicates("servers", [(end.where, end.id) for end, _ in ends])
    yield from _duplicates(
        "clients", [(f"clients[{i}]", c.id) for i, c in enumerate(document.clients)]
    )
    if document.planning.deadlines == schema.Deadlines():
        yield InputProblem("planning.deadlines", "give first_token_s, per_token_ms, or both")
    yield from _own_devices(document)
    yield from _pages(document)
    servers = {end.id for end, _ in ends} | {server.id for _, server in ends}
    regions = {server.region for _, server in ends} - {""}
    for at, event in enumerate(document.events):
        where = f"events[{at}]"
        if (event.server is None) == (event.region is None):
            yield InputProblem(f"{where}.server", "give either server or region")
        elif event.server is not None and event.server not in servers:
            yield InputProblem(f"{where}.server", f"no server {event.server!r} in this scenario")
        elif event.region is not None and event.region not in regions:
            yield InputProblem(f"{where}.region", f"no server is in region {event.region!r}")
        if event.cold is not None and event.action != "join":
            yield InputProblem(f"{where}.cold", "is of servers that join: who fails loads nothing")


def _pages(document: schema.Scenario) -> Iterator[InputProblem]:
    """Pages that differ: a session holds the same tokens on all of its hops."""
    used = {s.device for s in document.servers}
    sizes = {name: device.preempting_page_tokens for name, device in document.devices.items()}
    given = {sizes.get(name) for name in used}
    if len(given) > 1:
        first = next(name for name in document.devices if name in used and sizes[name])
        message = f"must be the same of all servers' devices, here {sizes[first]}"
        yield InputProblem(f"devices.{first}.preempting_page_tokens", message)


def _own_devices(document: schema.Scenario) -> Iterator[InputProblem]:
    """Servers of clients that are not there, and devices of nobody or of several."""
    clients = [c.id for c in document.clients]
    for at, server in enumerate(document.servers):
        for name in server.only:
            if name not in clients:
                message = f"no client {name!r}; there are {', '.join(clients[:20])}"
                yield InputProblem(f"servers[{at}].only", message)
        if server.local and (len(server.only) != 1 or server.count != 1):
            message = "is of one device of one client: name it in only"
            yield InputProblem(f"servers[{at}].local", message)
        if server.local and document.network.relay != "client":
            message = "needs relay = 'client': a device is asked by its client alone"
            yield InputProblem(f"servers[{at}].local", message)


def _duplicates(kind: str, named: list[tuple[str, str]]) -> Iterator[InputProblem]:
    count = Counter(name for _, name in named)
    told: set[str] = set()
    for where, name in named:
        if count[name] > 1 and name not in told:
            told.add(name)
            message = f"the id {name!r} is used {count[name]} times in {kind}; ids must differ"
            yield InputProblem(f"{where}.id", message)


def check_problem(problem: Problem) -> Iterator[str]:
    """Warnings about a problem that can be built: memory that is too small to be of use.

    A server that may choose its precision is too small when it is at every one.
    """
    cost = CostModel.of(problem.at_lightest())
    usable = blocks_that_fit(cost, 1, capped=False)
    small = [s.id for s, fit in zip(problem.servers, usable, strict=True) if not fit]
    if small:
        shown = ", ".join(small[:8]) + (" ..." if len(small) > 8 else "")
        yield f"{len(small)} server(s) cannot hold one block and one session: {shown}"
    room = int(blocks_that_fit(cost, 0, capped=False).sum())
    if room < problem.model.num_blocks:
        yield (
            f"all servers together hold {room} of the {problem.model.num_blocks} blocks of "
            f"{problem.model.name}: no plan exists"
        )


def longest_session_tokens(problem: Problem) -> int:
    """Prompt and answer of the longest session that is reckoned with."""
    load = problem.workload
    longest = [problem.planning.session_tokens]
    longest += [max(c.prompt_tokens.values) + max(c.output_tokens.values) for c in load.classes]
    longest += [r.prompt_tokens + r.output_tokens for r in load.trace]
    return max(longest)


def check_sessions(document: schema.Scenario, problem: Problem) -> Iterator[InputProblem]:
    """Planned sessions that are longer than what the model was trained for."""
    limit, planned = problem.model.context_tokens, problem.planning.session_tokens
    if limit is not None and planned > limit:
        given = document.planning.session_tokens is not None
        yield InputProblem(
            "planning.session_tokens" if given else "workload",
            f"sessions of {planned:,} tokens are longer than the context of {problem.model.name}, "
            f"{limit:,} tokens: plan shorter ones, or say model.context_tokens if it takes more",
        )


def check_context(problem: Problem) -> Iterator[str]:
    """A warning about single sessions that are longer than what the model was trained for."""
    limit = problem.model.context_tokens
    longest = longest_session_tokens(problem)
    if limit is not None and longest > limit:
        yield (
            f"sessions of up to {longest:,} tokens are longer than the context of "
            f"{problem.model.name}, {limit:,} tokens: servers refuse them, or answers lose sense"
        )


def check_live(document: schema.Scenario, problem: Problem) -> Iterator[str]:
    """A warning about sessions that the servers of a swarm that runs refuse, as far as is known.

    Servers with a span are running. What they were told to allow is announced nowhere.
    """
    running = sum(server.span is not None for server in document.servers)
    limit = default_session_tokens(grouped=problem.model.grouped_query)
    longest = longest_session_tokens(problem)
    if running and longest > limit:
        yield (
            f"sessions of up to {longest:,} tokens are longer than the {limit:,} that running "
            f"servers of PETALS allow unless they were started with --inference_max_length "
            f"{longest} ('swarm serve' and the files of 'swarm launch-files' allow what is planned)"
        )


def check_nominal(document: schema.Scenario, problem: Problem) -> tuple[list[str], list[str]]:
    """Warnings and notes about servers that plan with all the memory that is printed on a card.

    A warning where nobody said what is usable; a note where the file itself says so much.
    """
    if problem.planning.constraints.headroom_frac:
        return [], []
    given = {s.id: s for s in document.servers}
    given |= {f"{s.id}-{i}": s for s in document.servers for i in range(s.count)}
    found: dict[bool, dict[str, int]] = {True: {}, False: {}}
    for server in problem.servers:
        own, kind = given[server.id], document.devices.get(server.device)
        nominal = _nominal_bytes((kind.profile or "") if kind else server.device)
        if nominal and server.memory_bytes >= nominal:
            said = [x.memory_gb or x.memory_gib for x in (own, kind) if x is not None]
            shown = f"{server.device}: {nominal / 1e9:g} GB"
            counts = found[any(said)]
            counts[shown] = counts.get(shown, 0) + 1
    told = [
        f"{sum(counts.values())} server(s) plan with the nominal memory of their card "
        f"({', '.join(counts)}), but activations, the CUDA context and PETALS' own reserve need "
        "some of it beside weights and cache: say memory_gb, what is usable (about nine tenths), "
        "or resilience.headroom_percent"
        for counts in (found[False], found[True])
        if counts
    ]
    return (told[:1], told[1:]) if found[False] else ([], told)


def _nominal_bytes(profile: str) -> int:
    """Memory of a shipped profile's card; 0 where it is none or its figure is what was usable."""
    try:
        shipped = device(profile)
    except ScenarioError:
        return 0
    return 0 if shipped.fit_mean_error_percent is None else shipped.memory_bytes
