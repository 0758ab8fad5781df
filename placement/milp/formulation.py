"""The offline problem as a mixed-integer programme; numbers (1)..(8) are those of docs/model.md 9.

Two forms with the same optimum. ``compact`` writes the products of the route choice with the
span positions as conditional inequalities; ``paper`` is the published form, which linearises the
four products of every link with big-M terms. Both minimise, in milliseconds and in units of one
block's weights, so that coefficients stay near 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulp

from ...core.plan import Placement, PlannedRoute
from ...core.workload import Demand
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import memory_unit_bytes
from .links import link_costs

Form = Literal["compact", "paper"]
SOURCE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Sessions of one client that take the same route; one path of the programme."""

    demand: Demand
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The programme with its variables.

    Attributes
    ----------
    start, blocks : variable of each server: first block s_j, number of blocks m_j.
    uses : f, by (bundle, from, to); ``SOURCE`` and ``num_servers`` (sink) are the ends.
    runs : k, by link; of the compact form.
    products : (alpha, beta, gamma, delta) by link; of the paper's form. The entries that are
        constant multiples of f on a link of the source are None.
    unit : seconds of objective that one unit of the programme's objective stands for.
    """

    cost: CostModel
    form: Form
    prob: Any
    bundles: tuple[Bundle, ...]
    start: tuple[Any, ...]
    blocks: tuple[Any, ...]
    uses: dict[tuple[int, int, int], Any]
    runs: dict[tuple[int, int, int], Any]
    products: dict[tuple[int, int, int], tuple[Any, Any, Any, Any]]
    unit: float

    @property
    def sink(self) -> int:
        """Node number of the sink."""
        return self.cost.problem.num_servers


def bundles_of(demand: Sequence[Demand], *, aggregate: bool) -> tuple[Bundle, ...]:
    """One path a session, or with ``aggregate`` one path a client for all of its sessions."""
    return tuple(
        Bundle(demand=d, sessions=d.sessions if aggregate else 1)
        for d in demand
        for _ in range(1 if aggregate else d.sessions)
    )


def build(
    cost: CostModel,
    demand: Sequence[Demand],
    *,
    form: Form = "compact",
    min_blocks: int = 0,
    aggregate: bool = False,
    memory_margin: float = 0.0,
) -> Model:
    """Write the programme.

    Parameters
    ----------
    cost, demand : what to serve, and what it costs.
    form : ``compact`` or ``paper``.
    min_blocks : fewest blocks of every server; 1 as the published code, which makes the whole
        problem infeasible when one server cannot hold a block.
    aggregate : all sessions of a client share one route: a smaller programme, a restriction.
    memory_margin : tightening of (4), in blocks.
    """
    prob = pulp.LpProblem("bprr", pulp.LpMinimize)
    problem, length = cost.problem, cost.num_blocks
    n = problem.num_servers
    start = tuple(prob.add_variable(f"s_{j}", 0, length - 1, "Integer") for j in range(n))
    blocks = tuple(
        prob.add_variable(f"m_{j}", min_blocks, int(problem.max_blocks[j]), "Integer")
        for j in range(n)
    )
    bundles = bundles_of(demand, aggregate=aggregate)
    model = Model(
        cost=cost,
        form=form,
        prob=prob,
        bundles=bundles,
        start=start,
        blocks=blocks,
        uses={
            (r, i, j): prob.add_variable(f"f_{r}_{_name(i)}_{j}", 0, 1, "Integer")
            for r in range(len(bundles))
            for i, j in _links(n)
        },
        runs={},
        products={},
        unit=max(b.demand.weight_tokens for b in bundles) / 1e3,
    )
    run = _run_compact(model) if form == "compact" else _run_paper(model)
    prob += _objective(model, run)
    _flow(model)
    for j in range(n):
        prob += start[j] + blocks[j] <= length, f"c3_{j}"  # (3) a span ends with the model
    _memory(model, run, memory_margin)
    if form == "compact":
        _order_alike(model)
    return model


def _name(node: int) -> str:
    return "S" if node == SOURCE else str(node)


def _links(n: int) -> Iterator[tuple[int, int]]:
    """Source to server, server to another server, server to sink (node n)."""
    yield from ((SOURCE, j) for j in range(n))
    yield from ((i, j) for i in range(n) for j in range(n + 1) if i != j)


def _inner_links(model: Model) -> Iterator[tuple[int, int, int]]:
    """Links that end at a server: those on which blocks are run."""
    return (key for key in model.uses if key[2] != model.sink)


def _objective(model: Model, run: Mapping[tuple[int, int, int], Any]) -> Any:
    """(1): step time of every session, in units of ``model.unit`` seconds."""
    clients = {b.demand.client for b in model.bundles}
    compute = {c: model.cost.planned(c).step_run_s for c in clients}
    costs = {c: link_costs(model.cost, c) for c in clients}
    terms = []
    for (r, i, j), use in model.uses.items():
        bundle = model.bundles[r]
        client = bundle.demand.client
        cost = costs[client]
        scale = bundle.sessions * bundle.demand.weight_tokens / model.unit
        if j == model.sink:
            terms.append(scale * float(cost.leave_s[i]) * use)
            continue
        hop = float(cost.enter_s[j] if i == SOURCE else cost.pass_s[i, j])
        terms.append(scale * hop * use + scale * compute[client].linear(j, run[r, i, j]))
    return pulp.lpSum(terms)


def _flow(model: Model) -> None:
    """(2): every bundle takes one path from the source to the sink."""
    prob, n = model.prob, model.sink
    for r in range(len(model.bundles)):
        leaving = [model.uses[r, SOURCE, j] for j in range(n)]
        prob += pulp.lpSum(leaving) == 1, f"c2_{r}_S"
        for j in range(n):
            into = [model.uses[r, i, j] for i in (SOURCE, *range(n)) if i != j]
            out = [model.uses[r, j, i] for i in range(n + 1) if i != j]
            prob += pulp.lpSum(into) - pulp.lpSum(out) == 0, f"c2_{r}_{j}"


def _memory(model: Model, run: Mapping[tuple[int, int, int], Any], margin: float) -> None:
    """(4): weights and the caches of all sessions fit each server's memory."""
    prob, cost = model.prob, model.cost
    unit = memory_unit_bytes(cost)
    used = [[cost.weights_bytes.linear(j, model.blocks[j] / unit)] for j in range(model.sink)]
    for r, i, j in _inner_links(model):
        bundle = model.bundles[r]
        each = cost.kept.of(bundle.demand.cache_tokens)
        used[j].append(each.linear(0, bundle.sessions / unit * run[r, i, j]))
    for j, terms in enumerate(used):
        room = float(cost.problem.memory_bytes[j]) / unit - margin
        prob += pulp.lpSum(terms) <= room, f"c4_{j}"


def _order_alike(model: Model) -> None:
    """Like bundles in order of their first server: cuts permutations, no optimum."""
    prob = model.prob
    for r, (one, two) in enumerate(itertools.pairwise(model.bundles)):
        if one == two:
            first = [(j, model.uses[r, SOURCE, j]) for j in range(model.sink)]
            second = [(j, model.uses[r + 1, SOURCE, j]) for j in range(model.sink)]
            ordered = pulp.lpSum(j * f for j, f in first) <= pulp.lpSum(j * f for j, f in second)
            prob += ordered, f"alike_{r}"


def _run_compact(model: Model) -> dict[tuple[int, int, int], Any]:
    """(5)-(8) of the compact form; returns k by link."""
    prob, length = model.prob, model.cost.num_blocks
    for (r, i, j), use in model.uses.items():
        tag = f"{r}_{_name(i)}_{j}"
        from_end = 0 if i == SOURCE else model.start[i] + model.blocks[i]
        if j == model.sink:
            prob += length * use - from_end <= 0, f"c7_{tag}"  # (7) the last one ends the model
            continue
        k = model.runs[r, i, j] = prob.add_variable(f"k_{tag}", 0, length)
        end = model.start[j] + model.blocks[j]
        # (5) j starts no later than the session has come
        prob += model.start[j] - from_end + length * use <= length, f"c5_{tag}"
        # (6) and reaches further
        prob += from_end - end + (length + 1) * use <= length, f"c6_{tag}"
        # (8) and runs everything in between: (1) and (4) push k down on to this
        prob += k - end + from_end - length * use >= -length, f"c8_{tag}"
    return model.runs


def _run_paper(model: Model) -> dict[tuple[int, int, int], Any]:
    """(5)-(8) of the published form, with a_j = s_j + 1; returns k = alpha - beta + gamma - delta.

    alpha = a_j f, beta = a_i f, gamma = m_j f, delta = m_i f. The source counts as a = 1, m = 0
    and the sink as a = L + 1, m = 1, which makes their products multiples of f.
    """
    prob, length = model.prob, model.cost.num_blocks
    run: dict[tuple[int, int, int], Any] = {}
    for (r, i, j), use in model.uses.items():
        tag = f"{r}_{_name(i)}_{j}"
        alpha = beta = gamma = delta = None
        if j != model.sink:
            alpha = _product(prob, f"alpha_{tag}", model.start[j] + 1, use, length + 1)
            gamma = _product(prob, f"gamma_{tag}", model.blocks[j], use, length)
        if i != SOURCE:
            beta = _product(prob, f"beta_{tag}", model.start[i] + 1, use, length + 1)
            delta = _product(prob, f"delta_{tag}", model.blocks[i], use, length)
        model.products[r, i, j] = (alpha, beta, gamma, delta)
        first = (length + 1) * use if alpha is None else alpha
        after = first + use if gamma is None else first + gamma
        come = use if beta is None or delta is None else beta + delta
        if j == model.sink:
            prob += come >= first, f"c7_{tag}"  # (7)
            continue
        prob += come >= first, f"c5_{tag}"  # (5)
        prob += come <= after - use, f"c6_{tag}"  # (6)
        run[r, i, j] = after - come
    return run


def _product(prob: Any, name: str, factor: Any, use: Any, most: int) -> Any:
    """(8) of the paper's form: a variable equal to ``factor * use`` for a binary ``use``."""
    product = prob.add_variable(name, 0, most)
    prob += product <= most * use, f"{name}_off"
    prob += product <= factor, f"{name}_at_most"
    prob += product >= factor - most + most * use, f"{name}_on"
    return product


def full_start(
    model: Model, placement: Placement, paths: Sequence[PlannedRoute]
) -> dict[str, float]:
    """A value for every variable from a plan; ``paths`` holds one route for each bundle."""
    span = {SOURCE: (0, 0), model.sink: (model.cost.num_blocks, 1)}
    values: dict[str, float] = {}
    for j in range(model.sink):
        start, blocks = int(placement.start[j]), int(placement.num_blocks[j])
        span[j] = (start, blocks)
        values[model.start[j].name] = start
        values[model.blocks[j].name] = blocks
    used = {
        (r, i, j)
        for r, path in enumerate(paths)
        for i, j in zip(
            (SOURCE, *path.route.servers), (*path.route.servers, model.sink), strict=True
        )
    }
    for key, use in model.uses.items():
        _, i, j = key
        on = float(key in used)
        values[use.name] = on
        if key in model.runs:
            values[model.runs[key].name] = on * (sum(span[j]) - sum(span[i]))
        factors = (span[j][0] + 1, span[i][0] + 1, span[j][1], span[i][1])
        for product, factor in zip(model.products.get(key, ()), factors, strict=False):
            if product is not None:
                values[product.name] = on * factor
    return values
