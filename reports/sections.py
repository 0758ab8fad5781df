"""Parts of the report, each from results that a command has anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray
from ..core.plan import Placement, Plan, PlannedRoute, Route
from ..core.problem import Problem
from ..core.version import TOOL
from ..perfmodel.validity import doubts
from ..render import milliseconds, number
from ..scenarios.scenario import Scenario
from ..simulator.result import SimulationResult
from ..studies.regions import labels_of, read_by_groups, times_on_groups
from ..views.plan import (
    ADAPTERS,
    FRONT,
    PLACEMENT,
    PREDICTED,
    adapter_rows,
    expected_lines,
    front_rows,
    placement_rows,
    predicted_rows,
    proven,
)
from ..views.text import chain, percent
from . import charts
from .page import Section
from .svg import SERIES, drawing, folded, legend, table, tag, text
from .worldmap import MOST_ARCS, MOST_SINGLE, WIDTH, Arc, Mark, world

#: Rows of tables that are shown at once; the rest is one click away.
MOST_ROWS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A route of one client and how much it is used."""

    client: int
    route: Route
    weight: float


def kinds_of(problem: Problem) -> dict[str, int]:
    """Row of each device in legends, most common first; the last row is shared by the rest."""
    names = [n for n, _ in Counter(s.device for s in problem.servers).most_common()]
    return {name: min(i, SERIES - 1) for i, name in enumerate(names)}


def planned_chains(plan: Plan) -> list[Chain]:
    """The chains of a plan, by planned sessions."""
    return [Chain(client=r.client, route=r.route, weight=r.sessions) for r in plan.routes]


def used_chains(results: Sequence[SimulationResult]) -> list[Chain]:
    """The chains that requests took, by requests."""
    found: Counter[tuple[int, Route]] = Counter()
    for result in results:
        for client, route in zip(result.client.tolist(), result.routes, strict=True):
            if route is not None:
                found[client, route] += 1
    return [Chain(client=c, route=r, weight=w) for (c, r), w in found.most_common()]


def loads_of(problem: Problem, chains: Sequence[Chain]) -> FloatArray:
    """(n,) share of all sessions or requests that pass each server."""
    load = np.zeros(problem.num_servers)
    for c in chains:
        load[list(c.route.servers)] += c.weight
    return load / max(1.0, sum(c.weight for c in chains))


def marks_of(problem: Problem, placement: Placement, chains: Sequence[Chain]) -> list[Mark]:
    """Servers, by device and load, and clients."""
    kinds = kinds_of(problem)
    load = loads_of(problem, chains)
    marks = [
        Mark(
            name=s.id,
            place=s.coordinates,
            kind=kinds[s.device],
            load=float(load[j]),
            detail=f"{s.id} ({s.device}), {_span(placement, j)}, {load[j] * 100:.0f} % of requests",
        )
        for j, s in enumerate(problem.servers)
    ]
    marks += [
        Mark(name=c.id, place=c.coordinates, kind=-1, load=0.0, detail=f"client {c.id}")
        for c in problem.clients
    ]
    return marks


def map_section(
    problem: Problem, placement: Placement, chains: Sequence[Chain], *, title: str = "Map"
) -> Section:
    """Servers by device and load, clients, chains; machines without a place beside it."""
    kinds = kinds_of(problem)
    marks = marks_of(problem, placement, chains)
    arcs = arcs_of(problem, chains)
    height, parts = world(marks, arcs)
    lost = [m for m in marks if m.place is None]
    seen = len(marks) - len(lost)
    told = (
        f"{seen} of {len(marks)} servers and clients have a known place. Larger marks carry more "
        "requests, hollow ones none; numbers count machines that stand together."
        if len(marks) <= MOST_SINGLE
        else f"{seen} of {len(marks)} servers and clients have a known place. Each ring stands for "
        "the servers around it: the number counts them, the ring shows their devices."
    )
    name = _anchor(title)
    body = drawing(WIDTH, height, title, told, parts, f"{name}-map", fits=True) if seen else ""
    body += tag("p", text(told), class_="note")
    if seen:
        body += _map_legend(kinds)
    if lost:
        names = ", ".join(m.name for m in lost[:200]) + (" ..." if len(lost) > 200 else "")
        body += tag("h3", f"{len(lost)} without a known place") + tag("p", text(names))
    if len(arcs) > MOST_ARCS:
        body += tag(
            "p", f"The {MOST_ARCS} most used of {len(arcs)} chains are drawn.", class_="note"
        )
    rows = [
        [problem.clients[c.client].id, number(c.weight), chain(problem, c.route)]
        for c in sorted(chains, key=lambda c: -c.weight)
    ]
    body += folded("Chains as a table", long_table("Chains", ["client", "used", "chain"], rows))
    return Section(name=name, title=title, body=body)


def _map_legend(kinds: Mapping[str, int]) -> str:
    names = [""] * (max(kinds.values()) + 1)
    for device, k in kinds.items():
        names[k] = f"{names[k]}, {device}" if names[k] else device or "server"
    short = [n if len(n) < 60 else n[:57] + "..." for n in names]
    ring = tag(
        "svg",
        tag("circle", cx=14, cy=8, r=6, class_="client")
        + tag("circle", cx=14, cy=8, r=2.4, class_="dot"),
        viewBox="0 0 28 16",
        width=28,
        height=16,
        aria_hidden="true",
    )
    client = tag("ul", tag("li", ring + tag("span", "client")), class_="legend")
    return legend(short, marks=True) + client


def arcs_of(problem: Problem, chains: Sequence[Chain]) -> list[Arc]:
    """Chains over the places of their machines, as far as those are known."""
    most = max((c.weight for c in chains), default=1.0)
    found = []
    for c in chains:
        client = problem.clients[c.client]
        places = [problem.servers[j].coordinates for j in c.route.servers]
        stops = [p for p in (client.coordinates, *places) if p is not None]
        if len(stops) > 1:
            words = f"{client.id}: {chain(problem, c.route)}"
            found.append(
                Arc(
                    stops=tuple(stops),
                    use=c.weight / most,
                    detail=words,
                    series=c.client % SERIES,
                )
            )
    return found


def _span(placement: Placement, row: int) -> str:
    span = placement.span(row)
    return "idle" if span is None else f"blocks {span.start} to {span.end - 1}"


def _anchor(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def long_table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, cards: bool = False
) -> str:
    """A table of which ``MOST_ROWS`` rows are shown at once."""
    if len(rows) <= MOST_ROWS:
        return table(caption, columns, rows, cards=cards)
    rest = table(f"{caption}, continued", columns, rows[MOST_ROWS:], cards=cards)
    return table(caption, columns, rows[:MOST_ROWS], cards=cards) + folded(
        f"{len(rows) - MOST_ROWS} more rows", rest
    )


def coverage_section(problem: Problem, placement: Placement) -> Section:
    """Which server holds which blocks and how often each block is held."""
    counts = placement.coverage(problem.model.num_blocks)
    weak = int((counts == 1).sum())
    kinds = kinds_of(problem)
    idle = [s.id for j, s in enumerate(problem.servers) if placement.span(j) is None]
    lines = [
        f"{weak} of {len(counts)} blocks are held by one server only: if it leaves, no chain is "
        "complete."
        if weak
        else f"Every block is held by at least {int(counts.min())} servers."
    ]
    if idle:
        more = f" and {len(idle) - 20} more" if len(idle) > 20 else ""
        lines.append(f"Idle: {', '.join(idle[:20])}{more}.")
    names = [""] * (max(kinds.values()) + 1)
    for device, k in kinds.items():
        names[k] = f"{names[k]}, {device}" if names[k] else device or "server"
    boxes = "".join(
        tag(
            "li",
            tag(
                "svg",
                tag("rect", x=2, y=2, width=24, height=12, class_=f"f{k}"),
                viewBox="0 0 28 16",
                width=28,
                height=16,
                aria_hidden="true",
            )
            + tag("span", text(n)),
        )
        for k, n in enumerate(names)
    )
    body = "".join(tag("p", text(line)) for line in lines)
    body += charts.coverage("coverage-chart", problem, placement, kinds)
    body += tag("ul", boxes, class_="legend")
    rows = [
        [s.id, s.device, s.region or "-", _span(placement, j), int(placement.num_blocks[j])]
        for j, s in enumerate(problem.servers)
    ]
    columns = ["server", "device", "region", "holds", "blocks"]
    body += folded("Blocks as a table", long_table("Who holds which blocks", columns, rows))
    return Section(name="coverage", title="Blocks and who holds them", body=body)


def occupancy_section(
    problem: Problem, placement: Placement, result: SimulationResult, method: str
) -> Section:
    """How full the caches were over one run."""
    have = placement.cache_bytes > 0
    pools = placement.cache_bytes[have]
    share = result.timeline_bytes[:, have] / np.maximum(pools, 1)
    body = tag(
        "p",
        text(
            f"One run of {len(result.arrival_s)} requests with {method}; the band is the middle "
            "80 % of the servers."
        ),
        class_="note",
    )
    body += charts.occupancy("occupancy-chart", result.timeline_s, share)
    body += legend(["median server", "fullest server"])
    rows = [
        [
            s.id,
            percent(float(result.cache_used_frac[j])),
            percent(float(result.peak_memory_frac[j])),
            percent(float(result.compute_busy_frac[j])),
        ]
        for j, s in enumerate(problem.servers)
    ]
    columns = ["server", "cache in use, mean", "memory, peak", "compute busy"]
    body += folded("Servers as a table", long_table("Servers over the run", columns, rows))
    return Section(name="occupancy", title="Caches over time", body=body)


def regions_section(problem: Problem, chains: Sequence[Chain]) -> list[Section]:
    """A large swarm by regions and devices, with what that hides; nothing for small swarms."""
    routes = [
        PlannedRoute(client=c.client, sessions=max(1, round(c.weight)), route=c.route)
        for c in chains
    ]
    labels = labels_of(problem, "region")
    if not routes or problem.num_servers <= MOST_SINGLE or len(set(labels)) < 2:
        return []
    reading = read_by_groups(problem, labels, routes)
    bound = max(times_on_groups(problem, labels, routes), key=lambda t: t.bound_s)
    rows = [
        [
            g.name,
            len(g.rows),
            f"{g.memory_bytes / 1e9:,.0f}",
            percent(g.share),
            f"{g.lost_bits:.3f}",
            milliseconds(g.hop_spread_s),
        ]
        for g in reading.groups
    ]
    columns = ["region and device", "servers", "memory GB", "traffic", "bits lost", "hop spread ms"]
    told = (
        f"Traffic has {reading.total_bits:.2f} bits over servers and {reading.between_bits:.2f} "
        f"over these {len(rows)} groups: {reading.lost_bits:.2f} bits are lost to the reader. "
        "Taking any server of a group for another errs by at most "
        f"{milliseconds(bound.bound_s)} ms per token on these chains "
        f"(client {problem.clients[bound.client].id})."
    )
    body = tag("p", text(told)) + long_table("Groups by traffic", columns, rows)
    return [Section(name="regions", title="Regions", body=body)]


def distribution_section(results: Mapping[str, Sequence[SimulationResult]]) -> Section:
    """Time to first token and response of every method, all seeds together."""
    body = ""
    quantiles: list[list[object]] = []
    for name, title, unit, attribute in (
        ("ttft", "Time to first token", "seconds", "ttft_s"),
        ("response", "Response time", "seconds", "response_s"),
    ):
        values = {m: _known(runs, attribute) for m, runs in results.items()}
        chart = charts.distribution(f"{name}-chart", title, unit, values)
        names = legend([m for m, v in values.items() if len(v)])
        body += tag("div", tag("h3", title) + chart + names)
        for method, found in values.items():
            if len(found):
                cuts = [
                    number(float(q))
                    for q in np.quantile(found, [0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
                ]
                quantiles.append([method, title, *cuts])
    body = tag("div", body, class_="pair")
    columns = ["method", "figure", "5 %", "25 %", "50 %", "75 %", "95 %", "99 %"]
    body += folded(
        "As a table",
        table("Seconds within which a share of the requests is done", columns, quantiles),
    )
    return Section(name="distributions", title="How long requests take", body=body)


def _known(runs: Sequence[SimulationResult], attribute: str) -> FloatArray:
    values = np.concatenate([getattr(r, attribute) for r in runs]) if runs else np.zeros(0)
    found: FloatArray = values[~np.isnan(values)]
    return found


def plan_section(problem: Problem, plan: Plan) -> Section:
    """The plan table, what is predicted and what is proven."""
    body = tag(
        "p",
        text(
            f"Planned by {plan.method} for {plan.sessions} concurrent sessions; requests are "
            f"routed by {plan.router}."
        ),
    )
    body += tag("p", text(f"{proven(plan.certificate)}."))
    body += long_table("Placement", PLACEMENT, placement_rows(problem, plan))
    body += table("Predicted for one request alone", PREDICTED, predicted_rows(problem, plan))
    if adapters := adapter_rows(problem, plan):
        body += long_table("Adapters", ADAPTERS, adapters)
    if plan.candidates:
        tried = [
            [c.placement, c.router, number(c.bound), number(c.figure), c.verdict]
            for c in plan.candidates
        ]
        body += folded(
            "What it was compared with",
            table("Candidates", ["placement", "router", "bound", "figure", "verdict"], tried),
        )
    notes = (*plan.notes, *expected_lines(problem, plan))
    body += "".join(tag("p", text(n), class_="note") for n in notes)
    return Section(name="plan", title="Plan", body=body)


def throughput_section(plan: Plan) -> list[Section]:
    """Tokens per second against the latency that goes with them, where a plan was made for them."""
    found = plan.throughput
    if found is None:
        return []
    full = found.decode_per_s
    loads = [(share * full, token_s) for share, token_s, _ in found.part_loads]
    line = [(x, y * 1e3, 0.0) for x, y in (*loads, (full, found.token_s))]
    body = charts.bands(
        "front",
        "Throughput against latency",
        "decode tokens per second",
        "ms per token",
        {plan.method: line},
    )
    body += table("Throughput against latency", FRONT, front_rows(found))
    return [Section(name="throughput", title="Throughput", body=body)]


def provenance_section(scenario: Scenario, rows: Sequence[tuple[str, object]]) -> Section:
    """What was computed from what, so that it can be repeated."""
    problem = scenario.problem
    facts: list[list[object]] = [
        ["scenario", scenario.document.name],
        ["file", scenario.path.name],
        ["sha256 of its content", scenario.sha256],
        ["model", f"{problem.model.name}, {problem.model.num_blocks} blocks"],
        ["servers, clients", f"{problem.num_servers}, {len(problem.clients)}"],
        ["software", f"{TOOL}, numpy {np.__version__}"],
        *([name, value] for name, value in rows),
    ]
    body = table("Where this comes from", ["what", "value"], facts)
    if scenario.document.description:
        body = tag("p", text(scenario.document.description)) + body
    remarks = [*scenario.warnings, *doubts(problem)]
    if remarks:
        body += tag("ul", "".join(tag("li", text(w)) for w in remarks), class_="plain")
    body += tag("p", "Land outline: Natural Earth 1:110m (public domain).", class_="note")
    return Section(name="provenance", title="Provenance", body=body)
