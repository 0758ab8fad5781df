"""The programme of the largest flow: brute force on tiny cases, a published cluster."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import HeuristicFailedError, InfeasibleError
from swarmplan.placement.flow import Gate, Kind, largest_flow, most_flow_per_s
from swarmplan.scenarios.helix import read_cluster
from swarmplan.solve.deadline import NEVER
from swarmplan.solve.outcome import Outcome
from swarmplan.solve.programme import Programme


def max_flow(spans: list[tuple[int, int, float]], length: int) -> float:
    """By cuts: the least capacity over sets of positions that separate 0 from the end."""
    inner = range(1, length)
    best = math.inf
    for chosen in itertools.product((0, 1), repeat=len(inner)):
        side = {0, *(p for p, c in zip(inner, chosen, strict=True) if c)}
        best = min(best, sum(rate for s, e, rate in spans if s in side and e not in side))
    return best


def brute_force(kinds: list[Kind], length: int) -> float:
    """Every layout of every server."""
    options = []
    for kind in kinds:
        mine: list[tuple[int, int, float] | None] = [None]
        for k, rate in enumerate(kind.rate_per_s, start=1):
            if rate > 0:
                mine += [(s, s + k, rate) for s in range(length - k + 1)]
        options += [mine] * kind.count
    return max(
        max_flow([span for span in layout if span is not None], length)
        for layout in itertools.product(*options)
    )


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_no_layout_carries_more_than_the_programme_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = int(rng.integers(2, 5))
    kinds = [
        Kind(
            count=int(rng.integers(1, 3)),
            rate_per_s=tuple(np.sort(rng.integers(0, 9, most))[::-1].astype(float).tolist()),
        )
        for most in rng.integers(1, length + 1, 2)
    ]
    best = brute_force(kinds, length)
    if best == 0:
        with pytest.raises(InfeasibleError):
            largest_flow(kinds, length, deadline=NEVER)
        return
    found = largest_flow(kinds, length, deadline=NEVER, gap=1e-9)
    assert found.rate_per_s == pytest.approx(best, rel=1e-5)
    assert found.proven
    assert found.rate_per_s <= found.bound_per_s * (1 + 1e-9)
    assert found.bound_per_s <= most_flow_per_s(kinds, length) * (1 + 1e-9)
    spans = [
        (s, e, kinds[g].rate_per_s[e - s - 1])
        for g, mine in enumerate(found.spans)
        for s, e in mine
    ]
    assert max_flow(spans, length) == pytest.approx(best, rel=1e-5)
    for kind, mine in zip(kinds, found.spans, strict=True):
        assert len(mine) <= kind.count


def test_what_goes_to_another_place_is_limited_by_the_links_of_who_ends_there() -> None:
    halves = (10.0, 10.0, 0.0, 0.0)
    kinds = [
        Kind(count=1, rate_per_s=halves, place=0, onward_per_s=(math.inf, 3.0)),
        Kind(count=1, rate_per_s=halves, place=1, onward_per_s=(3.0, math.inf)),
    ]
    assert largest_flow(kinds, 4, deadline=NEVER).rate_per_s == pytest.approx(3.0)
    assert most_flow_per_s(kinds, 4) == pytest.approx(10.0)


def test_what_leaves_some_places_together_goes_through_their_gate() -> None:
    halves = (10.0, 10.0, 0.0, 0.0)
    open_, length = (math.inf, math.inf), 4
    kinds = [
        Kind(count=2, rate_per_s=halves, place=0, onward_per_s=open_),
        Kind(count=2, rate_per_s=halves, place=1, onward_per_s=open_),
    ]

    def rate(*gates: Gate) -> float:
        found = largest_flow(kinds, length, deadline=NEVER, gates=gates, gap=1e-9)
        return found.rate_per_s

    # Each place may hold the model by itself; where it holds one half alone all has to cross.
    assert rate() == pytest.approx(20.0)
    assert rate(Gate(places=frozenset({0}), out_per_s=1.0)) == pytest.approx(20.0)
    kinds = [replace(kind, count=1) for kind in kinds]
    assert rate(Gate(places=frozenset({0}), out_per_s=3.0)) == pytest.approx(10.0)
    both = Gate(places=frozenset({0}), out_per_s=3.0, in_per_s=4.0)
    assert rate(both) == pytest.approx(4.0)
    assert rate(Gate(places=frozenset({0, 1}), out_per_s=1.0)) == pytest.approx(10.0)


def test_a_server_sends_on_and_is_sent_what_its_own_uplink_lets_through() -> None:
    thirds = (10.0, 0.0, 0.0)
    kinds = [Kind(count=2, rate_per_s=thirds), Kind(count=1, rate_per_s=thirds, out_per_s=3.0)]
    # The one with the thin uplink ends the model: nothing is handed on there.
    assert largest_flow(kinds, 3, deadline=NEVER).rate_per_s == pytest.approx(10.0)
    kinds[1] = replace(kinds[1], in_per_s=4.0)
    assert largest_flow(kinds, 3, deadline=NEVER).rate_per_s == pytest.approx(4.0)


def test_servers_that_do_not_hold_the_model_carry_nothing() -> None:
    with pytest.raises(InfeasibleError, match="hold the model once"):
        largest_flow([Kind(count=2, rate_per_s=(5.0,))], 3, deadline=NEVER)


@pytest.mark.parametrize(
    ("state", "error"), [("feasible", HeuristicFailedError), ("optimal", InfeasibleError)]
)
def test_no_flow_is_a_proof_only_where_the_programme_was_solved(
    monkeypatch: pytest.MonkeyPatch, state: Any, error: type[Exception]
) -> None:
    def cut_off(programme: Programme, **asked: Any) -> Outcome:
        return Outcome(state=state, values=np.zeros(len(programme.cost)), bound=-1.0)

    monkeypatch.setattr("swarmplan.placement.flow.solve_programme", cut_off)
    with pytest.raises(error):
        largest_flow([Kind(count=2, rate_per_s=(5.0, 4.0))], 3, deadline=NEVER)


def test_the_flow_of_a_published_cluster_meets_its_bound(shared_data: Path) -> None:
    cluster = read_cluster(shared_data / "helix" / "single24-llama70b.json")
    kinds = [
        Kind(
            count=sum(node.kind == name for node in cluster.nodes),
            rate_per_s=tuple(
                kind.throughput_tokens_per_s[str(k)] for k in range(1, kind.max_layers + 1)
            ),
        )
        for name, kind in cluster.kinds.items()
    ]
    begun = time.process_time()
    found = largest_flow(kinds, cluster.model.layers, deadline=NEVER)
    assert found.rate_per_s == pytest.approx(2045.6, abs=0.05)
    assert found.proven
    assert found.bound_per_s == pytest.approx(2045.6, abs=0.05)
    assert time.process_time() - begun < 10.0
