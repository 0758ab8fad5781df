"""By what states go over links, chosen with spans and precisions: against every plan there is."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swarmplan.chains.soundness import overharmed
from swarmplan.core.content import FloatArray
from swarmplan.core.errors import InfeasibleError
from swarmplan.core.problem import Problem, Server, per_block
from swarmplan.perfmodel.accuracy import harm_of
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.precise.solve import frontier, solve_precise
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.scenarios.scenario import scenario_of

WIDTH = 4_096
WIRES = ["none", "uniform_8bit", "blockwise_8bit"]
#: Bytes of a token's states in a message of its own, as hivemind writes them.
SENT = {
    "none": 2 * WIDTH,
    "uniform_8bit": WIDTH + 4 * 256 + 8,
    "blockwise_8bit": WIDTH + 4 * 256 + 4 * (WIDTH // 4096) + 16,
}
#: Rises of the perplexity, in per cent: nf4 on the whole model, and a hop.
NF4, UNIFORM, BLOCKWISE = 3.0, 0.5, 0.2


def drawn(seed: int, *, servers: int = 3, blocks: int = 3) -> Problem:
    """A small swarm whose links are slow, with a budget that binds or does not."""
    rng = np.random.default_rng(seed)
    raw = {
        "format": "swarmplan/scenario/1",
        "name": "wires",
        "model": {"name": "toy", "num_blocks": blocks, "hidden_size": WIDTH, "block_mb": 100,
                  "quantisation": "bf16",
                  "cache_bytes_per_token": 4096},
        "accuracy": {
            "harm": {"nf4": NF4},
            "wire_harm": {"uniform_8bit": UNIFORM, "blockwise_8bit": BLOCKWISE},
            "budget": float(rng.choice([0.0, 0.5, 1.5, 3.0, 5.0])),
        },
        "network": {"delay": "measured", "rtt_ms": _rtt(rng, servers).tolist()},
        "devices": {
            f"d{j}": {"memory_gb": float(rng.choice([0.06, 0.13, 0.24])),
                      "decode_ms": float(rng.choice([1, 4, 9]))}
            for j in range(servers)
        },
        "servers": [
            {"id": f"s{j}", "device": f"d{j}", "precisions": ["bf16", "nf4"],
             "wire": WIRES[:: int(rng.integers(1, 3))],
             "bandwidth_mbit_per_s": float(rng.choice([2, 8, 50]))}
            for j in range(servers)
        ],
        "clients": [{"id": "c"}],
        "planning": {"sessions": 1},
        "workload": {"streams": [{"client": "c", "rate_per_s": 0.1, "prompt_tokens": 20,
                                  "output_tokens": 20}]},
    }  # fmt: skip
    return scenario_of(raw, Path("wires.toml")).problem


def _rtt(rng: np.random.Generator, servers: int) -> FloatArray:
    table: FloatArray = rng.choice([2.0, 9.0, 30.0], (servers + 1, servers + 1))
    table = np.maximum(table, table.T)
    np.fill_diagonal(table, 0.0)
    return table


def least_s(problem: Problem) -> float:
    """The least step time of one session over all chains, cuts, precisions and wires."""
    length = problem.model.num_blocks
    rows, best = range(problem.num_servers), math.inf
    for count in range(1, min(length, len(rows)) + 1):
        for chain in itertools.permutations(rows, count):
            for inner in itertools.combinations(range(1, length), count - 1):
                cuts = list(itertools.pairwise((0, *inner, length)))
                offers = [
                    [v for v in _visits(problem, j, b - a) if v is not None]
                    for j, (a, b) in zip(chain, cuts, strict=True)
                ]
                for visits in itertools.product(*offers):
                    if sum(h for _, h in visits) <= problem.accuracy.budgets[0] + 1e-12:  # type: ignore[union-attr]
                        best = min(best, sum(s for s, _ in visits))
    return best


def _visits(problem: Problem, j: int, blocks: int) -> list[tuple[float, float] | None]:
    """(seconds, harm) of a visit of so many blocks in every way; None where it does not fit."""
    server, length = problem.servers[j], problem.model.num_blocks
    rate = problem.network.client_bandwidth_bytes_per_s
    assert rate is not None
    harms = {"none": 0.0, "uniform_8bit": harm_of(UNIFORM), "blockwise_8bit": harm_of(BLOCKWISE)}
    found: list[tuple[float, float] | None] = []
    for own in server.variants:
        one = _at(server, own.precision)
        held = problem.planning.session_tokens * 4096 + per_block(one.block_bytes, length)[0]
        for wire in server.wires:
            if blocks * held > server.memory_bytes:
                found.append(None)
                continue
            hop_s = problem.network.client_rtt_s[0, j] + 2 * SENT[wire] / rate[0, j]
            run_s = blocks * one.timing.decode_base_s  # type: ignore[union-attr]
            harm = harms[wire] + (blocks * harm_of(NF4) / length if own.precision == "nf4" else 0)
            found.append((float(hop_s + run_s), harm))
    return found


def _at(server: Server, precision: str) -> Server:
    return server.at_precision(precision)


def asked(problem: Problem, sessions: int = 1) -> Task:
    return task_of(problem.at_lightest(), sessions=sessions)


@pytest.mark.parametrize("seed", range(40))
def test_the_optimum_is_that_of_all_spans_precisions_and_wires(seed: int) -> None:
    problem = drawn(seed)
    best = least_s(problem)
    if math.isinf(best):
        with pytest.raises(InfeasibleError):
            solve_precise(asked(problem))
        return
    placement, routes, certificate = solve_precise(asked(problem))
    assert certificate.objective.value == pytest.approx(best, rel=1e-9)
    assert certificate.status == "optimal"
    assert not list(overharmed(CostModel(placement.settled(problem)), routes))


@pytest.mark.parametrize("seed", range(8))
def test_no_fixed_wire_does_better_within_the_budget(seed: int) -> None:
    problem = drawn(100 + seed, servers=4)
    reached = []
    for wire in (None, *WIRES):
        servers = tuple(
            s if wire is None else replace(s, wire=wire if wire in s.wires else s.wire, wires=())
            for s in problem.servers
        )
        try:
            found = solve_precise(asked(replace(problem, servers=servers), sessions=3))
        except InfeasibleError:
            reached.append(math.inf)
            continue
        reached.append(found.certificate.objective.value or math.inf)
    assert reached[0] <= min(reached[1:]) * (1 + 1e-9)


def test_a_frontier_goes_from_packed_to_precise() -> None:
    problem = drawn(3)
    points = frontier(asked(problem))
    packed = [sum(v.hosting.wire != "none" for v, _, _ in p.spans) for p in points]
    assert points[-1].harm == 0.0
    assert packed[0] > 0
    assert packed[-1] == 0
    assert all(a.cost_s < b.cost_s and a.harm > b.harm for a, b in itertools.pairwise(points))
